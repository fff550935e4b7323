"""Labels that mean nothing where their parent task did not happen."""

from collections.abc import Sequence

import polars as pl

from ...schema import Task


def hide_unobserved(frame: pl.DataFrame, tasks: Sequence[Task]) -> pl.DataFrame:
    """The frame with a task's label missing wherever the task it is given is not 1.

    A parent comes before its children in `tasks`, so a chain of parents is followed to its end.

    Example:
    >>> frame = pl.DataFrame({"click": [1.0, 0.0], "purchase": [0.0, 0.0]})
    >>> hide_unobserved(frame, [Task("click"), Task("purchase", given="click")])["purchase"].to_list()
    [0.0, None]
    """
    for task in tasks:
        if task.given is not None:
            happened = pl.col(task.given) == 1.0
            frame = frame.with_columns(pl.when(happened).then(pl.col(task.name)).alias(task.name))
    return frame
