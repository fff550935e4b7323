"""What every model of the zoo must do, preset by preset."""

import json
import pickle

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.models.backbones import BACKBONES
from grouprank.models.preset_registry import get_preset
from grouprank.serving.fresh_process import run_fresh_process

ROWS = 64
SCHEMA = gr.Schema(
    [
        # An id a row, so that even a linear model can learn a table by heart.
        gr.Categorical("impression", ROWS + 1, side="context"),
        gr.Categorical("user_id", 9, side="user"),
        gr.Numeric("age", side="user"),
        gr.Sequence("history", 7, 3, side="user", shares="ad_id"),
        gr.Categorical("ad_id", 7),
        gr.Vector("title", 3),
    ],
    [gr.Task("click"), gr.Task("like", given="click")],
)
# The rows of Table 1 differ from these by their placements alone.
RANKING = gr.models.presets("CTRModel", "CVRModel")
TRAINED = [name for name in RANKING if not name.startswith(("table1_", "esmm_"))]
# Layers are held to their equations on every backend by tests of their own. Here it is enough that one model with
# groups and residual learning trains and is served from each backend, and every model from one.
ON_EVERY_BACKEND = "dcn_v2_gsl_resl"
# A Transformer leaps about in steps as large as those that suffice the others.
LEARNING_RATES = {"one_trans": 0.005}
PRESETS = [name if name == ON_EVERY_BACKEND else pytest.param(name, marks=pytest.mark.any_backend) for name in TRAINED]


def make(preset, **arguments):
    model = getattr(gr.models, get_preset(preset).model)
    return model.from_preset(preset, SCHEMA, embedding_dim=4, **arguments)


def table():
    rng = np.random.default_rng(0)
    x = {
        "impression": np.arange(1, ROWS + 1, dtype="int32"),
        "user_id": rng.integers(0, 9, ROWS).astype("int32"),
        "age": rng.normal(size=ROWS).astype("float32"),
        "history": rng.integers(0, 7, (ROWS, 3)).astype("int32"),
        "ad_id": rng.integers(0, 7, ROWS).astype("int32"),
        "title": rng.normal(size=(ROWS, 3)).astype("float32"),
    }
    click = rng.integers(0, 2, ROWS).astype("float32")
    return x, {"click": click, "like": click * rng.integers(0, 2, ROWS).astype("float32")}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.long
def test_trains_overfits_and_is_served(preset, tmp_path):
    x, y = table()
    model = make(preset)
    # XLA takes longer to compile a tiny model than TensorFlow to train it.
    compiled = {"jit_compile": False} if keras.backend.backend() == "tensorflow" else {}
    model.compile(keras.optimizers.Adam(LEARNING_RATES.get(preset, 0.02)), metrics={}, **compiled)
    # A fused table moves in a step of its own; the gradient of its rows passes through its hook, which stays 0.
    moving = [w for w in model.weights if w.name == "embeddings" or (w.trainable and w.name != "gradient_hook")]
    before = {weight.path: np.array(weight) for weight in moving}
    for _ in range(6):  # many need few epochs
        model.fit(x, y, batch_size=ROWS, epochs=20, verbose=0)
        loss = model.evaluate(x, y, batch_size=ROWS, verbose=0)
        if loss < 0.1:
            break
    assert loss < 0.1, f"64 rows are not learned by heart: cross entropy {loss:.3f}"
    still = {w.path for w in moving if np.array_equal(before[w.path], np.array(w))}
    assert not still, "weights without a gradient"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        if ours.name != "claims":  # what JAX notes within a step
            np.testing.assert_array_equal(np.array(ours), np.array(theirs), err_msg=ours.path)
    probabilities = model.predict_proba(x, batch_size=ROWS)
    for name, expected in answers_of_tensorflow(tmp_path, x).items():
        np.testing.assert_allclose(probabilities.pop(name), expected, atol=1e-5, err_msg=name)
    assert not probabilities


def answers_of_tensorflow(folder, x):
    """What the SavedModel answers that TensorFlow writes from the `.keras` file, in a process of its own."""
    (folder / "modules.json").write_text(json.dumps({"names": ["grouprank"], "script": None}))
    (folder / "rows.pickle").write_bytes(pickle.dumps({name: np.asarray(values) for name, values in x.items()}))
    (folder / "name.txt").write_text("zoo")
    run_fresh_process(["-m", "support.answer_rows", str(folder)], "The model does not answer")
    with np.load(folder / "answers.npz") as answers:
        return dict(answers)


@pytest.mark.any_backend
@pytest.mark.parametrize("preset", TRAINED)
def test_mixed_precision(preset):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make(preset)
    x, _ = table()
    logits = model({name: keras.ops.convert_to_tensor(values[:4]) for name, values in x.items()}, training=False)
    for name in model.prediction_names:
        assert keras.backend.standardize_dtype(logits[name].dtype) == "float32"
        assert np.isfinite(keras.ops.convert_to_numpy(logits[name])).all()
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


def test_presets_of_two_towers():
    assert list(gr.models.presets("TwoTowerModel")) == ["two_tower", "two_tower_gsl"]
    placements = {
        name: list(gr.models.TwoTowerModel.from_preset(name, SCHEMA, ad_id="ad_id", embedding_dim=4).group_concats)
        for name in gr.models.presets("TwoTowerModel")
    }
    assert placements == {"two_tower": [], "two_tower_gsl": ["user"]}
    with pytest.raises(ValueError, match="is one of a TwoTowerModel: use TwoTowerModel.from_preset"):
        gr.models.CTRModel.from_preset("two_tower", SCHEMA)


@pytest.mark.any_backend
def test_a_preset_for_every_backbone_and_row_of_table_1():
    presets = RANKING
    assert {get_preset(name).arguments["backbone"] for name in presets} == set(BACKBONES)
    table1 = {
        name.removeprefix("table1_"): get_preset(name).arguments for name in presets if name.startswith("table1_")
    }
    placements = {
        name: (arguments["group_structure"], arguments["residual_learning"]) for name, arguments in table1.items()
    }
    assert placements == {
        "baseline": ([], False),
        "gsl_user": (["user"], False),
        "gsl_user_resl": (["user"], True),
        "gsl_user_ad": (["user_ad"], False),
        "gsl_representation": (["representation"], False),
    }
    for name, (groups, residual) in placements.items():
        model = make(f"table1_{name}")
        assert list(model.group_concats) == groups
        assert (model.residual_learning is not None) == residual


def test_arguments_go_before_the_preset():
    model = make("dcn_v2_gsl_resl", group_structure=["user"], dropout=0.1)
    assert list(model.group_concats) == ["user"]
    assert model.residual_learning is not None
    assert model.backbone.mlp.dropout == 0.1


def test_errors():
    with pytest.raises(ValueError, match=r"Unknown preset 'dcnv2'. Did you mean 'dcn_v2'"):
        gr.models.CTRModel.from_preset("dcnv2", SCHEMA)
    with pytest.raises(ValueError, match=r"Preset 'esmm' is one of a CVRModel: use CVRModel.from_preset\('esmm'\)"):
        gr.models.CTRModel.from_preset("esmm", SCHEMA)
    assert type(gr.models.CVRModel.from_preset("fm", SCHEMA)) is gr.models.CVRModel
