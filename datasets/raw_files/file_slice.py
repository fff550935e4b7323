"""A part of a text file, for engines that read one file in many tasks."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

Whole = TypeVar("Whole")

# Calls a function with each item, perhaps on many machines; results come in the order of the items.
Run = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]


class FileSlice(NamedTuple):
    """Whole lines of a file.

    Args:
        start: place of their first byte.
        stop: place behind their last byte, `None` for the end of the file.
        first_line: number of the first of them, counted from 1.
    """

    start: int
    stop: int | None
    first_line: int


def part_of(whole: Whole, **attributes: Any) -> Whole:
    """A copy that differs in some attributes, such as the slice that it reads.

    Args:
        whole: a dataset or a file.
        attributes: what differs.
    """
    part = copy.copy(whole)
    vars(part).update(attributes)
    return part
