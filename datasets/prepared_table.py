"""A table on disk, encoded and split, with the transforms that encoded it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..schema import Schema
from .batch_loader import BatchLoader
from .dataset import SPLITS
from .fingerprint import FORMAT
from .parted_column import PartedColumn
from .remote_files import local_path
from .split_file import open_split, part_folder, split_path
from .transforms.table_transforms import TableTransforms

REPORT_FILE = "report.json"
COLUMNS_FOLDER = "columns"
TRANSFORMS_FOLDER = "transforms"


class PreparedTable:
    """A table that `prepare` wrote: encoded columns of each split, memory-mapped, and the fitted transforms.

    An engine such as Spark writes the rows in parts, `columns/part-00000/` and so on, which `report.json` lists. Such a
    table is read like any other; its columns are a `PartedColumn` instead of an array.

    Args:
        folder: folder that `prepare` wrote, or its address in another store, such as `s3://bucket/prepared`. The files
            of another store are fetched once into a folder of this machine (see `prepare`).

    Raises:
        ValueError: if the folder is not a prepared table, or a file is missing or truncated. The error names the file.
        OSError: if a file could not be opened, e.g. because too many are open.

    Example:
    ```python
    table = gr.datasets.PreparedTable("prepared/kuairand-pure")
    model.fit(
        table.batches("train", shuffle=True), shuffle=False, validation_data=table.batches("validation"), epochs=2
    )
    ```
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = local_path(folder)
        report = self.folder / REPORT_FILE
        if not report.is_file():
            raise ValueError(
                f"{self.folder} is not a prepared table: {report} does not exist. Write it with prepare()."
            )
        try:
            self.report: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{report} is damaged ({error}). Delete the folder and prepare the data again.") from error
        found = self.report["fingerprint"]["format"]
        if found != FORMAT:
            raise ValueError(
                f"{self.folder} was prepared by another version of grouprank (format {found}; this one reads {FORMAT})."
                " Prepare the data again into another folder, or read this one with the version that wrote it."
            )
        transforms = TableTransforms.load(self.folder / TRANSFORMS_FOLDER)
        # Folders of earlier versions have the shares in their report alone.
        self.transforms = transforms if transforms.oov_share else with_oov_share(transforms, self.report)
        self.extras: list[str] = list(self.report["fingerprint"]["extras"])
        names = [*self.schema.feature_names, *self.schema.task_names, *self.extras]
        self._columns = {split: self._open(split, names) for split in SPLITS}

    def _open(self, split: str, names: Sequence[str]) -> dict[str, np.ndarray | PartedColumn]:
        columns = self.folder / COLUMNS_FOLDER
        parts: list[dict[str, int]] | None = self.report.get("parts")
        if parts is None:
            return dict(open_split(split_path(columns, split), names, self.rows(split)))
        found = [
            open_split(split_path(part_folder(columns, number), split), names, rows[split])
            for number, rows in enumerate(parts)
            if rows[split]
        ]
        if len(found) == 1:
            return dict(found[0])
        return {name: PartedColumn([part[name] for part in found]) for name in names}

    @property
    def schema(self) -> Schema:
        """The fitted schema."""
        return self.transforms.schema

    def rows(self, split: str) -> int:
        """Number of rows of a split."""
        if split not in SPLITS:
            raise ValueError(f"`split` must be one of {SPLITS}. Received: {split!r}.")
        return int(self.report["rows"][split])

    def column(self, split: str, name: str) -> np.ndarray | PartedColumn:
        """A feature, task or extra as a read-only memory-mapped array, NaN where a label is unobserved.

        Where its rows lie in several files, it is a `PartedColumn`, which `np.asarray` makes an array.
        """
        self.rows(split)
        if name not in self._columns[split]:
            raise ValueError(f"The table has no column {name!r}. Its columns: {list(self._columns[split])}.")
        return self._columns[split][name]

    def batches(
        self,
        split: str,
        batch_size: int = 4096,
        shuffle: bool = False,
        seed: int = 0,
        targets: Sequence[str] | Mapping[str, np.ndarray] | None = None,
        sample_weight: str | np.ndarray | None = None,
        rows: slice | None = None,
        read_ahead: int = 1,
        check: bool = True,
        *,
        negative_rate: float | Mapping[str, float] | None = None,
        recalibrate: str | None = "loss",
        rank: int = 0,
        world_size: int = 1,
        remainder: str | None = None,
    ) -> BatchLoader:
        """Batches of a split for `fit`, `evaluate` and `predict`.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            batch_size: rows per batch. Defaults to 4096.
            shuffle: whether to shuffle in blocks (see `BatchLoader`). Defaults to `False`.
            seed: seed of the shuffle. Defaults to 0.
            targets: more columns for `y`, such as a teacher's pseudo-labels: names of extras, or a dict from
                name to an array with a value for every row of the split.
            sample_weight: weights, as the name of an extra or an array, or `None`.
            rows: the part of the split to serve, e.g. its first half in time, or `None` for all.
            read_ahead: batches made on a thread while the model trains (see `BatchLoader`). Defaults to 1.
            check: whether each batch is compared with the schema (see `BatchLoader`). Defaults to `True`.
            negative_rate: the share of the negatives that an epoch has (see `BatchLoader`). Defaults to `None`.
            recalibrate: what makes up for those left out (see `BatchLoader`). Defaults to `"loss"`.
            rank: number of this process among those that share the batches (see `BatchLoader`). Defaults to `0`.
            world_size: number of these processes. Defaults to `1`.
            remainder: what becomes of a last round of too few rows (see `BatchLoader`). Defaults to `None`.

        Raises:
            ValueError: on an unknown split or extra, a name already taken, or a wrong number of rows.
        """
        x = {name: self.column(split, name) for name in self.schema.feature_names}
        y: dict[str, Any] = {name: self.column(split, name) for name in self.schema.task_names}
        more = targets if isinstance(targets, Mapping) else {name: self._extra(split, name) for name in targets or ()}
        taken = sorted(set(more) & {*x, *y})
        if taken:
            raise ValueError(f"`targets` may not repeat a feature or task. Received: {taken}. Rename the target.")
        weight = self._extra(split, sample_weight) if isinstance(sample_weight, str) else sample_weight
        for name, values in {**more, **({} if weight is None else {"sample_weight": weight})}.items():
            if len(values) != self.rows(split):
                raise ValueError(
                    f"{name!r} needs a value for each of the {self.rows(split)} {split} rows. Received: {len(values)}."
                )
        part = slice(None) if rows is None else rows
        features = {name: values[part] for name, values in x.items()}
        targets = {name: values[part] for name, values in {**y, **more}.items()}
        weight = None if weight is None else weight[part]
        return BatchLoader(
            features,
            targets,
            batch_size,
            shuffle,
            seed,
            sample_weight=weight,
            read_ahead=read_ahead,
            check=check,
            schema=self.schema,
            negative_rate=negative_rate,
            recalibrate=recalibrate,
            rank=rank,
            world_size=world_size,
            remainder=remainder,
        )

    def _extra(self, split: str, name: str) -> np.ndarray | PartedColumn:
        if name not in self.extras:
            raise ValueError(f"The table has no extra column {name!r}. Its extras: {self.extras}.")
        return self.column(split, name)


def with_oov_share(transforms: TableTransforms, report: Mapping[str, Any]) -> TableTransforms:
    """The transforms with the training rows' shares of unknown tokens, which the report of `prepare` has."""
    shares = {name: splits["train"] for name, splits in report["oov_share"].items()}
    return TableTransforms(transforms.schema, transforms.columns, shares, transforms.leaves)
