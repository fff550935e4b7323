"""A model that devices of JAX train and evaluate as one device does; `test_several_devices.py` runs it."""

import os

import keras
import numpy as np
import pytest
from support.xla_flags import XLA_FLAGS

import grouprank as gr

ROWS, BATCH = 31, 16  # the last batch has 15 rows
SHARDS = 2  # parts that a batch is cut into
TRAINED = BATCH + (ROWS - BATCH) // SHARDS * SHARDS  # rows that the devices can share
SCHEMA = gr.Schema([gr.Categorical("user_id", 8, side="user"), gr.Categorical("ad_id", 8)], [gr.Task("click")])
rng = np.random.default_rng(1)
X = {name: rng.integers(0, 8, ROWS + 1).astype("int32") for name in ("user_id", "ad_id")}
Y = {"click": rng.integers(0, 2, ROWS + 1).astype("float32")}
Y["click"][2] = np.nan


def first(rows):
    return [{name: values[:rows] for name, values in table.items()} for table in (X, Y)]


def make():
    keras.utils.set_random_seed(1)
    # Far fewer codes than rows: a residual of zero would be as near to one code as to another.
    groups = {"representation": gr.layers.GroupConcat(2, 4, code_dim=4, seed=1, name="groups")}
    model = gr.models.CTRModel(SCHEMA, "mlp", group_structure=groups, embedding_dim=4, tower_units=())
    model.compile(keras.optimizers.SGD(0.1))
    return model


def loader(rows):
    return gr.datasets.BatchLoader(*first(rows), BATCH, schema=SCHEMA)


def figures(model, trained_rows):
    x, y = first(ROWS)
    model.adapt(x, y=y)
    model.fit(*first(trained_rows), batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
    model.fit(loader(trained_rows), epochs=2, shuffle=False, verbose=0, validation_data=loader(ROWS))
    evaluated = [
        model.evaluate(x, y, BATCH, return_dict=True, verbose=0),
        model.evaluate(loader(ROWS), return_dict=True, verbose=0),
    ]
    for answers in evaluated:
        del answers["loss"]  # a mean over batches, which counts the rows that fill one up
    predicted = [model.predict(x, BATCH, verbose=0), model.predict(loader(ROWS), verbose=0)]
    return evaluated, predicted, model.groups(x, BATCH), [np.copy(w) for w in model.get_weights()]


def assert_equal(one, other):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)


def check_refusal(model):
    batches = (tuple(first(rows)) for rows in (BATCH, BATCH, 15))
    with pytest.raises(ValueError, match=f"rows cannot be cut into {SHARDS} equal parts(?s:.*)drop_remainder"):
        model.fit(batches, verbose=0)


def train_as_one(rank, world_size, folder):
    """Trains on one of four devices, on two, and on all of them with tables cut in two."""
    # XLA:CPU runs the devices of a program in threads of one pool, which must have one for each of them.
    os.environ["PJRT_NPROC"] = "16"
    os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} --xla_force_host_platform_device_count=4"
    devices = keras.distribution.list_devices("cpu")
    layout = keras.distribution.LayoutMap(keras.distribution.DeviceMesh((SHARDS, 2), ["batch", "model"], devices))
    layout[".*embeddings"] = ("model", None)
    one = figures(make(), TRAINED)
    for several in (
        keras.distribution.DataParallel(devices=devices[:SHARDS]),
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"),
    ):
        keras.distribution.set_distribution(several)
        model = make()
        assert_equal(one, figures(model, ROWS))
        check_refusal(model)
        # The step that failed came after two that did not.
        assert int(model.optimizer.iterations) == 3 * 2 + 2 * 2 + 2
        assert np.isfinite(model.predict(X, BATCH, verbose=0)["click"]).all()
        model.save(folder / "model.keras")
        assert_equal(model.get_weights(), keras.saving.load_model(folder / "model.keras").get_weights())
        # A last batch of fewer rows than devices is left out, and the loader's epochs go on all the same.
        data = gr.datasets.BatchLoader(*first(BATCH + 1), BATCH, shuffle=True, schema=SCHEMA)
        model.fit(data, epochs=2, shuffle=False, verbose=0)
        assert (data.epoch, int(model.optimizer.iterations)) == (2, 12 + 2)
