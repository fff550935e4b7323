"""Lists with weights in a model: what the weights do, and what they do not."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.layers import WeightedPooling

VECTORS = np.random.default_rng(0).normal(size=(4, 3, 2)).astype("float32")
WEIGHTS = np.array([[2, 1, 1], [0.5, -1.5, 0], [0, 0, 0], [1, 1, 1]], "float32")
MASK = np.array([[True, True, False], [True, True, True], [True, True, True], [False, False, False]])


@pytest.mark.parametrize("combiner", ["mean", "sum"])
def test_pooling_is_the_weighted_sum_or_mean(combiner):
    weights = np.where(MASK, WEIGHTS, 0)
    expected = np.einsum("bl,bld->bd", weights, VECTORS)
    if combiner == "mean":
        expected /= np.maximum(np.abs(weights).sum(axis=1, keepdims=True), 1e-9)
    layer = WeightedPooling.from_config(WeightedPooling(combiner).get_config())
    np.testing.assert_allclose(as_array(layer(VECTORS, WEIGHTS, mask=MASK)), expected, rtol=1e-5, atol=1e-6)
    symbolic = layer(keras.Input((3, 2)), keras.Input((3,)))
    assert symbolic.shape == (None, 2)
    with pytest.raises(ValueError, match="`combiner` must be one of"):
        WeightedPooling("max")


def schema(combiner="mean"):
    return gr.Schema(
        [
            gr.Sequence("interests", 9, 3, side="user"),
            gr.Weights("interests_weights", of="interests", length=3, side="user", combiner=combiner),
            gr.Categorical("ad", 5),
        ],
        [gr.Task("click")],
    )


def columns(weights, ids=((2, 3, 0), (4, 5, 6))):
    return {
        "interests": np.array(ids, "int32"),
        "interests_weights": np.array(weights, "float32"),
        "ad": np.array([1, 2], "int32"),
    }


def test_a_model_weighs_its_lists(tmp_path):
    keras.utils.set_random_seed(0)
    model = gr.models.CTRModel(schema(), "final_mlp", embedding_dim=4, residual_learning=False)
    model.compile()
    found = model.predict(columns([[1, 3, 0], [1, 0, 0.5]]))["click"]
    same = model.predict(columns([[2, 6, 9], [2, 0, 1]]))["click"]  # a common factor, and a weight of padding
    np.testing.assert_allclose(same, found, atol=1e-6)
    fewer = model.predict(columns([[1, 3, 0], [1, 0.5, 0]], ((2, 3, 0), (4, 6, 0))))["click"]
    np.testing.assert_allclose(fewer, found, atol=1e-6)
    other = model.predict(columns([[3, 1, 0], [0.5, 0, 1]]))["click"]
    assert (np.abs(other - found) > 1e-6).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(columns([[1, 3, 0], [1, 0, 0.5]]))["click"], found, atol=1e-6)


def test_a_users_weighted_list_is_ranked_with():
    keras.utils.set_random_seed(0)
    model = gr.models.CTRModel(schema(), "dcn_v2", embedding_dim=4, residual_learning=False)
    request = columns([[1, 3, 0], [1, 0, 0.5]])
    del request["ad"]
    ads = np.array([[1, 2, 3], [4, 0, 2]], "int32")
    rows = {name: np.repeat(values, 3, axis=0) for name, values in request.items()}
    expected = model.predict_proba({**rows, "ad": ads.reshape(-1)})["click"].reshape(2, 3)
    np.testing.assert_allclose(model.rank(request, {"ad": ads})["click"], expected, atol=1e-6)
    # The weights reach the scores.
    lighter = {**request, "interests_weights": request["interests_weights"][:, ::-1]}
    assert (np.abs(model.rank(lighter, {"ad": ads})["click"] - expected) > 1e-7).any()


def test_wrong_weights_are_refused_by_the_schema():
    interests, weights, ad = schema().features
    for wrong in (
        gr.Weights("w", of="ad", length=3),
        gr.Weights("w", of="interests", length=2),
        gr.Weights("w", of="interests", length=3, side="ad"),
        gr.Weights("w", of="interests", length=3),
    ):
        features = (
            [interests, wrong, ad] if wrong.length == 2 or wrong.side == "ad" else [interests, weights, wrong, ad]
        )
        with pytest.raises(ValueError, match="Weights 'w': `of` must name a Sequence of the same length and side"):
            gr.Schema(features, [gr.Task("click")])
    with pytest.raises(ValueError, match="`combiner` must be one of"):
        schema("max")
    assert gr.Schema.from_json(schema("sum").to_json()) == schema("sum")
    with pytest.raises(ValueError, match="interests_weights.*row 0: expected a finite number"):
        schema().check(columns([[np.nan, 0, 0], [0, 0, 0]]))
