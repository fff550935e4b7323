"""What the optimizer of `compile` keeps for each row of an embedding table."""

import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@dataclasses.dataclass(frozen=True)
class RowSlot:
    """A variable of an optimizer with an entry for each row of a table.

    Args:
        variable: the optimizer's variable.
        initial: what an entry starts with, or `None` if it starts with the row: that of a moving average does.
    """

    variable: keras.Variable
    initial: np.ndarray | None

    def reset(self, rows: np.ndarray, vectors: Any) -> None:
        """Let the entries of some rows start again.

        Args:
            rows: numbers of the rows.
            vectors: the rows' new values.
        """
        values = vectors
        if self.initial is not None:
            values = ops.broadcast_to(ops.convert_to_tensor(self.initial), (len(rows), *self.initial.shape))
        values = ops.cast(values, self.variable.dtype)
        self.variable.assign(ops.scatter_update(self.variable, rows[:, None], values))


def row_slots(optimizer: Any, trained: Sequence[Any], tables: Sequence[Any]) -> list[list[RowSlot]]:
    """The slots of each table, for any Keras optimizer.

    Keras does not say which of an optimizer's variables belong to which weight. So a second optimizer of the same
    config is built for small weights, in which each table has another number of rows. Its variables stand in the same
    order; their shapes tell the tables apart, and their values are the initial ones.

    Args:
        optimizer: an optimizer that is built.
        trained: the weights that it was built for.
        tables: those of them whose slots are wanted.

    Raises:
        ValueError: if the optimizer was built for other weights.

    Example:

    >>> table, adagrad = keras.Variable(np.ones((9, 2))), keras.optimizers.Adagrad()
    >>> adagrad.build([table])
    >>> (accumulator,) = row_slots(adagrad, [table], [table])[0]
    >>> tuple(accumulator.variable.shape), accumulator.initial.round(1).tolist()
    ((9, 2), [0.1, 0.1])
    """
    taken = {table.shape[0] for table in tables}
    sizes = list(itertools.islice((size for size in itertools.count(1) if size not in taken), len(tables)))
    rows = {id(table): size for table, size in zip(tables, sizes, strict=True)}
    twin = type(optimizer).from_config(optimizer.get_config())
    twin.build([_stand_in(weight, rows.get(id(weight))) for weight in trained])
    if len(twin.variables) != len(optimizer.variables):
        raise ValueError(
            f"The optimizer {optimizer.name!r} was built for other weights than the model trains: it has "
            f"{len(optimizer.variables)} variables, and {len(twin.variables)} are expected. Compile the model again "
            "after layers were frozen or released."
        )
    averages = bool(getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False))
    found: list[list[RowSlot]] = [[] for _ in tables]
    for variable, small in zip(optimizer.variables, twin.variables, strict=True):
        if tuple(variable.shape) != tuple(small.shape):
            follows = averages and small.name.endswith("_average")
            initial = None if follows else ops.convert_to_numpy(small)[0]
            found[sizes.index(small.shape[0])].append(RowSlot(variable, initial))
    return found


def _stand_in(weight: Any, rows: int | None) -> keras.Variable:
    """A weight of the same path and width; optimizers such as Muon go by both."""
    shape = tuple(weight.shape) if rows is None else (rows, *weight.shape[1:])
    overwritten = bool(getattr(weight, "overwrite_with_gradient", False))
    *scopes, name = weight.path.split("/")
    with contextlib.ExitStack() as opened:
        for scope in scopes:
            opened.enter_context(keras.name_scope(scope))
        # A fused table on JAX trains itself and has no slots here: one number stands for it.
        stand_in = keras.Variable("zeros", (1,) if overwritten else shape, weight.dtype, name=name)
    stand_in.overwrite_with_gradient = overwritten
    return stand_in
