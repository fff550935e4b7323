"""Training period by period: what is scored, trained, admitted and refused."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from support.daily_log import DESCRIPTION, date_of, day_rows, make_model, make_trainer, untimed, write_days
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.files import run_lock
from grouprank.reports import GateRule, task_metrics


def weights(trainer, step=None):
    return [as_array(variable) for variable in trainer.load(step)[0].weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


# A model that learns what a few hundred rows can teach.
QUICK = {"learning_rate": 0.02, "tower_units": (16,), "dropout": 0.0, "embedding_optimizer": None}


def predicted(trainer, step, frame):
    """What the model of a step says of rows."""
    model, transforms = trainer.load(step)
    return model.predict_proba({name: values.array for name, values in transforms.encode(frame).items()})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three days, trained."""
    folder = tmp_path_factory.mktemp("run")
    days = write_days(folder / "log", range(3))
    trainer = make_trainer(folder / "run", days)
    return trainer, days, trainer.run(days)


def test_the_model_of_the_day_before_is_scored_on_rows_that_it_has_not_seen(run):
    trainer, days, entries = run
    assert [entry["status"] for entry in entries] == ["admitted"] * 3
    assert [(e["parent"], e["base"], e["scored_by"]) for e in entries] == [(0, 1, None), (1, 2, 1), (2, 3, 2)]
    assert entries[0]["progressive"] == {}, "an untrained model has nothing to say"
    assert trainer.predictions(days[0].name) == {}
    frame = day_rows(1)
    probabilities = predicted(trainer, 1, frame)
    np.testing.assert_allclose(trainer.predictions(days[1].name)["click"], probabilities["click"], rtol=1e-5)
    bought = np.where(frame["click"] == 1, frame["buy"].fill_null(np.nan), np.nan)
    for task, labels in {"click": frame["click"].to_numpy(), "buy": bought}.items():
        wanted = task_metrics(labels, probabilities[task]).to_dict()
        assert entries[1]["progressive"][task] == pytest.approx(wanted, rel=1e-4), task
    new = ~frame["ad"].is_in(day_rows(0)["ad"].to_list())
    assert entries[1]["unknown"]["ad"] == pytest.approx(new.mean())


def test_an_entry_says_what_was_trained(run):
    trainer, _, entries = run
    rows = [(e["rows"], e["trained_rows"], (e["gate"] or {"rows": 0})["rows"]) for e in entries]
    assert all(total == trained + held == 300 for total, trained, held in rows)
    assert rows[0] == (300, 300, 0)
    assert 30 < rows[1][2] < 90
    assert entries[0]["growth"]["ad"]["new"] == 20
    assert entries[1]["gate"]["passed"]
    assert set(entries[1]["gate"]["today"]) == {"click", "buy"}
    assert set(entries[1]["seconds"]) == {"score", "extend", "train", "judge", "save"}
    assert [json.loads(file.read_text()) for file in sorted((trainer.folder / "ledger").iterdir())] == trainer.ledger


def test_what_was_trained_is_passed_over(run):
    trainer, days, _ = run
    assert trainer.run(days) == []
    with pytest.raises(ValueError, match="was admitted in step 3, and no period is trained twice"):
        trainer.step(days[2])


def test_old_models_are_removed(tmp_path, run):
    whole, days, _ = run
    shutil.copytree(whole.folder, tmp_path / "run")
    steps = tmp_path / "run" / "steps"
    # What a process leaves that is killed while it removes.
    (steps / "000001" / "model.keras").unlink()
    trainer = make_trainer(tmp_path / "run", days, keep=2)
    assert trainer.run(days) == []
    assert [path.name for path in sorted(steps.iterdir()) if (path / "model.keras").is_file()] == ["000002", "000003"]
    assert sorted(path.name for path in (steps / "000001").iterdir()) == ["outcome.json", "predictions.npz"]
    assert not list((steps / "000000").iterdir())
    for day in days:
        np.testing.assert_equal(trainer.predictions(day.name), whole.predictions(day.name))
    for ask in (trainer.load, trainer.rollback):
        with pytest.raises(
            ValueError, match="step 1 was removed.* those of the steps \\[2, 3\\]. Pass a larger `keep`"
        ):
            ask(1)
    with pytest.raises(ValueError, match="Step 7 made no model. Steps that made one: \\[0, 1, 2, 3\\]"):
        trainer.load(7)
    trainer = make_trainer(tmp_path / "run", days, keep=1)
    trainer.rollback(2)
    assert same(weights(trainer), weights(whole, 2)), "the base is kept, however old"
    room = trainer.give_room({"ad": 30})["step"]
    assert [path.name for path in steps.iterdir() if (path / "model.keras").is_file()] == [f"{room:06d}"]


def test_pseudo_labels_are_the_predictions_of_the_day_before(tmp_path, monkeypatch):
    days = write_days(tmp_path / "log", range(2))
    seen = []
    fit = gr.models.CTRModel.fit

    def spy(self, x, *args, **kwargs):
        seen.append({name: np.concatenate([x[i][1][name] for i in range(len(x))]) for name in x[0][1]})
        return fit(self, x, *args, **kwargs)

    monkeypatch.setattr(gr.models.CTRModel, "fit", spy)
    trainer = make_trainer(tmp_path / "run", days, gate=[], replay=0.0)
    trainer.run(days)
    assert np.isnan(seen[0]["yesterday_click"]).all(), "no teacher on the first day"
    scores = trainer.predictions(days[1].name)
    assert np.array_equal(np.sort(seen[1]["yesterday_buy"]), np.sort(scores["buy"]))
    pairs = sorted(zip(seen[1]["yesterday_click"].tolist(), seen[1]["click"].tolist(), strict=True))
    assert pairs == sorted(zip(scores["click"].tolist(), day_rows(1)["click"].to_list(), strict=True))


def test_other_pseudo_labels_are_refused(tmp_path):
    days = write_days(tmp_path / "log", [0])
    transforms = gr.incremental.fit_transforms(DESCRIPTION, days)
    model = make_model(transforms, residual_learning=gr.models.ResidualLearning(teacher="teacher_{task}"))
    with pytest.raises(ValueError, match='ResidualLearning\\(teacher="yesterday"\\)'):
        make_trainer(tmp_path / "run", days, model)


def test_a_refused_model_is_kept_and_is_not_tomorrows_base(tmp_path):
    flipped = {"click": lambda frame, day: 1 - pl.col("click") if day == 1 else pl.col("click")}
    days = write_days(tmp_path / "log", range(3), **flipped)
    model = make_model(gr.incremental.fit_transforms(DESCRIPTION, days[:1]), group_structure=(), **QUICK)
    trainer = make_trainer(tmp_path / "run", days, model, gate=[GateRule(max_loss=0.1)], epochs=6)
    trainer.step(days[0])
    # Judged by rows of the first day, the model of the flipped day is clearly worse.
    refused = trainer.step(days[1], held_out=days[0])
    assert (refused["status"], refused["parent"], refused["base"]) == ("refused", 1, 1)
    assert any(check.startswith("broken: click") for check in refused["gate"]["checks"])
    assert not same(weights(trainer, 2), weights(trainer, 1)), "kept for inspection"
    third = trainer.step(days[2])
    assert (third["parent"], third["scored_by"], third["periods"]) == (1, 1, 2)
    scores = predicted(trainer, 1, day_rows(2))["click"]
    np.testing.assert_allclose(trainer.predictions(days[2].name)["click"], scores, rtol=1e-5)
    assert trainer.load(2)[1].schema != trainer.load(1)[1].schema, "the refused day had new ads"


PLANTED = gr.datasets.TableDescription.from_dict(
    {
        "features": [
            {"name": "user", "kind": "categorical", "side": "user"},
            {"name": "planted", "kind": "growing", "side": "ad", "capacity": 9},
        ],
        "tasks": ["click"],
    }
)


def test_nothing_of_a_day_reaches_its_own_scores(tmp_path):
    """A column that betrays the labels from the second day on is worth nothing on that day."""

    def planted(frame, day):
        betrayed = pl.when(pl.col("click") == 1).then(pl.lit("yes")).otherwise(pl.lit("no"))
        return betrayed if day else pl.lit("nothing")

    days = write_days(tmp_path / "log", range(3), planted=planted)
    transforms = gr.incremental.fit_transforms(PLANTED, days[:1])
    model = make_model(transforms, **QUICK, group_structure=(), residual_learning=False)
    trainer = make_trainer(tmp_path / "run", days, model, PLANTED, gate=[], epochs=10, replay=0.0)
    first, second = (entry["progressive"]["click"]["auc"] for entry in trainer.run(days)[1:])
    frame = day_rows(1).with_columns(planted=pl.lit("never seen"))
    without = task_metrics(frame["click"], predicted(trainer, 1, frame)["click"]).auc
    assert first == pytest.approx(without, abs=1e-6)
    assert first < 0.85
    assert second > 0.95, "from the next day on the column is known"


def test_replayed_rows_are_a_sample_of_all_earlier_days_that_does_not_grow(tmp_path):
    days = write_days(tmp_path / "log", range(4))
    trainer = make_trainer(tmp_path / "run", days, replay=0.5, gate=[])
    trainer.run(days)
    kept = [pl.read_parquet(trainer.folder / "steps" / f"{n:06d}" / "replay.parquet") for n in range(1, 5)]
    assert all(100 < len(frame) < 200 for frame in kept)
    bids = [set(day_rows(day)["bid"].to_list()) for day in range(4)]
    of_days = [sum(bid in bids[day] for bid in kept[3]["bid"]) for day in range(4)]
    assert sum(of_days) == len(kept[3])
    assert min(of_days) > 15, "every day has its part"


def test_order_and_gaps(tmp_path):
    days = write_days(tmp_path / "log", range(4))
    trainer = make_trainer(tmp_path / "run", days, gate=[])
    trainer.step(days[1])
    before = sorted(path.name for path in trainer.folder.rglob("*"))
    with pytest.raises(ValueError, match=f"Period {date_of(0)} is earlier than {date_of(1)}"):
        trainer.run(days)
    with pytest.raises(ValueError, match=f"Between {date_of(1)}.* and {date_of(3)} a period is missing"):
        trainer.step(days[3])
    assert sorted(path.name for path in trainer.folder.rglob("*")) == before
    gaps = make_trainer(tmp_path / "run", days, gate=[], allow_gaps=True)
    assert gaps.step(days[3])["parent"] == 1


def test_rows_that_were_added_to_an_earlier_day(tmp_path):
    times = {"time": lambda frame, day: pl.lit(day * 86400)}
    write_days(tmp_path / "log", range(2), **times)
    days = gr.incremental.periods(tmp_path / "log", time="time")
    trainer = make_trainer(tmp_path / "run", days, gate=[])
    trainer.run(days)
    day_rows(0).with_columns(time=pl.lit(0)).write_parquet(tmp_path / "log" / "more.parquet")
    with pytest.raises(ValueError, match="had 300 rows in step 1 and has 600 now"):
        trainer.run(gr.incremental.periods(tmp_path / "log", time="time"))


@pytest.fixture(scope="module")
def one_day(tmp_path_factory):
    """One day trained, and a second one that no change touched."""
    folder = tmp_path_factory.mktemp("one_day")
    days = write_days(folder / "log", range(2))
    trainer = make_trainer(folder / "run", days, gate=[])
    trainer.step(days[0])
    other = make_trainer(folder / "other", days, gate=[])
    other.run(days)
    return trainer, days[1], other


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bid": None}, f"Period {date_of(1)}: .*has no column 'bid', which feature 'bid' reads"),
        ({"click": None}, "has no column 'click', which task 'click' reads"),
        ({"bid": lambda frame, day: pl.lit("high")}, f"Period {date_of(1)}: .*column 'bid': expected a number"),
        ({"ad": lambda frame, day: pl.lit([1, 2])}, f"Period {date_of(1)}: Column 'ad', described as growing"),
        ({"click": lambda frame, day: pl.lit(7.0)}, "column 'click': expected a label in"),
    ],
)
def test_a_changed_schema(tmp_path, one_day, change, said):
    trainer, _, _ = one_day
    (changed,) = write_days(tmp_path, [1], **change)
    with pytest.raises(ValueError, match=said):
        trainer.step(changed)
    assert sorted(path.name for path in (trainer.folder / "steps").iterdir()) == ["000000", "000001"]
    assert len(trainer.ledger) == 1


def test_a_failed_step_leaves_nothing_behind(one_day, monkeypatch):
    trainer, day, other = one_day
    with monkeypatch.context() as broken:

        def interrupt(self, *args, **kwargs):
            raise KeyboardInterrupt

        broken.setattr(gr.models.CTRModel, "fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trainer.step(day)
    assert untimed(trainer.step(day)) == untimed(other.ledger[1])
    assert same(weights(trainer), weights(other))


def test_other_settings_and_a_second_process(tmp_path):
    days = write_days(tmp_path / "log", [0])
    trainer = make_trainer(tmp_path / "run", days)
    with pytest.raises(ValueError, match="run with other settings \\(seed: 0 there, 1 now\\)"):
        make_trainer(tmp_path / "run", days, seed=1)
    model = make_model(gr.incremental.fit_transforms(DESCRIPTION, days), embedding_dim=8)
    with pytest.raises(ValueError, match="'embedding_dim': 4.*'embedding_dim': 8"):
        make_trainer(tmp_path / "run", days, model)
    with run_lock(trainer.folder), pytest.raises(RuntimeError, match="is in use by process"):
        trainer.step(days[0])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"batch_size": 0}, "`batch_size` must be an integer"),
        ({"held_out": 0.9}, "`held_out` must be a share"),
        ({"keep": 0}, "`keep` must be an integer of at least 1, or None"),
        ({"late_weight": 0}, "`late_weight` must be above 0"),
    ],
)
def test_settings_out_of_range(tmp_path, one_day, wrong, said):
    with pytest.raises(ValueError, match=said):
        make_trainer(tmp_path / "other", [one_day[1]], one_day[0].load()[0], **wrong)
    assert not (tmp_path / "other").exists()


def test_a_model_that_is_not_compiled(tmp_path, one_day):
    schema = one_day[0].load(0)[1].schema
    model = gr.models.CTRModel(schema, "mlp", group_structure=(), embedding_dim=4)
    with pytest.raises(ValueError, match="must be compiled"):
        make_trainer(tmp_path / "other", [one_day[1]], model)


def test_room_for_more_tokens(tmp_path, run):
    days = write_days(tmp_path / "log", range(4))
    shutil.copytree(run[0].folder, tmp_path / "run")
    trainer = make_trainer(tmp_path / "run", days)
    entry = trainer.give_room({"ad": 50})
    assert (entry["status"], entry["step"], entry["base"]) == ("given room", 4, 4)
    (small, before), (large, after) = trainer.load(3), trainer.load(4)
    assert (before.columns["ad"].capacity, after.columns["ad"].capacity) == (22, 50)
    frame = day_rows(2)
    np.testing.assert_array_equal(before(frame)["ad"], after(frame)["ad"])
    assert large.count_params() > small.count_params()
    np.testing.assert_allclose(predicted(trainer, 4, frame)["click"], predicted(trainer, 3, frame)["click"], rtol=1e-5)
    last = trainer.run(days)[-1]
    assert (last["periods"], last["growth"]["ad"]["capacity"], last["growth"]["ad"]["used"]) == (4, 50, 23)
    with pytest.raises(ValueError, match="22"):
        trainer.give_room({"ad": 22})
