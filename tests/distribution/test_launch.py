"""The launcher of JAX processes: they train together, one of them speaks, and one that fails ends all."""

import re
import subprocess
import sys

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("torchrun starts the processes of torch", allow_module_level=True)

LAUNCH = [sys.executable, "-m", "grouprank.distribution.launch", "--processes", "2"]
ADDS = """
import sys
import grouprank as gr
gr.distribution.start()
import jax
import numpy as np
from grouprank.distribution import replicas
total = replicas.total(np.asarray(int(sys.argv[1]) + gr.distribution.rank()))
print("found", int(total), "on", jax.device_count(), "devices")
"""
FAILS = """
import grouprank as gr
gr.distribution.start()
import jax
from jax.experimental import multihost_utils
if gr.distribution.rank() == 1:
    raise ValueError("no such column")
multihost_utils.sync_global_devices("never")
"""


def run(tmp_path, *arguments):
    return subprocess.run([*LAUNCH, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.long
def test_processes_work_together_and_the_first_one_speaks(tmp_path):
    (tmp_path / "adds.py").write_text(ADDS, encoding="utf-8")
    done = run(tmp_path, "--devices", "2", "adds.py", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"found.*", done.stdout) == ["found 15 on 4 devices"]


@pytest.mark.long
def test_a_process_that_fails_ends_the_others_and_is_named(tmp_path):
    (tmp_path / "fails.py").write_text(FAILS, encoding="utf-8")
    done = run(tmp_path, "fails.py")
    assert done.returncode == 1
    assert "The process of rank 1 ended with status 1. The others were stopped." in done.stderr
    assert "ValueError: no such column" in done.stderr
