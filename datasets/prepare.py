"""From official files to encoded columns on disk, in two passes."""

import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..schema import Categorical, Sequence
from .column_file import ColumnWriter
from .dataset import SPLITS, Dataset
from .fingerprint import fingerprint_of
from .partial_folder import partial_folder
from .prepared_table import COLUMNS_FOLDER, REPORT_FILE, TRANSFORMS_FOLDER, PreparedTable
from .transforms.raw_values import Encoded
from .transforms.table_transforms import TableTransforms
from .transforms.transform_fitter import TransformFitter

Progress = Callable[[str, int, int | None], None]


def prepare(
    dataset: Dataset,
    destination: str | Path,
    chunk_rows: int = 100_000,
    max_bad_rows: int = 0,
    on_progress: Progress | None = None,
) -> PreparedTable:
    """Fit the transforms on the training rows, encode every split and write it as memory-mappable columns.

    The first pass counts vocabularies and moments, the second encodes. Memory is bounded by a chunk and the
    distinct tokens, not by the file. Everything is written into a hidden folder beside the destination that
    is renamed when complete, so a destination that exists is whole.

    A destination prepared from the same dataset, columns and files (by size and modification time) is
    opened as it is. One prepared from anything else is an error, never overwritten.

    Args:
        dataset: where the rows come from, e.g. `KuaiRandPure(folder)`.
        destination: folder to write.
        chunk_rows: rows read at a time. Defaults to 100,000.
        max_bad_rows: malformed rows that may be skipped. Defaults to 0.
        on_progress: called after each chunk with the stage (`"fit"`, then `"encode"`), the rows done so far and
            the rows in all (`None` while not known).

    Returns:
        The prepared table; its `report` has the rows of each split, the bad rows, the mean of each label,
        imputed values, the share of out-of-vocabulary tokens and the vocabulary sizes.

    Raises:
        ValueError: on malformed rows beyond the limit, a label outside [0, 1], a split without rows, or a
            destination that holds something else.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.KuaiRandPure("data/kuairand-pure"), "prepared/kuairand-pure")
    print(table.report["rows"])
    ```
    """
    destination = Path(destination)
    fingerprint = fingerprint_of(dataset)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        return _reuse(destination, fingerprint, max_bad_rows)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(destination) as partial:
        transforms, rows = _fit(dataset, chunk_rows, max_bad_rows, on_progress)
        transforms.save(partial / TRANSFORMS_FOLDER)
        report = {
            "fingerprint": fingerprint,
            "rows": rows,
            "bad_rows": int(getattr(dataset, "bad_rows", 0)),
            "vocabulary_sizes": _vocabulary_sizes(transforms),
            **_encode(dataset, transforms, rows, partial, chunk_rows, max_bad_rows, on_progress),
        }
        (partial / REPORT_FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        try:
            partial.rename(destination)
        except OSError:
            if not (destination / REPORT_FILE).is_file():
                raise
            return _reuse(destination, fingerprint, max_bad_rows)  # another process finished first
    return PreparedTable(destination)


def _fit(
    dataset: Dataset, chunk_rows: int, max_bad_rows: int, on_progress: Progress | None
) -> tuple[TableTransforms, dict[str, int]]:
    fitter = TransformFitter(dataset.columns, dataset.tasks)
    rows = dict.fromkeys(SPLITS, 0)
    for frame in dataset.chunks(chunk_rows, max_bad_rows):
        _check_chunk(dataset, frame, sum(rows.values()))
        for split, part in _by_split(frame):
            rows[split] += len(part)
            if split == "train":
                fitter.update(part)
        if on_progress:
            on_progress("fit", sum(rows.values()), None)
    empty = [split for split in SPLITS if not rows[split]]
    if empty:
        raise ValueError(
            f"{dataset.name}: every split needs rows. Received: {rows}; empty: {empty}. Use more of the data."
        )
    return fitter.finish(), rows


def _encode(
    dataset: Dataset,
    transforms: TableTransforms,
    rows: dict[str, int],
    folder: Path,
    chunk_rows: int,
    max_bad_rows: int,
    on_progress: Progress | None,
) -> dict[str, Any]:
    """Write the columns; returns the part of the report that only encoding knows."""
    replaced: dict[str, dict[str, list[int]]] = defaultdict(lambda: {split: [0, 0] for split in SPLITS})
    labels: dict[str, dict[str, list[float]]] = defaultdict(lambda: {split: [0.0, 0.0] for split in SPLITS})
    writers: dict[tuple[str, str], ColumnWriter] = {}
    done = 0
    with contextlib.ExitStack() as stack:

        def write(split: str, name: str, values: np.ndarray) -> None:
            if (split, name) not in writers:
                path = folder / COLUMNS_FOLDER / split / f"{name}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                shape = (rows[split], *values.shape[1:])
                writers[split, name] = stack.enter_context(ColumnWriter(path, values.dtype.str, shape))
            writers[split, name].append(values)

        for frame in dataset.chunks(chunk_rows, max_bad_rows):
            for split, part in _by_split(frame):
                for name, values in transforms.encode(part).items():
                    _count(replaced[name][split], values)
                    write(split, name, values.array)
                for task in dataset.tasks:
                    values_of_task = _floats(part[task.name])
                    labels[task.name][split][0] += float(np.nansum(values_of_task, dtype="float64"))
                    labels[task.name][split][1] += int(np.count_nonzero(~np.isnan(values_of_task)))
                    write(split, task.name, values_of_task)
                for name, dtype in dataset.extras.items():
                    write(split, name, _extra(part[name], dtype))
            done += len(frame)
            if on_progress:
                on_progress("encode", done, sum(rows.values()))
    vocabularies = _vocabulary_sizes(transforms)
    return {
        "label_means": {
            name: {split: total / count if count else None for split, (total, count) in splits.items()}
            for name, splits in labels.items()
        },
        "imputed": {
            name: {split: count for split, (count, _) in splits.items()}
            for name, splits in replaced.items()
            if name not in vocabularies
        },
        "oov_share": {
            name: {split: count / total if total else 0.0 for split, (count, total) in splits.items()}
            for name, splits in replaced.items()
            if name in vocabularies
        },
    }


def _vocabulary_sizes(transforms: TableTransforms) -> dict[str, int]:
    """Vocabulary size of each feature that has one."""
    return {
        feature.name: feature.vocabulary_size
        for feature in transforms.schema.features
        if isinstance(feature, Categorical | Sequence)
    }


def _count(counts: list[int], values: Encoded) -> None:
    counts[0] += values.replaced
    counts[1] += values.total


def _floats(series: pl.Series) -> np.ndarray:
    return series.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _extra(series: pl.Series, dtype: str) -> np.ndarray:
    if series.null_count() and np.dtype(dtype).kind != "f":
        raise ValueError(
            f"Extra column {series.name!r}: a {dtype} column cannot hold missing values. Declare it as a float."
        )
    if series.dtype.base_type() in (pl.List, pl.Array):
        return np.stack(series.to_list()).astype(dtype)
    return (_floats(series) if series.null_count() else series.to_numpy()).astype(dtype)


def _by_split(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for split in SPLITS:
        part = frame.filter(pl.col("split") == split)
        if len(part):
            yield split, part


def _check_chunk(dataset: Dataset, frame: pl.DataFrame, first_row: int) -> None:
    names = [*(c.raw_name for c in dataset.columns), *(t.name for t in dataset.tasks), *dataset.extras, "split"]
    absent = sorted(set(names) - set(frame.columns))
    if absent:
        raise ValueError(f"{dataset.name}: its chunks lack the columns {absent}. Received: {frame.columns}.")
    unknown = frame.filter(~pl.col("split").is_in(SPLITS) | pl.col("split").is_null())
    if len(unknown):
        raise ValueError(f"{dataset.name}: `split` must be one of {SPLITS}. Received: {unknown['split'][0]!r}.")
    for task in dataset.tasks:
        values = _floats(frame[task.name])
        wrong = np.flatnonzero((values < 0) | (values > 1))
        if wrong.size:
            raise ValueError(
                f"{dataset.name}: task {task.name!r}, row {first_row + int(wrong[0])}: a label must lie in [0, 1] "
                f"(missing where unobserved). Received: {values[wrong[0]]:g}. Scale or clip the column."
            )


def _reuse(destination: Path, fingerprint: dict[str, Any], max_bad_rows: int) -> PreparedTable:
    if not (destination / REPORT_FILE).is_file():
        raise ValueError(f"{destination} exists and is not a prepared table. Choose another destination, or empty it.")
    table = PreparedTable(destination)
    found = table.report["fingerprint"]
    changed = [key for key in fingerprint if fingerprint[key] != found.get(key)]
    if changed or not (fingerprint["files"] or fingerprint["settings"]):
        reason = f"they differ in {changed}" if changed else "the dataset states no files or settings to compare"
        raise ValueError(
            f"{destination} holds a table prepared from {found['dataset']!r} that cannot be taken for this one: "
            f"{reason}. Delete the folder to prepare again, or choose another destination."
        )
    if table.report["bad_rows"] > max_bad_rows:
        raise ValueError(
            f"{destination} was prepared with {table.report['bad_rows']} bad rows skipped, now {max_bad_rows} may be. "
            "Allow them with --max-bad-rows (`max_bad_rows=` in Python), or delete the folder and mend the files."
        )
    return table
