"""How often the values of a column fall into each of its bins."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

# Tokens with a bin of their own, and tokens that a profile remembers, to know a new one by.
MOST_TOKENS, MOST_KNOWN = 50, 1000
DECILES = 10
MISSING, OTHERS = "(missing)", "(others)"
NUMBERS, TOKENS = "numbers", "tokens"


@dataclasses.dataclass
class ColumnProfile:
    """Bins of a column, and how many values fell into each. Made by `LogProfile`.

    The first bin counts missing values: null, NaN, and a list without values. Numbers then have a bin between each two
    edges; a value equal to an edge falls above it. Tokens have a bin each, and the last bin counts all other tokens.
    A list counts each of its values.

    Args:
        kind: `"numbers"` or `"tokens"`.
        edges: of the bins of numbers, increasing. Defaults to `()`.
        tokens: those with a bin of their own. Defaults to `()`.
        known: all tokens of the rows that the bins were made of, or `None` where they were more than 1,000. Defaults to
            `None`.
        counts: values by bin. Defaults to zeros.
        new: values by token that is not among the known ones; of many tokens, some of the most frequent. Defaults to
            none.
        new_values: number of all of them. Defaults to 0.
        unknown: number of values that are not in the vocabulary; `None` without one. Defaults to `None`.

    Example:

    >>> column = ColumnProfile.fit(pl.Series(["ios", "ios", "web", None]))
    >>> column.add(pl.Series(["ios", "car"]))
    >>> dict(zip(column.labels, column.counts.tolist())), column.new
    ({'(missing)': 0, 'ios': 1, 'web': 0, '(others)': 1}, {'car': 1})
    """

    kind: str
    edges: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None
    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    new: dict[str, int] = dataclasses.field(default_factory=dict)
    new_values: int = 0
    unknown: int | None = None

    def __post_init__(self) -> None:
        size = len(self.labels)
        self.counts = np.asarray(self.counts, np.int64) if len(self.counts) else np.zeros(size, np.int64)
        if self.counts.shape != (size,):
            raise ValueError(f"`counts` must have one number for each of {size} bins. Received: {self.counts.shape}.")

    @classmethod
    def fit(cls, values: pl.Series, numbers: bool = False, most: int | None = MOST_TOKENS) -> "ColumnProfile":
        """Choose bins, without counting the values.

        Args:
            values: of any type that `can_profile` allows.
            numbers: cut integers at deciles, too. Defaults to `False`.
            most: number of the most frequent tokens that get a bin. `None` gives all one. Defaults to 50.
        """
        flat = _flat(values)
        if flat.dtype.is_float() or flat.dtype.is_decimal() or (numbers and flat.dtype.is_numeric()):
            return cls(NUMBERS, edges=_edges(_as_numbers(flat)))
        found = _tokens(flat).drop_nulls().alias("token").value_counts(name="rows")
        tokens = found.sort(["rows", "token"], descending=[True, False])["token"].to_list()
        known = tuple(tokens) if len(tokens) <= MOST_KNOWN else None
        return cls(TOKENS, tokens=tuple(tokens[:most]), known=known)

    @property
    def labels(self) -> list[str]:
        """What each bin holds, as text."""
        if self.kind == TOKENS:
            return [MISSING, *self.tokens, OTHERS]
        if not self.edges:
            return [MISSING, "(numbers)"]
        inner = [f"= {a:g}" if b == _next(a) else f"{a:.4g} – {b:.4g}" for a, b in itertools.pairwise(self.edges)]
        first, last = self.edges[0], self.edges[-1]
        above = len(self.edges) > 1 and last == _next(self.edges[-2])
        return [MISSING, f"< {first:.4g}", *inner, f"{'>' if above else '≥'} {last:.4g}"]

    @property
    def bins(self) -> tuple[Any, ...]:
        """What must be equal for counts to be comparable."""
        return self.kind, self.edges, self.tokens, self.known

    def empty(self) -> "ColumnProfile":
        """The same bins without counts."""
        return ColumnProfile(self.kind, self.edges, self.tokens, self.known)

    def place(self, values: pl.Series) -> np.ndarray:
        """The bin of each number."""
        array = _as_numbers(values)
        return np.where(np.isnan(array), 0, 1 + np.searchsorted(self.edges, array, side="right"))

    def add(self, values: pl.Series, vocabulary: pl.Series | None = None) -> None:
        """Count values.

        Args:
            values: of the column.
            vocabulary: all tokens that a model knows, as strings. Defaults to `None`.
        """
        flat = _flat(values)
        if self.kind == NUMBERS:
            self.counts += np.bincount(self.place(flat), minlength=len(self.counts))
            return
        found = _tokens(flat).alias("token").value_counts(name="rows")
        missing = found["token"].is_null()
        self.counts[0] += int(found["rows"].filter(missing).sum())
        found = found.filter(~missing)
        tokens, rows = found["token"], found["rows"].to_numpy().astype(np.int64)
        place = pl.DataFrame(
            {"token": self.tokens, "bin": np.arange(len(self.tokens))}, {"token": pl.String, "bin": pl.Int64}
        )
        bins = found.join(place, "token", "left", maintain_order="left")["bin"].fill_null(len(self.tokens)).to_numpy()
        np.add.at(self.counts, 1 + bins, rows)
        if self.known is not None:
            fresh = found.filter(~tokens.is_in(list(self.known)))
            self._add_new(dict(zip(fresh["token"], fresh["rows"], strict=True)), int(fresh["rows"].sum()))
        if vocabulary is not None:
            outside = rows[~tokens.is_in(vocabulary.implode()).to_numpy()].sum()
            self.unknown = (self.unknown or 0) + int(outside)

    def merge(self, other: "ColumnProfile") -> None:
        """Add the counts of another profile of the same bins."""
        self.counts = self.counts + other.counts
        self._add_new(other.new, other.new_values)
        if other.unknown is not None:
            self.unknown = (self.unknown or 0) + other.unknown

    def _add_new(self, tokens: Mapping[str, int], values: int) -> None:
        for token, rows in tokens.items():
            self.new[token] = self.new.get(token, 0) + rows
        most = sorted(self.new.items(), key=lambda item: (-item[1], item[0]))
        self.new, self.new_values = dict(most[:MOST_KNOWN]), self.new_values + values

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        known = None if self.known is None else list(self.known)
        return {
            "kind": self.kind,
            "edges": list(self.edges),
            "tokens": list(self.tokens),
            "known": known,
            "counts": self.counts.tolist(),
            "new": self.new,
            "new_values": self.new_values,
            "unknown": self.unknown,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "ColumnProfile":
        """What `to_dict` gave."""
        known = plain["known"]
        lists = {"edges": tuple(plain["edges"]), "tokens": tuple(plain["tokens"])}
        return cls(**{**plain, **lists, "known": None if known is None else tuple(known), "new": dict(plain["new"])})


def can_profile(dtype: pl.DataType) -> bool:
    """Whether a column holds numbers, tokens or lists of them; times always drift, and records have no bins.

    Example:

    >>> can_profile(pl.List(pl.Int64)), can_profile(pl.Date())
    (True, False)
    """
    if isinstance(dtype, pl.List | pl.Array):
        return can_profile(dtype.inner)  # type: ignore[arg-type]
    plain = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)
    return dtype.is_numeric() or isinstance(dtype, plain)


def _flat(values: pl.Series) -> pl.Series:
    """All values of lists, with a null for each list that has none."""
    while isinstance(values.dtype, pl.List | pl.Array):
        lists = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
        filled = lists.filter((lists.list.len() > 0).fill_null(False))
        inside = filled.explode()
        values = inside.extend_constant(None, len(lists) - len(filled))
    return values


def _as_numbers(values: pl.Series) -> np.ndarray:
    return values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _tokens(values: pl.Series) -> pl.Series:
    """Text of each value: 1 for 1.0, which an integer becomes in pandas beside a missing one."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
        whole = values.cast(pl.Int64, strict=False)
        if (whole == values).all():
            values = whole
    return values.cast(pl.String)


def _edges(values: np.ndarray) -> tuple[float, ...]:
    """The deciles. A value that fills one by itself has a bin of its own."""
    values = values[np.isfinite(values)]
    if not len(values):
        return ()
    cuts = np.quantile(values, np.arange(1, DECILES) / DECILES, method="higher")
    edges = []
    for cut in np.unique(cuts):
        edges.append(float(cut))
        if np.count_nonzero(values == cut) * DECILES >= len(values):
            edges.append(_next(float(cut)))
    return tuple(dict.fromkeys(edges))


def _next(number: float) -> float:
    return float(np.nextafter(number, np.inf))
