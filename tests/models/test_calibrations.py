"""Models whose predictions are corrected: by a fitted map, and for negatives that training did not see."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.datasets import BatchLoader


def logit(p):
    p = np.asarray(p, "float64")
    return np.log(p) - np.log1p(-p)


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, "float64")))


def own_logits(model, x, task):
    """What the model trains: logits without any correction."""
    return as_array(model(x, training=True)[task])[:, 0].astype("float64")


def seeded(make, **arguments):
    keras.utils.set_random_seed(0)
    return make(**arguments)


@pytest.mark.any_backend
def test_a_model_that_is_not_calibrated_yet_predicts_as_one_without(ads):
    x, y = ads.columns(), ads.labels()
    predictions, losses = [], []
    for calibration in (False, True):
        model = seeded(ads.model, calibration=calibration)
        model.compile(**ads.quick)
        losses.append(model.fit(x, y, batch_size=32, verbose=0).history["loss"])
        predictions.append(model.predict(x, verbose=0))
    assert losses[0] == losses[1]
    for task in ("click", "like"):
        np.testing.assert_array_equal(predictions[0][task], predictions[1][task])


@pytest.fixture(scope="module")
def calibrated(ads):
    """A model calibrated for `click`, whose `like` was trained on a fifth of the negatives; and its own logits."""
    keras.utils.set_random_seed(0)
    model = ads.model(calibration=["click"], negative_rate={"like": 0.2})
    x = ads.columns()
    own = {task: own_logits(model, x, task) for task in ("click", "like")}
    rng = np.random.default_rng(0)
    many = np.repeat(sigmoid(own["click"]), 50).astype("float32")
    happened = (rng.random(len(many)) < sigmoid(1.5 * logit(many) + 0.8)).astype("float32")
    model.calibrate(
        {"click": many, "like": np.full_like(many, 0.5)}, {"click": happened, "like": np.full_like(many, np.nan)}
    )
    return model, own, (many, happened)


def test_predictions_are_corrected_and_training_is_not(ads, calibrated):
    model, own, _ = calibrated
    x = ads.columns()
    layer = model.calibrations["click"]
    assert model.negative_rate == {"like": 0.2}
    expected = own["click"] + np.interp(own["click"], as_array(layer.knots), as_array(layer.shifts))
    assert abs(expected - own["click"]).min() > 0.3
    found = model.predict_proba(x)
    np.testing.assert_allclose(found["click"], sigmoid(expected), rtol=1e-5)
    # He et al. 2014, section 6.3; a task without labels keeps its map.
    p = sigmoid(own["like"])
    np.testing.assert_allclose(found["like"], p / (p + (1 - p) / 0.2), rtol=1e-5)
    for task in ("click", "like"):
        np.testing.assert_allclose(own_logits(model, x, task), own[task], rtol=1e-6)


@pytest.mark.any_backend
def test_ranking_and_plain_models_are_corrected_too(ads, calibrated):
    model = calibrated[0]
    x = ads.columns(12)
    flat = model.predict_proba(x)
    for task, logits in model.logits_model()(x).items():
        np.testing.assert_allclose(sigmoid(as_array(logits)[:, 0]), flat[task], rtol=1e-5)
    for task, logits in model.row_logits(x).items():
        np.testing.assert_allclose(sigmoid(as_array(logits)), flat[task], rtol=1e-5)
    request = {f.name: x[f.name] for f in ads.schema.on_side("user", "context")}
    candidates = {f.name: x[f.name][:, None] for f in ads.schema.on_side("ad")}
    for task, scores in model.rank(request, candidates).items():
        np.testing.assert_allclose(scores[:, 0], flat[task], rtol=1e-5)


def test_a_file_keeps_it(ads, calibrated, tmp_path):
    model, x = calibrated[0], ads.columns()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.negative_rate == {"like": 0.2}
    for task, scores in model.predict_proba(x).items():
        np.testing.assert_array_equal(loaded.predict_proba(x)[task], scores)


@pytest.mark.any_backend
def test_calibrating_again_replaces_the_map(calibrated):
    model, _, (many, happened) = calibrated
    layer = model.calibrations["click"]
    before = [as_array(weight) for weight in layer.weights]
    served = sigmoid(as_array(layer(logit(many).astype("float32")))).astype("float32")
    unknown = np.full_like(many, np.nan)
    model.calibrate({"click": served, "like": many}, {"click": happened, "like": unknown})
    for ours, theirs in zip(layer.weights, before, strict=True):
        np.testing.assert_allclose(as_array(ours), theirs, atol=2e-3)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ({"click": [0.5] * 3}, {"click": [0.0] * 3, "like": [1.0] * 3}, r"lacks.*\['like'\]"),
        ({"click": [0.5] * 3, "like": [0.1, 2.0, 0.1]}, {"click": [0.0] * 3, "like": [1.0] * 3}, "probabilities"),
        ({"click": [0.5] * 3, "like": [0.1] * 3}, {"click": [0.0] * 3, "like": [7.0] * 3}, r"\[0, 1\]"),
        ({"click": [0.5] * 3, "like": [0.1] * 3}, {"click": [0.0] * 3}, "lacks the labels"),
    ],
)
def test_bad_rows_leave_every_map_as_it_was(calibrated, predictions, labels, message):
    model = calibrated[0]
    before = [as_array(weight) for layer in model.calibrations.values() for weight in layer.weights]
    with pytest.raises(ValueError, match=message):
        model.calibrate(predictions, labels)
    after = [as_array(weight) for layer in model.calibrations.values() for weight in layer.weights]
    for ours, theirs in zip(before, after, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# === Negatives that training did not see ===

SCHEMA = gr.Schema([gr.Categorical("ad", 20)], [gr.Task("click")])


@pytest.mark.parametrize("recalibrate", ["loss", "logit"])
def test_trained_on_a_tenth_of_the_negatives_and_calibrated_for_all(recalibrate):
    rng = np.random.default_rng(0)
    ad = rng.integers(0, 20, 100_000).astype("int32")
    click = (rng.random(100_000) < 0.01 + 0.004 * ad).astype("float32")
    loader = BatchLoader(
        {"ad": ad}, {"click": click}, 2500, True, schema=SCHEMA, negative_rate=0.1, recalibrate=recalibrate
    )
    model = gr.models.CTRModel(
        SCHEMA,
        backbone="lr",
        group_structure=(),
        residual_learning=False,
        tower_units=(),
        negative_rate=0.1 if recalibrate == "logit" else None,
    )
    model.compile(keras.optimizers.Adam(0.05))
    assert len(loader) < 8  # five thousand positives, a tenth of the negatives
    model.fit(loader, epochs=8, shuffle=False, verbose=0)
    groups = {"few": ad < 10, "many": ad >= 10, "all": ad >= 0}
    ads_once = {"ad": np.arange(20, dtype="int32")}
    served = model.predict_proba(ads_once)["click"][ad]
    own = sigmoid(own_logits(model, ads_once, "click"))[ad]
    for rows in groups.values():
        assert served[rows].mean() == pytest.approx(click[rows].mean(), rel=0.08)
    if recalibrate == "logit":
        # What it learned are the odds of the sample, ten times those of all rows.
        odds = own / (1 - own) / (served / (1 - served))
        np.testing.assert_allclose(odds, 10.0, rtol=1e-3)
        assert own.mean() > 5 * click.mean()


@pytest.mark.any_backend
def test_pseudo_labels_of_all_rows_are_brought_into_the_sample(ads):
    x, y, teacher = ads.columns(), ads.labels(), ads.teacher_columns()
    learning = gr.models.ResidualLearning(teacher="teacher_{task}")
    totals = []
    for rate in (0.2, None):
        model = seeded(ads.model, residual_learning=learning, negative_rate=rate)
        w = 1.0 if rate else 0.2
        # Odds of the sample are those of all rows, divided by the rate.
        columns = {name: (p / w) / (p / w + 1 - p) for name, p in teacher.items()}
        outputs = model(x, training=True)
        totals.append(float(as_array(model.training_loss(x, {**y, **columns}, outputs)[0])))
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)


FUNNEL = gr.Schema([gr.Categorical("ad", 20)], [gr.Task("click"), gr.Task("purchase", given="click")])


def funnel(kind=gr.models.CVRModel, schema=FUNNEL, **arguments):
    arguments = {"backbone": "lr", "group_structure": (), "residual_learning": False, "tower_units": (4,), **arguments}
    return kind(schema, **arguments)


@pytest.mark.any_backend
def test_a_joint_outcome_is_the_product_of_corrected_rates():
    found = funnel(calibration=True, negative_rate={"click": 0.1}).predict_proba({"ad": np.arange(20)})
    np.testing.assert_allclose(found["click_and_purchase"], found["click"] * found["purchase"], rtol=1e-5)
    assert found["click"].mean() < 0.15  # from odds of one


class TestRefused:
    """What no rate corrects, and what would be corrected twice or never."""

    pytestmark = pytest.mark.any_backend

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"negative_rate": 0.1}, r"`negative_rate` of \['purchase'\]"),
            ({"negative_rate": {"buy": 0.1}}, "unknown tasks"),
            ({"negative_rate": {"click": -1.0}}, r"\(0, 1\]"),
            ({"calibration": ["buy"]}, "unknown tasks"),
            ({"calibration": "click"}, "names of tasks"),
            ({"calibration": {"click": 3}}, "must be a LogitCalibration"),
            ({"calibration": {"click": gr.layers.LogitCalibration()}, "negative_rate": {"click": 0.1}}, "to the layer"),
        ],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            funnel(**arguments)

    def test_order_of_samples_at_different_rates(self):
        schema = gr.Schema(FUNNEL.features, [gr.Task("click"), gr.Task("purchase")])
        ordered = gr.layers.AITM(("click", "purchase"), units=(4,), ordered_weight=0.1)
        with pytest.raises(ValueError, match="one rate"):
            funnel(gr.models.CTRModel, schema, multi_task=ordered, negative_rate={"click": 0.1})

    @pytest.mark.parametrize(
        ("rate", "recalibrate", "message"), [(None, "logit", "leaves it to the model"), (0.1, "loss", "too. Leave")]
    )
    def test_loaders(self, rate, recalibrate, message):
        model = funnel(gr.models.CTRModel, SCHEMA, negative_rate=rate)
        model.compile()
        loader = BatchLoader(
            {"ad": np.arange(20)}, {"click": np.arange(20) % 2}, negative_rate=0.1, recalibrate=recalibrate
        )
        with pytest.raises(ValueError, match=message):
            model.fit(loader)

    def test_samples_without_weights_are_not_evaluated(self):
        model = funnel(gr.models.CTRModel, SCHEMA, negative_rate=0.1)
        model.compile()
        rows = {"ad": np.arange(20)}, {"click": np.arange(20) % 2}
        training = BatchLoader(*rows, negative_rate=0.1, recalibrate="logit")
        for evaluate in (model.evaluate, lambda loader: model.fit(training, validation_data=loader, verbose=0)):
            with pytest.raises(ValueError, match="Evaluate on a loader without `negative_rate`"):
                evaluate(training)
        weighted = BatchLoader(*rows, negative_rate=0.1)
        assert model.fit(training, validation_data=weighted, verbose=0).history["val_loss"]

    def test_nothing_to_calibrate(self, ads):
        with pytest.raises(ValueError, match="calibration=True"):
            ads.model().calibrate({}, ads.labels())


@pytest.mark.any_backend
def test_configurations_of_earlier_versions_have_no_calibration(ads):
    config = ads.model().get_config()
    assert config.pop("calibration") == {}
    assert gr.models.CTRModel.from_config(config).calibrations == {}
