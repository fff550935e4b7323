"""Tokens to growing ids: known tokens are looked up, and new ones are given ids."""

import dataclasses
import time
from typing import Any, Literal

import numpy as np
import polars as pl

from ...datasets import GrowingColumn
from ..support.prepared import Prepared


def prepare(case: str, dtype: Literal["string", "int64"], tokens: int) -> Prepared:
    """Rows of as many different tokens as the map begins with; each step starts from the same map.

    Args:
        case: `"known"` (rows of known tokens are encoded), `"new"` (the map is extended by rows of new tokens, which
            there is room for) or `"full"` (they take the places of the others). The latter two build the table of known
            tokens in each step, as every new version of the map must.
        dtype: `"string"` or `"int64"`.
        tokens: number of tokens.
    """
    eviction: dict[str, Any] = {"eviction": "ttl", "ttl": 1} if case == "full" else {}
    column = GrowingColumn("id", "ad", dtype=dtype, capacity=tokens * (2 if case == "new" else 1), **eviction)
    start = column.fit(column.summarize(make_tokens(0, tokens, dtype)))
    rows = make_tokens(0 if case == "known" else 1, tokens, dtype)

    def step() -> float:
        transform = start if case == "known" else dataclasses.replace(start)
        begin = time.perf_counter()
        if case == "known":
            transform.encode(rows)
        else:
            transform.extended(transform.summarize(rows))
        return time.perf_counter() - begin

    growth = start.extended(start.summarize(rows))[1]
    facts = {"new": len(growth.new), "handed on": len(growth.handed_on)}
    return Prepared(lambda steps: [step() for _ in range(steps)], facts)


def make_tokens(period: int, count: int, dtype: str) -> pl.Series:
    """Tokens that no other period has, each once, in random order.

    Args:
        period: number of the period.
        count: number of tokens.
        dtype: `"string"` or `"int64"`.
    """
    numbers = np.random.default_rng(period).permutation(np.arange(period * count, (period + 1) * count))
    values = pl.Series("id", numbers * 2_654_435_761 % 2**40)  # an odd factor, so that all stay distinct
    return values if dtype == "int64" else values.to_frame().select(pl.format("ad_{}", "id").alias("id"))["id"]
