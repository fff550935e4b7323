"""The features of a table, each on a side: user, ad or context."""

import dataclasses
import re
from typing import Any, ClassVar

import numpy as np

SIDES = ("user", "ad", "context")
COMBINERS = ("mean", "sum")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_name(kind: str, name: Any) -> None:
    """Raise if a name cannot name a model input."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"A {kind} name must be a string of letters, digits and underscores that does not start "
            f"with a digit (it becomes an input name of the model and of the serving signature). "
            f"Received: name={name!r}. Rename the column, e.g. "
            f"{re.sub(r'[^A-Za-z0-9_]', '_', '_' + str(name)).replace('__', '_')!r}."
        )


def _check_size(owner: str, argument: str, value: Any, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(
            f"{owner}: `{argument}` must be an integer of at least {minimum}. Received: {argument}={value!r}."
        )


def _check_fingerprint(owner: str, argument: str, value: Any) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(
            f"{owner}: `{argument}` must be a fingerprint that fitted transforms give, or None. "
            f"Received: {argument}={value!r}."
        )


def _check_table_name(owner: str, value: Any) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(f"{owner}: `table` must be the name of a table or None. Received: table={value!r}.")


@dataclasses.dataclass(frozen=True)
class _Feature:
    name: str

    kind: ClassVar[str] = ""
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check_name("feature", self.name)
        side = getattr(self, "side", None)
        if side not in SIDES:
            raise ValueError(f"Feature {self.name!r}: `side` must be one of {SIDES}. Received: side={side!r}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's value."""
        return ()

    @property
    def field(self) -> str:
        """The field that a model makes of the feature: its own, or the one that it is a part of."""
        return self.name


@dataclasses.dataclass(frozen=True)
class Numeric(_Feature):
    """A real number per row.

    Args:
        name: column name.
        side: `"user"`, `"ad"` or `"context"`. Defaults to `"context"`.
        moments: fingerprint of what the number is standardised with; fitted transforms fill it in.
            Defaults to `None`, not known.

    Example:

    >>> Numeric("hours_since_install", side="user").shape
    ()
    """

    side: str = "context"
    moments: str | None = None
    kind: ClassVar[str] = "numeric"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_fingerprint(f"Numeric {self.name!r}", "moments", self.moments)


@dataclasses.dataclass(frozen=True)
class Categorical(_Feature):
    """One id per row, in `[0, vocabulary_size)`; id 0 is out-of-vocabulary.

    Args:
        name: column name.
        vocabulary_size: number of ids, the out-of-vocabulary id 0 included.
        side: `"user"`, `"ad"` or `"context"`. Defaults to `"ad"`.
        vocabulary: fingerprint of the tokens that the ids stand for; fitted transforms fill it in.
            Defaults to `None`, not known.
        table: name of the embedding table that this feature uses; features of one table share its rows.
            Defaults to `None`, a table of the feature's own name.

    Example:

    >>> Categorical("advertiser", vocabulary_size=1000).dtype
    'int32'
    """

    vocabulary_size: int
    side: str = "ad"
    vocabulary: str | None = None
    table: str | None = None
    kind: ClassVar[str] = "categorical"
    dtype: ClassVar[str] = "int32"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size(f"Categorical {self.name!r}", "vocabulary_size", self.vocabulary_size, 1)
        _check_fingerprint(f"Categorical {self.name!r}", "vocabulary", self.vocabulary)
        _check_table_name(f"Categorical {self.name!r}", self.table)


@dataclasses.dataclass(frozen=True)
class Sequence(_Feature):
    """A list of ids per row, padded with id 0 to a fixed length.

    Padding is ignored everywhere. An item that is out of the vocabulary has an id of its own, which is 1 where the
    transforms of `grouprank.datasets` make the ids.

    Args:
        name: column name.
        vocabulary_size: number of ids, id 0 (padding) included.
        length: number of positions after padding or cutting.
        side: `"user"`, `"ad"` or `"context"`. Defaults to `"user"`.
        shares: name of a `Categorical` or `Sequence` whose embedding table this one uses, or `None`: the same as
            `table` with that feature's table.
        vocabulary: fingerprint of the tokens that the ids stand for, the owner's if it shares a table; fitted
            transforms fill it in. Defaults to `None`, not known.
        table: name of the embedding table that this feature uses, see `Categorical`; not together with `shares`.
            Defaults to `None`.
        beside: name of a `Sequence` of the same length and side that this one tells more of, position by position: the
            kind of each action, its age. The vectors of both are added up before an encoder or a backbone reads
            them, and padding is where the other has it. Defaults to `None`: the sequence is read by itself.

    Example:

    >>> Sequence("last_clicked_ads", vocabulary_size=500, length=20, shares="ad_id").shape
    (20,)
    >>> Sequence("age_of_clicks", vocabulary_size=30, length=20, beside="last_clicked_ads").field
    'last_clicked_ads'
    """

    vocabulary_size: int
    length: int
    side: str = "user"
    shares: str | None = None
    vocabulary: str | None = None
    table: str | None = None
    beside: str | None = None
    kind: ClassVar[str] = "sequence"
    dtype: ClassVar[str] = "int32"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size(f"Sequence {self.name!r}", "vocabulary_size", self.vocabulary_size, 1)
        _check_size(f"Sequence {self.name!r}", "length", self.length, 1)
        if self.shares is not None and not isinstance(self.shares, str):
            raise ValueError(
                f"Sequence {self.name!r}: `shares` must be the name of a feature or None. "
                f"Received: shares={self.shares!r}."
            )
        _check_fingerprint(f"Sequence {self.name!r}", "vocabulary", self.vocabulary)
        _check_table_name(f"Sequence {self.name!r}", self.table)
        if self.beside is not None and not isinstance(self.beside, str):
            raise ValueError(
                f"Sequence {self.name!r}: `beside` must be the name of a Sequence or None. "
                f"Received: beside={self.beside!r}."
            )
        if self.shares is not None and self.table is not None:
            raise ValueError(
                f"Sequence {self.name!r}: `shares` and `table` both name the embedding table; set one of them. "
                f"Received: shares={self.shares!r}, table={self.table!r}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's value."""
        return (self.length,)

    @property
    def field(self) -> str:
        """The sequence's own field, or that of the one that it lies beside."""
        return self.beside or self.name


@dataclasses.dataclass(frozen=True)
class Vector(_Feature):
    """A dense vector per row, e.g. an image or text embedding.

    Args:
        name: column name.
        dim: number of components.
        side: `"user"`, `"ad"` or `"context"`. Defaults to `"ad"`.

    Example:

    >>> Vector("title_embedding", dim=64).shape
    (64,)
    """

    dim: int
    side: str = "ad"
    kind: ClassVar[str] = "vector"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size(f"Vector {self.name!r}", "dim", self.dim, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's value."""
        return (self.dim,)


@dataclasses.dataclass(frozen=True)
class Weights(_Feature):
    """The weights of a `Sequence`'s ids, one for each position; a model adds the ids' embeddings up by them.

    Args:
        name: column name.
        of: name of the `Sequence`.
        length: number of positions, the sequence's.
        side: `"user"`, `"ad"` or `"context"`, the sequence's. Defaults to `"user"`.
        combiner: `"sum"` for Σ w·v, or `"mean"` for Σ w·v / Σ |w|. Defaults to `"mean"`.

    Example:

    >>> Weights("interests_weights", of="interests", length=20).shape
    (20,)
    """

    of: str
    length: int
    side: str = "user"
    combiner: str = "mean"
    kind: ClassVar[str] = "weights"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size(f"Weights {self.name!r}", "length", self.length, 1)
        if self.combiner not in COMBINERS:
            raise ValueError(
                f"Weights {self.name!r}: `combiner` must be one of {COMBINERS}. Received: combiner={self.combiner!r}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's value."""
        return (self.length,)

    @property
    def field(self) -> str:
        """The sequence's field."""
        return self.of


Feature = Numeric | Categorical | Sequence | Vector | Weights


def fingerprint_of(feature: Feature) -> str | None:
    """The fingerprint of how a feature's ids or numbers were fitted, `None` where it has none.

    Example:

    >>> fingerprint_of(Categorical("os", 9, vocabulary="5d1c")), fingerprint_of(Numeric("bid"))
    ('5d1c', None)
    """
    if isinstance(feature, Numeric):
        return feature.moments
    return feature.vocabulary if isinstance(feature, Categorical | Sequence) else None


def with_fingerprint(feature: Feature, fingerprint: str | None) -> Feature:
    """The feature with another fingerprint; `Vector` and `Weights` have none.

    Example:

    >>> with_fingerprint(Numeric("bid"), "77ab")
    Numeric(name='bid', side='context', moments='77ab')
    """
    if isinstance(feature, Numeric):
        return dataclasses.replace(feature, moments=fingerprint)
    if isinstance(feature, Categorical | Sequence):
        return dataclasses.replace(feature, vocabulary=fingerprint)
    return feature
