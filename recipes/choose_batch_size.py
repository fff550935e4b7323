"""The number of rows in a training step where none is given."""

LEAST_STEPS = 200
_LEAST, _MOST = 32, 4096


def choose_batch_size(rows: int) -> int:
    """The largest power of two that leaves 200 steps per epoch, between 32 and 4096.

    With large batches a small table has too few steps to learn anything, and with small batches a large table takes
    hours longer than it needs.

    Args:
        rows: number of training rows.

    Example:

    >>> [choose_batch_size(rows) for rows in (500, 16_000, 150_000, 45_000_000)]
    [32, 64, 512, 4096]
    """
    steps = rows // LEAST_STEPS
    return min(max(1 << max(steps.bit_length() - 1, 0), _LEAST), _MOST)
