"""Conversion models: sample spaces, joint outcomes, calibration in both."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.models.sample_spaces import conditional_label, joint_label

NAN = float("nan")
SCHEMA = gr.Schema(
    [gr.Categorical("user_id", 8, side="user"), gr.Categorical("ad_id", 6)],
    [gr.Task("click"), gr.Task("cart", given="click"), gr.Task("purchase", given="cart"), gr.Task("share")],
)
TARGETS = {
    #          bought, no click, cart unknown, click unknown, dirty: sale without click
    "click": [1.0, 0.0, 1.0, NAN, 0.0],
    "cart": [1.0, 0.0, NAN, 1.0, 1.0],
    "purchase": [0.0, NAN, 1.0, 0.0, 1.0],
    "share": [1.0, 0.0, NAN, 1.0, 0.0],
}
QUICK = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}


def targets():
    return {name: ops.convert_to_tensor(np.array(values, "float32")) for name, values in TARGETS.items()}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("click", [1, 0, 1, NAN, 0]),
        ("cart", [1, NAN, NAN, NAN, NAN]),
        ("purchase", [0, NAN, NAN, NAN, NAN]),
        ("share", [1, 0, NAN, 1, 0]),
    ],
)
def test_a_task_counts_where_all_it_is_given_came_true(task, expected):
    np.testing.assert_array_equal(as_array(conditional_label(SCHEMA, task, targets())), np.array(expected, "float32"))


@pytest.mark.parametrize(
    ("task", "expected"),
    [("cart", [1, 0, NAN, NAN, 0]), ("purchase", [0, 0, NAN, 0, 0])],
)
def test_one_refuted_outcome_settles_the_joint_one(task, expected):
    np.testing.assert_array_equal(as_array(joint_label(SCHEMA, task, targets())), np.array(expected, "float32"))


class TestJointLogit:
    def test_against_the_product_in_double_precision(self):
        rng = np.random.default_rng(0)
        a, b = rng.uniform(-15, 15, (2, 200, 1))
        p = 1 / (1 + np.exp(-a)) * 1 / (1 + np.exp(-b))
        joint = as_array(gr.layers.JointLogit()(a.astype("float32"), b.astype("float32")))
        np.testing.assert_allclose(joint, np.log(p) - np.log1p(-p), rtol=1e-5, atol=1e-5)

    def test_a_rate_of_one_in_ten_million_keeps_its_gradient(self):
        """-log(1 − p) of p = 1e-7 is 0 in float32 when p is made by multiplication."""
        layer = gr.layers.JointLogit()
        click, cvr = np.log(1e-3 / (1 - 1e-3)), np.log(1e-4 / (1 - 1e-4))
        logit = float(as_array(layer(np.array([[click]], "float32"), np.array([[cvr]], "float32")))[0, 0])
        assert logit == pytest.approx(np.log(1e-7 / (1 - 1e-7)), rel=1e-6)
        moved = float(as_array(layer(np.array([[click + 0.01]], "float32"), np.array([[cvr]], "float32")))[0, 0])
        assert (moved - logit) / 0.01 == pytest.approx(1 - 1e-3, rel=1e-2)

    def test_extreme_logits(self):
        a = np.array([[-2000.0], [2000.0], [2000.0]], "float32")
        b = np.array([[-2000.0], [2000.0], [-3.0]], "float32")
        joint = as_array(gr.layers.JointLogit(dtype="mixed_bfloat16")(a, b))
        assert joint.dtype == "float32"
        np.testing.assert_allclose(joint[:, 0], [-4000.0, 2000.0 - np.log(2), -3.0], rtol=1e-6)


def make_model(schema=SCHEMA, **arguments):
    arguments = {
        "backbone": "mlp",
        "embedding_dim": 4,
        "tower_units": (8,),
        "group_structure": (),
        "residual_learning": False,
        **arguments,
    }
    return gr.models.CVRModel(schema, **arguments)


def table(rows=64):
    rng = np.random.default_rng(0)
    x = {"user_id": rng.integers(0, 8, rows), "ad_id": rng.integers(0, 6, rows)}
    click, cart, purchase, share = rng.integers(0, 2, (4, rows)).astype("float32")
    return x, {"click": click, "cart": click * cart, "purchase": click * cart * purchase, "share": share}


def test_predictions_are_products_along_the_path():
    model = make_model()
    x, _ = table()
    p = model.predict_proba(x)
    assert list(p) == ["click", "cart", "purchase", "share", "click_and_cart", "click_and_cart_and_purchase"]
    np.testing.assert_allclose(p["click_and_cart"], p["click"] * p["cart"], rtol=1e-5)
    np.testing.assert_allclose(p["click_and_cart_and_purchase"], p["click"] * p["cart"] * p["purchase"], rtol=1e-5)


def crossentropy(p, label):
    seen = ~np.isnan(label)
    return -np.mean(np.where(label == 1, np.log(p), np.log1p(-p))[seen])


@pytest.mark.parametrize("conditional_weight", [0.0, 0.3])
def test_loss_against_numpy(conditional_weight):
    model = make_model(conditional_weight=conditional_weight, task_weights={"cart": 2.0})
    x, y = table()
    y["cart"][3] = y["purchase"][5] = NAN
    model.compile(**QUICK)
    loss = model.evaluate(x, y, batch_size=64, verbose=0, return_dict=True)["loss"]
    p = {name: values.astype("float64") for name, values in model.predict_proba(x).items()}
    click, cart, purchase = y["click"], y["cart"], y["purchase"]
    click_and_cart = np.where(click == 0, 0, click * cart)
    all_three = np.where((click == 0) | (cart == 0) | (purchase == 0), 0, click * cart * purchase)
    expected = crossentropy(p["click"], click) + crossentropy(p["share"], y["share"])
    expected += 2 * crossentropy(p["click_and_cart"], click_and_cart)
    expected += crossentropy(p["click_and_cart_and_purchase"], all_three)
    among_clicks = np.where(click == 1, cart, NAN)
    among_carts = np.where((click == 1) & (cart == 1), purchase, NAN)
    expected += conditional_weight * 2 * crossentropy(p["cart"], among_clicks)
    expected += conditional_weight * crossentropy(p["purchase"], among_carts)
    assert loss == pytest.approx(expected, rel=1e-4)


def test_metrics_of_a_task_are_over_its_own_sample_space():
    model = make_model()
    x, y = table()
    y["cart"] = np.where(y["click"] == 0, 1.0, y["cart"]).astype("float32")
    model.compile(metrics={name: [keras.metrics.BinaryAccuracy(threshold=0.0)] for name in model.prediction_names})
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    p = model.predict_proba(x)
    clicked = y["click"] == 1
    expected = ((p["cart"] > 0.5) == (y["cart"] == 1))[clicked].mean()
    assert found["cart_binary_accuracy"] == pytest.approx(expected, abs=1e-6)
    expected = ((p["click_and_cart"] > 0.5) == (clicked & (y["cart"] == 1))).mean()
    assert found["click_and_cart_binary_accuracy"] == pytest.approx(expected, abs=1e-6)


def test_sample_weights_by_task_reach_the_joint_outcome():
    x, y = table()
    weight = {"purchase": np.r_[np.ones(32), np.zeros(32)].astype("float32")}
    model = make_model()
    model.compile(metrics={"click_and_cart_and_purchase": [keras.metrics.MeanSquaredError()]})
    found = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    logit = np.reshape(model.predict(x, verbose=0)["click_and_cart_and_purchase"], -1)
    expected = np.square(logit - y["purchase"])[:32].mean()
    assert found["click_and_cart_and_purchase_mean_squared_error"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.any_backend
def test_calibrated_among_clicks_and_among_impressions():
    """Clicks and conversions share a cause, so that CVR among clicks and CVR everywhere differ."""
    rng = np.random.default_rng(0)
    rows = 20_000
    x = {"user_id": rng.integers(0, 8, rows), "ad_id": rng.integers(0, 6, rows)}
    score = 0.6 * (x["user_id"] - 3.5) + 0.5 * (x["ad_id"] - 2.5)
    click = (rng.random(rows) < 1 / (1 + np.exp(1.5 - score))).astype("float32")
    buys = (rng.random(rows) < 1 / (1 + np.exp(2.0 - 0.8 * score))).astype("float32")
    schema = gr.Schema(SCHEMA.features, [gr.Task("click"), gr.Task("purchase", given="click")])
    keras.utils.set_random_seed(0)
    model = make_model(schema)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 480)), metrics={})
    model.fit(x, {"click": click, "purchase": click * buys}, batch_size=500, epochs=12, verbose=0)
    p = model.predict_proba(x)
    clicked = click == 1
    assert p["purchase"][clicked].sum() / buys[clicked].sum() == pytest.approx(1, abs=0.05)
    assert p["click_and_purchase"].sum() / (click * buys).sum() == pytest.approx(1, abs=0.05)
    # What a tower fitted to clicks alone could not know: the rate among all impressions.
    assert buys[clicked].mean() > 1.4 * buys.mean()
    assert p["purchase"].mean() == pytest.approx(buys.mean(), rel=0.15)


@pytest.mark.any_backend
def test_saved_and_loaded_with_groups_and_residual_learning(tmp_path):
    concat = gr.layers.GroupConcat(2, 8, code_dim=4, name="user_groups")
    model = make_model(group_structure={"user": concat}, residual_learning=True, conditional_weight=0.5)
    model.compile(**QUICK)
    x, y = table()
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is gr.models.CVRModel
    assert loaded.conditional_weight == 0.5
    for name, expected in model.predict_proba(x).items():
        np.testing.assert_allclose(loaded.predict_proba(x)[name], expected, atol=1e-6)


def test_a_ctr_model_trains_a_conditional_task_in_its_sample_space():
    schema = gr.Schema(SCHEMA.features, [gr.Task("click"), gr.Task("cart", given="click")])
    model = gr.models.CTRModel(
        schema, "mlp", group_structure=(), residual_learning=False, embedding_dim=4, tower_units=(8,)
    )
    model.compile(**QUICK)
    x, y = table()
    loss = model.evaluate(x, {name: y[name] for name in ("click", "cart")}, batch_size=64, verbose=0, return_dict=True)
    p = model.predict_proba(x)
    expected = crossentropy(p["click"], y["click"]) + crossentropy(p["cart"], np.where(y["click"] == 1, y["cart"], NAN))
    assert loss["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("tasks", "arguments", "message"),
    [
        ([gr.Task("click")], {}, "A CVRModel needs a task with a parent"),
        (
            [gr.Task("click"), gr.Task("buy", given="click"), gr.Task("click_and_buy")],
            {},
            "named 'click_and_buy', a name that the schema already has",
        ),
        ([gr.Task("click"), gr.Task("buy", given="click")], {"conditional_weight": -1}, "must not be negative"),
    ],
)
def test_errors(tasks, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(gr.Schema(SCHEMA.features, tasks), **arguments)
