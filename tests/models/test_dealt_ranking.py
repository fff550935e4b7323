"""A ranking model with groups over a dealt table learns in two processes what it learns in one."""

import keras
import numpy as np
import pytest
from support.processes import free_address, run_together
from support.ranking_case import (
    BATCH,
    STEPS,
    assert_states_equal,
    everything_of,
    ranking_columns,
    ranking_model,
    results_of,
)
from support.ranking_process import train_together

BACKEND = keras.backend.backend()
PROCESSES = 2

if BACKEND == "tensorflow":
    pytest.skip("TensorFlow refuses dealt tables", allow_module_level=True)


@pytest.mark.long
def test_two_processes_equal_one(tmp_path):
    """With unknown labels, sequences and a reset of codes; on JAX each process has two devices."""
    address = f"file://{tmp_path}/store" if BACKEND == "torch" else free_address()
    run_together(train_together, PROCESSES, address, tmp_path)
    model = ranking_model()
    expected = results_of(model, *ranking_columns())
    weights = everything_of(model)
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
