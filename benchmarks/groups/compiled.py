"""A call and its backward pass, compiled as `fit` compiles a step."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


def compile_backward(layer: Any, batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Callable[[int], list[float]]:
    """Forward in training mode, updates, and the gradient by the inputs of `Σ outputs · given + losses`.

    `tf.function` on TensorFlow, `jax.jit` with donated state on JAX, eager on torch.

    Args:
        layer: a built layer without trainable weights.
        batches: inputs and what is sent back to the outputs.

    Returns:
        A function that runs a number of calls and returns the seconds of each.
    """
    call = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](layer)
    pairs = [tuple(keras.ops.convert_to_tensor(part) for part in batch) for batch in batches]
    done = 0

    def run(steps: int) -> list[float]:
        nonlocal done
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            call(*pairs[done % len(pairs)])
            times.append(time.perf_counter() - start)
            done += 1
        return times

    return run


def _tensorflow(layer: Any) -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    def backward(z: Any, given: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(z)
            outputs = layer(z, training=True)
            loss = sum(layer.losses) + tf.reduce_sum(outputs * given)
        return tape.gradient(loss, z)

    compiled = tf.function(backward)
    return lambda z, given: compiled(z, given).numpy()


def _jax(layer: Any) -> Callable[[Any, Any], Any]:
    import jax

    def loss(z: Any, given: Any, state: Any) -> Any:
        outputs, state, losses = layer.stateless_call([], state, z, training=True, return_losses=True)
        return sum(losses) + (outputs * given).sum(), state

    backward = jax.jit(jax.grad(loss, has_aux=True), donate_argnums=2)
    held = [[variable.value for variable in layer.non_trainable_variables]]

    def call(z: Any, given: Any) -> Any:
        gradient, held[0] = backward(z, given, held[0])
        return jax.block_until_ready((gradient, held[0]))

    return call


def _torch(layer: Any) -> Callable[[Any, Any], Any]:
    def call(z: Any, given: Any) -> Any:
        z = z.detach().requires_grad_()
        outputs = layer(z, training=True)
        (sum(layer.losses) + (outputs * given).sum()).backward()
        return z.grad

    return call
