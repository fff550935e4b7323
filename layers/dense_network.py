"""Dense layers one after the other, as a list, whose last one is linear."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


def make_network(
    name: str, units: Sequence[int], activation: Callable[[Any], Any], seed: int | None, dtype: Any
) -> list[keras.layers.Dense]:
    """The layers, not built yet.

    Args:
        name: what their names begin with.
        units: their widths.
        activation: activation of all but the last.
        seed: integer seed of the kernels, or `None`.
        dtype: dtype or dtype policy.
    """
    last = len(units) - 1
    return [
        keras.layers.Dense(
            width,
            activation=None if index == last else activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=None if seed is None else seed + index),
            dtype=dtype,
            name=f"{name}_{index}",
        )
        for index, width in enumerate(units)
    ]


def build_network(layers: Sequence[keras.layers.Dense], input_shape: tuple[int | None, ...]) -> None:
    """Build the layers for inputs of a shape."""
    for layer in layers:
        layer.build(input_shape)
        input_shape = layer.compute_output_shape(input_shape)


def apply_network(layers: Sequence[keras.layers.Dense], inputs: Any) -> Any:
    """What the layers make of inputs."""
    for layer in layers:
        inputs = layer(inputs)
    return inputs
