"""k-means start of residual codebooks."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import rank, replicas, world_size


def collect_rows(data: Any, max_rows: int, seed: int | None) -> np.ndarray:
    """Up to `max_rows` float32 rows drawn uniformly from an array or an iterable of batches.

    In several processes of torch the data are each process' own, and the rows those of all of them.
    """
    generator = _generator(seed)
    if world_size() > 1:
        # Rows of two processes must not be kept or dropped together.
        generator = np.random.default_rng((rank(), int(generator.integers(2**31))))
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
    if world_size() > 1:
        kept, priorities = (ops.convert_to_numpy(replicas.gather_rows(part)) for part in (kept, priorities))
        kept = kept[np.sort(np.argsort(priorities)[:max_rows])]
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

    With no more distinct rows than clusters, each distinct row is a center. The spare centers repeat rows; they lose
    every tie and are left for the quantizer's reset to move.

    Reference:
        Arthur and Vassilvitskii, *k-means++: the advantages of careful seeding*, 2007.
    """
    # Imported here, since it takes longer than the rest of this room and only `adapt` needs it.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    seed = int(generator.integers(2**31))
    if len({row.tobytes() for row in rows}) <= num_clusters:
        distinct, codes = np.unique(rows, axis=0, return_inverse=True)
        return distinct[np.arange(num_clusters) % len(distinct)], codes
    # Several threads add up the centers in an order of their own, and a run could not be repeated to the last bit.
    with threadpool_limits(1, "openmp"):
        fitted = KMeans(num_clusters, n_init=1, max_iter=iterations, tol=0.0, random_state=seed).fit(rows)
    return fitted.cluster_centers_, fitted.labels_
