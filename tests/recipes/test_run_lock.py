"""Two runs in one run folder: the second is told at once who holds it."""

import json
import os
import subprocess
import sys

import pytest

import grouprank as gr
from grouprank.files import run_lock
from grouprank.recipes import kuairand_models, table1
from grouprank.recipes.ctr_study import run_ctr_study
from grouprank.recipes.study_settings import StudySettings

# The module alone, without Keras: it starts at once. It says that it holds the folder, and waits to be killed.
HOLD = """
import runpy, sys
run_lock = runpy.run_path(sys.argv[1])["run_lock"]
from pathlib import Path
with run_lock(Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A run folder in which another process works."""
    folder = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, sys.modules[run_lock.__module__].__file__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held\n"
    yield folder, other
    other.kill()
    other.wait()


def test_the_second_is_refused_and_a_killed_one_leaves_no_lock(held):
    folder, other = held
    told = rf"is in use by process {other.pid} on .* since 20.*--run another/folder"
    with pytest.raises(RuntimeError, match=told), run_lock(folder):
        raise AssertionError("both are in")
    other.kill()
    other.wait()
    with run_lock(folder):
        assert json.loads((folder / "lock").read_text())["process"] == os.getpid()
    with run_lock(folder):
        pass


def test_studies_are_refused_before_they_do_anything(held, tmp_path, monkeypatch):
    folder, _ = held
    log = gr.datasets.SyntheticAds(rows=1000, num_users=50, num_ads=20)
    with pytest.raises(RuntimeError, match="is in use by process"):
        run_ctr_study(log, StudySettings(), folder, tmp_path / "saved_models")
    with pytest.raises(RuntimeError, match="is in use by process"):
        table1.main(made_up=True, rows=1000, run=folder, output=tmp_path)
    for name in ("KuaiRandPure", "KuaiRandFunnel"):
        monkeypatch.setattr(kuairand_models, name, lambda folder: log)
    with pytest.raises(RuntimeError, match="is in use by process"):
        kuairand_models.main(data=tmp_path, run=folder)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(file, kind):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="has no locks: take care"), run_lock(tmp_path):
        pass
