"""Exports a trained model as a SavedModel that answers raw rows."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl

from ..datasets import TableTransforms
from .export_report import ExportReport
from .sample_rows import sample_rows

# Rounding may tip a row that lies between two groups; more rows than this are an error.
MAX_BORDER_SHARE = 0.001


def export(
    model: Any,
    path: str | Path,
    transforms: TableTransforms | None = None,
    rows: Any = None,
    tolerance: float = 1e-5,
) -> ExportReport:
    """Write a model as `NAME/VERSION` for TF Serving, and prove that it answers as the Keras model does.

    The SavedModel holds plain TensorFlow ops whatever backend trained the model:
    signature `serving_default` takes the raw columns (strings and numbers as in
    the raw file, any batch size) and returns `{task: probability}`, `groups`
    the learned group ids. It is written in a fresh process, loaded in another
    one that knows only TensorFlow, and compared with the Keras model; then the
    version folder appears in one rename, so that a server polling `NAME` never
    sees half of it. Whatever fails leaves nothing behind.

    Args:
        model: a trained `CTRModel`.
        path: the version folder to create; its name is the version, an integer.
        transforms: the fitted transforms, `PreparedTable.transforms`. `None` exports a
            model that takes ids and floats. Defaults to `None`.
        rows: raw rows to compare on, a polars frame or a dict of columns (model
            inputs without transforms). `None` draws rows from the vocabularies.
            Defaults to `None`.
        tolerance: largest difference of a probability. Defaults to `1e-5`.

    Returns:
        An `ExportReport`: the rows compared, the largest difference and the scores.

    Raises:
        FileExistsError: when the version folder exists; it is never overwritten.
        ValueError: when the version is no integer, the transforms belong to
            another schema, or the model cannot be rebuilt in a fresh process.
        RuntimeError: when the SavedModel disagrees with the Keras model.

    Example:

    ```python
    report = gr.serving.export(model, "saved_models/my_model/1", transforms=table.transforms, rows=raw_rows)
    print(report)
    ```
    """
    path = _check_path(Path(path))
    if not hasattr(model, "predict_proba") or not hasattr(model, "schema"):
        raise ValueError(f"`model` must be a grouprank model such as CTRModel. Received: {type(model).__name__}.")
    if transforms is not None and transforms.schema.features != model.schema.features:
        raise ValueError(
            "`transforms` were fitted for other features than the model's. "
            f"Transforms: {transforms.schema.feature_names}. Model: {model.schema.feature_names}."
        )
    raw = _columns(sample_rows(transforms, model.schema) if rows is None else rows, transforms, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename stays on one file system; TF Serving skips names that are no integers.
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.unfinished-", dir=path.parent))
    try:
        model.save(work / "model.keras")
        (work / "modules.json").write_text(json.dumps(_custom_modules(model)))
        if transforms is not None:
            transforms.save(work / "transforms")
        _run([sys.executable, "-m", "grouprank.serving.write_saved_model", str(work)], "The SavedModel was not written")
        served = _score_in_fresh_process(work, raw)
        report = _compare(model, path, transforms, raw, served, tolerance)
        work.chmod(0o755)
        (work / "saved_model").rename(_check_path(path))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report


def _check_path(path: Path) -> Path:
    if not path.name.isdigit():
        raise ValueError(
            f"The last part of `path` is the version and must be an integer, as TF Serving wants it. Received: {path}. "
            f"Use e.g. {path / '1'}."
        )
    if path.exists():
        versions = [int(p.name) for p in path.parent.iterdir() if p.name.isdigit()]
        raise FileExistsError(f"{path} exists and is never overwritten. Export to {path.parent / str(max(versions) + 1)}.")
    return path


def _columns(rows: Any, transforms: TableTransforms | None, model: Any) -> dict[str, np.ndarray]:
    """The columns that the signature takes, as NumPy arrays of its dtypes."""
    if transforms is None:
        names: Any = dict.fromkeys(model.schema.feature_names)
    else:
        names = transforms.raw_columns
    available = rows.columns if isinstance(rows, pl.DataFrame) else list(rows)
    missing = [name for name in names if name not in available]
    if missing:
        raise ValueError(f"`rows` lacks the raw columns {missing}. Expected: {list(names)}. Received: {list(available)}.")
    columns = {}
    for name, dtype in names.items():
        values = rows[name]
        if isinstance(values, pl.Series):
            values = values.fill_null("" if dtype == "string" else None).to_numpy()
        if dtype == "string":
            values = np.array([v if isinstance(v, bytes) else str("" if v is None else v).encode() for v in values], object)
        elif dtype == "float32":
            values = np.asarray(values, "float32")
        columns[name] = np.asarray(values)
    if not len(next(iter(columns.values()))):
        raise ValueError("`rows` is empty; the SavedModel is compared on at least one row.")
    return columns


def _custom_modules(model: Any) -> dict[str, Any]:
    """Modules that a fresh process must import to know the model's own classes."""
    own = {type(layer).__module__ for layer in model._flatten_layers()}
    names = sorted(name for name in own if name.split(".")[0] not in ("keras", "keras_rs", "grouprank", "__main__"))
    script = None
    if "__main__" in own:
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            names.append(spec.name)
        elif getattr(main, "__file__", None):
            script = str(Path(str(main.__file__)).resolve())
        else:
            raise ValueError(
                "The model has layers whose classes were defined interactively, which a fresh process cannot rebuild. "
                "Move them to a module and import it."
            )
    return {"names": names, "script": script}


def _run(command: list[str], failure: str) -> None:
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # The server's arithmetic: one thread count or vector width must not decide a comparison at 1e-5.
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{failure}: {lines[-1] if lines else 'no message'}\n" + "\n".join(lines[-30:]))


def _score_in_fresh_process(work: Path, raw: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    rows, scores = work / "rows.pickle", work / "scores.pickle"
    rows.write_bytes(pickle.dumps(dict(raw)))
    script = Path(__file__).with_name("score_rows.py")
    command = [sys.executable, str(script), str(work / "saved_model"), str(rows), str(scores)]
    _run(command, "The SavedModel was written but does not answer")
    return pickle.loads(scores.read_bytes())


def _compare(
    model: Any,
    path: Path,
    transforms: TableTransforms | None,
    raw: Mapping[str, np.ndarray],
    served: dict[str, dict[str, np.ndarray]],
    tolerance: float,
) -> ExportReport:
    inputs = dict(raw) if transforms is None else transforms(raw)
    expected = model.predict_proba(inputs)
    count = len(next(iter(expected.values())))
    border = np.zeros(count, bool)
    for placement, ids in model.groups(inputs).items():
        border |= (ids != served["groups"][placement]).any(axis=-1)
    differences = np.max([np.abs(expected[task] - served["serving_default"][task]) for task in expected], axis=0)
    # NaN compares false with everything, and is never within a tolerance.
    wrong = ~(differences <= tolerance) & ~border
    if wrong.any() or border.sum() > max(1, MAX_BORDER_SHARE * count):
        row = int(np.argmax(wrong)) if wrong.any() else int(np.argmax(border))
        scores = {t: (float(expected[t][row]), float(served["serving_default"][t][row])) for t in expected}
        raise RuntimeError(
            f"The SavedModel disagrees with the Keras model ({keras.backend.backend()} backend): {int(wrong.sum())} of "
            f"{count} rows differ by more than {tolerance:g}, {int(border.sum())} fall into other groups. "
            f"First: row {row}, (Keras, SavedModel) = {scores}. Nothing was published."
        )
    return ExportReport(
        path=path,
        rows=count,
        max_difference=float(differences[~border].max(initial=0.0)),
        border_rows=int(border.sum()),
        raw=dict(raw),
        probabilities=served["serving_default"],
    )
