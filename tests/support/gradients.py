"""Gradients of a scalar function on whatever backend runs the tests."""

import keras
import numpy as np
from keras import ops


def gradients(function, inputs=(), variables=()):
    """Value and gradients of `function(*inputs)` by inputs and Keras variables.

    State that the function assigns is thrown away. What does not depend on something has a gradient of zeros.

    Returns:
        `(value, input gradients, variable gradients)` as NumPy.
    """
    inputs = [np.asarray(values, "float32") for values in inputs]
    starts = [ops.convert_to_numpy(variable.value) for variable in variables]

    def value_at(tensors, values):
        scope = keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)), collect_losses=True)
        with scope:
            return function(*tensors)

    value, found = globals()[f"_{keras.backend.backend()}"](value_at, inputs, starts)
    arrays = [
        np.zeros(start.shape, "float32") if gradient is None else np.array(ops.convert_to_numpy(gradient))
        for gradient, start in zip(found, [*inputs, *starts], strict=True)
    ]
    return float(ops.convert_to_numpy(value)), arrays[: len(inputs)], arrays[len(inputs) :]


def _tensorflow(value_at, inputs, starts):
    import tensorflow as tf

    tensors = [tf.constant(start) for start in [*inputs, *starts]]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = value_at(tensors[: len(inputs)], tensors[len(inputs) :])
    found = tape.gradient(value, tensors)
    return value, [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in found]


def _jax(value_at, inputs, starts):
    import jax

    # Compiled as one: each operation by itself would take far longer.
    value, (by_input, by_start) = jax.jit(jax.value_and_grad(value_at, argnums=(0, 1)))(inputs, starts)
    return value, [*by_input, *by_start]


def _torch(value_at, inputs, starts):
    import torch

    tensors = [torch.tensor(start, requires_grad=True) for start in [*inputs, *starts]]
    value = value_at(tensors[: len(inputs)], tensors[len(inputs) :])
    if not value.requires_grad:
        return value, [None] * len(tensors)
    return value, torch.autograd.grad(value, tensors, allow_unused=True)
