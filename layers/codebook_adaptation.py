"""k-means start of residual codebooks, in NumPy."""

from typing import Any

import keras
import numpy as np
from keras import ops


def collect_rows(data: Any, max_rows: int, seed: int | None) -> np.ndarray:
    """Up to `max_rows` float32 rows drawn uniformly from an array or an iterable of batches."""
    generator = _generator(seed)
    kept: np.ndarray | None = None
    priorities = np.empty(0)
    for batch in _batches(data):
        rows = ops.convert_to_numpy(batch)
        if rows.ndim < 2:
            raise ValueError(f"`adapt` expects vectors of shape (..., dim). Received a batch of shape {rows.shape}.")
        rows = rows.reshape(-1, rows.shape[-1]).astype("float32")
        if not np.isfinite(rows).all():
            row = int(np.flatnonzero(~np.isfinite(rows).all(axis=-1))[0])
            raise ValueError(f"`adapt` expects finite vectors; row {row} of a batch is not. Impute or drop such rows.")
        kept = rows if kept is None else np.concatenate([kept, rows])
        priorities = np.concatenate([priorities, generator.random(len(rows))])
        if len(kept) > max_rows:
            # The rows of the smallest priorities so far are a uniform sample of all rows so far.
            best = np.sort(np.argpartition(priorities, max_rows)[:max_rows])
            kept, priorities = kept[best], priorities[best]
    if kept is None or not len(kept):
        raise ValueError("`adapt` received no rows.")
    return kept


def _generator(seed: int | None) -> np.random.Generator:
    # NumPy's global state is what `keras.utils.set_random_seed` seeds.
    return np.random.default_rng(np.random.randint(2**31) if seed is None else seed)


def _batches(data: Any) -> Any:
    if isinstance(data, keras.utils.PyDataset):
        batches: Any = (data[index] for index in range(data.num_batches or 0))
    elif hasattr(data, "__array__") or isinstance(data, list):
        batches = [np.asarray(data)]
    else:
        batches = data
    for batch in batches:
        yield batch[0] if isinstance(batch, tuple) else batch


def fit_codebooks(
    rows: np.ndarray, num_levels: int, codebook_size: int, seed: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Codebooks `(levels, codes, dim)` by k-means on each level's residuals, and each code's share of the rows."""
    generator = _generator(seed)
    residual, books, usages = rows, [], []
    for _ in range(num_levels):
        book, codes = k_means(residual, codebook_size, generator)
        books.append(book)
        usages.append(np.bincount(codes, minlength=codebook_size) / len(rows))
        residual = residual - book[codes]
    return np.stack(books).astype("float32"), np.stack(usages).astype("float32")


def k_means(
    rows: np.ndarray, num_clusters: int, generator: np.random.Generator, iterations: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Centers and assignments by Lloyd's iterations from a k-means++ start.

    With fewer distinct rows than clusters the spare centers repeat rows; they lose
    every tie and are left for the quantizer's reset to move.

    Reference:
        Arthur and Vassilvitskii, *k-means++: the advantages of careful seeding*, 2007.
    """
    centers = np.empty((num_clusters, rows.shape[1]), rows.dtype)
    centers[0] = rows[generator.integers(len(rows))]
    nearest = ((rows - centers[0]) ** 2).sum(axis=1, dtype="float64")
    for index in range(1, num_clusters):
        total = nearest.sum()
        pick = np.searchsorted(np.cumsum(nearest), generator.random() * total) if total > 0 else index
        centers[index] = rows[pick % len(rows)]
        nearest = np.minimum(nearest, ((rows - centers[index]) ** 2).sum(axis=1))
    codes = _assign(rows, centers)
    for _ in range(iterations):
        counts = np.bincount(codes, minlength=num_clusters)
        order = np.argsort(codes, kind="stable")
        filled = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[filled])[:-1]])
        sums = np.add.reduceat(rows[order], starts, axis=0, dtype="float64")
        centers[filled] = sums / counts[filled, np.newaxis]
        updated = _assign(rows, centers)
        if np.array_equal(updated, codes):
            break
        codes = updated
    return centers, codes


def _assign(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    norms = (centers**2).sum(axis=1)
    # Blocks bound the distance matrix, which would otherwise outgrow the rows themselves.
    blocks = np.array_split(rows, max(1, len(rows) // 8192))
    return np.concatenate([np.argmin(norms - 2.0 * block @ centers.T, axis=1) for block in blocks])
