"""Exports a trained model as a SavedModel that answers raw rows."""

import dataclasses
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..datasets import TableTransforms
from .export_report import ExportReport
from .fresh_process import run_fresh_process
from .verify import verify

_UNFINISHED = ".unfinished-"


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
        RuntimeError: when the SavedModel disagrees with the Keras model (see `verify`).

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
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename stays on one file system; TF Serving skips names that are no integers.
    _remove_leftovers(path.parent)
    work = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{os.getpid()}-", dir=path.parent))
    try:
        model.save(work / "model.keras")
        (work / "modules.json").write_text(json.dumps(_custom_modules(model)))
        if transforms is not None:
            transforms.save(work / "transforms")
        run_fresh_process(["-m", "grouprank.serving.write_saved_model", str(work)], "The SavedModel was not written")
        report = verify(model, work / "saved_model", transforms, rows, tolerance)
        (work / "saved_model").rename(_check_path(path))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return dataclasses.replace(report, path=path)


def _check_path(path: Path) -> Path:
    if not path.name.isdigit():
        raise ValueError(
            f"The last part of `path` is the version and must be an integer, as TF Serving wants it. Received: {path}. "
            f"Use e.g. {path / '1'}."
        )
    if path.exists():
        versions = [int(p.name) for p in path.parent.iterdir() if p.name.isdigit()]
        raise FileExistsError(
            f"{path} exists and is never overwritten. Export to {path.parent / str(max(versions) + 1)}."
        )
    return path


def _remove_leftovers(folder: Path) -> None:
    """Delete what exports killed on this machine left behind."""
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        try:
            os.kill(int(leftover.name.removeprefix(_UNFINISHED).split("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(leftover, ignore_errors=True)
        except (PermissionError, ValueError):
            # Somebody else's process, or a name that is not ours: not known to be dead.
            continue


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
