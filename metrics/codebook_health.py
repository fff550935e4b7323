"""Codebook use of every quantizer in a model, in the logs of `fit`."""

from typing import Any

import keras
import numpy as np
from keras import ops

from .codebook_counts import USED_ABOVE


class CodebookHealth(keras.callbacks.Callback):
    """Adds the perplexity and utilization of a model's codebooks to the logs at the end of every epoch.

    For users who put our layers into a Keras model of their own: `fit` prints the figures, `History` and `CSVLogger`
    keep them, `EarlyStopping` can watch them. (On JAX a layer cannot do this by itself, since Keras keeps metric
    variables out of a layer's call.) Every sublayer with an attribute `codebook_usage`, a variable of shape
    `(num_levels, codebook_size)` with the moving average of assignments per batch, is reported once, as

    - `<layer name>_perplexity`: exponential of the entropy of usage, averaged over levels;
    - `<layer name>_utilization`: share of codes whose usage is above 1 % of the mean usage of their level.

    Put it **before** `CSVLogger` and other callbacks that read the logs: callbacks run in order.

    Raises:
        ValueError: when training begins, if no sublayer has a `codebook_usage`.

    Example:

    >>> class Quantizer(keras.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.codebook_usage = self.add_weight(shape=(1, 4), initializer="ones", trainable=False)
    ...     def call(self, x):
    ...         return x
    >>> model = keras.Sequential([keras.Input((2,)), Quantizer(name="groups"), keras.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), callbacks=[CodebookHealth()], verbose=0)
    >>> history.history["groups_perplexity"], history.history["groups_utilization"]
    ([4.0], [1.0])
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the figures of every quantizer to `logs`."""
        if logs is None:
            return
        for name, variable in self._usages().items():
            usage = np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(variable)), dtype="float64")
            logs[f"{name}_perplexity"] = _perplexity(usage)
            logs[f"{name}_utilization"] = _utilization(usage)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Raise if the model has nothing to report."""
        if self.model.built and not self._usages(frozen=True):
            raise ValueError(
                f"CodebookHealth found no layer with a `codebook_usage` in the model {self.model.name!r}. It reports "
                "layers such as grouprank.layers.ResidualQuantizer; leave the callback out if the model has none."
            )

    def _usages(self, frozen: bool = False) -> dict[str, Any]:
        """Usage variables by layer name: each once, under the outermost layer that has it."""
        usages: dict[str, Any] = {}
        seen: set[int] = set()
        for layer in self.model._flatten_layers():
            variable = getattr(layer, "codebook_usage", None)
            # A frozen layer, such as a teacher's, reports nothing, since its codebooks do not move.
            if variable is None or id(variable) in seen or not (layer.trainable or frozen):
                continue
            seen.add(id(variable))
            name, number = layer.name, 1
            while name in usages:
                name, number = f"{layer.name}_{number}", number + 1
            usages[name] = variable
        return usages


def _perplexity(usage: np.ndarray) -> float:
    totals = usage.sum(axis=-1, keepdims=True)
    shares = np.divide(usage, totals, out=np.zeros_like(usage), where=totals > 0)
    logarithms = np.log(np.where(shares > 0, shares, 1.0))
    perplexity = np.exp(-(shares * logarithms).sum(axis=-1))
    return float(np.where(totals[..., 0] > 0, perplexity, 0.0).mean())


def _utilization(usage: np.ndarray) -> float:
    return float((usage > USED_ABOVE * usage.mean(axis=-1, keepdims=True)).mean())
