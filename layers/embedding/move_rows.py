"""Rows of tables that lie elsewhere in a larger array."""

from collections.abc import Iterable
from typing import Any

from keras import ops

# The first row of a table and its number of rows.
Span = tuple[int, int]


def move_rows(old: Any, new: Any, tables: Iterable[tuple[Span, Span]] = ()) -> None:
    """Give a variable the rows of another one, table by table; rows that the other one does not have stay as they are.

    Args:
        old: variable to copy from.
        new: variable to copy to, which has as many rows or more.
        tables: where each of the stacked tables lies in `old` and in `new`, in the order of the rows. It matters only
            where the shapes differ. Defaults to `()`.

    Raises:
        ValueError: if the shapes differ and no tables tell why.

    Example:

    >>> import keras
    >>> old, new = keras.Variable([[1.0], [2.0]]), keras.Variable([[0.0], [0.0], [0.0]])
    >>> move_rows(old, new, [((0, 1), (0, 2)), ((1, 1), (2, 1))])
    >>> ops.convert_to_numpy(new).tolist()
    [[1.0], [0.0], [2.0]]
    """
    if tuple(old.shape) == tuple(new.shape):
        # A copy, since JAX's next step frees the array that a variable holds.
        new.assign(ops.copy(old))
        return
    before, after = ops.convert_to_tensor(old), ops.convert_to_tensor(new)
    parts = []
    for (first, rows), (new_first, new_rows) in tables:
        parts += [before[first : first + rows], after[new_first + rows : new_first + new_rows]]
    if not parts:
        raise ValueError(
            f"The variables {old.path!r} and {new.path!r} differ in shape, {tuple(old.shape)} and {tuple(new.shape)}, "
            "and belong to no table of ids."
        )
    new.assign(ops.concatenate(parts, axis=0))
