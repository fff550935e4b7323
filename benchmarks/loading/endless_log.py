"""A log that never ends: every period brings tokens that no earlier one had."""

import time
from typing import Any

from ...datasets import GrowingColumn
from ...datasets.transforms.transform_fitter import TransformFitter
from ...schema import Task
from ..support.prepared import Prepared
from .id_map import make_tokens


def prepare(tokens: int, first: int, options: dict[str, Any]) -> Prepared:
    """Transforms of one growing column of strings, extended by the first periods, and by a further one in each step.

    Args:
        tokens: number of new tokens in a period, and the column's capacity.
        first: number of periods before the first step.
        options: further arguments of the `GrowingColumn`.
    """
    column = GrowingColumn("id", "ad", capacity=tokens, **options)
    transforms, period = TransformFitter([column], [Task("click")]).finish(), 0

    def extend() -> float:
        nonlocal transforms, period
        rows = {"id": make_tokens(period, tokens, "string")}
        period += 1
        begin = time.perf_counter()
        transforms, growth = transforms.extended(rows)
        seconds = time.perf_counter() - begin
        if growth["id"].used > tokens:
            raise RuntimeError(f"{growth['id'].used} ids are in use, and there is room for {tokens}.")
        return seconds

    seconds = [extend() for _ in range(first)]
    return Prepared(lambda steps: [extend() for _ in range(steps)], {"first seconds": seconds})
