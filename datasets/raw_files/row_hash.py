"""Random numbers of rows that depend on nothing but their places."""

import numpy as np


def row_hash(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each row number, the same whatever the chunks (splitmix64).

    Args:
        numbers: numbers of rows.
        seed: another seed gives other numbers.

    Example:
    >>> drawn = row_hash(np.array([0, 1, 2]), seed=0)
    >>> bool((drawn[1:] == row_hash(np.array([1, 2]), seed=0)).all())
    True
    """
    with np.errstate(over="ignore"):
        z = numbers.astype("uint64") + np.uint64(seed + 1) * np.uint64(0xD1B54A32D192ED03)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) / float(1 << 53)
