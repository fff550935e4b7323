"""Finds out where the values of a version's variables come from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .served_variables import ServedVariable, ServedVariables, dense_values

# Whole numbers below this are exact in every dtype of weights, and four of them tell places up to 2 ** 32.
_BASE, _DIGITS = 256, 4


def record_variables(
    model: Any, variables: Mapping[str, Any], arrangements: Mapping[int, Callable[[], Any]], graph: Mapping[str, str]
) -> ServedVariables | None:
    """The record of a version's variables.

    The model's weights are overwritten with numbers of their own places, and the variables that hold weights in another
    order are arranged anew. What comes out says where each value came from. So nothing is known here of how a layer
    arranges its weights, and the answer is checked against the values that were written. The model cannot be used
    afterwards.

    Args:
        model: the model of which the version was written, under the TensorFlow backend.
        variables: TensorFlow's variables of the version by their names in the checkpoint.
        arrangements: what makes the tensor of a variable, by the identity of the variable; of the arranged ones.
        graph: see `graph_parts`.

    Returns:
        `None` if a variable holds anything but values of weights and rows of tables.
    """
    tables = {id(_rows(stack)): number for number, stack in enumerate(model.table_stacks)}
    others = {key: variable for key, variable in variables.items() if id(variable) not in tables}
    written = {key: variable.numpy() for key, variable in others.items()}
    values = dense_values(model)
    places = {key: np.zeros(value.size, "int64") for key, value in written.items()}
    for digit in range(_DIGITS):
        _number(model.dense_weights, _BASE**digit)
        for key, variable in others.items():
            made = arrangements[id(variable)]() if id(variable) in arrangements else variable
            places[key] += np.asarray(made.numpy(), "int64").reshape(-1) * _BASE**digit
    for key, value in written.items():
        if places[key].max(initial=0) >= len(values):
            return None
        if values[places[key]].astype(value.dtype).tobytes() != value.tobytes():
            return None
    kept = {stack.quantized.dtype_of_rows if stack.quantized else "float32" for stack in model.table_stacks}
    return ServedVariables(
        tuple(ServedVariable(key, tables.get(id(v)), places.get(key)) for key, v in variables.items()),
        kept.pop() if kept else "float32",
        graph,
    )


def _rows(stack: Any) -> Any:
    """TensorFlow's variable of the rows of a stack."""
    return (stack.embeddings if stack.quantized is None else stack.quantized.rows).value


def _number(weights: Sequence[Any], unit: int) -> None:
    """Overwrite each value with a digit of its place in `dense_values`."""
    first = 1
    for weight in weights:
        size = int(np.prod(weight.shape))
        digits = np.arange(first, first + size) // unit % _BASE
        weight.assign(digits.reshape(weight.shape).astype("float32"))
        first += size
