"""What every test starts from: fixed seeds and the float32 policy."""

import os

# Tiny models spend their time in XLA's optimiser; it is read when the backend starts.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Several suites share the cores, and tiny matrices gain nothing from threads that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import pytest


@pytest.fixture(autouse=True)
def _fixed_seeds_and_policy():
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)
