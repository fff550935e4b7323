"""Days whose labels come later, and labels that come after their day."""

import numpy as np
import polars as pl
import pytest
from support.daily_log import date_of, day_rows, make_trainer, write_days

import grouprank as gr
from grouprank.datasets.transforms.uniform_numbers import uniform_numbers
from grouprank.incremental.model_files import step_seed
from grouprank.reports import task_metrics

NULL = {"click": lambda frame, day: pl.lit(None, pl.Float32), "buy": lambda frame, day: pl.lit(None, pl.Float32)}


@pytest.mark.parametrize("unlabelled", [NULL, {"click": None, "buy": None}], ids=["null", "no column"])
def test_a_day_without_labels_is_scored_and_waits(tmp_path, unlabelled):
    first, second, third = write_days(tmp_path / "log", range(3))
    (blind,) = write_days(tmp_path / "blind", [1], **unlabelled)
    trainer = make_trainer(tmp_path / "run", [first])
    trainer.step(first)
    waiting = trainer.step(blind)
    assert (waiting["status"], waiting["base"], waiting["rows"]) == ("waiting", 1, 300)
    scores = trainer.predictions(date_of(1))
    assert len(scores["click"]) == 300
    assert trainer.run([first, blind]) == [], "it still waits"
    later = trainer.step(third)
    assert (later["parent"], later["base"], later["scored_by"]) == (1, 3, 1)
    (trained,) = trainer.run([first, second, third])
    assert (trained["status"], trained["step"], trained["parent"], trained["scored_by"]) == ("admitted", 4, 3, 1)
    auc = task_metrics(day_rows(1)["click"], scores["click"]).auc
    assert trained["progressive"]["click"]["auc"] == pytest.approx(auc), "the predictions made when it came"
    held = uniform_numbers(np.arange(300), step_seed(step_seed(0, 4), 1)) < 0.2
    model, transforms = trainer.load(3)
    base = model.predict_proba({name: values.array for name, values in transforms.encode(day_rows(1)).items()})
    judged = task_metrics(day_rows(1)["click"].filter(pl.Series(held)), base["click"][held])
    found = trained["gate"]["yesterday"]["click"]["cross_entropy"]
    assert found == pytest.approx(judged.cross_entropy, rel=1e-5), "the gate holds it against what it would replace"
    assert trainer.run([first, second, third]) == []


def test_labels_of_other_rows_than_those_that_waited(tmp_path):
    first, second = write_days(tmp_path / "log", range(2))
    (blind,) = write_days(tmp_path / "blind", [1], **NULL)
    trainer = make_trainer(tmp_path / "run", [first], gate=[])
    trainer.run([first, blind])
    day_rows(1, rows=200).write_parquet(tmp_path / "log" / f"{date_of(1)}.parquet")
    with pytest.raises(ValueError, match="had 300 rows when it was scored and has 200 now"):
        trainer.step(second)
    assert len(trainer.ledger) == 2


def test_the_first_day_needs_labels(tmp_path):
    (blind,) = write_days(tmp_path / "blind", [0], **NULL)
    trainer = make_trainer(tmp_path / "run", [blind], gate=[])
    with pytest.raises(ValueError, match="has no labels, and there is no trained model to score it"):
        trainer.step(blind)
    assert not trainer.ledger


@pytest.fixture
def spied(monkeypatch):
    """The targets and weights of each fit."""
    seen = []
    fit = gr.models.CTRModel.fit

    def spy(self, x, *args, **kwargs):
        batches = [x[i] for i in range(len(x))]
        columns = {name: np.concatenate([b[1][name] for b in batches]) for name in batches[0][1]}
        seen.append((columns, np.concatenate([b[2] for b in batches]) if len(batches[0]) > 2 else None))
        return fit(self, x, *args, **kwargs)

    monkeypatch.setattr(gr.models.CTRModel, "fit", spy)
    return seen


def with_keys(frame, day):
    return pl.int_range(len(frame)).cast(pl.String) + f"-{day}"


@pytest.mark.parametrize("keyed", [False, True])
def test_late_labels_train_with_their_own_weight_and_are_told_apart(tmp_path, spied, keyed):
    days = write_days(tmp_path / "log", range(2), key=with_keys)
    trainer = make_trainer(tmp_path / "run", days, gate=[], replay=0.0, late_weight=0.25)
    trainer.step(days[0])
    frame = day_rows(0)
    # Of every third click it is learned on the next day that it was a purchase.
    late = [row for row in range(300) if frame["click"][row] == 1][::3]
    labels = pl.DataFrame({"buy": [1.0 if row in late else None for row in range(300)]})
    if keyed:
        labels = pl.DataFrame({"key": [f"{row}-0" for row in reversed(late)], "buy": [1.0] * len(late)})
        labels.write_parquet(tmp_path / "late.parquet")
    given = gr.incremental.LateLabels(days[0], tmp_path / "late.parquet" if keyed else labels, "key" if keyed else None)
    entry = trainer.step(days[1], late=[given])
    (told,) = entry["late"]
    assert (told["period"], told["rows"], entry["trained_rows"]) == (date_of(0), len(late), 300)
    targets, weight = spied[1]
    assert sorted(np.unique(weight).tolist()) == [0.25, 1.0]
    is_late = weight == 0.25
    assert is_late.sum() == len(late)
    assert (targets["buy"][is_late] == 1).all()
    assert (targets["click"][is_late] == 1).all(), "the task that it is given decides its sample space"
    assert np.isnan(targets["yesterday_buy"][is_late]).all()
    assert spied[0][1] is None
    trainer.run(days)
    third = write_days(tmp_path / "log", [2], key=with_keys)
    labels = pl.DataFrame({"key": [f"{row}-1" for row in range(300)], "click": day_rows(1)["click"]})
    told = trainer.step(third[-1], late=[gr.incremental.LateLabels(days[1], labels, "key")])["late"][0]
    auc = task_metrics(day_rows(1)["click"], trainer.predictions(date_of(1))["click"]).auc
    assert told["metrics"]["click"]["auc"] == pytest.approx(auc), "as predicted when the day came"
    assert np.isnan(spied[2][0]["buy"][spied[2][1] == 0.25]).all()


@pytest.mark.parametrize(
    ("labels", "key", "said"),
    [
        ({"buy": [1.0]}, None, "expected a row for each of its 300 rows. Received: 1 rows"),
        ({"sale": [1.0]}, None, "expected columns of \\['click', 'buy'\\]. Received: \\['sale'\\]"),
        ({"key": ["1-0", "1-0"], "buy": [1.0, 0.0]}, "key", "each 'key' must name one row. Received twice: '1-0'"),
        ({"key": ["1-0"], "buy": [7.0]}, "key", "column 'buy', row 0: expected a label in"),
        ({"key": ["x"], "buy": [1.0]}, "key", "none of the 1 rows given names a row"),
    ],
)
def test_late_labels_that_do_not_fit(tmp_path, labels, key, said):
    days = write_days(tmp_path / "log", range(2), key=with_keys)
    rows = gr.incremental.period_rows.PeriodRows(gr.datasets.TableDescription.from_dict(_two_tasks()))
    with pytest.raises(ValueError, match=f"Late labels of period {date_of(0)}.*{said}"):
        gr.incremental.LateLabels(days[0], pl.DataFrame(labels), key).rows(rows)


def _two_tasks():
    features = [{"name": "user", "kind": "categorical", "side": "user"}]
    return {"features": features, "tasks": ["click", {"name": "buy", "given": "click"}]}


def test_late_labels_of_a_day_that_was_not_trained(tmp_path):
    days = write_days(tmp_path / "log", range(2))
    trainer = make_trainer(tmp_path / "run", days, gate=[])
    late = gr.incremental.LateLabels(days[1], pl.DataFrame({"click": [1.0]}))
    with pytest.raises(ValueError, match=f"for an earlier period that was trained. {date_of(1)} was not seen"):
        trainer.step(days[0], late=[late])
    with pytest.raises(ValueError, match="with the periods \\['2024-01-09'\\], which are not among `periods`"):
        trainer.run(days, late={date_of(8): [late]})
