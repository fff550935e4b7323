"""A ranking model with groups over a dealt table learns in two processes what it learns in one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support.ranking_case import (
    BATCH,
    STEPS,
    assert_states_equal,
    everything_of,
    ranking_columns,
    ranking_model,
    results_of,
)

BACKEND = keras.backend.backend()
PROCESSES = 2

if BACKEND == "tensorflow":
    pytest.skip("TensorFlow refuses dealt tables", allow_module_level=True)


def address_of(folder):
    if BACKEND == "torch":
        return f"file://{folder}/store"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.long
def test_two_processes_equal_one(tmp_path):
    """With unknown labels, sequences and a reset of codes; on JAX each process has two devices."""
    flags = "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2"
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = {**os.environ, "XLA_FLAGS": flags, "PJRT_NPROC": "8", "PYTHONPATH": path}
    command = [sys.executable, "-m", "support.ranking_process"]
    arguments = [str(PROCESSES), address_of(tmp_path), str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [
        subprocess.Popen([*command, str(rank), *arguments], env=environment, **pipes) for rank in range(PROCESSES)
    ]
    model = ranking_model()
    expected = results_of(model, *ranking_columns())
    weights = everything_of(model)
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
    # Of every batch the first process has the first rows.
    owner = np.arange(STEPS * BATCH) % BATCH // (BATCH // PROCESSES)
    for rank in range(PROCESSES):
        with np.load(tmp_path / f"found_{rank}.npz") as file:
            found = dict(file)
        if rank == 0:
            assert_states_equal({name: found[name] for name in weights if "seed_generator" not in name}, weights)
        for name, values in expected.items():
            if name.startswith(("predict", "groups")):
                # Each process has predicted for its own rows, of which the first 64 lie in the first 128.
                own = owner[:64] == rank
                np.testing.assert_allclose(found[name][: own.sum()], values[own], rtol=0, atol=1e-5, err_msg=name)
            else:
                np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    loaded = everything_of(keras.models.load_model(tmp_path / "model.keras"))
    assert_states_equal({name: values for name, values in loaded.items() if "seed_generator" not in name}, weights)
