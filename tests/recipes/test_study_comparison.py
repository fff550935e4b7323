"""What a study says of its two models: intervals, positives, warnings, and which of them is exported."""

import dataclasses
import io
import types

import numpy as np
import pytest

import grouprank as gr
from grouprank.files import RunFolder
from grouprank.recipes import ctr_study, table1
from grouprank.recipes.choose_batch_size import choose_batch_size
from grouprank.recipes.epoch_report import EpochReport
from grouprank.recipes.study_comparison import compare_models
from grouprank.recipes.study_settings import StudySettings
from grouprank.reports.terminal import Terminal
from grouprank.schema import Schema


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    log = gr.datasets.SyntheticAds(rows=3000, num_users=400, num_ads=50, tasks=("click",))
    return gr.datasets.prepare(log, tmp_path_factory.mktemp("comparison") / "prepared")


class Fixed:
    """A model that predicts `high` where the label is 1 and `low` elsewhere."""

    def __init__(self, table, high, low, steps):
        self.table, self.high, self.low = table, high, low
        self.optimizer = None if steps is None else types.SimpleNamespace(iterations=np.int64(steps))

    def labels(self, columns):
        return columns

    def predict_proba(self, loader):
        return {"click": np.where(self.table.column("test", "click") == 1, self.high, self.low).astype("float32")}


def compared(table, high, steps=1000):
    models = {"baseline": Fixed(table, 0.2, 0.1, 1000), "candidate": Fixed(table, high, 0.1, steps)}
    return compare_models(table, models)


def test_a_gain_has_its_interval_and_positives(table):
    found = compared(table, 0.25)
    gain = found.gains.of("candidate", "click").gain
    assert gain.low < found.comparison.gain("candidate", "click") < gain.high
    _, candidate = found.rows()
    assert candidate[4] == f"{100 * gain.low:+.2f} % to {100 * gain.high:+.2f} %"
    assert candidate[7] == f"{int(table.column('test', 'click').sum()):,}"
    assert candidate[4] in found.to_markdown()
    assert found.to_dict()["gains"]["gains"][0]["verdict"] == "one seed: no claim"
    assert found.unit == "user_id"
    assert any("one seed makes no claim" in note for note in found.notes())


def test_rows_stand_for_users_where_no_column_tells_them_apart(table):
    features = [dataclasses.replace(f, side="context") for f in table.schema.features]
    anonymous = types.SimpleNamespace(
        schema=Schema(features, table.schema.tasks), column=table.column, rows=table.rows, batches=table.batches
    )
    found = compared(anonymous, 0.25)
    assert found.unit == "row"
    assert "of the rows in the test set" in found.notes()[0]


def test_what_makes_figures_doubtful_is_said(table):
    assert compared(table, 0.25).warnings() == []
    (few,) = compared(table, 0.25, steps=199).warnings()
    assert "candidate was trained for 199 steps only; below 200" in few
    (bad,) = compared(table, 0.001).warnings()
    assert "candidate's NE is above 1 on click (" in bad
    assert compared(table, 0.25, steps=None).warnings() == []


def table_of(rows, vocabulary_size):
    features = [
        gr.Categorical("ad", vocabulary_size),
        gr.Sequence("seen", vocabulary_size, 3, side="user", shares="ad"),
    ]
    return types.SimpleNamespace(rows=lambda split: rows, schema=Schema(features, [gr.Task("click")]))


@pytest.mark.parametrize(("ids", "embedding_l2"), [(99_999, 1e-3), (100_000, 0.0)])
def test_a_table_of_few_ids_is_not_learned_by_heart(ids, embedding_l2):
    assert StudySettings().for_table(table_of(1000, ids)).embedding_l2 == embedding_l2
    assert StudySettings(embedding_l2=0.5).for_table(table_of(1000, ids)).embedding_l2 == 0.5


@pytest.mark.parametrize(
    ("rows", "batch_size"), [(10, 32), (12_800, 64), (25_000, 64), (204_800, 1024), (10_000_000, 4096)]
)
def test_batches_follow_the_table(rows, batch_size):
    assert choose_batch_size(rows) == batch_size
    table = table_of(rows, vocabulary_size=10)
    assert StudySettings().for_table(table).batch_size == batch_size
    assert StudySettings(batch_size=7).for_table(table).batch_size == 7


def test_what_run_folders_keep_is_what_they_kept_before():
    """A run that was started before the settings had all their fields of today goes on in its folder."""
    earlier = {"backbone", "embedding_dim", "dropout", "embedding_l2", "learning_rate", "batch_size", "epochs"}
    of_study = {"multi_task", "sequence_encoder", "group_structure", "num_levels", "codebook_size", "residual_weight"}
    of_study |= {"distillation_weight", "teacher", "patience", "seed", "exported"}
    assert StudySettings(seed=3).record().keys() == earlier | of_study
    assert StudySettings(tower_units=8).record()["tower_units"] == 8
    kept = table1.START.record()
    assert "-".join(map(str, kept.values())) == "mlp-8-64-0.3-0.001-0.001-False-1024-2"
    assert dataclasses.replace(table1.START, multi_task="mmoe").record() == {**kept, "multi_task": "mmoe"}


def test_a_rate_falls_over_all_steps():
    settings = StudySettings(learning_rate=0.5, decay=True, batch_size=10, epochs=2)
    rate = settings.rate(rows=95)
    assert [float(rate(step)) for step in (0, 10, 20)] == pytest.approx([0.5, 0.25, 0.0], abs=1e-6)
    assert StudySettings(learning_rate=0.5).rate(rows=95) == 0.5


@pytest.mark.parametrize(("candidate", "chosen"), [(0.91, "candidate"), (0.93, "baseline")])
def test_validation_chooses_what_is_exported(tmp_path, monkeypatch, candidate, chosen):
    entropies = {"b": 0.92, "c": candidate}
    measured = []

    class Measure:
        def __init__(self, table):
            pass

        def measure(self, model):
            measured.append(model)
            return entropies[model]

    monkeypatch.setattr(ctr_study, "ValidationEntropy", Measure)
    console = Terminal(file=io.StringIO(), width=200)
    folder = RunFolder(tmp_path, {})
    models = {"baseline": "b", "candidate": "c"}
    settings = StudySettings(exported="better")
    assert ctr_study._choose(settings, models, None, folder, console) == chosen
    assert f"The {chosen} is exported" in console.file.getvalue()
    assert f"candidate {candidate:.5f}" in console.file.getvalue()
    assert ctr_study._choose(settings, models, None, folder, console) == chosen
    assert measured == ["b", "c"], "a resumed run takes what was measured"
    assert ctr_study._choose(StudySettings(), models, None, folder, console) == "candidate"


def test_an_epoch_shows_each_tasks_own_loss():
    console = Terminal(file=io.StringIO(), width=200)
    report = EpochReport("candidate", console)
    report.set_params({"epochs": 3, "steps": 1})
    logs = {"loss": 9.97, "click_loss": 0.27, "like_loss": 0.04, "user_groups_loss": 8.0}
    logs |= {f"val_{task}_{figure}": 0.9 for task in ("click", "like") for figure in ("loss", "normalized_entropy")}
    report.on_epoch_end(0, logs)
    printed = console.file.getvalue()
    assert "loss: click 0.27000  like 0.04000  validation NE: click 0.90000  like 0.90000" in printed
    assert "9.97" not in printed


def test_unknown_export():
    with pytest.raises(ValueError, match=r"`exported` must be one of .*Received: exported='best'"):
        StudySettings(exported="best")
