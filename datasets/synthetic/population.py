"""The users and ads of the synthetic log: their planted groups and what is observed of them."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

COUNTRIES = ("US", "IN", "BR", "ID", "MX", "DE", "FR", "JP", "GB", "VN", "TR", "PH", "ES", "NG", "KR", "EG")
DEVICES = ("android", "ios", "web", "tablet")
AGES = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
FORMATS = ("image", "video", "carousel", "collection")
NUM_INTERESTS = 48
NUM_CATEGORIES = 24
MAX_INTERESTS = 8

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def draw_rows(table: Floats, rows: Integers, rng: np.random.Generator) -> Integers:
    """One draw for each of `rows` from the distribution in that row of `table`."""
    cumulative = np.cumsum(table, axis=1)
    cumulative /= cumulative[:, -1:]
    uniform = rng.random(len(rows))
    drawn = np.empty(len(rows), dtype=np.int64)
    for row in np.unique(rows):
        here = rows == row
        drawn[here] = np.searchsorted(cumulative[row], uniform[here], side="right")
    return drawn


def zipf(size: int, offset: float, exponent: float) -> Floats:
    """Shares of a long tail: proportional to (rank + offset) to the power of -exponent."""
    weights = (np.arange(size, dtype=np.float64) + offset) ** -exponent
    shares: Floats = weights / weights.sum()
    return shares


def _home(rng: np.random.Generator, groups: int, values: int, homes: int, share: float) -> Floats:
    """Distributions of `values` by group: `share` on a few values of the group's own, the rest on everyone's."""
    table = np.tile((1.0 - share) * zipf(values, 3.0, 1.0), (groups, 1))
    order = np.concatenate([rng.permutation(values) for _ in range(-(-groups * homes // values))])
    for group in range(groups):
        table[group, order[group * homes : (group + 1) * homes]] += share / homes
    return table


def _series(values: list[str], codes: Integers) -> pl.Series:
    return pl.Series(values, dtype=pl.String).gather(codes)


class Users:
    """Users in planted groups; the observed columns are noisy signs of the group.

    Args:
        rng: generator.
        size: number of users.
        groups: number of planted user groups.
    """

    def __init__(self, rng: np.random.Generator, size: int, groups: int) -> None:
        self.size = size
        shares = zipf(groups, 8.0, 1.0)
        self.group: Integers = rng.choice(groups, size, p=shares)
        self.popularity = rng.permutation(zipf(size, 30.0, 0.8))
        self.bias: Floats = rng.normal(0.0, 0.35, size)
        countries = draw_rows(_home(rng, groups, len(COUNTRIES), 3, 0.5), self.group, rng)
        devices = draw_rows(np.exp(rng.normal(0.0, 1.0, (groups, len(DEVICES)))), self.group, rng)
        center = rng.permutation(np.linspace(0.0, len(AGES) - 1.0, groups))
        ages = np.rint(rng.normal(center[self.group], 1.0)).clip(0, len(AGES) - 1).astype(np.int64)
        tenure = np.exp(rng.normal(5.0 + rng.normal(0.0, 0.7, groups)[self.group], 0.8))
        sessions = np.exp(rng.normal(2.0 + rng.normal(0.0, 0.5, groups)[self.group], 0.6))
        tenure[rng.random(size) < 0.04] = np.nan
        ages[rng.random(size) < 0.03] = len(AGES)  # not given: the empty string
        self.columns = {
            "user_id": pl.Series(100_000 + 7 * rng.permutation(size).astype(np.int64), dtype=pl.Int64),
            "country": _series(list(COUNTRIES), countries),
            "device": _series(list(DEVICES), devices),
            "age_bucket": _series([*AGES, ""], ages),
            "interests": self._interests(rng, groups),
            "tenure_days": pl.Series(np.round(tenure, 1).astype(np.float32), nan_to_null=True),
            "sessions_7d": pl.Series(np.rint(sessions).astype(np.float32)),
        }

    def _interests(self, rng: np.random.Generator, groups: int) -> pl.Series:
        table = _home(rng, groups, NUM_INTERESTS, 6, 0.5)
        counts = (1 + rng.poisson(3.0, self.size)).clip(0, MAX_INTERESTS)
        counts[rng.random(self.size) < 0.05] = 0  # nothing known
        owner = np.repeat(np.arange(self.size), counts)
        tokens = _series([f"interest_{i:02d}" for i in range(NUM_INTERESTS)], draw_rows(table, self.group[owner], rng))
        lists = (
            pl.DataFrame({"owner": owner, "token": tokens})
            .group_by("owner", maintain_order=True)
            .agg(pl.col("token").unique(maintain_order=True).str.join(","))
        )
        everyone = pl.DataFrame({"owner": np.arange(self.size)})
        return everyone.join(lists, on="owner", how="left", maintain_order="left")["token"].fill_null("")


class Ads:
    """Ads in planted groups; a quarter of them appear during the log, some only in its last days.

    Args:
        rng: generator.
        size: number of ads.
        groups: number of planted ad groups.
        days: days of the log.
    """

    def __init__(self, rng: np.random.Generator, size: int, groups: int, days: int) -> None:
        self.size = size
        self.group: Integers = rng.integers(0, groups, size)
        self.popularity = rng.permutation(zipf(size, 10.0, 0.9))
        self.bias: Floats = rng.normal(0.0, 0.35, size)
        self.launch: Floats = -rng.exponential(20.0, size)
        new = rng.random(size) < 0.25
        self.launch[new] = rng.uniform(0.0, days, int(new.sum()))
        self.launch[0] = -1.0  # there is always an ad to show
        advertisers = max(groups, size // 8)
        owners = np.where(np.arange(advertisers) % groups == np.arange(groups)[:, None], 1.0, 0.02)
        self.format = draw_rows(np.exp(rng.normal(0.0, 0.6, (groups, len(FORMATS)))), self.group, rng)
        categories = draw_rows(_home(rng, groups, NUM_CATEGORIES, 2, 0.7), self.group, rng)
        bid = np.exp(rng.normal(0.0, 0.6, size))
        self.log_bid = np.log(bid)
        bid[rng.random(size) < 0.02] = np.nan
        self.columns = {
            "ad_id": pl.Series([f"ad_{i:06d}" for i in rng.permutation(size)], dtype=pl.String),
            "advertiser": _series([f"adv_{i:05d}" for i in range(advertisers)], draw_rows(owners, self.group, rng)),
            "category": _series([f"category_{i:02d}" for i in range(NUM_CATEGORIES)], categories),
            "format": _series(list(FORMATS), self.format),
            "bid": pl.Series(np.round(bid, 3).astype(np.float32), nan_to_null=True),
        }
