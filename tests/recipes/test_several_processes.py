"""Studies whose models train in several processes: the commands, and a run that was killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.processes import run_together
from support.shared_study import ROWS, in_one_of_two, trained

import grouprank as gr

SCHEMA = """
features:
  - {name: user, kind: categorical, side: user, min_count: 1}
  - {name: ad, kind: categorical, side: ad, min_count: 1}
tasks:
  - {name: click}
"""


@pytest.mark.long
def test_processes_train_what_one_trains_and_resume_where_they_were_killed(tmp_path):
    log = gr.datasets.SyntheticAds(rows=ROWS, num_users=200, num_ads=50, tasks=("click",))
    table = gr.datasets.prepare(log, tmp_path / "prepared")
    run_together(in_one_of_two, 2, tmp_path)
    expected = trained(table, tmp_path / "one").predict_proba(table.batches("test"))["click"]
    for rank in range(2):
        with np.load(tmp_path / f"shared-{rank}.npz") as found:
            np.testing.assert_allclose(found["click"], expected, atol=1e-5)
    one, shared = (pl.read_csv(tmp_path / name / "history.csv") for name in ("one", "shared"))
    np.testing.assert_allclose(shared["val_normalized_entropy"], one["val_normalized_entropy"], rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_one_command_runs_a_study_in_several_processes(backend, tmp_path):
    rng = np.random.default_rng(0)
    ids = {"user": rng.integers(0, 100, 2000), "ad": rng.integers(0, 20, 2000)}
    click = {"click": (ids["ad"] % 2 > rng.random(2000)).astype(int)}
    pl.DataFrame(ids | click).write_csv(tmp_path / "log.csv")
    (tmp_path / "log.yaml").write_text(SCHEMA, encoding="utf-8")
    options = ["--data", "log.csv", "--epochs", "1", "--backbone", "lr", "--groups", "user", "--run-folder", "run"]
    start, processes = {
        "torch": ([str(Path(sys.executable).parent / "torchrun"), "--standalone", "--nproc-per-node", "2"], []),
        "jax": ([sys.executable], ["--jax-processes", "2"]),
    }[backend]
    done = subprocess.run(
        [*start, "-m", "grouprank.recipes.tabular", *options, *processes],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # The first process alone speaks.
    assert done.stdout.count("candidate: epoch 1/1") == 1
    assert (tmp_path / "run" / "report.html").exists()
    assert [path.name for path in (tmp_path / "saved_models" / "log").iterdir() if path.is_dir()] == ["1"]
