"""What every test starts from: fixed seeds and the float32 policy; and real data where it is at hand."""

import fnmatch
import os
from pathlib import Path

# Tiny models spend their time in XLA's optimiser; it is read when the backend starts.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Several suites share the cores, and tiny matrices gain nothing from threads that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import pytest

import grouprank as gr

# Tests of these files do not depend on the Keras backend: they train nothing, or what they train is trained on each
# backend by other tests. They are marked `any_backend`, and `make test` runs them on the first backend alone.
ANY_BACKEND = (
    "schema/*",
    "reports/*",
    "datasets/*",
    "benchmarks/test_figures.py",
    "benchmarks/test_loader.py",
    "benchmarks/test_report.py",
    "benchmarks/test_rounds.py",
    "peers/test_peer_outputs.py",
    "recipes/test_chunk_rows.py",
    "recipes/test_paired_study.py",
    "recipes/test_public_cvr.py",
    "recipes/test_run_lock.py",
    "recipes/test_shown_data.py",
    "recipes/test_study_comparison.py",
    "recipes/test_study_page.py",
    "recipes/test_tabular.py",
    "serving/test_git_revision.py",
    "test_public_names.py",
    "test_suite.py",
)
# A file of a room above that trains models.
EVERY_BACKEND = ("datasets/test_batch_loader.py",)


def pytest_itemcollected(item):
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    listed = any(fnmatch.fnmatch(path, pattern) for pattern in ANY_BACKEND)
    if listed and path not in EVERY_BACKEND:
        item.add_marker("any_backend")


@pytest.fixture(autouse=True)
def _fixed_seeds_and_policy():
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session", autouse=True)
def _warm_exports():
    """Exports wait once for TensorFlow's start, and not at all where nothing is exported."""
    with gr.serving.warm_exports():
        yield


@pytest.fixture(scope="session")
def real_data():
    """Folder of a real dataset's files, by name; skips where they are absent."""
    root = Path(os.environ.get("GROUPRANK_DATA") or Path(gr.__file__).parent / ".." / "shared" / "data")

    def folder(name):
        if not (root / name).is_dir():
            pytest.skip(f"no real data at {root / name} (set GROUPRANK_DATA to the folder that holds {name})")
        return root / name

    return folder
