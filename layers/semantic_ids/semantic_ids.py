"""Codes of a catalog of items."""

from dataclasses import dataclass
from os import PathLike

import numpy as np


@dataclass(frozen=True, eq=False)
class SemanticIds:
    """The semantic ids of a catalog: a tuple of codes for each item.

    Items with near vectors share the first codes and differ in later ones, so
    that the prefixes of a tuple name ever smaller groups of items. Rows are item
    ids. Row 0 is out-of-vocabulary and, like every item without a vector, has no
    codes: -1 on every level.

    Args:
        codes: integers of shape `(items, num_levels)`.
        codebook_size: number of codes of a level.

    Raises:
        ValueError: on codes of another shape, outside `[0, codebook_size)`, on some
            levels of an item only, or in row 0.

    Example:

    >>> ids = SemanticIds([[-1, -1], [3, 0], [3, 1], [3, 1]], codebook_size=4)
    >>> ids.distinct, round(ids.collision_rate, 2)
    (2, 0.67)
    >>> prefixes, sizes = ids.prefix_ids()
    >>> prefixes.tolist(), sizes
    ([[0, 0], [1, 1], [1, 2], [1, 2]], (2, 3))

    Reference:
        Rajput et al., *TIGER*, [arXiv:2305.05065](https://arxiv.org/abs/2305.05065), §3.1.
    """

    codes: np.ndarray
    codebook_size: int

    def __post_init__(self) -> None:
        codes = np.array(self.codes)
        if codes.ndim != 2 or not codes.size or not np.issubdtype(codes.dtype, np.integer):
            raise ValueError(
                "`codes` must be integers of shape (items, num_levels). "
                f"Received: shape {codes.shape}, dtype {codes.dtype}."
            )
        if codes.min() < -1 or codes.max() >= self.codebook_size:
            raise ValueError(
                f"`codes` must lie in [0, {self.codebook_size}), or be -1 for an item without a vector. "
                f"Received codes from {codes.min()} to {codes.max()}."
            )
        lacking = codes < 0
        partly = np.flatnonzero(lacking.any(axis=1) & ~lacking.all(axis=1))
        if len(partly):
            raise ValueError(
                f"An item must have codes on every level or on none. Item {partly[0]} has them on some levels."
            )
        if not lacking[0].all():
            raise ValueError(
                "Row 0 belongs to the out-of-vocabulary id and must be -1. Put a row of -1 before the items' codes. "
                f"Received: {codes[0].tolist()}."
            )
        codes = codes.astype("int32")
        codes.flags.writeable = False
        object.__setattr__(self, "codes", codes)

    @property
    def num_items(self) -> int:
        """Number of ids, the out-of-vocabulary id included."""
        return len(self.codes)

    @property
    def num_levels(self) -> int:
        """Number of codes of an item."""
        return self.codes.shape[1]

    @property
    def distinct(self) -> int:
        """Number of distinct tuples."""
        return self.prefix_ids()[1][-1] - 1

    @property
    def collision_rate(self) -> float:
        """Share of the items with codes whose whole tuple another item has."""
        tuples = self.prefix_ids()[0][:, -1]
        tuples = tuples[tuples > 0]
        return float(np.mean(np.bincount(tuples)[tuples] > 1)) if len(tuples) else 0.0

    def prefix_ids(self) -> tuple[np.ndarray, tuple[int, ...]]:
        """Each item's code prefixes, numbered from 1 level by level among those that occur.

        Level `i` numbers the distinct tuples of the first `i` codes in their order. An item without codes has
        prefix 0 on every level.

        Returns:
            The prefix ids, int32 of shape `(items, num_levels)`, and each level's number of them, 0 included.
        """
        known = self.codes[:, 0] >= 0
        prefixes = np.zeros(self.codes.shape, "int32")
        parent = np.zeros(int(known.sum()), "int64")
        sizes = []
        for level in range(self.num_levels):
            found, parent = np.unique(parent * self.codebook_size + self.codes[known, level], return_inverse=True)
            prefixes[known, level] = parent + 1
            sizes.append(len(found) + 1)
        return prefixes, tuple(sizes)

    def without_collisions(self) -> "SemanticIds":
        """The same codes with one more level that tells items of one tuple apart, where items share one.

        The items of a tuple are numbered from 0 in the order of their ids; an item that is alone has 0. `codebook_size`
        grows where more items than that share a tuple. Without any shared tuple the ids are returned as they are.

        Example:

        >>> SemanticIds([[-1, -1], [3, 0], [3, 1], [3, 1]], codebook_size=4).without_collisions().codes.tolist()
        [[-1, -1, -1], [3, 0, 0], [3, 1, 0], [3, 1, 1]]
        """
        if not self.collision_rate:
            return self
        tuples = self.prefix_ids()[0][:, -1]
        order = np.argsort(tuples, kind="stable")
        numbers = np.empty(len(tuples), "int32")
        # The place of an item among those of its tuple: how far it stands from the first of them.
        numbers[order] = np.arange(len(tuples)) - np.searchsorted(tuples[order], tuples[order])
        numbers = np.where(tuples > 0, numbers, -1)
        codes = np.concatenate([self.codes, numbers[:, None]], axis=1)
        return SemanticIds(codes, max(self.codebook_size, int(numbers.max()) + 1))

    def save(self, path: str | PathLike[str]) -> None:
        """Write an `.npz` file."""
        with open(path, "wb") as file:
            np.savez_compressed(file, codes=self.codes, codebook_size=self.codebook_size)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "SemanticIds":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["codes"], int(file["codebook_size"]))
