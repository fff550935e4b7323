"""A model starts at the rates of its training rows, and a trained one goes on from where it is."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.layers.multi_task import MULTI_TASK
from grouprank.reports import task_metrics

ROWS = 2000


def columns():
    rng = np.random.default_rng(3)
    return {"user_id": rng.integers(0, 20, ROWS).astype("int32"), "ad_id": rng.integers(0, 12, ROWS).astype("int32")}


def labels():
    rng = np.random.default_rng(4)
    click = (rng.random(ROWS) < 0.1).astype("float32")
    buy = click * (rng.random(ROWS) < 0.3)
    buy[rng.random(ROWS) < 0.2] = np.nan
    return {"click": click, "buy": buy.astype("float32")}


def schema(given=None):
    features = [gr.Categorical("user_id", 20, side="user"), gr.Categorical("ad_id", 12)]
    return gr.Schema(features, [gr.Task("click"), gr.Task("buy", given=given)])


def make(kind=gr.models.CTRModel, given=None, **arguments):
    arguments = {"backbone": "lr", "group_structure": (), "residual_learning": False, **arguments}
    return kind(schema(given), embedding_dim=4, **arguments)


def bias(model, task):
    return float(as_array(model.get_layer(f"{task}_tower").last_bias)[0])


def logit(rate):
    return np.log(rate / (1 - rate))


def untrained(model, x=None, y=None, **arguments):
    """`fit` that leaves every trained weight where it starts."""
    model.compile(keras.optimizers.SGD(0.0), metrics={}, run_eagerly=True)
    model.fit(x or columns(), y or labels(), batch_size=ROWS, verbose=0, **arguments)
    return model


@pytest.mark.parametrize(
    ("backbone", "multi_task"),
    [(name, "shared_bottom") for name in ("lr", "fm", "dhen")]
    + [("concatenation" if name == "stem" else "lr", name) for name in MULTI_TASK if name != "shared_bottom"],
)
def test_the_first_predictions_are_the_rates(backbone, multi_task):
    model = make(backbone=backbone, multi_task=multi_task)
    x, y = columns(), labels()
    model.adapt(x, y=y)
    for task, probabilities in model.predict_proba(x).items():
        found = task_metrics(y[task], probabilities)
        assert found.normalized_entropy < 1.02
        assert found.calibration == pytest.approx(1.0, abs=0.12)


def test_fit_does_it_where_adapt_did_not_and_only_before_the_first_step():
    y = labels()
    model = untrained(make())
    assert bias(model, "click") == pytest.approx(logit(y["click"].mean()), rel=1e-5)
    assert bias(model, "buy") == pytest.approx(logit(np.nanmean(y["buy"])), rel=1e-5)
    assert bias(make(), "click") == 0.0
    other = {"click": 1 - y["click"], "buy": y["buy"]}
    model.fit(columns(), other, batch_size=ROWS, verbose=0)
    assert bias(model, "click") == pytest.approx(logit(y["click"].mean()), rel=1e-5), "trained models are left alone"


def test_opting_out_is_kept_in_the_configuration():
    model = untrained(make(start_at_rate=False))
    assert (bias(model, "click"), bias(model, "buy")) == (0.0, 0.0)
    assert model.get_config()["start_at_rate"] is False
    assert untrained(type(model).from_config(model.get_config())).start_at_rate is False


def test_evaluate_and_a_loaded_model_set_nothing(tmp_path):
    model = make()
    model.compile(keras.optimizers.SGD(0.1), metrics={}, run_eagerly=True)
    model.evaluate(columns(), labels(), batch_size=ROWS, verbose=0)
    assert bias(model, "click") == 0.0
    model.fit(columns(), labels(), batch_size=ROWS, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    before = bias(model, "click")
    loaded = make()
    loaded.load_weights(tmp_path / "m.weights.h5")
    untrained(loaded, y={"click": 1 - labels()["click"], "buy": labels()["buy"]})
    assert bias(loaded, "click") == pytest.approx(before, rel=1e-6)


def test_conditional_tasks_start_at_their_conditional_rate():
    y = labels()
    model = untrained(make(gr.models.CVRModel, given="click"))
    among_clicks = y["buy"][y["click"] == 1]
    assert bias(model, "buy") == pytest.approx(logit(np.nanmean(among_clicks)), rel=1e-5)
    predicted = model.predict_proba(columns())["click_and_buy"]
    assert predicted.mean() == pytest.approx(y["click"].mean() * np.nanmean(among_clicks), rel=0.1)


def test_weights_and_one_class_and_no_label():
    weight = np.where(labels()["click"] == 1, 3.0, 1.0).astype("float32")
    rate = np.average(labels()["click"], weights=weight)
    model = untrained(make(), sample_weight=weight)
    assert bias(model, "click") == pytest.approx(logit(rate), rel=1e-5)
    none = {"click": np.zeros(ROWS, "float32"), "buy": np.full(ROWS, np.nan, "float32")}
    model = untrained(make(), y=none)
    assert bias(model, "click") == pytest.approx(logit(0.5 / ROWS), rel=1e-5), "half a row, not minus infinity"
    assert bias(model, "buy") == 0.0


@pytest.mark.parametrize("reading", ["magnitude", "signed", "affine", "offset"])
def test_heads_start_where_their_loss_is_least(reading):
    learning = gr.models.ResidualLearning("teacher_{task}", reading=reading, units=())
    model = make(residual_learning=learning)
    y = {**labels(), **{f"teacher_{task}": np.full(ROWS, 0.1, "float32") for task in ("click", "buy")}}
    untrained(model, y=y)
    (bank,) = (layer for layer in model.layers if layer.name.endswith("_heads"))
    found = as_array(bank.last_bias).reshape(2, 3)
    rate = labels()["click"].mean()
    assert found[0, 0] == pytest.approx(logit(rate), rel=1e-5)
    loss = gr.losses.ResidualLabelLoss(reading=reading)
    rows = np.stack([labels()["click"], np.full(ROWS, rate)], axis=1).astype("float32")

    def at(f0, f1):
        return float(as_array(loss(rows, np.broadcast_to(np.array([f0, f1], "float32"), (ROWS, 2)))))

    if reading == "offset":
        assert found[0, 1:].tolist() == [0.0, 0.0]
    for change in (-0.1, 0.1):
        assert at(*found[0, 1:]) <= at(found[0, 1] + change, found[0, 2]) + 1e-7
        assert at(*found[0, 1:]) <= at(found[0, 1], found[0, 2] + change) + 1e-7


class Counting(gr.datasets.BatchLoader):
    """A loader that remembers what was read of it."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.read = []

    def __getitem__(self, index):
        self.read.append((self.epoch, index))
        return super().__getitem__(index)


def test_a_loader_is_read_in_part_and_its_epoch_stays():
    many = 60
    x = {name: np.tile(values, many) for name, values in columns().items()}
    y = {name: np.tile(values, many) for name, values in labels().items()}
    loader = Counting(x, y, batch_size=1000, read_ahead=0)
    model = make()
    model.adapt(loader)
    assert len({index for _, index in loader.read}) == 50
    assert bias(model, "click") == pytest.approx(logit(labels()["click"].mean()), rel=0.1)
    small = Counting(columns(), labels(), batch_size=ROWS // 2, shuffle=True, read_ahead=0)
    make().adapt(small)
    small.on_epoch_end()
    assert small.epoch == 0, "a glance at all batches is no epoch"


def test_an_iterator_loses_no_batch():
    model = make()
    batches = (batch for batch in [(columns(), labels())])
    model.compile(keras.optimizers.SGD(0.0), metrics={}, run_eagerly=True)
    model.fit(batches, steps_per_epoch=1, verbose=0)
    assert bias(model, "click") == 0.0
