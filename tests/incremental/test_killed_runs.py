"""A run that was killed, at whatever moment, ends as one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.daily_log import date_of, make_trainer, untimed, write_days
from support.fake_export import fake_export
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.incremental.ledger import Ledger

# A step that is not finished, one that is not published, and one that is not recorded; `benchmarks.killed_runs` kills
# anywhere.
PARTS = ("judge", "publish", "record")
TESTS = Path(__file__).parents[1]


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


def train(folder, days, *moments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "support.killed_run", days, folder / "run", folder / "export", *moments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.rpartition(" ")[2] for line in done.stdout.splitlines()]


def published(folder):
    """Files of all versions with their contents, without those whose bytes tell the time."""
    files = [path for path in (folder / "export").rglob("*") if path.is_file()]
    contents = {}
    for path in files:
        with_arrays = path.suffix == ".npz"
        contents[str(path.relative_to(folder))] = dict(np.load(path)) if with_arrays else path.read_bytes()
    return contents


@pytest.mark.any_backend
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_killed_in_every_part_of_a_step(tmp_path, monkeypatch):
    days = write_days(tmp_path / "log", range(2))
    (tmp_path / "killed").mkdir()
    moments = [f"{part}:{date_of(1)}" for part in PARTS]
    codes = train(tmp_path / "killed", tmp_path / "log", *moments)
    assert codes == ["-9"] * len(moments) + ["0"]
    monkeypatch.setattr(gr.serving, "export", fake_export)
    whole = make_trainer(tmp_path / "whole" / "run", days, export=tmp_path / "whole" / "export")
    whole.run(days)
    assert_same(make_trainer(tmp_path / "killed" / "run", days), whole)
    found, wanted = published(tmp_path / "killed"), published(tmp_path / "whole")
    assert set(found) == set(wanted)
    for name, content in wanted.items():
        np.testing.assert_equal(found[name], content, name)
    assert not list((tmp_path / "killed").rglob(".*")), "nothing half-written is left"
    assert json.loads((tmp_path / "killed" / "export" / "2.lineage.json").read_text())["parent"] == 1


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
    whole = make_trainer(tmp_path / "whole", days, **plain)
    whole.run(days)
    for day in days:
        parts = make_trainer(tmp_path / "parts", days, **plain)
        parts.step(day)
    assert_same(parts, whole)
