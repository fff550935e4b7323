"""A linear model on a fused table, whose gradients NumPy knows."""

import keras
import numpy as np
from support.fixed_weights import wave

from grouprank.layers import FusedEmbedding

ROWS, WIDTH, BATCH, FIELDS = 30, 4, 64, 3
TABLE = 0.1 * wave(ROWS, WIDTH)
KERNEL = wave(FIELDS * WIDTH, 1, start=1.0)
_RNG = np.random.default_rng(0)
# Sixty-four times three ids of thirty: every batch is full of repeats.
IDS = _RNG.integers(0, ROWS, (20, BATCH, FIELDS))
LABELS = _RNG.normal(size=(20, BATCH, 1)).astype("float32")


def make_model(row_optimizer="adagrad", placement="device", storage_dtype="float32", seed=None, **compile_arguments):
    """`(model, layer)`: mean squared error of a fixed linear function of the embeddings."""
    layer = FusedEmbedding(
        ROWS,
        WIDTH,
        optimizer=row_optimizer,
        placement=placement,
        storage_dtype=storage_dtype,
        seed=seed,
        name="fused",
    )
    inputs = keras.Input((FIELDS,), dtype="int32")
    dense = keras.layers.Dense(1, use_bias=False, trainable=False, name="dense")
    bias = keras.layers.Dense(1, kernel_initializer="zeros", name="bias")
    features = keras.layers.Flatten()(layer(inputs))
    # The bias keeps the other optimizer at work; its kernel stays out of the embeddings' gradient.
    outputs = dense(features) + 0.0 * bias(keras.ops.stop_gradient(features))
    model = keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(outputs))
    layer.reset_rows(np.arange(ROWS), TABLE)
    dense.kernel.assign(KERNEL)
    arguments = {"optimizer": keras.optimizers.Adam(0.01), "loss": "mse", **compile_arguments}
    model.compile(**arguments)
    return model, layer


def gradient_at(table, ids, labels):
    """Gradient of the loss by the embeddings looked up."""
    predicted = table[ids].reshape(len(ids), -1) @ KERNEL
    return (2 * (predicted - labels) / len(ids)) @ KERNEL.T.astype("float64")


def train_reference(reference, steps=range(20)):
    """The same training in NumPy."""
    for step in steps:
        reference.train(IDS[step], gradient_at(reference.table, IDS[step], LABELS[step]))
    return reference.table
