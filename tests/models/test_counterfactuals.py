"""Regularizers that debias the rate among clicks: formulas, gradients, chains of conversions, training and serving."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights
from support.gradients import gradients

import grouprank as gr
from grouprank.models.counterfactuals import (
    COUNTERFACTUALS,
    Counterfactual,
    DoublyRobust,
    InversePropensity,
    TwinTowers,
)

NAN = float("nan")
SCHEMA = gr.Schema(
    [gr.Categorical("user_id", 8, side="user"), gr.Categorical("ad_id", 6)],
    [gr.Task("click"), gr.Task("cart", given="click"), gr.Task("purchase", given="cart")],
)
QUICK = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}
WEIGHT = 0.3


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, "float64")))


def crossentropy(p, label):
    return -label * np.log(p) - (1 - label) * np.log1p(-p)


def inverse(propensity, least):
    return 1 / np.maximum(propensity, least)


def ips_of_paper(clicked, label, p, propensity, head, weight, least):
    o = clicked == 1
    error = np.where(o, crossentropy(p, np.where(o, label, 0)), 0)
    return np.sum(weight * o * error * inverse(propensity, least)) / np.sum(weight)


def dr_of_paper(clicked, label, p, propensity, head, weight, least):
    o = clicked == 1
    error = np.where(o, crossentropy(p, np.where(o, label, 0)), 0)
    imputed = np.log1p(np.exp(head))
    of_errors = imputed + o * (error - imputed) * inverse(propensity, least)
    of_imputation = o * (error - imputed) ** 2 * inverse(propensity, least)
    return np.sum(weight * (of_errors + of_imputation)) / np.sum(weight)


def dcmt_of_paper(clicked, label, p, propensity, head, weight, least):
    o, twin = clicked == 1, sigmoid(head)
    to_clicks = weight * o * inverse(propensity, least)
    to_others = weight * ~o * inverse(1 - propensity, least)
    factual = np.sum(to_clicks * crossentropy(p, np.where(o, label, 0))) / np.sum(to_clicks)
    counterfactual = np.sum(to_others * -np.log(twin)) / np.sum(to_others)
    prior = np.sum(weight * np.abs(1 - (p + twin))) / np.sum(weight)
    return factual + counterfactual + 0.001 * prior


FORMULAS = {"ips": ips_of_paper, "dr": dr_of_paper, "dcmt": dcmt_of_paper}


def of_paper(name, clicked, label, logit, propensity, head=None, weight=None, least=0.01):
    """A regularizer in double precision, over the rows that are known."""
    weight = np.ones(len(clicked)) if weight is None else np.asarray(weight, "float64")
    known = (clicked == 0) | ((clicked == 1) & ~np.isnan(label))
    columns = (clicked, label, sigmoid(logit), propensity, np.zeros(len(clicked)) if head is None else head, weight)
    columns = [np.asarray(column, "float64")[known] for column in columns]
    return FORMULAS[name](*columns, least)


def rows_of(rows=40):
    """Clicks of which some are unknown, conversions of which some are, and logits of which some are far out."""
    rng = np.random.default_rng(0)
    clicked = rng.integers(0, 2, rows).astype("float32")
    label = np.where(clicked == 1, rng.integers(0, 2, rows), NAN).astype("float32")
    clicked[3], label[3] = NAN, NAN
    label[np.flatnonzero(clicked == 1)[2]] = NAN
    logit, path, head = rng.normal(size=(3, rows)).astype("float32")
    path[:2] = -9.0, 9.0
    return clicked, label, logit, path, head


def loss_of(regularizer, clicked, label, logit, path, head, weight=None):
    output = np.stack([path, head], axis=1) if regularizer.head else path[:, None]
    return float(as_array(regularizer.loss(clicked, label, logit[:, None], output, weight)))


@pytest.mark.parametrize("least", [0.01, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", list(COUNTERFACTUALS))
def test_against_numpy(name, weighted, least):
    clicked, label, logit, path, head = rows_of()
    weight = np.random.default_rng(1).uniform(0, 2, len(clicked)).astype("float32") if weighted else None
    found = loss_of(COUNTERFACTUALS[name](min_propensity=least), clicked, label, logit, path, head, weight)
    assert found == pytest.approx(of_paper(name, clicked, label, logit, sigmoid(path), head, weight, least), rel=1e-5)


class TestByHand:
    """Two clicks, one of them converted, and two impressions that were passed over; a CVR of one half everywhere."""

    clicked = np.array([1.0, 1.0, 0.0, 0.0])
    label = np.array([1.0, 0.0, NAN, NAN])
    logit = np.zeros(4, "float32")
    # Propensities of 1/2, 1/4, 1/4 and 1/2.
    path = np.log(np.array([1.0, 1 / 3, 1 / 3, 1.0])).astype("float32")

    def test_ips(self):
        found = loss_of(InversePropensity(), self.clicked, self.label, self.logit, self.path, None)
        assert found == pytest.approx((2 + 4) * np.log(2) / 4, rel=1e-6)

    def test_clipped(self):
        found = loss_of(InversePropensity(min_propensity=0.5), self.clicked, self.label, self.logit, self.path, None)
        assert found == pytest.approx((2 + 2) * np.log(2) / 4, rel=1e-6)

    def test_dr(self):
        """Imputed errors of log 3, all of them too large by log 1.5."""
        head = np.full(4, np.log(2), "float32")
        found = loss_of(DoublyRobust(), self.clicked, self.label, self.logit, self.path, head)
        missed = np.log(2 / 3)
        expected = np.log(3) + (2 + 4) * (missed + missed**2) / 4
        assert found == pytest.approx(expected, rel=1e-6)

    def test_dcmt(self):
        """A twin of 3/4: the two rates add up to 5/4. The propensities' complements are 3/4 and 1/2."""
        head = np.full(4, np.log(3), "float32")
        found = loss_of(TwinTowers(prior_weight=0.5), self.clicked, self.label, self.logit, self.path, head)
        assert found == pytest.approx(np.log(2) + np.log(4 / 3) + 0.5 * 1 / 4, rel=1e-6)

    def test_dcmt_is_self_normalized(self):
        """A click of propensity 1/4 weighs twice one of 1/2; an impression passed over, of 3/4, two thirds of one."""
        p, twin = np.array([1 / 2, 1 / 4, 1 / 2, 1 / 2]), np.array([1 / 2, 1 / 2, 1 / 8, 1 / 2])
        logit, head = (np.log(q / (1 - q)).astype("float32") for q in (p, twin))
        found = loss_of(TwinTowers(prior_weight=0.0), self.clicked, self.label, logit, self.path, head)
        factual = (2 * np.log(2) + 4 * np.log(4 / 3)) / 6
        counterfactual = (4 / 3 * np.log(8) + 2 * np.log(2)) / (4 / 3 + 2)
        assert found == pytest.approx(factual + counterfactual, rel=1e-6)


def test_without_known_rows_it_is_zero():
    unknown = np.full(4, NAN, "float32")
    for make in COUNTERFACTUALS.values():
        assert loss_of(make(), unknown, unknown, np.zeros(4, "float32"), np.zeros(4, "float32"), np.zeros(4)) == 0.0


@pytest.mark.parametrize("name", list(COUNTERFACTUALS))
def test_no_gradient_of_the_propensity_and_none_of_unknown_rows(name):
    clicked, label, *logits = rows_of()
    regularizer = COUNTERFACTUALS[name]()

    def value(logit, path, head):
        output = keras.ops.stack([path, head], axis=1) if regularizer.head else path[:, None]
        return regularizer.loss(clicked, label, logit[:, None], output)

    _, (by_logit, by_path, by_head), _ = gradients(value, logits)
    assert not by_path.any()
    known = (clicked == 0) | ~np.isnan(label)
    assert not by_logit[~known].any()
    assert by_logit[clicked == 1].any()
    assert not by_head[~known].any()
    step = 1e-3
    for position, found in ((0, by_logit), (2, by_head)):
        for row in (0, 5, int(np.flatnonzero(clicked == 1)[0])):
            moved = []
            for sign in (1, -1):
                columns = [column.astype("float64") for column in logits]
                columns[position][row] += sign * step
                moved.append(of_paper(name, clicked, label, columns[0], sigmoid(logits[1]), columns[2]))
            assert found[row] == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-3, abs=1e-6)


def make_model(counterfactual, schema=SCHEMA, **arguments):
    arguments = {
        "backbone": "mlp",
        "embedding_dim": 4,
        "tower_units": (8,),
        "group_structure": (),
        "residual_learning": False,
        **arguments,
    }
    return gr.models.CVRModel(schema, counterfactual=counterfactual, **arguments)


def table(rows=64):
    rng = np.random.default_rng(0)
    x = {"user_id": rng.integers(0, 8, rows), "ad_id": rng.integers(0, 6, rows)}
    click, cart, purchase = rng.integers(0, 2, (3, rows)).astype("float32")
    y = {"click": click, "cart": click * cart, "purchase": click * cart * purchase}
    y["click"][0] = y["cart"][3] = y["purchase"][5] = NAN
    return x, y


def outputs_of(model, x):
    """All that the graph gives, heads of training included, computed as one: JAX is slow operation by operation."""
    whole = keras.Model(model.input, model.output)
    whole.compile(**QUICK)
    found = whole.predict(x, batch_size=64, verbose=0)
    return {output: keras.ops.convert_to_tensor(values) for output, values in found.items()}


@pytest.mark.parametrize("name", list(COUNTERFACTUALS))
def test_the_propensity_of_a_chain_is_that_of_its_path(name):
    model = make_model(COUNTERFACTUALS[name](weight=WEIGHT, min_propensity=0.2), task_weights={"purchase": 2.0})
    set_fixed_weights(model)  # an untrained model predicts the same everywhere
    x, y = table()
    weight = {"purchase": np.linspace(0, 1, 64).astype("float32")}
    weight |= dict.fromkeys(("click", "cart"), np.ones(64, "float32"))
    outputs = outputs_of(model, x)
    total, parts = model.training_loss(x, y, outputs, weight)
    z = {output: as_array(values) for output, values in outputs.items()}
    p = {task: sigmoid(z[task][:, 0]) for task in SCHEMA.task_names}
    click, cart, purchase = (y[task].astype("float64") for task in ("click", "cart", "purchase"))
    both = np.where((click == 0) | (cart == 0), 0, click * cart)
    rows = {
        "cart": (click, np.where(click == 1, cart, NAN), p["click"], None),
        "purchase": (both, np.where(both == 1, purchase, NAN), p["click"] * p["cart"], weight["purchase"]),
    }
    assert set(parts) == {"cart/counterfactual", "purchase/counterfactual"}
    expected = 0.0
    for task, (clicked, label, propensity, of_rows) in rows.items():
        head = z[f"{task}/counterfactual"][:, -1]
        value = of_paper(name, clicked, label, z[task][:, 0], propensity, head, of_rows, 0.2)
        assert float(as_array(parts[f"{task}/counterfactual"])) == pytest.approx(value, rel=1e-4)
        expected += WEIGHT * value * (2 if task == "purchase" else 1)
    crossentropies = model.compute_loss(x, y, outputs, weight, training=False)
    assert float(as_array(total)) - float(as_array(crossentropies)) == pytest.approx(expected, rel=1e-4)


# One of them, which has a head, trains on every backend.
ONCE_EACH = [name if name == "dr" else pytest.param(name, marks=pytest.mark.any_backend) for name in COUNTERFACTUALS]


@pytest.mark.parametrize("name", ONCE_EACH)
def test_fit_shows_it_beside_the_loss_of_esmm(name):
    x, y = table()
    model = make_model(COUNTERFACTUALS[name](weight=0.5))
    model.compile(**QUICK, metrics={})
    before = {weight.path: np.array(weight) for weight in model.trainable_weights}
    history = model.fit(x, y, batch_size=64, epochs=2, verbose=0).history
    assert set(history) == {"loss", "cart_counterfactual_loss", "purchase_counterfactual_loss"}
    assert np.isfinite([history[metric] for metric in history]).all()
    assert not [w.path for w in model.trainable_weights if np.array_equal(before[w.path], np.array(w))]
    assert set(model.evaluate(x, y, batch_size=64, verbose=0, return_dict=True)) == {"loss"}


@pytest.mark.any_backend
@pytest.mark.parametrize("name", list(COUNTERFACTUALS))
def test_saved_models_go_on_with_it_and_inference_does_not_have_it(name, tmp_path):
    x, y = table()
    model = make_model(COUNTERFACTUALS[name](weight=0.5), multi_task="mmoe", calibration=True, dropout=0.1)
    model.compile(**QUICK, metrics={})
    model.fit(x, y, batch_size=64, verbose=0)
    served = model.logits_model()
    assert set(served.output) == set(model.prediction_names)
    head = COUNTERFACTUALS[name].head
    assert not [layer.name for layer in served.layers if "counterfactual" in layer.name or f"_{head}" in layer.name]
    assert len([layer for layer in model.layers if layer.name.endswith(f"_{head}")]) == (2 if head else 0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.counterfactual) is COUNTERFACTUALS[name]
    assert loaded.counterfactual.get_config() == model.counterfactual.get_config()
    probabilities = model.predict_proba(x)
    for output, expected in loaded.predict_proba(x).items():
        np.testing.assert_allclose(probabilities[output], expected, atol=1e-6)
    ranked = model.rank({"user_id": x["user_id"][:1]}, {"ad_id": np.arange(6)[None]})
    every = model.predict_proba({"user_id": np.repeat(x["user_id"][:1], 6), "ad_id": np.arange(6)})
    for output in model.prediction_names:
        np.testing.assert_allclose(ranked[output][0], every[output], atol=1e-6)
    assert "cart_counterfactual_loss" in loaded.fit(x, y, batch_size=64, verbose=0).history


@pytest.mark.parametrize("name", ONCE_EACH)
def test_mixed_precision_keeps_it_in_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    x, y = table()
    model = make_model(name)
    outputs = outputs_of(model, x)
    assert keras.backend.standardize_dtype(outputs["purchase/counterfactual"].dtype) == "float32"
    _, parts = model.training_loss(x, y, outputs)
    for value in parts.values():
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert np.isfinite(as_array(value))


def test_a_regularizer_of_ones_own_and_names():
    class AmongClicks(Counterfactual):
        def of_rows(self, rows):
            return rows.mean(rows.error)

    assert isinstance(make_model(AmongClicks()).counterfactual, AmongClicks)
    assert isinstance(make_model("dr").counterfactual, DoublyRobust)
    assert make_model(None).counterfactual is None


def test_a_regularizer_without_a_formula():
    with pytest.raises(NotImplementedError, match="Counterfactual must implement `of_rows`"):
        Counterfactual().loss([1.0], [1.0], [0.0], np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_model("ipw"), r"one of \['dcmt', 'dr', 'ips'\].*Received: counterfactual='ipw'"),
        (lambda: InversePropensity(weight=-1), "`weight` must not be negative"),
        (lambda: TwinTowers(prior_weight=-1), "`prior_weight` must not be negative"),
        (lambda: DoublyRobust(min_propensity=0.0), r"`min_propensity` must lie in \(0, 1\]"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
