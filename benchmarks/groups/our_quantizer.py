"""`ResidualQuantizer` on whichever backend `KERAS_BACKEND` names, and the floor below it."""

import time
from typing import Any

import keras
import numpy as np
from keras import ops

from ...layers import ResidualQuantizer
from ..support.prepared import Prepared
from .compiled import compile_backward
from .vectors import make_vectors


def prepare(rows: int, dim: int, levels: int, codes: int) -> Prepared:
    """Our quantizer with its defaults.

    Args:
        rows: rows of a batch.
        dim: width of a row.
        levels: number of codebooks.
        codes: codes of each.
    """
    layer = ResidualQuantizer(levels, codes, seed=0)
    layer.build((None, dim))
    return Prepared(compile_backward(layer, make_vectors(rows, dim)))


def prepare_products(rows: int, dim: int, levels: int, codes: int) -> Prepared:
    """The floor: nothing but each level's product of rows and codes and its maxima, forward, on the same backend.

    Args:
        rows: rows of a batch.
        dim: width of a row.
        levels: number of codebooks.
        codes: codes of each.
    """
    z = ops.convert_to_tensor(make_vectors(rows, dim, batches=1)[0][0])
    books = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(levels, dim, codes)).astype("float32"))
    products = _compiled(lambda z, books: [ops.max(ops.matmul(z, books[level]), axis=-1) for level in range(levels)])

    def run(steps: int) -> list[float]:
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            products(z, books)
            times.append(time.perf_counter() - start)
        return times

    return Prepared(run)


def _compiled(function: Any) -> Any:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        graph = tf.function(function)
        return lambda *arguments: [maxima.numpy() for maxima in graph(*arguments)]
    if keras.backend.backend() == "jax":
        import jax

        step = jax.jit(function)
        return lambda *arguments: jax.block_until_ready(step(*arguments))
    return function
