"""Compares what a SavedModel computes of raw rows with what training saw."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import TableTransforms
from .fresh_process import score_in_fresh_process
from .row_columns import row_columns
from .skew_report import SkewReport
from .warn_of_unknown import warn_of_unknown


def check_skew(
    path: str | Path,
    transforms: TableTransforms,
    rows: Any,
    prepared: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> SkewReport:
    """Ask a SavedModel for the ids and floats it makes of raw rows, and compare them bit for bit.

    Train/serve skew means that serving reads a column otherwise than training did, and no metric of training shows it.
    Run this on rows logged by the server, together with the columns that were prepared from them.

    Args:
        path: the version folder, exported with transforms.
        transforms: the fitted transforms.
        rows: raw rows, a polars frame or a dict of columns.
        prepared: model inputs of the same rows, such as columns of a `PreparedTable`. `None` takes
            `transforms(rows)`. Defaults to `None`.
        scores: probabilities of the same rows by task. Defaults to `None`.

    Returns:
        A `SkewReport`; `report.equal` says whether all columns agree.

    Raises:
        ValueError: when `rows` or `prepared` lacks a column, or they differ in length.
        RuntimeError: when the SavedModel does not answer.

    Warns:
        UserWarning: where far more tokens of a column are unknown than were in training.

    Example:

    ```python
    report = gr.serving.check_skew("saved_models/my_model/1", table.transforms, raw_rows)
    print(report)
    assert report.equal
    ```
    """
    path = Path(path)
    raw = row_columns(rows, transforms.raw_columns)
    if prepared is None:
        prepared = {name: values.array for name, values in transforms.encode(raw).items()}
    expected = dict(prepared)
    missing = [name for name in transforms.schema.feature_names if name not in expected]
    if missing:
        raise ValueError(f"`prepared` lacks the features {missing}. Received: {sorted(expected)}.")
    count = len(next(iter(raw.values())))
    lengths = {name: len(values) for name, values in {**expected, **(scores or {})}.items()}
    wrong = {name: length for name, length in lengths.items() if length != count}
    if wrong:
        raise ValueError(f"`rows` has {count} rows, other columns have {wrong}.")
    served = score_in_fresh_process(path, {"features": raw, "serving_default": raw})
    sources, leaves = transforms.sources, transforms.leaves
    if leaves:
        # A leaf of boosted trees is told by the first column that they read.
        sources |= dict.fromkeys(leaves.names, sources[leaves.reads[0]])
    differing: dict[str, int] = {}
    first = None
    for name in transforms.schema.feature_names:
        wanted, found = np.asarray(expected[name]), served["features"][name]
        unequal = np.flatnonzero((_bits(wanted.astype(found.dtype)) != _bits(found)).reshape(count, -1).any(axis=1))
        if unequal.size:
            differing[name] = int(unequal.size)
            row = int(unequal[0])
            first = first or {
                "feature": name,
                "column": sources[name],
                "row": row,
                "raw": _shown(raw[sources[name]][row]),
                "prepared": wanted[row].tolist(),
                "served": found[row].tolist(),
            }
    differences = [np.abs(np.asarray(p) - served["serving_default"][task]).max() for task, p in (scores or {}).items()]
    unknown = warn_of_unknown(transforms, raw)
    return SkewReport(path, count, differing, first, float(max(differences, default=np.nan)), unknown)


def _bits(values: np.ndarray) -> np.ndarray:
    """Values that compare equal only when they are the same: -0.0 is not 0.0, and NaN is itself."""
    return values.view(f"i{values.dtype.itemsize}") if values.dtype.kind == "f" else values


def _shown(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value.tolist()
