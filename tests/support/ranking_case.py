"""A ranking model with groups over a table whose rows may be dealt over devices, and all that it learns."""

import keras
import numpy as np
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.layers import FusedEmbedding, embedding_optimizers

SCHEMA = gr.Schema(
    [
        gr.Categorical("user_id", 37, side="user"),
        gr.Categorical("ad_id", 23),
        gr.Sequence("clicked", 23, 5, side="user", shares="ad_id"),
        gr.Numeric("bid"),
    ],
    [gr.Task("click"), gr.Task("buy")],
)
STEPS, BATCH = 20, 32


def ranking_columns(rows=STEPS * BATCH):
    rng = np.random.default_rng(1)
    x = {
        "user_id": rng.zipf(1.5, rows).astype("int32") % 37,
        "ad_id": rng.integers(0, 23, rows).astype("int32"),
        "clicked": rng.integers(0, 23, (rows, 5)).astype("int32"),
        "bid": rng.normal(size=rows).astype("float32"),
    }
    y = {task: rng.integers(0, 2, rows).astype("float32") for task in ("click", "buy")}
    # The label of a third of the rows is unknown, most of them in the first half of each batch.
    y["buy"][np.arange(rows) % 32 < 11] = np.nan
    return x, y


def ranking_model():
    keras.utils.set_random_seed(5)
    groups = {
        place: gr.layers.GroupConcat(2, 8, code_dim=4, seed=number, name=f"groups_{place}")
        for number, place in enumerate(("user", "representation"))
    }
    model = gr.models.CTRModel(
        SCHEMA,
        backbone="mlp",
        group_structure=groups,
        embedding_dim=4,
        tower_units=(8,),
        embedding_optimizer=embedding_optimizers.SGD(0.1),
        table_placement="rows",
    )
    model.compile(keras.optimizers.SGD(0.1))
    return model


def results_of(model, x, y, batch_size=BATCH):
    """What the model's training and evaluation print, and its predictions and groups for the first 64 rows."""
    history = model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0).history
    evaluated = model.evaluate(x, y, batch_size=batch_size, return_dict=True, verbose=0)
    first = {name: values[:64] for name, values in x.items()}
    parts = {
        "fit": history,
        "evaluate": evaluated,
        "predict": model.predict_proba(first, batch_size=batch_size),
        "groups": model.groups(first, batch_size=batch_size),
    }
    return {f"{part} {name}": np.asarray(found) for part, results in parts.items() for name, found in results.items()}


def everything_of(model):
    """All weights, the table's rows in their order."""
    (layer,) = (layer for layer in model._flatten_layers() if isinstance(layer, FusedEmbedding))
    rows = {id(variable) for variable in layer.state.values()}
    others = [v for v in model.variables if id(v) not in rows and v.name != "claims"]
    return state_of(layer) | {f"{number} {v.name}": as_array(v) for number, v in enumerate(others)}


def state_of(layer):
    """Table and slots in the order of the rows."""
    saved = {}
    layer.save_own_variables(saved)
    blocks = {}
    for key, value in sorted(saved.items(), key=lambda item: int(item[0].partition(".")[2] or 0)):
        blocks.setdefault(key.partition(".")[0], []).append(np.atleast_1d(as_array(value).astype("float32")))
    return {name: np.concatenate(parts) for name, parts in blocks.items()}


def assert_states_equal(one, other, atol=1e-5):
    assert set(one) <= set(other)
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=0, atol=atol, err_msg=name)
