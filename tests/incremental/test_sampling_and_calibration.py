"""Negatives that are left out of training, and models that are calibrated on rows that no step has trained."""

import numpy as np
import polars as pl
import pytest
from support.daily_log import DESCRIPTION, day_rows, make_model, make_trainer, untimed, write_days
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.incremental.held_out_rows import HeldOutRows
from grouprank.layers import LogitCalibration

PLAIN = {"group_structure": (), "residual_learning": False, "embedding_optimizer": None, "dropout": 0.0}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_days(tmp_path_factory.mktemp("days") / "log", range(3))


def trainer_of(folder, days, model=None, **arguments):
    transforms = gr.incremental.fit_transforms(DESCRIPTION, days[:1])
    return make_trainer(folder, days, make_model(transforms, **PLAIN, **(model or {})), **arguments)


def test_only_trained_rows_are_sampled(tmp_path, log, monkeypatch):
    loaders, kept, fit = [], [], gr.models.CTRModel.fit

    def spy(self, x, *args, **kwargs):
        loaders.append(x)
        clicks = np.concatenate([x[i][1]["click"] for i in range(len(x))])
        kept.append((np.sum(clicks == 1), np.sum(clicks == 0)))
        return fit(self, x, *args, **kwargs)

    monkeypatch.setattr(gr.models.CTRModel, "fit", spy)
    sampled = trainer_of(tmp_path / "run", log, negative_rate={"click": 0.25}, replay=0.0)
    entries = sampled.run(log[:2])
    assert [(loader.negative_rate, loader.recalibrate) for loader in loaders] == [({"click": 0.25}, "loss")] * 2
    clicks = day_rows(0)["click"].to_numpy()
    assert kept[0][0] == np.sum(clicks == 1)
    assert 0.15 < kept[0][1] / np.sum(clicks == 0) < 0.35
    assert entries[1]["trained_rows"] + entries[1]["gate"]["rows"] == 300
    assert entries[1]["progressive"]["click"]["rows"] == 300
    with pytest.raises(ValueError, match="negative_rate: {'click': 0.25} there, None now"):
        trainer_of(tmp_path / "run", log)


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ({}, {"negative_rate": 0.0}, "above 0 and at most 1"),
        ({}, {"negative_rate": {"sale": 0.1}}, "names unknown tasks \\['sale'\\]"),
        ({}, {"negative_rate": 0.1, "recalibrate": "logits"}, "`recalibrate` must be one of"),
        ({}, {"negative_rate": 0.1, "recalibrate": "logit"}, "leaves it to the model to correct its logits"),
        ({"negative_rate": 0.1}, {"negative_rate": 0.1}, "which corrects its logits too"),
    ],
)
def test_negatives_that_are_not_made_up_for_once(tmp_path, log, model, arguments, said):
    with pytest.raises(ValueError, match=said):
        trainer_of(tmp_path / "run", log, model, **arguments)
    assert not (tmp_path / "run").exists()


def test_a_calibration_is_fitted_to_rows_that_neither_train_nor_judge(tmp_path, log):
    calibrated = {"model": {"calibration": ["click"]}, "replay": 0.0, "held_out": 0.5}
    trainer = trainer_of(tmp_path / "run", log, **calibrated)
    entries = trainer.run(log)
    assert entries[0]["calibrated_rows"] + entries[0]["trained_rows"] == 300
    assert set(entries[0]["seconds"]) == {"score", "extend", "train", "calibrate", "save"}
    seen = entries[0]["calibrated_rows"]
    for entry in entries[1:]:
        new = entry["calibrated_rows"] - seen
        assert new + entry["trained_rows"] + entry["gate"]["rows"] == 300
        assert 50 < new < 100
        assert 50 < entry["gate"]["rows"] < 100
        seen = entry["calibrated_rows"]
    model, transforms = trainer.load()
    frame = pl.read_parquet(trainer.folder / "steps" / "000003" / "held_out.parquet")
    assert len(frame) == seen
    # What the layer would be if it were fitted from scratch to what the network says of these rows.
    known = model.calibrations["click"]
    found = [np.array(as_array(variable)) for variable in known.weights]
    assert np.abs(found[1]).max() > 0
    x = {name: values.array for name, values in transforms.encode(frame).items()}
    p = model.predict_proba(x)["click"].astype("float64")
    expected = LogitCalibration()
    expected.fit(known.inverse(np.log(p / (1 - p))), frame["click"])
    for variable, values in zip(expected.weights, found, strict=True):
        np.testing.assert_allclose(values, as_array(variable), atol=1e-3)
    for day in log:
        other = trainer_of(tmp_path / "other", log, **calibrated)
        other.step(day)
    assert [untimed(entry) for entry in other.ledger] == [untimed(entry) for entry in entries]
    for variable, values in zip(other.load()[0].weights, trainer.load()[0].weights, strict=True):
        np.testing.assert_array_equal(as_array(variable), as_array(values))


def test_held_out_rows_are_those_of_the_last_periods(tmp_path):
    before = None
    for period in range(1, 6):
        (folder := tmp_path / str(period)).mkdir()
        rows = HeldOutRows(folder, periods=2)
        rows.save(before, pl.DataFrame({"ad": [f"a{period}", f"b{period}"]}), np.arange(2), f"day {period}", period)
        before = rows.load()
    (chunk,) = rows.chunks(before)
    assert chunk.frame.to_dict(as_series=False) == {"ad": ["a4", "b4", "a5", "b5"]}
    assert HeldOutRows(tmp_path).load() is None
    assert HeldOutRows.chunks(None) == []


def test_held_out_rows_calibrate_with_late_labels_and_are_not_trained(tmp_path, log, monkeypatch):
    late_rows, fit = [], gr.models.CTRModel.fit

    def spy(self, x, *args, **kwargs):
        late_rows.append(sum(np.sum(x[i][2] == 0.5) for i in range(len(x)) if len(x[i]) > 2))
        return fit(self, x, *args, **kwargs)

    monkeypatch.setattr(gr.models.CTRModel, "fit", spy)
    trainer = trainer_of(tmp_path / "run", log, {"calibration": True}, held_out=0.3, late_weight=0.5, replay=0.0)
    first = trainer.step(log[0])
    # Of the even rows it is learned later that the opposite is true, and of the odd ones nothing.
    opposite = np.where(np.arange(300) % 2 == 0, 1 - day_rows(0)["click"].to_numpy(), np.nan)
    labels = pl.DataFrame({"click": opposite}).with_columns(pl.col("click").fill_nan(None))
    (told,) = trainer.step(log[1], late=[gr.incremental.LateLabels(log[0], labels)])["late"]
    assert 20 < told["held_out"] < first["calibrated_rows"]
    assert (told["rows"], late_rows) == (150, [0, 150 - told["held_out"]])
    kept = pl.read_parquet(trainer.folder / "steps" / "000002" / "held_out.parquet")
    kept = kept.filter(pl.col("period of the row") == log[0].name)
    assert len(kept) == first["calibrated_rows"]
    number = kept["number of the row"].to_numpy()
    click, buy = (day_rows(0)[name].gather(number) for name in ("click", "buy"))
    expected = np.where(number % 2 == 0, 1 - click.to_numpy(), click.to_numpy())
    np.testing.assert_array_equal(kept["click"].to_numpy(), expected)
    assert kept["buy"].equals(buy.cast(pl.Float32)), "the other labels are what they were"
    assert kept["ad"].equals(day_rows(0)["ad"].gather(number))


def test_without_held_out_rows_nothing_is_calibrated(tmp_path, log):
    trainer = trainer_of(tmp_path / "run", log, {"calibration": True}, held_out=0.0)
    (entry,) = trainer.run(log[:1])
    assert (entry["trained_rows"], entry["calibrated_rows"]) == (300, 0)
