"""What a log looked like, small enough to be kept beside a model."""

import dataclasses
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..polars_frame import polars_frame
from ..statistics import user_buckets
from .column_profile import ColumnProfile, can_profile
from .score_profile import BUCKETS, ScoreProfile

# As `Segmentation.code_columns` names the codes of a placement.
_CODES = re.compile(r".+:[0-9]+")
_VERSION = 1


@dataclasses.dataclass
class LogProfile:
    """Counts by bin of each column, learned group level and score of a log.

    Make one of the rows that a model was trained or exported on (`LogProfile.fit`), and compare the logs of later days
    with it (`gr.reports.drift`). The first frame fixes the bins, and later frames are counted in them: numbers with a
    fraction in the deciles of the first frame; strings, integers and booleans by token, with a bin for each of the 50
    most frequent tokens and one for all others; lists by the values in them; group codes with a bin for each code.
    Missing values have a bin of their own. Profiles of the same bins add up, and a profile is a small JSON file.

    Args:
        columns: bins and counts by raw column.
        groups: bins and counts by column of codes, such as `user:1`. Defaults to none.
        scores: bins and counts by task. Defaults to none.
        score_columns: the column of scores by task. Defaults to none.
        user: column of users, for the intervals of calibration. `None` takes rows as independent. Defaults to `None`.
        rows: number of rows counted. Defaults to 0.

    Example:

    >>> profile = LogProfile.fit({"os": ["ios", "web", "web"], "bid": [0.5, 1.5, float("nan")]})
    >>> profile.update({"os": ["ios"], "bid": [9.0]}).rows
    4
    >>> profile.columns["os"].labels, profile.columns["os"].counts.tolist()
    (['(missing)', 'web', 'ios', '(others)'], [0, 2, 2, 0])
    """

    columns: dict[str, ColumnProfile]
    groups: dict[str, ColumnProfile] = dataclasses.field(default_factory=dict)
    scores: dict[str, ScoreProfile] = dataclasses.field(default_factory=dict)
    score_columns: dict[str, str] = dataclasses.field(default_factory=dict)
    user: str | None = None
    rows: int = 0

    @classmethod
    def fit(
        cls,
        frame: Any,
        scores: Mapping[str, str] | None = None,
        columns: Collection[str] | None = None,
        groups: Collection[str] | None = None,
        numbers: Collection[str] = (),
        vocabularies: Mapping[str, Iterable[Any]] | None = None,
        user: str | None = None,
    ) -> "LogProfile":
        """A profile whose bins a frame fixes, with the rows of the frame counted.

        Times and records are left out. An integer that is a quantity, such as an age in days, belongs into `numbers`.

        Args:
            frame: a polars or pandas frame, or arrays by column.
            scores: `{task: column of its scores}`. Labels are in the column that is named like the task, where there
                is one, and null or NaN where they have not arrived. Defaults to none.
            columns: names of the raw columns. `None` takes all that are no scores, labels or codes. Defaults to `None`.
            groups: columns of codes. `None` takes all integers that are named like `user:1`. Defaults to `None`.
            numbers: integer columns to cut at deciles. Defaults to `()`.
            vocabularies: `{column: tokens that the model knows}`, to count those that it does not. They are not kept.
                Defaults to none.
            user: column of users, for the intervals of calibration. `None` takes rows as independent. Defaults to
                `None`.

        Raises:
            ValueError: on a frame without rows, a missing column, or one of a type that has no bins.
        """
        frame, score_columns = polars_frame(frame), dict(scores or {})
        if not len(frame):
            raise ValueError("The frame that fixes the bins must have rows. Received none.")
        types = frame.schema
        if groups is None:
            groups = [name for name, of in types.items() if _CODES.fullmatch(name) and of.is_integer()]
            groups = [name for name in groups if name not in score_columns.values()]
        apart = {*score_columns.values(), *score_columns, *groups}
        if columns is None:
            columns = [name for name, of in types.items() if name not in apart and can_profile(of)]
        wanted = [*columns, *groups, *score_columns.values(), *numbers, *([] if user is None else [user])]
        if lacking := [name for name in wanted if name not in types]:
            raise ValueError(f"The frame has no columns {lacking}. It has: {frame.columns}.")
        if wrong := {name: str(types[name]) for name in wanted if not can_profile(types[name])}:
            raise ValueError(f"Columns must hold numbers, strings, booleans or lists of them. Received: {wrong}.")
        found = cls(
            {name: ColumnProfile.fit(frame[name], name in numbers) for name in columns},
            {name: ColumnProfile.fit(frame[name], most=None) for name in groups},
            {task: ScoreProfile(ColumnProfile.fit(frame[name], numbers=True)) for task, name in score_columns.items()},
            score_columns,
            user,
        )
        return found.update(frame, vocabularies)

    def update(self, frame: Any, vocabularies: Mapping[str, Iterable[Any]] | None = None) -> "LogProfile":
        """Count more rows in the bins that are there, and return the profile.

        A raw column that the frame lacks counts as missing in each row. Codes, scores and labels may be absent.

        Args:
            frame: of the same columns.
            vocabularies: as in `fit`. Defaults to none.

        Raises:
            ValueError: on vocabularies of columns that are not watched.
        """
        frame = polars_frame(frame)
        known = {name: pl.Series([str(token) for token in tokens]) for name, tokens in (vocabularies or {}).items()}
        if strange := sorted(set(known) - set(self.columns)):
            raise ValueError(f"`vocabularies` must be of raw columns: {list(self.columns)}. Received: {strange}.")
        for name, column in self.columns.items():
            there = frame[name] if name in frame.columns else pl.Series([None] * len(frame), dtype=pl.Null)
            column.add(there, known.get(name))
        for name, column in self.groups.items():
            if name in frame.columns:
                column.add(frame[name])
        buckets = self._buckets(frame)
        for task, score in self.scores.items():
            if self.score_columns[task] in frame.columns:
                labels = frame[task] if task in frame.columns else None
                score.add(frame[self.score_columns[task]], labels, buckets)
        self.rows += len(frame)
        return self

    def _buckets(self, frame: pl.DataFrame) -> np.ndarray:
        if self.user is not None and self.user in frame.columns:
            return user_buckets(frame[self.user], BUCKETS)
        return (self.rows + np.arange(len(frame))) % BUCKETS

    def count(self, log: Any, vocabularies: Mapping[str, Iterable[Any]] | None = None) -> "LogProfile":
        """A profile of another log in the bins of this one.

        Args:
            log: a frame, or an iterable of frames.
            vocabularies: as in `fit`. Defaults to none.

        Example:

        >>> reference = LogProfile.fit({"os": ["ios", "web"]})
        >>> reference.count([{"os": ["ios"]}, {"os": ["car"]}]).columns["os"].counts.tolist()
        [0, 1, 0, 1]
        """
        found = LogProfile(
            {name: column.empty() for name, column in self.columns.items()},
            {name: column.empty() for name, column in self.groups.items()},
            {task: score.empty() for task, score in self.scores.items()},
            self.score_columns,
            self.user,
        )
        alone = isinstance(log, pl.DataFrame | Mapping) or hasattr(log, "columns")
        for frame in [log] if alone else log:
            found.update(frame, vocabularies)
        return found

    def merge(self, other: "LogProfile") -> "LogProfile":
        """Add another profile of the same bins to this one, and return it.

        Args:
            other: made by `count`, on another machine for example.

        Raises:
            ValueError: on other columns or bins.
        """
        self.check_same_bins(other)
        for name, column in self.columns.items():
            column.merge(other.columns[name])
        for name, group in self.groups.items():
            group.merge(other.groups[name])
        for task, score in self.scores.items():
            score.merge(other.scores[task])
        self.rows += other.rows
        return self

    @property
    def parts(self) -> dict[tuple[str, str], ColumnProfile]:
        """All counts by what they are of: `("column" | "group" | "score", name)`."""
        found = {("column", name): column for name, column in self.columns.items()}
        found |= {("group", name): column for name, column in self.groups.items()}
        return found | {("score", task): score.histogram for task, score in self.scores.items()}

    def check_same_bins(self, other: "LogProfile") -> None:
        """Raise a ValueError unless another profile counts the same columns in the same bins."""
        own, others = ({name: part.bins for name, part in side.parts.items()} for side in (self, other))
        if wrong := sorted({name for _, name in own.keys() ^ others.keys()}):
            raise ValueError(f"Both profiles must be of the same columns. Only one of them has: {wrong}.")
        if wrong := sorted(name for (kind, name), bins in own.items() if others[kind, name] != bins):
            raise ValueError(
                f"Both profiles must have the same bins. They differ in: {wrong}. Count the later log with "
                "`reference.count(log)`."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        return {
            "version": _VERSION,
            "rows": self.rows,
            "user": self.user,
            "score_columns": self.score_columns,
            "columns": {name: column.to_dict() for name, column in self.columns.items()},
            "groups": {name: column.to_dict() for name, column in self.groups.items()},
            "scores": {task: score.to_dict() for task, score in self.scores.items()},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "LogProfile":
        """What `to_dict` gave.

        Args:
            plain: read from JSON.

        Raises:
            ValueError: on something else.
        """
        if not isinstance(plain, Mapping) or plain.get("version") != _VERSION:
            raise ValueError(f"This is not a profile of version {_VERSION}, as `LogProfile.to_dict` gives.")
        try:
            return cls(
                {name: ColumnProfile.from_dict(one) for name, one in plain["columns"].items()},
                {name: ColumnProfile.from_dict(one) for name, one in plain["groups"].items()},
                {task: ScoreProfile.from_dict(one) for task, one in plain["scores"].items()},
                dict(plain["score_columns"]),
                plain["user"],
                plain["rows"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"The profile is damaged: {type(error).__name__}: {error}.") from error

    def save(self, path: str | Path) -> Path:
        """Write the profile as JSON, and return the path; an older file stays until the new one is complete.

        Args:
            path: the file.
        """
        path = Path(path)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(self.to_dict(), ensure_ascii=False), encoding="utf-8")
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "LogProfile":
        """Read what `save` wrote.

        Args:
            path: the file.

        Raises:
            ValueError: on a file that is no profile.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
