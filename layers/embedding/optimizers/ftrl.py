"""Follow the regularized leader on touched rows."""

from typing import Any

import keras
from keras import ops

from .row_optimizer import RowOptimizer


@keras.saving.register_keras_serializable(package="grouprank", name="EmbeddingFTRL")
class FTRL(RowOptimizer):
    """FTRL-Proximal, per component: online gradient descent whose L1 term makes weights exactly zero.

    It is what linear click models over billions of ids are trained with: rare ids whose evidence does not exceed `l1`
    keep the weight 0, and need not be served. With the sum `n` of squared gradients and the slot `z`, a step is

        s = (√(n + g²) − √n) / learning_rate
        z += g − s w;  n += g²
        w = 0 if |z| ≤ l1, else −(z − sign(z) l1) / ((beta + √n) / learning_rate + l2)

    A row begins at its initial values, whatever they are: `z` of a component without a gradient so far is the one of
    which the formula makes `w`. The paper begins at zeros.

    `l1`, `l2` and `beta` are in units of the gradients. The paper learns row by row, while a model's loss is a mean
    over the rows of a step, whose gradients are smaller by that number. With `batch_size` all three are divided by it,
    so that the paper's values can be passed as they are. Without it, a `beta` of 1 makes the steps of a mean over many
    rows far too small.

    Args:
        learning_rate: number or schedule; the paper's `α`. Defaults to `0.05`.
        l1: strength of the L1 term. Defaults to `0.0`.
        l2: strength of the L2 term. Defaults to `0.0`.
        beta: added to `√n`; larger values make the first steps smaller. Defaults to `1.0`, as in the paper.
        batch_size: number of rows whose mean is the loss of a step. Defaults to `1`.
        **kwargs: `clipnorm` and `clipvalue`, see `RowOptimizer`.

    Raises:
        ValueError: on a negative number, a learning rate of 0, a `batch_size` below 1, or a `weight_decay`.

    Example:

    >>> FTRL(0.1, l1=1.0, batch_size=1024).slots(dim=8)
    {'accumulator': (8, 0.0), 'linear': (8, 0.0)}

    Reference:
        McMahan et al., *Ad Click Prediction: a View from the Trenches*,
        [KDD 2013](https://doi.org/10.1145/2487575.2488200), algorithm 1.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.05,
        l1: float = 0.0,
        l2: float = 0.0,
        beta: float = 1.0,
        batch_size: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        for argument, value in (("l1", l1), ("l2", l2), ("beta", beta)):
            if value < 0:
                raise ValueError(f"`{argument}` must not be negative. Received: {argument}={value}.")
        if self.weight_decay is not None:
            raise ValueError(
                "FTRL makes the weights anew of what it has added up, so that a decay would be undone. Use `l2`. "
                f"Received: weight_decay={self.weight_decay}."
            )
        if not self.scheduled and self.learning_rate == 0:
            raise ValueError("FTRL divides by its `learning_rate`. Received: learning_rate=0.")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"`batch_size` must be a positive integer. Received: batch_size={batch_size!r}.")
        self.l1, self.l2, self.beta, self.batch_size = l1, l2, beta, batch_size

    def slots(self, dim: int) -> dict[str, tuple[int, float]]:
        """A sum of squares and the linear term, per component."""
        return {"accumulator": (dim, 0.0), "linear": (dim, 0.0)}

    def step(
        self, rows: Any, gradient: Any, slots: dict[str, Any], learning_rate: Any, iteration: Any
    ) -> tuple[Any, dict[str, Any]]:
        """See `RowOptimizer.step`."""
        before = slots["accumulator"]
        l1, l2, beta = (value / self.batch_size for value in (self.l1, self.l2, self.beta))
        untouched = -rows * (beta / learning_rate + l2) - ops.sign(rows) * l1
        linear = ops.where(ops.equal(before, 0.0), untouched, slots["linear"])
        after = before + ops.square(gradient)
        root = ops.sqrt(after)
        linear = linear + gradient - (root - ops.sqrt(before)) / learning_rate * rows
        beyond = ops.sign(linear) * ops.maximum(ops.abs(linear) - l1, 0.0)
        made = -beyond / ((beta + root) / learning_rate + l2)
        return made, {"accumulator": after, "linear": linear}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["weight_decay"]
        return {**config, "l1": self.l1, "l2": self.l2, "beta": self.beta, "batch_size": self.batch_size}
