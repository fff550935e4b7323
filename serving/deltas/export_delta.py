"""Writes what changed in a model since a version was exported."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ...datasets import TableTransforms
from ...distribution import world_size
from ..check_transforms import check_transforms
from ..check_weights import check_weights
from ..layout.provenance import describe
from ..log_profile import LOG_PROFILE_FILE, reference_as_json
from ..unfinished_folder import unfinished_folder
from .checkpoint import read_variable
from .delta_folder import LINES, LINES_SCHEMA, PROVENANCE, ROWS, ROWS_SCHEMA, read_lines, write_manifest
from .delta_report import DeltaReport
from .full_export_needed_error import FullExportNeededError
from .graph_parts import graph_parts
from .served_variables import ServedVariable, ServedVariables, dense_values


def export_delta(
    model: Any,
    base_version: str | Path,
    path: str | Path,
    transforms: TableTransforms | None = None,
    provenance: Mapping[str, Any] | None = None,
    reference: Mapping[str, Any] | None = None,
) -> DeltaReport:
    """Write what changed in a model since a version of it was exported.

    A day of training changes the rows of the ids that were seen, and the dense weights. A server that has yesterday's
    version needs no more than that: `apply_delta` makes today's version of it, with the variables, the vocabularies and
    the graph that a full export would have.

    The delta is a folder: `rows.parquet` (the rows of each variable that changed, with their new bytes),
    `vocabularies.parquet` (the lines that changed or are new), `provenance.json` of the new version, and
    `manifest.json` with the checksums of all of them and the identity of the version that they start from. It appears
    in one rename.

    Growing ids change lines of vocabularies and rows of tables as long as the tables have room. What stands in the
    graph itself needs a full export: another config, larger tables, other transforms, another release of Keras.

    Whether the model answers as the new version does is not asked here: `grouprank.serving.verify(model, version)` asks
    after `apply_delta`.

    Args:
        model: the trained model, of the class and config of the one that was exported.
        base_version: the version folder that the delta starts from, `NAME/VERSION`, as `export` or `apply_delta` wrote
            it.
        path: the folder to create, such as `NAME/deltas/VERSION`. A server skips folders whose names are no numbers.
        transforms: the fitted transforms, where the version has some. Defaults to `None`.
        provenance: see `export`. Defaults to `None`.
        reference: see `export`. Without one the new version has that of the base. Defaults to `None`.

    Returns:
        A `DeltaReport`: how much changed, and the bytes.

    Raises:
        FileExistsError: when `path` exists.
        FullExportNeededError: a `ValueError`, when the graph would differ, and says in what; or when an earlier release
            wrote the version.
        ValueError: when `base_version` is no version folder, the transforms belong to another schema, or a weight is
            NaN or infinite.
        RuntimeError: in one of several processes.

    Example:

    ```python
    gr.serving.export(model, "saved_models/ads/1", transforms=transforms)
    model.fit(today)
    print(gr.serving.export_delta(model, "saved_models/ads/1", "saved_models/ads/deltas/2", transforms=transforms))
    gr.serving.apply_delta("saved_models/ads/1", "saved_models/ads/deltas/2")  # saved_models/ads/2
    ```
    """
    base, path = Path(base_version), Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists and is never overwritten. Pass another folder for the delta.")
    if world_size() > 1:
        raise RuntimeError(
            f"A delta is written by one process. Received: a call in one of {world_size()}. Save the model "
            "(`model.save`, in every process), load the file in one process, and write the delta there."
        )
    record = ServedVariables.load(base)
    if transforms is not None:
        check_transforms(model, transforms)
    _check_graph(model, transforms, record, base)
    check_weights(model)
    known = describe(model, provenance)
    profile = None if reference is None else reference_as_json(reference)
    with unfinished_folder(path.parent) as work:
        delta = work / "delta"
        delta.mkdir()
        values = dense_values(model)
        changes = {v.key: list(_changed_rows(model, values, base, record, v)) for v in record.variables}
        _write_rows(delta / ROWS, record, changes)
        lines = _write_lines(delta / LINES, base, transforms)
        (delta / PROVENANCE).write_text(json.dumps(known) + "\n", encoding="utf-8")
        if profile is not None:
            (delta / LOG_PROFILE_FILE.name).write_text(profile, encoding="utf-8")
        rows = {key: sum(len(numbers) for numbers, _ in blocks) for key, blocks in changes.items()}
        write_manifest(delta, base, {"changed_rows": rows, "vocabulary_lines": lines})
        size = _size(delta)
        os.rename(delta, path)
    tables = [variable.key for variable in record.variables if variable.table is not None]
    return DeltaReport(
        path,
        base,
        table_rows=sum(rows[key] for key in tables),
        all_table_rows=sum(stack.num_rows for stack in model.table_stacks),
        variables=sum(bool(count) for key, count in rows.items() if key not in tables),
        lines={file: count for file, (count, _) in lines.items()},
        size=size,
        base_size=_size(base),
    )


def _check_graph(model: Any, transforms: TableTransforms | None, record: ServedVariables, base: Path) -> None:
    """Raise unless a full export would write the graph that the base has."""
    options = record.graph["the options of the export"]
    explanations = "explanations=True" in options
    now = graph_parts(model, transforms, record.table_dtype, explanations)
    differing = [part for part, text in now.items() if record.graph.get(part) != text]
    if differing:
        packages = "the packages"
        more = f" Packages: {now[packages]} here, {record.graph.get(packages)} there." if packages in differing else ""
        raise FullExportNeededError(
            f"The graph of the model is not that of {base}: they differ in {', '.join(differing)}.{more} Export a full "
            "version with `grouprank.serving.export`."
        )


Rows = tuple[np.ndarray, np.ndarray]


def _changed_rows(
    model: Any, values: np.ndarray, base: Path, record: ServedVariables, variable: ServedVariable
) -> Iterator[Rows]:
    """Numbers of rows that changed, and their values, some at a time."""
    old = read_variable(base, variable.key)
    old = old.reshape(1 if old.ndim < 2 else len(old), -1)
    if variable.places is not None:
        blocks = iter([values[variable.places].reshape(old.shape)])
    else:
        blocks = model.table_stacks[variable.table].served_rows(record.table_dtype)
    first = 0
    for block in blocks:
        before = old[first : first + len(block)]
        if block.shape != before.shape:
            raise FullExportNeededError(
                f"{variable.key} of {base} has the shape {old.shape}, and the model has other rows there. Export a "
                "full version with `grouprank.serving.export`."
            )
        new = block.astype(old.dtype, copy=False)
        words = _words(new)
        numbers = np.flatnonzero(words != _words(before)) // words.shape[1]
        numbers = numbers[np.diff(numbers, prepend=-1) > 0]  # they ascend, one for each word that changed
        if len(numbers):
            yield first + numbers, new[numbers]
        first += len(block)


def _words(rows: np.ndarray) -> np.ndarray:
    """The bytes of rows as integers, as few as possible."""
    size = rows.itemsize * rows.shape[1]
    return np.ascontiguousarray(rows).view(f"uint{8 * math.gcd(size, 8)}")


def _write_rows(path: Path, record: ServedVariables, changes: Mapping[str, list[Rows]]) -> None:
    frames = [pl.DataFrame(schema=ROWS_SCHEMA)]
    for number, variable in enumerate(record.variables):
        for rows, values in changes[variable.key]:
            width, data = values.itemsize * values.shape[1], values.tobytes()
            cells = [data[start : start + width] for start in range(0, len(data), width)]
            columns = {"variable": np.full(len(rows), number), "row": rows, "values": cells}
            frames.append(pl.DataFrame(columns, schema=ROWS_SCHEMA))
    # Trained values hardly become smaller, so that more effort takes time alone.
    pl.concat(frames).write_parquet(path, compression_level=1)


def _write_lines(path: Path, base: Path, transforms: TableTransforms | None) -> dict[str, tuple[int, int]]:
    """Write the lines that changed; returns their number and that of all lines, by file."""
    frames, found = [pl.DataFrame(schema=LINES_SCHEMA)], {}
    for name, transform in ({} if transforms is None else transforms.columns).items():
        lines = transform.graph_lines()
        if not lines:
            continue
        file = base / "assets" / f"{name}.txt"
        new, old = np.array(lines, object), np.array(read_lines(file), object)
        common = min(len(new), len(old))
        numbers = np.append(np.flatnonzero(new[:common] != old[:common]), np.arange(common, len(new)))
        columns = {"file": [file.name] * len(numbers), "line": numbers, "token": new[numbers].tolist()}
        frames.append(pl.DataFrame(columns, schema=LINES_SCHEMA))
        if len(numbers) or len(new) != len(old):
            found[file.name] = len(numbers), len(new)
    pl.concat(frames).write_parquet(path)
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
