"""What the reports need to know of predictions, as sums."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..polars_frame import polars_frame
from ..segmentation import Segmentation
from .logit_histogram import FIELDS, LogitHistogram, logit_bins, logits_of
from .prediction_columns import PredictionColumns, cross_entropy
from .user_buckets import user_buckets

ALL_ROWS = "all rows"
MAX_SEGMENTS = 20_000

_KEYS = {
    "buckets": ("segmentation", "segment", "task", "bucket"),
    "seeds": ("segmentation", "segment", "task", "seed"),
    "bins": ("segmentation", "segment", "task", "model", "bin"),
}


class PredictionSums:
    """Adds up predictions of several models by segment, task, bucket of users and seed.

    Sums of parts are the sum of the whole: predictions larger than memory are added
    chunk by chunk, workers each add their own, and `merge` puts them together.
    Every report is made of these sums alone.

    A chunk is a frame of polars or pandas. It has one column per task (the label, NaN or null where unobserved), one
    column `MODEL:TASK` per prediction (a probability), the users' ids and the columns of the segmentations. Each seed
    adds the same rows, predicted by models of that seed.

    Args:
        tasks: names of the tasks.
        models: names of the models, the baseline first.
        user: column of user ids; intervals take users as independent, not rows.
        segmentations: how to cut the rows, apart from "all rows". Defaults to `()`.
        weight: column of weights. Defaults to `None`.
        buckets: number of buckets that users are hashed into. Defaults to `200`.

    Example:

    >>> sums = PredictionSums(["click"], ["baseline", "ours"], user="user_id", segmentations=[Segmentation("tab")])
    >>> sums.update(
    ...     pl.DataFrame(
    ...         {
    ...             "user_id": [1, 2, 3],
    ...             "tab": ["a", "b", "a"],
    ...             "click": [0.0, 1.0, 1.0],
    ...             "baseline:click": [0.2, 0.5, 0.6],
    ...             "ours:click": [0.1, 0.5, 0.7],
    ...         }
    ...     )
    ... )
    >>> sums.segments("tab"), sums.rows("click", "tab", "tab=a")
    (['tab=a', 'tab=b'], 2)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        models: Sequence[str],
        user: str,
        segmentations: Iterable[Segmentation] = (),
        weight: str | None = None,
        buckets: int = 200,
    ) -> None:
        self.tasks, self.models, self.user, self.weight, self.buckets = list(tasks), list(models), user, weight, buckets
        self.segmentations = list(segmentations)
        names = [ALL_ROWS, *(s.name for s in self.segmentations)]
        if not self.tasks or not self.models or len(set(names)) < len(names) or buckets < 2:
            raise ValueError(
                "Expected at least one task and one model, segmentations of different names, and 2 buckets or more. "
                f"Received: tasks={self.tasks}, models={self.models}, segmentations={names[1:]}, buckets={buckets}."
            )
        self._sums: dict[str, pl.DataFrame] = {}
        self._parts: dict[str, Any] = {}
        # Reports ask for each segment; `None` until they do.
        self._checked_seeds: list[int] | None = None

    @property
    def _fields(self) -> list[str]:
        return ["rows", "weight", "labels", *(f"{kind}:{m}" for m in self.models for kind in ("p", "ce"))]

    def update(self, frame: Any, seed: int = 0) -> None:
        """Add the predictions of some rows by the models of one seed.

        Args:
            frame: a polars or pandas frame, or arrays by column.
            seed: whose models predicted. Defaults to `0`.

        Raises:
            ValueError: on a missing column, or a label, probability or weight out of range.
        """
        frame = polars_frame(frame, self._columns)
        rows, histograms = self._row_sums(frame)
        parts: dict[str, list[pl.DataFrame]] = {name: [] for name in _KEYS}
        for segmentation in [None, *self.segmentations]:
            name = ALL_ROWS if segmentation is None else str(segmentation.name)
            label = pl.lit(ALL_ROWS) if segmentation is None else segmentation.labels(frame)
            cut = rows.with_columns(segment=label)
            for task in self.tasks:
                chosen = [pl.col(f"{field}@{task}").sum().alias(field) for field in self._fields]
                keys = {"segmentation": pl.lit(name), "task": pl.lit(task)}
                by_bucket = cut.group_by("segment", "bucket").agg(chosen).filter(pl.col("rows") > 0)
                by_bucket = by_bucket.with_columns(**keys)
                by_seed = by_bucket.group_by("segmentation", "segment", "task").agg(pl.col(self._fields).sum())
                parts["buckets"].append(by_bucket)
                parts["seeds"].append(by_seed.with_columns(seed=pl.lit(seed, pl.Int64)))
                for model in self.models:
                    counted = histograms[task, model].with_columns(segment=cut["segment"]).drop_nulls("bin")
                    binned = counted.group_by("segment", "bin").agg(pl.col(FIELDS).sum())
                    parts["bins"].append(binned.with_columns(model=pl.lit(model), **keys))
        for name, frames in parts.items():
            self._add(name, frames)

    @property
    def _columns(self) -> list[str]:
        """What a frame must hold."""
        predictions = [f"{model}:{task}" for model in self.models for task in self.tasks]
        cuts = [column for segmentation in self.segmentations for column in segmentation.columns]
        return [self.user, *([] if self.weight is None else [self.weight]), *self.tasks, *predictions, *cuts]

    def _row_sums(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[tuple[str, str], pl.DataFrame]]:
        """Per row what is to be summed, and each prediction's bin."""
        if self.user not in frame.columns:
            raise ValueError(f"The column of users {self.user!r} is missing. Received: {frame.columns}.")
        given = PredictionColumns(frame, self.weight)
        columns: dict[str, Any] = {"bucket": user_buckets(frame[self.user], self.buckets)}
        histograms = {}
        for task in self.tasks:
            y, seen = given.labels(task)
            y, w = np.where(seen, y, 0.0), np.where(seen, given.weight, 0.0)
            columns |= {f"rows@{task}": seen.astype("int64"), f"weight@{task}": w, f"labels@{task}": w * y}
            for model in self.models:
                p = np.where(seen, given.probabilities(model, task, seen), 0.5)
                z = logits_of(p)
                columns |= {f"p:{model}@{task}": w * p, f"ce:{model}@{task}": w * cross_entropy(y, p)}
                fields = dict(zip(FIELDS, (w, w * y, w * p, w * z, w * z**2), strict=True))
                bins = pl.Series("bin", logit_bins(p)).set(~pl.Series(seen), None)
                histograms[task, model] = pl.DataFrame({"bin": bins, **fields})
        return pl.DataFrame(columns), histograms

    def _add(self, name: str, frames: list[pl.DataFrame]) -> None:
        keys = list(_KEYS[name])
        fields = list(FIELDS) if name == "bins" else self._fields
        known = [self._sums[name]] if name in self._sums else []
        together = pl.concat([*known, *(frame.select(keys + fields) for frame in frames)], how="vertical_relaxed")
        self._sums[name] = together.group_by(keys).agg(pl.col(fields).sum()).sort(keys)
        self._parts.pop(name, None)
        self._checked_seeds = None
        if name == "seeds" and (found := self._sums[name].select("segmentation", "segment").n_unique()) > MAX_SEGMENTS:
            counts = self._sums[name].group_by("segmentation").agg(pl.col("segment").n_unique())
            worst = counts.sort("segment", descending=True).row(0)
            raise ValueError(
                f"{found} segments are more than {MAX_SEGMENTS}: {worst[1]} of them come from the segmentation "
                f"{worst[0]!r}. Cut it by fewer columns, fewer code levels, or numeric columns at edges."
            )

    def merge(self, other: "PredictionSums") -> "PredictionSums":
        """Add what another worker has summed, and return itself."""
        for mine, theirs, what in (
            (self.tasks, other.tasks, "tasks"),
            (self.models, other.models, "models"),
            (self.segmentations, other.segmentations, "segmentations"),
            (self.buckets, other.buckets, "buckets"),
        ):
            if mine != theirs:
                raise ValueError(f"Sums of other {what} cannot be added. This: {mine}. Other: {theirs}.")
        for name, frame in other._sums.items():
            self._add(name, [frame])
        return self

    def save(self, folder: str | Path) -> None:
        """Write the sums to a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self._sums.items():
            frame.write_parquet(folder / f"{name}.parquet")
        arguments = {name: getattr(self, name) for name in ("tasks", "models", "user", "weight", "buckets")}
        cuts = [{"columns": s.columns, "edges": s.edges, "name": s.name} for s in self.segmentations]
        (folder / "sums.json").write_text(json.dumps({**arguments, "segmentations": cuts}), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "PredictionSums":
        """Inverse of `save`."""
        folder = Path(folder)
        arguments = json.loads((folder / "sums.json").read_text(encoding="utf-8"))
        arguments["segmentations"] = [Segmentation(**cut) for cut in arguments["segmentations"]]
        sums = cls(**arguments)
        sums._sums = {name: pl.read_parquet(folder / f"{name}.parquet") for name in _KEYS}
        return sums

    @property
    def seeds(self) -> list[int]:
        """Seeds added so far; each must have added the same rows.

        Raises:
            ValueError: when the seeds have different numbers of rows or labels, or nothing was added.
        """
        if not self._sums:
            raise ValueError("No predictions were added yet. Call `update` first.")
        if self._checked_seeds is None:
            self._checked_seeds = self._check_seeds()
        return list(self._checked_seeds)

    def _check_seeds(self) -> list[int]:
        whole = self._sums["seeds"].filter(pl.col("segmentation") == ALL_ROWS)
        for task in self.tasks:
            of_task = whole.filter(pl.col("task") == task)
            rows, labels = of_task["rows"].to_numpy(), of_task["labels"].to_numpy()
            if np.ptp(rows) == 0 and np.ptp(labels) <= 1e-6 * labels.max():
                continue
            raise ValueError(
                "Every seed must add the same rows with the same labels. Received: "
                f"{of_task.select('task', 'seed', 'rows', 'labels').rows()}."
            )
        return sorted(whole["seed"].unique().to_list())

    def segments(self, segmentation: str = ALL_ROWS) -> list[str]:
        """Names of a segmentation's segments."""
        known = self._sums["seeds"].filter(pl.col("segmentation") == segmentation)
        return sorted(known["segment"].unique().to_list())

    def rows(self, task: str, segmentation: str = ALL_ROWS, segment: str = ALL_ROWS) -> int:
        """Rows with a label of the task, in one seed."""
        return int(self._of("seeds", task, segmentation, segment)["rows"].sum()) // len(self.seeds)

    def by_bucket(self, task: str, segmentation: str = ALL_ROWS, segment: str = ALL_ROWS) -> Mapping[str, np.ndarray]:
        """Sums of all seeds by bucket of users with rows: `weight`, `labels`, and `p:MODEL` and `ce:MODEL`."""
        frame = self._of("buckets", task, segmentation, segment)
        return {field: frame[field].to_numpy() for field in self._fields}

    def by_seed(self, task: str, segmentation: str = ALL_ROWS, segment: str = ALL_ROWS) -> Mapping[str, np.ndarray]:
        """The same sums of all users by seed."""
        frame = self._of("seeds", task, segmentation, segment)
        return {field: frame[field].to_numpy() for field in self._fields}

    def histogram(self, model: str, task: str, segmentation: str = ALL_ROWS, segment: str = ALL_ROWS) -> LogitHistogram:
        """Sums of all seeds and users by bin of a model's logit."""
        frame = self._of("bins", task, segmentation, segment).filter(pl.col("model") == model).sort("bin")
        return LogitHistogram(frame.select(FIELDS).to_numpy())

    def _of(self, name: str, task: str, segmentation: str, segment: str) -> pl.DataFrame:
        if name not in self._parts:
            keys = ["segmentation", "segment", "task"]
            self._parts[name] = self._sums[name].partition_by(keys, as_dict=True)
        return self._parts[name].get((segmentation, segment, task), self._sums[name].clear())
