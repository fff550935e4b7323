"""Exports in forks of one process do what they do in fresh ones."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from support.raw_ads import TRANSFORMS, raw_rows

import grouprank as gr
from grouprank.serving import fresh_process
from grouprank.serving.fresh_process import run_fresh_process

# Says what it finds, and changes what a later job must not see.
JOB = """
import json, os, sys
import tensorflow as tf

left = [hasattr(tf, "left_by_a_job"), "KERAS_HOME" in os.environ]
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get("OWN"), left]))
tf.left_by_a_job = True
os.environ["KERAS_HOME"] = "changed"
{how}
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Runs a module in a fork; returns its exit status and what it printed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_HOME", raising=False)

    def run(how, *arguments, **variables):
        (tmp_path / "job.py").write_text(JOB.replace("{how}", how))
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        return fresh_process.export_server().run(["-m", "job", *arguments], {**environment, **variables})

    return run


def test_a_job_is_a_fresh_process_to_itself(job, tmp_path):
    for value in ("1", "2"):
        status, printed = job("", "a", "b c", OWN=value)
        assert (status, json.loads(printed)) == (0, [["a", "b c"], str(tmp_path), value, [False, False]])


@pytest.mark.parametrize(
    ("how", "expected", "words"),
    [
        ("raise ValueError('what it is')", 1, "ValueError: what it is"),
        ("sys.exit('why')", 1, ""),
        ("sys.exit(3)", 3, ""),
        ("os.kill(os.getpid(), 9)", -9, ""),
    ],
)
def test_a_job_that_fails_is_told_and_the_next_one_runs(job, how, expected, words):
    status, printed = job(how)
    assert status == expected
    assert words in printed
    assert job("")[0] == 0


def test_a_process_that_ends_is_told_and_replaced(monkeypatch, tmp_path):
    module, started = sys.modules["grouprank.serving.warm_exports"], []

    def start(environment):
        started.append(environment["KERAS_BACKEND"])
        return subprocess.Popen(
            [sys.executable, "-c", "input(); raise SystemExit(5)"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    monkeypatch.setattr(module, "_start", start)
    with gr.serving.warm_exports():
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not written: the process that runs exports ended with status 5"):
                run_fresh_process(["-m", "job"], "The SavedModel was not written")
    assert started == ["tensorflow"] * 2


@pytest.mark.long
def test_a_fresh_process_writes_the_same(exported, tmp_path, monkeypatch):
    """Outside of a block of `warm_exports`, and where Python cannot fork."""
    model, path, report = exported
    commands = []

    def run(command, **options):
        commands.append(command[1:3])
        return subprocess.run(command, **options)

    monkeypatch.setattr(fresh_process, "subprocess", types.SimpleNamespace(run=run))
    monkeypatch.delattr(os, "fork")
    with gr.serving.warm_exports():
        fresh = gr.serving.export(
            model,
            tmp_path / "tiny" / "7",
            transforms=TRANSFORMS,
            rows=raw_rows(),
            explanations=True,
            reference=gr.reports.LogProfile.fit(raw_rows()).to_dict(),
        )
    assert commands[0] == ["-m", "grouprank.serving.write_saved_model"]
    for task, probabilities in report.probabilities.items():
        np.testing.assert_array_equal(fresh.probabilities[task], probabilities)
    names = [sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) for folder in (path, fresh.path)]
    assert names[0] == names[1]
