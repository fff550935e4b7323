"""Files for predictions hold no optimizer's state, and the model that wrote them goes on training with its own."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.serving.hand_over import hand_over

SCHEMA = gr.Schema([gr.Categorical("user_id", 40, side="user"), gr.Numeric("bid", side="ad")], [gr.Task("click")])
RNG = np.random.default_rng(0)
X = {"user_id": RNG.integers(0, 40, 16), "bid": RNG.normal(size=16).astype("float32")}
Y = {"click": RNG.integers(0, 2, 16).astype("float32")}


def make_model(**arguments):
    keras.utils.set_random_seed(0)
    model = gr.models.CTRModel(
        SCHEMA,
        "lr",
        group_structure=(),
        **{"residual_learning": False, "embedding_dim": 4, "embedding_optimizer": "adam", **arguments},
    )
    model.compile(run_eagerly=True)
    return model


def arrays(path):
    """Sizes of what a file keeps, by place."""
    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item.size} if isinstance(item, h5py.Dataset) else {}))
    return found


def state(model):
    """The optimizer's variables, and the table with its slots."""
    table = model.get_layer("embedding").stacks[0].layer.state
    return [as_array(variable).copy() for variable in [*model.optimizer.variables, *table.values()]]


def test_a_light_file_predicts_the_same_and_its_model_keeps_what_it_trains_with(tmp_path):
    model = make_model()
    model.fit(X, Y, batch_size=8, verbose=0)
    before = state(model)
    model.save(tmp_path / "light.keras", include_optimizer=False)
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "nowhere" / "light.keras", include_optimizer=False)
    model.save(tmp_path / "whole.keras")
    light, whole = arrays(tmp_path / "light.keras"), arrays(tmp_path / "whole.keras")
    optimizer = {name for name in whole if name.startswith("optimizer/")}
    slots = {name for name in whole if name.split("/")[-1] in ("momentum", "velocity", "iterations", "learning_rate")}
    assert len(slots) == 4
    assert sum(whole[name] for name in slots) == 2 * 40 * 4 + 2
    assert optimizer
    assert set(light) == set(whole) - optimizer - slots
    for resumed in (model, keras.models.load_model(tmp_path / "whole.keras")):
        for value, expected in zip(state(resumed), before, strict=True):
            np.testing.assert_array_equal(value, expected)
    loaded = keras.models.load_model(tmp_path / "light.keras", compile=False)
    np.testing.assert_array_equal(as_array(loaded(X)["click"]), as_array(model(X)["click"]))
    model.fit(X, Y, batch_size=8, verbose=0)
    assert int(as_array(model.optimizer.iterations)) == 4
    assert all((value != old).any() for value, old in zip(state(model), before, strict=True) if value.ndim == 2)


def test_an_export_is_handed_no_optimizers_state_even_of_a_teacher(tmp_path):
    teacher = make_model()
    learning = gr.models.ResidualLearning(teacher=teacher)
    model = make_model(residual_learning=learning, embedding_optimizer="adagrad")
    hand_over(model, tmp_path)
    names = set(arrays(tmp_path / "model.keras"))
    assert sum(name.endswith("/embeddings") for name in names) == 2
    known = {"optimizer", "accumulator", "momentum", "velocity", "iterations", "learning_rate"}
    assert not {name for name in names if known & set(name.split("/"))}
    assert teacher.optimizer is not None
    assert model.optimizer is not None
