"""Rows cut by every combination of columns."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from .half import Half

# Values of a column beyond the most frequent ones count as one.
MAX_VALUES = 1000


@dataclasses.dataclass(frozen=True)
class Cells:
    """Combinations of values of some columns that have rows enough.

    Args:
        columns: the columns.
        values: `(cells, columns)`: number of each cell's value within its column.
    """

    columns: tuple[str, ...]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


class Lattice:
    """Finds the cells of columns' combinations, those with too few rows left out as soon as they appear.

    A combination's rows are some of each part's, so a cell without support has no
    supported cell below it (as in frequent item sets and SliceLine), and a combination of
    any depth has at most rows over `min_rows` cells. Rare values of one column
    are put together as one, which is no slice but a neighbour to compare slices with.

    Args:
        half: the rows that decide which cells exist.
        sizes: `{column: number of values}`.
        min_rows: least number of rows.
    """

    def __init__(self, half: Half, sizes: dict[str, int], min_rows: int) -> None:
        self.half, self.min_rows = half, min_rows
        self._numbers: dict[str, np.ndarray] = {}  # from a value to its place among the frequent ones
        self._frequent: dict[str, np.ndarray] = {}
        self._keys: dict[tuple[str, ...], np.ndarray] = {}
        for column, size in sizes.items():
            counts = np.bincount(half.values[column], minlength=size)
            frequent = np.argsort(-counts, kind="stable")[:MAX_VALUES]
            frequent = np.sort(frequent[counts[frequent] >= min_rows])
            numbers = np.full(size, len(frequent))
            numbers[frequent] = np.arange(len(frequent))
            self._numbers[column], self._frequent[column] = numbers, frequent

    def combinations(self, max_depth: int) -> Iterator[tuple[Cells, np.ndarray]]:
        """Cells of every combination of up to `max_depth` columns, with each row's cell, -1 for none."""
        columns = list(self._numbers)

        def below(prefix: tuple[str, ...], codes: np.ndarray) -> Iterator[tuple[Cells, np.ndarray]]:
            start = columns.index(prefix[-1]) + 1 if prefix else 0
            for column in columns[start:]:
                combination = (*prefix, column)
                deeper = self._refine(self.half, combination, codes)
                yield self.cells(combination), deeper
                if len(combination) < max_depth:
                    yield from below(combination, deeper)

        yield from below((), np.zeros(len(self.half), "int64"))

    def codes(self, half: Half, columns: Sequence[str]) -> np.ndarray:
        """The cell of each row of either half, -1 for none."""
        codes = np.zeros(len(half), "int64")
        for depth in range(len(columns)):
            codes = self._refine(half, tuple(columns[: depth + 1]), codes)
        return codes

    def cells(self, columns: tuple[str, ...]) -> Cells:
        """Cells of a combination; a rare value has the number after the last one."""
        keys = self._keys[columns]
        width = len(self._frequent[columns[-1]]) + 1
        parents = self.cells(columns[:-1]).values[keys // width] if len(columns) > 1 else np.empty((len(keys), 0), int)
        return Cells(columns, np.column_stack([parents, keys % width]))

    def is_rare(self, cells: Cells) -> np.ndarray:
        """Which cells have a column's rare values, put together, among theirs."""
        last = np.array([len(self._frequent[column]) for column in cells.columns])
        return (cells.values == last).any(axis=1)

    def originals(self, cells: Cells, number: int) -> dict[str, int]:
        """Numbers of a cell's values as they came."""
        chosen = zip(cells.columns, cells.values[number], strict=True)
        return {column: int(self._frequent[column][value]) for column, value in chosen}

    def place(self, cells: Cells, literals: dict[str, int]) -> int:
        """Which of the cells has such values: the inverse of `originals`."""
        wanted = [self._numbers[column][literals[column]] for column in cells.columns]
        return int(np.flatnonzero((cells.values == wanted).all(axis=1))[0])

    def _refine(self, half: Half, columns: tuple[str, ...], codes: np.ndarray) -> np.ndarray:
        """Cut cells by one more column."""
        column = columns[-1]
        width = len(self._frequent[column]) + 1
        keys = codes * width + self._numbers[column][half.values[column]]
        keys[codes < 0] = -1
        if columns not in self._keys:
            self._keys[columns] = np.flatnonzero(np.bincount(keys + 1)[1:] >= self.min_rows)
        supported = self._keys[columns]
        parents = len(self._keys[columns[:-1]]) if len(columns) > 1 else 1
        table = np.full(parents * width + 1, -1)  # the last place is for rows without a cell
        table[supported] = np.arange(len(supported))
        return table[keys]


def parents_of(values: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """For each column that may be left out: the number of each cell's parent, and how many parents there are."""
    if values.shape[1] == 1:
        yield np.zeros(len(values), int), 1
        return
    for kept in itertools.combinations(range(values.shape[1]), values.shape[1] - 1):
        found, numbers = np.unique(values[:, list(kept)], axis=0, return_inverse=True)
        yield numbers.reshape(-1), len(found)
