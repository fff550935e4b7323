"""The label of a task: a number in [0, 1], missing where the outcome was not observed."""

import dataclasses

import numpy as np
import polars as pl

from ..transforms.raw_values import as_float32
from .kind import Problem
from .typed_values import is_number, misfit, numbers, plain_text, present

_TRUTH = {"true": "1", "false": "0"}


@dataclasses.dataclass(frozen=True)
class LabelColumn:
    """The column of a task's labels. Nothing is fitted to it, and no served row has it.

    Args:
        name: name of the column.

    Example:
    >>> label = LabelColumn("click")
    >>> label.typed(pl.Series(["1", "False", ""]), lambda wrong, expected: None).to_list()
    [1.0, 0.0, None]
    >>> label.encode(pl.Series([1.0, None]))
    array([ 1., nan], dtype=float32)
    """

    name: str

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """Labels of a user's table as Float32, null where missing; `true` and `false` count as 1 and 0.

        Args:
            values: strings as in a text file, or a Parquet file's own type.
            problem: called with a mask of rows that do not fit, and what was expected of them.
        """
        if not is_number(values.dtype):
            if values.dtype.is_temporal():
                raise misfit(values, "task", "numbers in [0, 1]")
            values = plain_text(values, "task", problem, "numbers in [0, 1]").str.to_lowercase().replace(_TRUTH)
        typed = numbers(values, pl.Float32).fill_nan(None)
        fits = typed.is_between(0, 1).fill_null(False)
        missing = ~present(values) | (values.is_nan() if values.dtype.is_float() else False)
        problem((~fits & ~missing).to_numpy(), "a label in [0, 1] (nothing where it is unobserved)")
        return typed

    def encode(self, values: pl.Series) -> np.ndarray:
        """The labels as float32, NaN where unobserved."""
        return as_float32(self.name, values)

    def check(self, values: pl.Series, dataset: str, first_row: int) -> None:
        """Raise on a label outside [0, 1].

        Args:
            values: a chunk of labels.
            dataset: where they are from, for the error.
            first_row: number of the chunk's first row.
        """
        labels = self.encode(values)
        wrong = np.flatnonzero((labels < 0) | (labels > 1))
        if wrong.size:
            raise ValueError(
                f"{dataset}: task {self.name!r}, row {first_row + int(wrong[0])}: a label must lie in [0, 1] "
                f"(missing where unobserved). Received: {labels[wrong[0]]:g}. Scale or clip the column."
            )
