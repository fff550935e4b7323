"""The contract of a kind of feature: its raw column before fitting, and the fitted transform."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import polars as pl

from ...schema import Feature
from ..transforms.growth import FeatureGrowth
from ..transforms.raw_values import Encoded

RawDtype = Literal["string", "int64", "float32"]
Problem = Callable[[np.ndarray, str], None]


class Summary(Protocol):
    """The sum of what chunks of training rows add; it can be pickled, so several machines may make parts."""

    def add(self, part: Any, /) -> None:
        """Add another part; how rows are parted, and the order of the parts, change nothing."""


class Profile(Protocol):
    """What `tabular --init` knows of a column's values when it drafts the arguments of its feature."""

    rows: int
    distinct: int
    is_text: bool

    @property
    def separator(self) -> str:
        """What stands between the pieces of most values, `""` where nothing does."""

    def pieces(self, separator: str, /) -> int:
        """How many pieces most values have."""

    def share_matching(self, pattern: str, /) -> float:
        """Share of the values that a regular expression matches; items of lists are joined by commas."""

    def magnitude(self, share: float, /) -> float | None:
        """The size that this share of the numbers does not exceed, signs left out; `None` for other values."""


class _Raw(abc.ABC):
    """What both halves of a kind have: its name in a YAML file, and what its raw column holds."""

    kind: ClassVar[str]
    dtype: RawDtype


@dataclasses.dataclass(frozen=True)
class Column(_Raw):
    """A raw column and the feature that is made of it: the first half of the contract of a kind of feature.

    A kind is one module of `datasets/kinds/` with two frozen dataclasses: a `Column` (what a user writes) and a
    `Transform` (what is fitted). It has a line in `datasets/kinds/__init__.py`, by which a table's YAML and
    `tabular --init` know it, and a case in `tests/datasets/test_kinds.py`, which holds every kind to this contract:

    1. `typed` reads the values of a user's file, and reports the rows that do not fit.
    2. `summarize` says what a chunk of training rows adds. Summaries are merged by `add`, and a fit to merged parts
       is the fit to all rows. A kind that learns nothing from rows leaves `empty` and `summarize` as they are.
    3. `fit` makes the `Transform` of a summary.
    4. `Transform.encode` makes the model's input of raw values, and `Transform.graph` makes the same of them in
       TensorFlow, bit for bit. `Transform.sample` draws raw values to compare the two on.
    5. A kind that later periods of rows change has `grows = True`. `Transform.summarize` and `Transform.extended` take
       a period in, `Transform.with_capacity` gives room, and `Transform.following` takes over what an owner has grown.
    6. `suits`, `draft` and `remark` say when `tabular --init` drafts a column as this kind, and what it writes then.

    The dataclass's fields are the arguments in YAML. `kind` is its name there, `dtype` what the raw column holds.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.

    Example:
    >>> from grouprank.datasets import NumericColumn
    >>> column = NumericColumn("age", "user", function="identity")
    >>> summary = column.empty()
    >>> for chunk in ([20.0, 30.0], [None, 40.0]):
    ...     summary.add(column.summarize(pl.Series(chunk)))
    >>> column.fit(summary).mean
    30.0
    """

    name: str
    side: str
    raw: str | None = None

    def __post_init__(self) -> None:
        self.feature(1)  # the schema's own checks of name and side
        if self.raw is not None and (not isinstance(self.raw, str) or not self.raw):
            raise ValueError(
                f"Column {self.name!r}: `raw` must name a raw column or be None. Received: raw={self.raw!r}."
            )

    @property
    def raw_name(self) -> str:
        """Name of the raw column this feature is made from."""
        return self.raw or self.name

    @property
    def owner(self) -> str | None:
        """Name of the column whose fit this one uses, `None` where it has its own."""
        return None

    def check_owner(self, owner: "Column") -> None:
        """Raise unless this column can use the fit of another.

        Args:
            owner: the column named by `owner`.
        """

    @abc.abstractmethod
    def feature(self, vocabulary_size: int) -> Feature:
        """The schema's feature, with the number of ids that fitting found (numbers do not use it)."""

    @abc.abstractmethod
    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values of a user's table as this column reads them: String without nulls, Int64, Float32 or lists.

        Args:
            values: strings as in a text file, or a Parquet file's own type; null where missing.
            problem: called with a mask of rows that do not fit, and what was expected of them.

        Raises:
            ValueError: if no value of this type could fit.
        """

    def features(self, vocabulary_size: int) -> tuple[Feature, ...]:
        """All features that the column makes: `feature` alone, unless a kind has more than one input of the model.

        Args:
            vocabulary_size: see `feature`.
        """
        return (self.feature(vocabulary_size),)

    def empty(self) -> Any:
        """The `Summary` of no rows, `None` where nothing is learnt from rows."""
        return None

    def summarize(self, values: pl.Series) -> Any:
        """What a chunk of training rows adds, for `Summary.add`. It changes nothing, so threads may share a column.

        Args:
            values: the raw column.
        """
        return None

    def thinned(self, summary: Any) -> Any:
        """The summary of all rows without what `fit` does not need, so that less is sent to where it is fitted.

        Args:
            summary: the rows' `Summary`, or one of its `pieces`.
        """
        return summary

    def lacks_numbers(self, summary: Any) -> bool:
        """Whether the rows had none of the numbers that the feature is made of; the user is then warned.

        Args:
            summary: the rows' `Summary`.
        """
        return False

    @abc.abstractmethod
    def fit(self, summary: Any, owner: Any = None, shared: bool = False) -> "Transform":
        """The transform fitted to the rows that were summarized.

        Args:
            summary: their `Summary`, or `None`.
            owner: the transform of the column named by `owner`. Defaults to `None`.
            shared: whether another column uses this one's fit, and so its ids. Defaults to `False`.
        """

    def transforms(self, summary: Any, owner: Any = None, shared: bool = False) -> "dict[str, Transform]":
        """The fitted transform of each of `features`.

        Args:
            summary: see `fit`.
            owner: see `fit`. Defaults to `None`.
            shared: see `fit`. Defaults to `False`.
        """
        return {self.name: self.fit(summary, owner, shared)}

    @classmethod
    def suits(cls, kind: str, profile: Profile) -> bool:
        """Whether `tabular --init` should draft a column as this kind instead of the one it would draft otherwise.

        Args:
            kind: the kind that is drafted otherwise.
            profile: what the column's values look like.
        """
        return False

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """Arguments that `tabular --init` writes for a column that looks like this, beside name, side and raw.

        Args:
            profile: what its values look like.
        """
        return {}

    @classmethod
    def remark(cls, profile: Profile) -> str:
        """A comment that `tabular --init` writes beside the arguments: why this kind, and what else could be chosen.

        Args:
            profile: what the column's values look like.
        """
        return ""


# Transforms hold arrays, which do not compare as one value.
@dataclasses.dataclass(frozen=True, eq=False)
class Transform(_Raw):
    """What is fitted of a raw column: the second half of the contract of a kind of feature (see `Column`).

    A transform is a frozen dataclass. `transforms.json` holds its fields, except for a field `tokens`, which is written
    as a text file with one token per line, and for fields that are polars frames, which are written as Parquet files.
    `raw` names the raw column.

    Class attributes:
        counts_unknown: whether `Encoded.replaced` counts tokens out of a vocabulary, which are watched in served
            rows (see `unknown`), instead of numbers that were imputed. Defaults to `False`.
        grows: whether later periods of rows change it (see `extended`). Defaults to `False`.
    """

    raw: str
    counts_unknown: ClassVar[bool] = False
    grows: ClassVar[bool] = False

    @property
    def vocabulary_size(self) -> int | None:
        """Number of ids, `None` where the feature is made of numbers."""
        return None

    @property
    def fingerprint(self) -> str | None:
        """Text that differs when the same id or number means something else (see `Schema.check_fitted`)."""
        return None

    @property
    def absent_id(self) -> int | None:
        """The id or weight in a row that has no raw value, `None` where a raw value says so itself, as NaN does."""
        return None

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of one row's raw value, for the serving signature."""
        return ()

    @abc.abstractmethod
    def encode(self, values: Any) -> Encoded:
        """The model's input of raw values (polars, NumPy or a list), and how many were replaced."""

    def __call__(self, values: Any) -> np.ndarray:
        """The model's input alone."""
        return self.encode(values).array

    def unknown(self, values: Any) -> pl.Series:
        """The tokens out of the vocabulary, as they stand in the raw column, each once; of `counts_unknown` kinds."""
        raise NotImplementedError(f"A {self.kind} feature has no vocabulary, so none of its tokens is unknown.")

    def summarize(self, values: Any) -> Any:
        """What a chunk of a later period's rows adds, a `Summary`; of kinds that grow.

        Args:
            values: the raw column.
        """
        raise NotImplementedError(self._does_not_grow)

    def extended(self, summary: Any) -> tuple["Transform", FeatureGrowth]:
        """The transform after a further period of rows, and what the period changed; of kinds that grow.

        An id keeps its meaning unless the growth says that it was handed on, and `vocabulary_size` stays as it is.

        Args:
            summary: the `Summary` of the period's rows.
        """
        raise NotImplementedError(self._does_not_grow)

    def with_capacity(self, capacity: int) -> "Transform":
        """The transform with room for more tokens; of kinds that grow.

        Args:
            capacity: number of tokens, at least as many as before.
        """
        raise NotImplementedError(self._does_not_grow)

    def following(self, owner: Any) -> "Transform":
        """The transform with the ids that an extended owner has now; of columns with an `owner`.

        Args:
            owner: the owner's transform.
        """
        return self

    @property
    def _does_not_grow(self) -> str:
        return f"A {self.kind} feature does not grow: later rows change nothing of it."

    def graph_table(self, path: Path) -> Any:
        """A lookup table of TensorFlow that `graph` needs, `None` for none.

        Args:
            path: the text file that the table is to be read from, which becomes part of the SavedModel.
        """
        return None

    def graph_lines(self) -> list[str] | None:
        """The lines of the text file that `graph_table` writes, `None` where it writes none."""
        return None

    def graph_constants(self) -> dict[str, Any]:
        """What `graph` depends on besides the lines of its table."""
        return self.to_entry()

    @abc.abstractmethod
    def graph(self, values: Any, table: Any) -> Any:
        """As `encode`, in TensorFlow.

        Args:
            values: a tensor of the raw column.
            table: what `graph_table` gave.
        """

    @abc.abstractmethod
    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Raw values to compare graph and transform on, with some that are missing or were never seen.

        Args:
            rows: number of rows.
            generator: source of randomness.
        """

    def is_readable(self, most: int) -> bool:
        """Whether `readable` can show the values to a person: each row has one, and few of them differ.

        Args:
            most: number of tokens that are few enough.
        """
        return False

    def readable(self, encoded: np.ndarray) -> pl.Series:
        """Encoded values as a reader knows them: tokens, or numbers in their own units.

        Raises:
            ValueError: where a row has no single value.
        """
        raise ValueError(f"Raw column {self.raw!r} is a {self.kind} feature and has no single value to show.")

    @property
    def frames(self) -> dict[str, pl.DataFrame]:
        """The fields that are polars frames."""
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in known.items() if isinstance(value, pl.DataFrame)}

    def to_entry(self) -> dict[str, Any]:
        """What `transforms.json` says of the transform, without its tokens and frames."""
        fields = {field.name: field for field in dataclasses.fields(self)}
        fields.pop("tokens", None)
        known = {name: getattr(self, name) for name in fields if name not in self.frames}
        said = {name: value for name, value in known.items() if value != fields[name].default}
        return {"kind": self.kind, "raw": self.raw, "dtype": self.dtype} | said

    @classmethod
    def from_entry(
        cls, entry: Mapping[str, Any], tokens: np.ndarray | None, frames: Mapping[str, pl.DataFrame]
    ) -> Self:
        """Inverse of `to_entry`.

        Args:
            entry: what `transforms.json` says.
            tokens: the tokens of its file, if it has one.
            frames: the frames of its files, by field.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        known = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items() if name in names}
        return cls(**known | dict(frames) | ({} if tokens is None else {"tokens": tokens}))


def check_count(owner: str, argument: str, value: object, minimum: int = 1) -> None:
    """Raise unless an argument of a column is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(
            f"{owner}: `{argument}` must be an integer of at least {minimum}. Received: {argument}={value!r}."
        )


def check_missing(owner: str, missing: object) -> None:
    """Raise unless spellings that mean missing are a tuple of strings."""
    if not isinstance(missing, tuple) or not all(isinstance(spelled, str) for spelled in missing):
        raise ValueError(f'{owner}: `missing` must be a tuple of strings, e.g. ("NA",). Received: missing={missing!r}.')


def mixed(values: np.ndarray, others: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Sampled values, a tenth of them replaced by others."""
    return np.where(generator.random(values.shape) < 0.1, generator.choice(others, values.shape), values)
