"""A run that was killed, at whatever moment, ends as one that was not."""

import shutil

import numpy as np
import pytest
from support.daily_log import DESCRIPTION, date_of, make_model, make_trainer, untimed, write_days
from support.fake_export import fake_export
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.incremental.ledger import Ledger

# A step that is not finished, one that is not published, one that is not recorded, and one whose old models are still
# there; `benchmarks.killed_runs` kills anywhere.
MOMENTS = ("judge", "publish", "record", "remove")


def state(trainer):
    """All that decides how training goes on."""
    model, transforms = trainer.load()
    arrays = [as_array(variable) for variable in [*model.weights, *model.optimizer.variables]]
    return arrays, transforms.schema


def assert_same(trainer, other):
    assert [untimed(entry) for entry in trainer.ledger] == [untimed(entry) for entry in other.ledger]
    (arrays, schema), (expected, other_schema) = state(trainer), state(other)
    for found, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert schema == other_schema


def files(folder):
    """Names of all files, and what lies in the published ones."""
    contents = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        published = name.parts[0] == "export"
        contents[str(name)] = published and (dict(np.load(path)) if path.suffix == ".npz" else path.read_bytes())
    return contents


@pytest.mark.any_backend
def test_killed_in_every_part_of_a_step(tmp_path, monkeypatch):
    monkeypatch.setattr(gr.serving, "export", fake_export)
    days = write_days(tmp_path / "log", range(2))
    model = make_model(gr.incremental.fit_transforms(DESCRIPTION, days[:1]))
    whole, remove = tmp_path / "whole", gr.incremental.run.remove_model

    def leave(part, period):
        # A process that is killed now leaves these files, half-written ones among them.
        if part in MOMENTS and period == date_of(1) and not (tmp_path / part).exists():
            shutil.copytree(whole, tmp_path / part)

    def leave_and_remove(folder):
        leave("remove", date_of(len(Ledger(whole / "run" / "ledger").entries) - 1))
        remove(folder)

    def trainer_in(folder, **arguments):
        return make_trainer(folder / "run", days, model, export=folder / "export", keep=1, **arguments)

    with monkeypatch.context() as watched:
        watched.setattr(gr.incremental.run, "remove_model", leave_and_remove)
        expected = trainer_in(whole, on_progress=leave)
        expected.run(days)
    wanted = files(whole)
    steps = [len(list((tmp_path / moment / "run" / "steps").glob("[0-9]*"))) for moment in MOMENTS]
    entries = [len(list((tmp_path / moment / "run" / "ledger").glob("[0-9]*"))) for moment in MOMENTS]
    versions = [len(list((tmp_path / moment / "export").glob("*.json"))) for moment in MOMENTS]
    assert (steps, entries, versions) == ([2, 3, 3, 3], [1, 1, 1, 2], [1, 1, 2, 2])
    assert list((tmp_path / "judge" / "run" / "steps").glob(".partial*"))
    for moment in MOMENTS:
        killed = trainer_in(tmp_path / moment)
        assert len(killed.run(days)) == (moment == "judge")
        assert_same(killed, expected)
        np.testing.assert_equal(files(tmp_path / moment), wanted, moment)


@pytest.mark.any_backend
def test_half_of_an_entry_is_no_entry(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add({"step": 1, "status": "admitted", "base": 1})
    (tmp_path / ".partial-000002.json").write_text('{"step": 2')
    assert Ledger(tmp_path).next_step == 2


def test_a_new_process_for_every_day(tmp_path):
    """What is kept in memory from day to day is what the files hold, on every backend."""
    days = write_days(tmp_path / "log", range(2), rows=256)
    # Batches of one shape, since JAX compiles each.
    plain = {"batch_size": 128, "gate": [], "replay": 0.0}
    model = make_model(gr.incremental.fit_transforms(DESCRIPTION, days[:1]))
    whole = make_trainer(tmp_path / "whole", days, model, **plain)
    whole.step(days[0])
    shutil.copytree(whole.folder, tmp_path / "parts")
    whole.step(days[1])
    parts = make_trainer(tmp_path / "parts", days, model, **plain)
    parts.step(days[1])
    assert_same(parts, whole)
