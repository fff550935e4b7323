"""Models whose tasks are learned of conversions that may still come."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights

import grouprank as gr
from grouprank.losses import DelayedFeedbackLoss, ElapsedTimeLoss

NAN, INF = float("nan"), float("inf")
SCHEMA = gr.Schema(
    [gr.Categorical("user_id", 8, side="user"), gr.Categorical("ad_id", 6)],
    [gr.Task("click"), gr.Task("cart", given="click"), gr.Task("purchase", given="cart")],
)
QUICK = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}
ROWS = 64


def make_model(losses, kind=gr.models.CVRModel, **arguments):
    arguments = {
        "backbone": "mlp",
        "embedding_dim": 4,
        "tower_units": (8,),
        "group_structure": (),
        "residual_learning": False,
        **arguments,
    }
    return kind(SCHEMA, delayed_feedback=losses, **arguments)


def table():
    """Clicks, of which one is unknown; carts at once; purchases after a while, some of them still to come."""
    rng = np.random.default_rng(0)
    x = {"user_id": rng.integers(0, 8, ROWS), "ad_id": rng.integers(0, 6, ROWS)}
    click, cart, purchase = (rng.random((3, ROWS)) < 0.7).astype("float32")
    y = {"click": click, "cart": click * cart, "purchase": click * cart * purchase}
    y["click"][0] = y["cart"][3] = NAN
    delay = np.where(y["purchase"] == 1, rng.exponential(1.0, ROWS), NAN)
    y["purchase_delays"] = np.stack([delay, rng.uniform(1, 4, ROWS)], axis=1)
    y["purchase_delays"][5] = NAN
    return x, y


def outputs_of(model, x):
    """All that the graph gives, heads of training included, computed as one: JAX is slow operation by operation."""
    whole = keras.Model(model.input, model.output)
    whole.compile(**QUICK)
    found = whole.predict(x, batch_size=ROWS, verbose=0)
    return {output: keras.ops.convert_to_tensor(values) for output, values in found.items()}


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, "float64")))


def delayed_feedback(target, p, head):
    (delay, elapsed), rate = target, np.exp(head[:, 0].astype("float64"))
    converted = -np.log(p) - np.log(rate) + rate * np.nan_to_num(delay)
    losses = np.where(np.isnan(delay), -np.log(1 - p + p * np.exp(-rate * elapsed)), converted)
    return losses, ~np.isnan(elapsed)


def elapsed_time(target, p, head):
    (label, late, real), (p_late, p_real) = target, sigmoid(head).T
    of_label = -(1 + p_late) * (label * np.log(p) + (1 - label) * p_real * np.log(1 - p))
    of_late = -late * np.log(p_late) - (1 - late) * np.log(1 - p_late)
    of_real = -real * np.log(p_real) - (1 - real) * np.log(1 - p_real)
    return sum(np.nan_to_num(part) for part in (of_label, of_late, of_real)), ~np.isnan(target).all(axis=0)


# By loss: its formula, and what it learns of a row where no purchase can come.
FORMULAS = {DelayedFeedbackLoss: (delayed_feedback, [NAN, INF]), ElapsedTimeLoss: (elapsed_time, [0, 0, 1])}


@pytest.mark.parametrize("kind", [gr.models.CVRModel, gr.models.CTRModel])
@pytest.mark.parametrize("loss", list(FORMULAS))
def test_against_numpy(loss, kind):
    """Over the entire space a CVRModel takes a refuted click or cart for certain; a CTRModel leaves such rows out."""
    x, y = table()
    if loss is ElapsedTimeLoss:
        rng = np.random.default_rng(1)
        y["purchase_delays"] = rng.integers(0, 2, (ROWS, 3)).astype("float32")
        y["purchase_delays"][rng.random((ROWS, 3)) < 0.2] = NAN
    weight = np.linspace(0, 1, ROWS).astype("float32")
    model = make_model({"purchase": loss()}, kind, task_weights={"purchase": 2.0})
    set_fixed_weights(model)  # an untrained model predicts the same everywhere
    outputs = outputs_of(model, x)
    total, parts = model.training_loss(x, y, outputs, weight)
    assert set(parts) == {"purchase/delayed"}
    z = {output: as_array(values) for output, values in outputs.items()}
    p = {task: sigmoid(z[task][:, 0]) for task in SCHEMA.task_names}
    click, cart = y["click"], y["cart"]
    certain, inside = (click == 0) | (cart == 0), (click == 1) & (cart == 1)
    formula, refuted = FORMULAS[loss]
    target = np.where(inside[:, None], y["purchase_delays"], NAN).astype("float64")
    if kind is gr.models.CVRModel:
        target[certain] = refuted
        p["purchase"] = p["click"] * p["cart"] * p["purchase"]
    losses, counts = formula(target.T, p["purchase"], z["purchase/delayed"])
    expected = (weight * losses)[counts].sum() / weight[counts].sum()
    found = float(as_array(parts["purchase/delayed"]))
    assert found == pytest.approx(expected, rel=1e-4)
    labels = model.labels(y)
    of_others = sum(float(as_array(model._label_loss(task, labels, outputs, weight))) for task in ("click", "cart"))
    assert float(as_array(total)) == pytest.approx(of_others + 2 * expected, rel=1e-4)


LOSSES = [DelayedFeedbackLoss, pytest.param(ElapsedTimeLoss, marks=pytest.mark.any_backend)]


@pytest.mark.parametrize("loss", LOSSES)
def test_fit_shows_it_and_takes_its_gradients(loss):
    x, y = table()
    if loss is ElapsedTimeLoss:
        y["purchase_delays"] = np.random.default_rng(1).integers(0, 2, (ROWS, 3))
    model = make_model({"purchase": loss()})
    model.compile(**QUICK, metrics={})
    before = {weight.path: np.array(weight) for weight in model.trainable_weights}
    history = model.fit(x, y, batch_size=ROWS, epochs=2, verbose=0).history
    assert set(history) == {"loss", "purchase_delayed_loss"}
    assert np.isfinite([history[metric] for metric in history]).all()
    assert not [w.path for w in model.trainable_weights if np.array_equal(before[w.path], np.array(w))]
    y.pop("purchase_delays")
    assert set(model.evaluate(x, y, batch_size=ROWS, verbose=0, return_dict=True)) == {"loss"}


@pytest.mark.any_backend
def test_saved_models_go_on_with_it_and_inference_does_not_have_it(tmp_path):
    x, y = table()
    model = make_model({"purchase": DelayedFeedbackLoss()})
    model.compile(**QUICK, metrics={})
    model.fit(x, y, batch_size=ROWS, verbose=0)
    assert set(model.logits_model().output) == set(model.prediction_names)
    assert [layer.name for layer in model.layers if "delayed" in layer.name] == ["purchase_delayed"]
    assert not [layer.name for layer in model.logits_model().layers if "delayed" in layer.name]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.delayed_feedback.losses["purchase"], DelayedFeedbackLoss)
    probabilities = model.predict_proba(x)
    for output, expected in loaded.predict_proba(x).items():
        np.testing.assert_allclose(probabilities[output], expected, atol=1e-6)
    assert "purchase_delayed_loss" in loaded.fit(x, y, batch_size=ROWS, verbose=0).history
    ranked = model.rank({"user_id": x["user_id"][:1]}, {"ad_id": np.arange(6)[None]})
    every = model.predict_proba({"user_id": np.repeat(x["user_id"][:1], 6), "ad_id": np.arange(6)})
    for output in model.prediction_names:
        np.testing.assert_allclose(ranked[output][0], every[output], atol=1e-6)


@pytest.mark.any_backend
def test_from_a_loader_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    x, y = table()
    model = make_model({"purchase": DelayedFeedbackLoss()})
    model.compile(**QUICK, metrics={})
    loader = gr.datasets.BatchLoader(x, y, batch_size=32, schema=SCHEMA)
    history = model.fit(loader, epochs=1, verbose=0).history
    assert np.isfinite(history["purchase_delayed_loss"]).all()
    with pytest.raises(ValueError, match="`delayed_feedback` takes what is known of conversions from the target"):
        model.fit(x, {task: y[task] for task in SCHEMA.task_names}, verbose=0)
    with pytest.raises(ValueError, match=r"expected the shape \(rows, 2\). Received: \(64,\)"):
        model.fit(x, {**y, "purchase_delays": y["purchase"]}, verbose=0)
    with pytest.raises(ValueError, match="must not be negative"):
        model.fit(x, {**y, "purchase_delays": -y["purchase_delays"]}, verbose=0)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": {"sale": DelayedFeedbackLoss()}}, r"names unknown tasks \['sale'\]"),
        ({"losses": {"purchase": "mse"}}, "must be a grouprank.losses.DelayedLoss"),
        ({"losses": {"purchase": DelayedFeedbackLoss()}, "counterfactual": "ips"}, "come late"),
        ({"losses": {"purchase": DelayedFeedbackLoss()}, "conditional_weight": 0.5}, "come late"),
        ({"losses": {"click": DelayedFeedbackLoss()}, "negative_rate": {"click": 0.1}}, "no negative that could be"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_model(**arguments)
