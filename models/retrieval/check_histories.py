"""Checks histories, users and next items before a generative model reads them."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from ..checks.host_columns import as_host_array, frame_columns, on_host


def check_histories(x: Any, y: Any, num_items: int, history_length: int, reads_users: bool) -> tuple[Any, Any]:
    """Columns as a model reads them; loaders, and tensors of a device, as they are.

    Args:
        x: `{"history": ...}`, and `"user_id"` if the model reads users; the history alone if it does not; a data frame;
            or a loader.
        y: ids of the next items, or `None`.
        num_items: number of item ids, id 0 included.
        history_length: most items of a history.
        reads_users: whether the model reads `"user_id"`.

    Raises:
        ValueError: on a missing column, another shape, numbers that are not integers, or ids outside the table.

    Example:

    >>> check_histories([[0, 3, 2]], None, num_items=4, history_length=3, reads_users=False)
    ({'history': array([[0, 3, 2]], dtype=int32)}, None)
    """
    x = frame_columns(x)
    if on_host(x) or keras.ops.is_tensor(x):
        x = {"history": x}
    if not isinstance(x, Mapping):
        return x, y
    names = ["history", "user_id"] if reads_users else ["history"]
    missing = [name for name in names if name not in x]
    if missing:
        raise ValueError(f"`x` lacks the columns {missing}. Expected: {names}. Received: {list(x)}.")
    x = {name: x[name] for name in names}
    if on_host(x["history"]):
        history = _ids("history", x["history"], num_items)
        if history.ndim != 2 or not 1 <= history.shape[1] <= history_length:
            raise ValueError(
                f"`history` must be item ids of shape (rows, length), with a length of at most {history_length}; pad "
                f"with 0. Received: shape {history.shape}."
            )
        x["history"] = history
    if reads_users and on_host(x["user_id"]):
        x["user_id"] = _ids("user_id", x["user_id"]).reshape(-1)
    if y is not None and on_host(y):
        y = _ids("y", y, num_items).reshape(-1)
    rows = {name: len(values) for name, values in {**x, "y": y}.items() if values is not None}
    if len(set(rows.values())) > 1:
        raise ValueError(f"All columns must have the same number of rows. Received: {rows}.")
    return x, y


def _ids(name: str, values: Any, below: int | None = None) -> np.ndarray:
    array = as_host_array(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`{name}` must be integers, in rows of one length. Received: dtype {array.dtype}.")
    wrong = np.argwhere((array < 0) | (array >= (2**31 if below is None else below)))
    if len(wrong):
        expected = "in [0, 2**31)" if below is None else f"in [0, {below}), which are the rows of `codes`"
        raise ValueError(
            f"`{name}`, row {wrong[0][0]}: expected ids {expected}. Received: {array[tuple(wrong[0])]}; "
            f"{len(wrong)} of {array.size} ids are wrong. Give an item that is unknown the id 0."
        )
    return array.astype("int32")
