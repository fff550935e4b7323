"""A pass over a dataset's chunks, on several threads."""

import dataclasses
import inspect
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import polars as pl

from .dataset import SPLITS, Dataset
from .ordered_map import ordered_map

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class ChunkReader:
    """How to read a dataset; each `map` is one pass over it.

    Args:
        dataset: where the rows come from.
        chunk_rows: rows read at a time.
        max_bad_rows: malformed rows that may be skipped.
        workers: threads that work on chunks, and as many that parse if the dataset's `chunks` takes `workers`.
    """

    dataset: Dataset
    chunk_rows: int
    max_bad_rows: int
    workers: int

    def map(self, function: Callable[[tuple[int, pl.DataFrame]], Result]) -> Generator[Result, None, None]:
        """Yield the function of each chunk's (number of its first row, frame), in the order of the dataset."""
        yield from ordered_map(function, self._numbered(), self.workers)

    def _numbered(self) -> Iterator[tuple[int, pl.DataFrame]]:
        chunks = self.dataset.chunks
        more: dict[str, Any] = {"workers": self.workers} if "workers" in inspect.signature(chunks).parameters else {}
        first = 0
        for frame in chunks(self.chunk_rows, self.max_bad_rows, **more):
            yield first, frame
            first += len(frame)


def by_split(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each split that has any."""
    for split in SPLITS:
        mask = frame["split"] == split
        rows = mask.sum()
        if rows:
            yield split, frame if rows == len(frame) else frame.filter(mask)
