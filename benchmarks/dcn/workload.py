"""The data that every contender trains on."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

LAWS = ("zipf", "uniform")


@dataclasses.dataclass(frozen=True)
class Workload:
    """A generated click log; the same sizes and seed give the same rows.

    Vocabulary sizes are log-spaced from tens to millions, as Criteo's are, and add up to `rows`. Under the law
    `"zipf"` an id is `⌊size^u⌋ - 1` with u uniform in [0, 1): the chance of the id of rank k is
    `ln((k + 1) / k) / ln(size)`, Zipf's law with exponent 1. `"uniform"` ids are equally likely, the worst case
    for caches and for the number of rows that a batch touches.

    Args:
        rows: rows of all embedding tables together. Defaults to `10_000_000`.
        law: `"zipf"` or `"uniform"`. Defaults to `"zipf"`.
        fields: number of categorical fields. Defaults to `39`.
        batch_size: rows of a batch. Defaults to `4096`.
        batches: distinct batches, which a contender takes in rotation. Defaults to `32`.
        embedding_dim: width of an embedding. Defaults to `16`.
        seed: seed of ids and labels. Defaults to `0`.

    Example:

    >>> work = Workload(rows=1000, fields=3, batch_size=4, batches=2)
    >>> work.vocabulary_sizes
    [10, 94, 896]
    >>> ids, labels = next(work.stream())
    >>> ids.shape, labels.shape
    ((4, 3), (4,))
    """

    rows: int = 10_000_000
    law: str = "zipf"
    fields: int = 39
    batch_size: int = 4096
    batches: int = 32
    embedding_dim: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ValueError(f"`law` must be one of {LAWS}. Received: law={self.law!r}.")
        if self.rows < 4 * self.fields:
            raise ValueError(f"`rows` must be at least 4 per field. Received: rows={self.rows}, fields={self.fields}.")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Workload":
        """The workload that a contender's settings describe."""
        return cls(**settings)

    @property
    def field_names(self) -> list[str]:
        """Names of the fields."""
        return [f"field_{number:02d}" for number in range(self.fields)]

    @property
    def vocabulary_sizes(self) -> list[int]:
        """Number of ids of each field."""
        least = min(10.0, self.rows / self.fields / 2)
        low, high = least, float(self.rows)
        for _ in range(100):
            most = (low + high) / 2
            low, high = (most, high) if np.geomspace(least, most, self.fields).sum() < self.rows else (low, most)
        sizes = [int(size) for size in np.geomspace(least, low, self.fields)]
        return [*sizes[:-1], self.rows - sum(sizes[:-1])]

    @property
    def table_bytes(self) -> int:
        """Bytes of all tables in float32."""
        return 4 * self.rows * self.embedding_dim

    def make_batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Ids of shape `(batch_size, fields)` as int32 and labels of shape `(batch_size,)` as float32, a quarter 1."""
        rng = np.random.default_rng(self.seed)
        sizes = np.array(self.vocabulary_sizes, "float64")
        made = []
        for _ in range(self.batches):
            u = rng.random((self.batch_size, self.fields))
            drawn = sizes**u - 1 if self.law == "zipf" else sizes * u
            ids = np.minimum(drawn.astype("int64"), sizes.astype("int64") - 1).astype("int32")
            made.append((ids, (rng.random(self.batch_size) < 0.25).astype("float32")))
        return made

    def stream(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches in rotation, without end."""
        made = self.make_batches()
        while True:
            yield from made

    def distinct_rows(self) -> float:
        """Mean number of distinct rows of the tables that a batch touches."""
        made = self.make_batches()
        return sum(len(np.unique(ids[:, field])) for ids, _ in made for field in range(self.fields)) / len(made)
