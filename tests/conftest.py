"""What every test starts from: fixed seeds and the float32 policy; and real data where it is at hand."""

import fnmatch
import gc
import os
import pickle
from pathlib import Path

from support.xla_flags import XLA_FLAGS

# Read when the backend starts.
os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)

# Several suites share the cores, and tiny matrices gain nothing from threads that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
import pytest
from filelock import FileLock

import grouprank as gr

# Tests of these files do not depend on the Keras backend: they train nothing, they run in processes of TensorFlow's, or
# what they train is trained on each backend by other tests. They are marked `any_backend`, and `make test` runs them on
# the first backend alone. A single test is marked with `@pytest.mark.any_backend` where it stands.
ANY_BACKEND = (
    "benchmarks/*",
    "datasets/*",
    "incremental/*",
    "models/test_ctr_bad_tables.py",
    "models/test_ctr_columns.py",
    "models/test_ctr_parts.py",
    "models/test_fitted_alike.py",
    "models/test_keras_habits.py",
    "models/test_loaders_checked.py",
    "models/test_rate_start.py",
    "models/test_two_tower_parts.py",
    "models/test_validation_split.py",
    "models/test_weighted_lists.py",
    "peers/test_peer_outputs.py",
    "recipes/*",
    "reports/*",
    "schema/*",
    "serving/test_explain.py",
    "serving/test_export_generative.py",
    "serving/test_export_onnx.py",
    "serving/test_export_retrieval.py",
    "serving/test_git_revision.py",
    "serving/test_kinds_exported.py",
    "serving/test_layout.py",
    "serving/test_own_classes.py",
    "serving/test_raw_values.py",
    "serving/test_request_log.py",
    "serving/test_version_folder.py",
    "serving/test_warm_exports.py",
    "test_extras.py",
    "test_public_names.py",
    "test_readme.py",
    "test_suite.py",
)
# Files of a room above whose tests depend on it.
EVERY_BACKEND = (
    "benchmarks/test_model_flops.py",
    "datasets/test_batch_loader.py",
    "incremental/test_killed_runs.py",
    "recipes/test_epoch_backup.py",
)


def pytest_itemcollected(item):
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    listed = any(fnmatch.fnmatch(path, pattern) for pattern in ANY_BACKEND)
    if listed and path not in EVERY_BACKEND:
        item.add_marker(pytest.mark.any_backend("file"))


def pytest_collection_modifyitems(items):
    # Tests marked `long` begin first, so that no worker has one left when the others have nothing to do.
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish():
    # The frameworks and what they trace are millions of objects; looking through them again and again takes a tenth of
    # the suite's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


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


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A model with optimizer slots, its folder and the report of its export; copy the folder before you change it.

    The workers of a suite share the export, since it takes a third of a minute.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder, report = folder / "exported", folder / "exported" / "report.pickle"
    with FileLock(f"{folder}.lock"):
        if not report.is_file():
            report.write_bytes(pickle.dumps(_export(folder)))
    return keras.models.load_model(folder / "model.keras"), folder / "tiny" / "7", pickle.loads(report.read_bytes())


def _export(folder):
    from support.raw_ads import ROWS, TRANSFORMS, raw_rows, tiny_model

    model = tiny_model(embedding_optimizer="adagrad", calibration=["click"], negative_rate={"like": 0.5})
    inputs = TRANSFORMS(raw_rows())
    model.adapt(inputs)
    # Rates that the columns tell, learned: scores that differ by far more than any tolerance, also where the only
    # column given is the age.
    luck = np.random.default_rng(1).logistic(size=(ROWS, 2))
    labels = {
        "click": inputs["age"] + inputs["user_id"] % 2 > luck[:, 0],
        "like": inputs["os"] % 2 - inputs["age"] > luck[:, 1],
    }
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(inputs, {task: y.astype("float32") for task, y in labels.items()}, batch_size=100, epochs=4, verbose=0)
    # Labels that were drawn anew, with more clicks at small predictions: the map bends.
    again = {"click": (np.arange(ROWS) % 3 == 0).astype("float32"), "like": np.full(ROWS, np.nan)}
    model.calibrate(model.predict_proba(inputs), again)
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    return gr.serving.export(
        model,
        folder / "tiny" / "7",
        transforms=TRANSFORMS,
        rows=raw_rows(),
        provenance={"metrics": {"click": {"auc": 0.5}}},
        explanations=True,
        reference=gr.reports.LogProfile.fit(raw_rows()).to_dict(),
    )
