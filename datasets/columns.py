"""Column specs: how each feature is made from a raw column, before anything is fitted."""

import dataclasses
from typing import ClassVar, Literal

from ..schema import Categorical, Feature, Numeric, Sequence, Vector

FUNCTIONS = ("log1p", "identity")
CATEGORICAL_DTYPES = ("string", "int64")

Function = Literal["log1p", "identity"]
RawDtype = Literal["string", "int64", "float32"]


def _check_count(owner: str, argument: str, value: object, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(
            f"{owner}: `{argument}` must be an integer of at least {minimum}. Received: {argument}={value!r}."
        )


def _check_missing(owner: str, missing: object) -> None:
    if not isinstance(missing, tuple) or not all(isinstance(spelled, str) for spelled in missing):
        raise ValueError(f'{owner}: `missing` must be a tuple of strings, e.g. ("NA",). Received: missing={missing!r}.')


@dataclasses.dataclass(frozen=True)
class _Column:
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

    def feature(self, vocabulary_size: int) -> Feature:
        raise NotImplementedError(f"{type(self).__name__} must implement `feature`.")


@dataclasses.dataclass(frozen=True)
class NumericColumn(_Column):
    """A number, standardised after an optional signed logarithm.

    `log1p` means sign(x)·log(1 + |x|): right for counts, amounts and durations, whose tails would
    otherwise rule the mean. Missing, NaN and infinite values become the training mean, i.e. 0.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        function: `"log1p"` or `"identity"`. Defaults to `"log1p"`.
        missing: spellings that mean missing. One that is a number, such as `"-1"`, stands for all its spellings.
            Defaults to `()`.

    Example:
    >>> NumericColumn("register_days", "user").raw_name
    'register_days'
    """

    function: Function = "log1p"
    missing: tuple[str, ...] = ()
    dtype: ClassVar[RawDtype] = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function not in FUNCTIONS:
            raise ValueError(
                f"Column {self.name!r}: `function` must be one of {FUNCTIONS}. Received: {self.function!r}."
            )
        _check_missing(f"Column {self.name!r}", self.missing)

    def feature(self, vocabulary_size: int) -> Feature:
        """The schema's feature (`vocabulary_size` is not used)."""
        return Numeric(self.name, side=self.side)


@dataclasses.dataclass(frozen=True)
class CategoricalColumn(_Column):
    """One token per row, mapped to an id by a vocabulary of the frequent training tokens.

    An integer column may first be reduced: token = (value // divisor) % modulo, which takes e.g. the
    hour of the day out of YYMMDDHH. A missing string is the token `""`, a token like any other. Where all strings
    of the training rows are integers, `"84.0"` (as pandas writes a column with gaps) and `"84"` are one token.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        dtype: `"string"`, or `"int64"` for columns that are always integers. Defaults to `"string"`.
        min_count: training rows a token must appear in to get its own id; rarer ones share id 0.
        divisor: floor divisor of an integer column. Defaults to 1.
        modulo: modulus of an integer column after the division, or `None`.
        max_size: most tokens kept (the most frequent), out-of-vocabulary not counted, or `None` for all.
        missing: spellings that mean missing: strings are read as `""`, integers are out of the vocabulary.
            Defaults to `()`.

    Example:
    >>> CategoricalColumn("hour_of_day", "context", raw="hour", dtype="int64", modulo=100).raw_name
    'hour'
    """

    dtype: RawDtype = "string"
    min_count: int = 1
    divisor: int = 1
    modulo: int | None = None
    max_size: int | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"Column {self.name!r}"
        if self.dtype not in CATEGORICAL_DTYPES:
            raise ValueError(f"{owner}: `dtype` must be one of {CATEGORICAL_DTYPES}. Received: {self.dtype!r}.")
        _check_missing(owner, self.missing)
        _check_count(owner, "min_count", self.min_count)
        _check_count(owner, "divisor", self.divisor)
        for argument in ("modulo", "max_size"):
            if getattr(self, argument) is not None:
                _check_count(owner, argument, getattr(self, argument))
        if self.dtype == "string" and (self.divisor != 1 or self.modulo is not None):
            raise ValueError(
                f"{owner}: `divisor` and `modulo` need integers. Received: divisor={self.divisor}, "
                f'modulo={self.modulo} with dtype="string". Pass dtype="int64".'
            )

    def feature(self, vocabulary_size: int) -> Feature:
        """The schema's feature, with the size that fitting found."""
        return Categorical(self.name, vocabulary_size, side=self.side)


@dataclasses.dataclass(frozen=True)
class SequenceColumn(_Column):
    """Several tokens in one string, split, mapped to ids and padded with 0 to a fixed length.

    Pieces that are empty or mean missing are dropped before the list is cut to its first `length` tokens; an unknown
    token keeps its place with id 0.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        separator: what stands between tokens. Defaults to `","`.
        min_count: appearances in training rows a token needs to get its own id.
        max_size: most tokens kept (the most frequent), or `None` for all.
        shares: name of a `CategoricalColumn` of strings whose vocabulary and embeddings this one uses, or `None`. Its
            own `min_count` and `max_size` then say nothing.
        missing: spellings that mean missing, of the whole string or of a piece. Defaults to `()`.
        length: number of tokens kept per row (keyword).

    Example:
    >>> SequenceColumn("tag", "ad", length=3).feature(vocabulary_size=70).shape
    (3,)
    """

    separator: str = ","
    min_count: int = 1
    max_size: int | None = None
    shares: str | None = None
    missing: tuple[str, ...] = ()
    length: int = dataclasses.field(kw_only=True)
    dtype: ClassVar[RawDtype] = "string"

    def __post_init__(self) -> None:
        _check_count(f"Column {self.name!r}", "length", self.length)
        super().__post_init__()
        _check_missing(f"Column {self.name!r}", self.missing)
        _check_count(f"Column {self.name!r}", "min_count", self.min_count)
        if self.max_size is not None:
            _check_count(f"Column {self.name!r}", "max_size", self.max_size)
        if not isinstance(self.separator, str) or not self.separator:
            raise ValueError(
                f"Column {self.name!r}: `separator` must be a string of at least one character. "
                f"Received: {self.separator!r}."
            )

    def feature(self, vocabulary_size: int) -> Feature:
        """The schema's feature, with the size that fitting found."""
        return Sequence(self.name, vocabulary_size, self.length, side=self.side, shares=self.shares)


@dataclasses.dataclass(frozen=True)
class VectorColumn(_Column):
    """A dense vector passed through as float32; components that are not finite become 0.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        dim: number of components (keyword).

    Example:
    >>> VectorColumn("title_embedding", "ad", dim=64).dtype
    'float32'
    """

    dim: int = dataclasses.field(kw_only=True)
    dtype: ClassVar[RawDtype] = "float32"

    def __post_init__(self) -> None:
        _check_count(f"Column {self.name!r}", "dim", self.dim)
        super().__post_init__()

    def feature(self, vocabulary_size: int) -> Feature:
        """The schema's feature (`vocabulary_size` is not used)."""
        return Vector(self.name, self.dim, side=self.side)


Column = NumericColumn | CategoricalColumn | SequenceColumn | VectorColumn
