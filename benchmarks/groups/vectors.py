"""The rows that every quantizer gets."""

import numpy as np


def make_vectors(rows: int, dim: int, batches: int = 8, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of clustered rows and of what the layers above send back, float32 of shape `(rows, dim)`.

    Args:
        rows: rows of a batch.
        dim: width of a row.
        batches: number of batches. Defaults to `8`.
        seed: seed of the draws. Defaults to `0`.
    """
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(1000, dim))
    shares = 1.0 / np.arange(1, 1001)
    shares /= shares.sum()
    made = []
    for _ in range(batches):
        near = centers[rng.choice(1000, rows, p=shares)] + 0.3 * rng.normal(size=(rows, dim))
        made.append((near.astype("float32"), rng.normal(size=(rows, dim)).astype("float32")))
    return made
