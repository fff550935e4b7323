"""Numbers in [0, 1) that only depend on what they are drawn for."""

import numpy as np


def uniform_numbers(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each integer, the same in whatever chunks and order they come (splitmix64).

    Args:
        numbers: integers of any type.
        seed: another seed draws other numbers.

    Example:
    >>> uniform_numbers(np.array([7, 8, 7]), seed=0).round(3).tolist()
    [0.034, 0.808, 0.034]
    """
    with np.errstate(over="ignore"):
        z = numbers.astype("uint64") + np.uint64(seed + 1) * np.uint64(0xD1B54A32D192ED03)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) / float(1 << 53)
