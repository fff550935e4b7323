"""Tokens, mapped to ids by a vocabulary that grows from period to period, up to a capacity."""

import dataclasses
from typing import Any, Literal

import numpy as np
import polars as pl
from farmhash import Fingerprint64

from ..transforms.growth import FeatureGrowth
from ..transforms.missing_numbers import missing_integers
from ..transforms.token_counts import TokenCounts, own_text, storable
from ..transforms.uniform_numbers import uniform_numbers
from .categorical import TokenColumn, VocabularyTransform
from .kind import Profile, check_count, check_missing

Eviction = Literal["lfu", "ttl"] | None
_EVICTIONS = (None, "lfu", "ttl")
_MOST_TOKENS = 2**31 - 3  # ids are int32


@dataclasses.dataclass(frozen=True)
class GrowingColumn(TokenColumn):
    """One token per row, mapped to an id by a vocabulary that takes new tokens in, for logs that go on day by day.

    Ids are handed out in order, up to `capacity`, and an id keeps its token while the token lives. The feature has
    `capacity + 1` ids from the first day on, so that a new token changes no shape of a model. The first fit takes the
    training rows as the first period, and `TableTransforms.extended` takes each later one. A token gets an id if it is
    admitted and finds a place:

    - *Admission.* A token is admitted in the period in which it has been seen `min_count` times, earlier periods
      included. Tokens that have no id are remembered with their counts, at most `capacity` of them; the least counted
      are dropped first, and the longest unseen among these. With an `admission_probability` p, each sighting admits the
      token with probability p instead (Poisson inclusion), and nothing is remembered. A hash of the token and the
      number of the period draws it, so the same rows always admit the same tokens.
    - *Places.* The tokens admitted in a period take the free ids, the most seen first. Where all are taken,
      `eviction=None` refuses the others. `"lfu"` hands the id of the least used token to a token that has been seen
      more often than it. `"ttl"` hands on only ids whose token has not been seen for `ttl` periods, the longest unseen
      first. A refused token stays unknown until it is seen in a later period. An evicted one is forgotten.

    The result does not depend on the order of a period's rows. A missing string is the token `""`, a token like any
    other. A token with a line break is never admitted.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        dtype: `"string"`, or `"int64"` for columns that are always integers. Defaults to `"string"`.
        missing: spellings that mean missing: strings are read as `""`, integers are never admitted. Defaults to `()`.
        integers: whether strings such as `"84.0"` (as pandas writes a column with gaps) are the token `"84"`.
            Defaults to `True`.
        capacity: number of tokens that there is room for (keyword).
        min_count: number of rows in which a token must appear before it gets an id. Defaults to 1.
        admission_probability: probability in (0, 1) with which each sighting admits a token, in place of `min_count`.
            Defaults to `None`.
        eviction: `None`, `"lfu"` (least frequently used) or `"ttl"` (time to live). Defaults to `None`.
        ttl: number of periods without a sighting after which a token may be evicted. Only with `eviction="ttl"`.
        half_life: number of periods after which a sighting counts half in `"lfu"`. Only with `eviction="lfu"`. Defaults
            to `None`: sightings never fade.

    Raises:
        ValueError: if an argument is out of range, or arguments exclude each other.

    Example:
    >>> column = GrowingColumn("ad_id", "ad", capacity=4)
    >>> first = column.fit(column.summarize(pl.Series(["a", "b", "a"])))
    >>> second, growth = first.extended(first.summarize(pl.Series(["c", "a"])))
    >>> second(["a", "b", "c", "d"]).tolist(), growth.new.tolist(), second.vocabulary_size
    ([1, 2, 3, 0], [3], 5)

    Reference:
        [McMahan et al., Ad Click Prediction: a View from the Trenches, KDD 2013](https://doi.org/10.1145/2487575.2488200),
        section 4.1, for Poisson inclusion.
    """

    missing: tuple[str, ...] = ()
    integers: bool = True
    _: dataclasses.KW_ONLY
    capacity: int
    min_count: int = 1
    admission_probability: float | None = None
    eviction: Eviction = None
    ttl: int | None = None
    half_life: float | None = None
    kind = "growing"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"Column {self.name!r}"
        check_missing(owner, self.missing)
        _check_capacity(owner, self.capacity)
        check_count(owner, "min_count", self.min_count)
        self._check_admission(owner)
        self._check_eviction(owner)

    def _check_admission(self, owner: str) -> None:
        probability = self.admission_probability
        if probability is None:
            return
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 < probability < 1:
            raise ValueError(
                f"{owner}: `admission_probability` must be a number between 0 and 1, or None to admit every token. "
                f"Received: admission_probability={probability!r}."
            )
        if self.min_count != 1:
            raise ValueError(
                f"{owner}: `min_count` and `admission_probability` are two ways to admit tokens. Pass one of them. "
                f"Received: min_count={self.min_count}, admission_probability={probability}."
            )

    def _check_eviction(self, owner: str) -> None:
        if self.eviction not in _EVICTIONS:
            raise ValueError(f"{owner}: `eviction` must be one of {_EVICTIONS}. Received: eviction={self.eviction!r}.")
        if (self.eviction == "ttl") != (self.ttl is not None):
            raise ValueError(
                f'{owner}: `ttl` and eviction="ttl" go together. Received: '
                f"eviction={self.eviction!r}, ttl={self.ttl!r}."
            )
        if self.ttl is not None:
            check_count(owner, "ttl", self.ttl)
        life = self.half_life
        if life is None:
            return
        if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < float("inf"):
            raise ValueError(f"{owner}: `half_life` must be a positive number or None. Received: half_life={life!r}.")
        if self.eviction != "lfu":
            raise ValueError(
                f'{owner}: `half_life` says how sightings fade for eviction="lfu". Received: half_life={life!r} with '
                f"eviction={self.eviction!r}."
            )

    def summarize(self, values: pl.Series) -> TokenCounts:
        """The counts of a chunk's tokens."""
        return self._without_tokens().summarize(values)

    def fit(self, summary: TokenCounts, owner: Any = None, shared: bool = False) -> "GrowingTransform":
        """The transform whose first period is all training rows."""
        transform = self._without_tokens(int(shared)).extended(summary)[0]
        # Counts come in no certain order, and the same rows give the same files.
        return dataclasses.replace(transform, waiting=transform.waiting.sort("token"))

    def _without_tokens(self, unknown_id: int = 0) -> "GrowingTransform":
        string = self.dtype == "string"
        return GrowingTransform(
            self.raw_name,
            self.dtype,
            np.empty(0, dtype=object if string else "int64"),
            missing=self.missing if string else missing_integers(self.missing),
            integers=self.integers,
            unknown_id=unknown_id,
            capacity=self.capacity,
            min_count=self.min_count,
            admission_probability=self.admission_probability,
            eviction=self.eviction,
            ttl=self.ttl,
            half_life=self.half_life,
        )

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """Room for twice as many tokens, or somewhat more."""
        return {"capacity": 1 << max(2 * profile.distinct - 1, 15).bit_length()}


@dataclasses.dataclass(frozen=True, eq=False)
class GrowingTransform(VocabularyTransform):
    """Map a token to its id, which a later period of rows may give it.

    A `GrowingColumn` makes it and explains the arguments that are not listed here.

    Args:
        raw: name of the raw column.
        dtype: `"string"` or `"int64"`, what the raw column holds.
        tokens: the tokens that have an id; `tokens[i]` has id `i + 1 + unknown_id`.
        capacity: number of tokens that there is room for.
        periods: number of periods seen.
        used: for each token, how often (`use`) and in which period at last (`seen`) it was seen.
        waiting: the tokens that have no id, with their sightings (`count`, and `use` as above) and `seen`.

    Raises:
        ValueError: if there are more tokens than room for them, or `used` is not that of the tokens.

    Example:
    >>> column = GrowingColumn("ad_id", "ad", capacity=4, min_count=2)
    >>> transform = column.fit(column.summarize(pl.Series(["a", "b", "a"])))
    >>> transform(["a", "b"]).tolist(), transform.waiting["token"].to_list()
    ([1, 0], ['b'])
    """

    _: dataclasses.KW_ONLY
    capacity: int
    min_count: int = 1
    admission_probability: float | None = None
    eviction: Eviction = None
    ttl: int | None = None
    half_life: float | None = None
    periods: int = 0
    used: pl.DataFrame = dataclasses.field(
        default_factory=lambda: pl.DataFrame(schema={"use": pl.Float64, "seen": pl.Int64})
    )
    waiting: pl.DataFrame = dataclasses.field(
        default_factory=lambda: pl.DataFrame(
            schema={"token": pl.String, "count": pl.Int64, "use": pl.Float64, "seen": pl.Int64}
        )
    )

    kind = "growing"
    grows = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.tokens) > self.capacity or len(self.used) != len(self.tokens):
            raise ValueError(
                f"Raw column {self.raw!r}: growing ids need a row of `used` for each token, and room for all. "
                f"Received: {len(self.tokens)} tokens, {len(self.used)} rows of `used`, capacity={self.capacity}."
            )

    def graph_constants(self) -> dict[str, Any]:
        """See the base; the periods seen are not in the graph."""
        constants = super().graph_constants()
        constants.pop("periods", None)
        return constants

    def summarize(self, values: Any) -> TokenCounts:
        """The counts of a chunk's tokens."""
        return TokenCounts.of(self._raw_tokens(values))

    def extended(self, summary: TokenCounts) -> tuple["GrowingTransform", FeatureGrowth]:
        """The transform after a further period of rows, and what the period changed."""
        period = self.periods + 1
        sightings = summary.frame(self.spelling)
        if self.dtype == "int64":
            sightings = sightings.cast({"token": pl.Int64})  # without rows it has no type of its own
        counts = sightings["count"].to_numpy()
        ids = self._lookup.ids(sightings["token"])
        known = ids > 0
        use = self.used["use"].to_numpy() * self._fading
        seen = self.used["seen"].to_numpy().copy()
        use[ids[known] - 1] += counts[known]
        seen[ids[known] - 1] = period

        others = self._others(sightings.filter(pl.Series(~known)), period)
        newcomers = others.with_row_index("row").filter(self._admitted(others, period))
        # Two sorts are faster than one by both columns.
        newcomers = newcomers.sort("token").sort("use", descending=True, maintain_order=True)
        free = np.arange(len(self.tokens), min(len(self.tokens) + len(newcomers), self.capacity))
        handed_on = self._replaceable(use, seen, newcomers["use"].to_numpy()[len(free) :], period)
        placed = newcomers.head(len(free) + len(handed_on))
        outside = np.ones(len(others), bool)
        outside[placed["row"].to_numpy()] = False
        waiting = self._remembered(others.filter(outside))
        tokens = placed["token"].to_numpy() if self.dtype == "int64" else np.array(placed["token"].to_list(), object)

        def with_placed(old: np.ndarray, new: np.ndarray) -> np.ndarray:
            values = np.concatenate([old, new[: len(free)]])
            values[handed_on] = new[len(free) :]
            return values

        used = {"use": with_placed(use, placed["use"].to_numpy()), "seen": with_placed(seen, placed["seen"].to_numpy())}
        grown = dataclasses.replace(
            self,
            tokens=with_placed(self.tokens, tokens),
            periods=period,
            used=pl.DataFrame(used),
            waiting=waiting,
        )
        total = int(counts.sum())
        first = 1 + self.unknown_id
        return grown, FeatureGrowth(
            new=(free + first).astype("int32"),
            handed_on=np.sort(handed_on + first).astype("int32"),
            waiting=int((waiting["count"] < self.min_count).sum()) if self._remembers else len(others) - len(newcomers),
            refused=len(newcomers) - len(placed),
            used=len(grown.tokens),
            capacity=self.capacity,
            unknown_share=1 - int(counts[known].sum()) / total if total else None,
        )

    def with_capacity(self, capacity: int) -> "GrowingTransform":
        """The transform with room for more tokens."""
        owner = f"Raw column {self.raw!r}"
        _check_capacity(owner, capacity)
        if capacity < self.capacity:
            raise ValueError(
                f"{owner}: growing ids can be given more room, not less, since every id stays what it is. Received: "
                f"capacity={capacity}; it has {self.capacity}."
            )
        return dataclasses.replace(self, capacity=capacity)

    @property
    def _fading(self) -> float:
        """What remains of a sighting after a period."""
        return 1.0 if self.half_life is None else float(0.5 ** (1 / self.half_life))

    @property
    def _remembers(self) -> bool:
        """Whether the sightings of tokens without an id are added up over periods."""
        return self.admission_probability is None

    def _others(self, unknown: pl.DataFrame, period: int) -> pl.DataFrame:
        """The tokens without an id, of this period and remembered ones, as `waiting` has them."""
        unknown = storable(unknown)
        if self.dtype == "int64":
            unknown = unknown.filter(~pl.col("token").is_in(self.missing))
        unknown = unknown.with_columns(use=pl.col("count").cast(pl.Float64), seen=pl.lit(period, pl.Int64))
        if self.waiting.is_empty():
            return unknown
        earlier = self.waiting.with_columns(pl.col("use") * self._fading)
        both = unknown.join(earlier, on="token", how="full", coalesce=True, suffix="_before")
        sums = [pl.sum_horizontal(name, f"{name}_before").alias(name) for name in ("count", "use")]
        return both.select("token", *sums, pl.max_horizontal("seen", "seen_before").alias("seen"))

    def _admitted(self, others: pl.DataFrame, period: int) -> pl.Series:
        """Which of the tokens without an id are admitted in this period."""
        if self.admission_probability is None:
            return (others["count"] >= self.min_count) & (others["seen"] == period)
        if self.dtype == "string":
            hashes = np.fromiter(map(Fingerprint64, others["token"]), "uint64", len(others))
        else:
            hashes = others["token"].to_numpy()
        chances = -np.expm1(others["count"].to_numpy() * np.log1p(-self.admission_probability))  # 1 - (1 - p)^n
        return pl.Series(uniform_numbers(hashes, period) < chances)

    def _replaceable(self, use: np.ndarray, seen: np.ndarray, newcomers: np.ndarray, period: int) -> np.ndarray:
        """Places that are handed on to newcomers, the first place to the first of them.

        Args:
            use: how often each token was seen.
            seen: the period in which it was seen at last.
            newcomers: how often each newcomer without a free id was seen, in descending order.
            period: the current period.
        """
        if self.eviction is None or not len(newcomers):
            return np.empty(0, "int64")
        if self.eviction == "ttl":
            unseen = np.flatnonzero(period - seen >= self.ttl)
            return unseen[np.lexsort((use[unseen], seen[unseen]))][: len(newcomers)]
        least = np.lexsort((seen, use))[: len(newcomers)]
        # Uses ascend and newcomers' descend, so the tokens that give way are the first ones.
        return least[newcomers[: len(least)] > use[least]]

    def _remembered(self, outside: pl.DataFrame) -> pl.DataFrame:
        """The tokens without an id whose sightings are kept for later periods, at most `capacity`."""
        if not self._remembers:
            return outside.clear()
        if len(outside) > self.capacity:
            outside = (
                outside.sort("token").sort("count", "seen", descending=True, maintain_order=True).head(self.capacity)
            )
        return own_text(outside)


def _check_capacity(owner: str, capacity: object) -> None:
    check_count(owner, "capacity", capacity)
    if isinstance(capacity, int) and capacity > _MOST_TOKENS:
        raise ValueError(f"{owner}: `capacity` must be at most {_MOST_TOKENS:,}. Received: capacity={capacity!r}.")
