"""Stops a training whose loss is no number any more."""

import math
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras

# A mean cross entropy of 20 is that of probabilities wrong by nine digits; sums of layers' losses start below it.
FAR_ABOVE = 20.0


class LossWatch(keras.callbacks.Callback):
    """Raises at the first step after which the loss is NaN or infinite, and warns of one that runs away.

    `RankingModel.fit` and `TwoTowerModel.fit` add it by themselves. The numbers that it looks at are those that Keras
    makes for its other callbacks after every step anyhow, in a thread beside the training where it can; so the error
    may come a few steps after the one that it names.

    Args:
        task_names: the tasks; metrics are told apart by names that begin with theirs. Defaults to `()`.
        unlabelled: gives the tasks of which no row so far had a label, or `None`; asked at the end of the first
            epoch. Defaults to `None`.

    Raises:
        FloatingPointError: in training, when the loss is NaN or infinite.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e30), "mse")
    >>> ones = keras.ops.ones((8, 1))
    >>> model.fit(ones, ones, batch_size=1, verbose=0, callbacks=[LossWatch()])
    Traceback (most recent call last):
    ...
    FloatingPointError: The loss became ...
    """

    # It touches nothing of the model, so Keras may call it from a thread.
    async_safe = True

    def __init__(
        self, task_names: Iterable[str] = (), unlabelled: Callable[[], Iterable[str] | None] | None = None
    ) -> None:
        super().__init__()
        self._task_names = list(task_names)
        self._unlabelled = unlabelled
        self._lock = threading.Lock()
        self._epoch = 0
        self._rate: float | None = None
        self._step = "in step"
        self._first_loss: float | None = None
        self._bad: dict[int, dict[str, Any]] = {}
        self._warned = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start anew."""
        self._first_loss, self._bad, self._warned = None, {}, False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note what errors are to name: on JAX the model's numbers are out of reach within an epoch."""
        self._epoch = epoch
        # Asked for here alone: on JAX `self.model` gives the last step's weights to the model, and where a thread asks,
        # the next step gets arrays that are gone.
        model = self.model
        self._step = "in step" if getattr(model, "steps_per_execution", 1) == 1 else "up to step"
        rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
        self._rate = None if rate is None else float(keras.ops.convert_to_numpy(rate))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the mean loss of the epoch's steps so far: once it is NaN, it stays so."""
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        loss = float(loss)
        if not math.isfinite(loss):
            with self._lock:
                self._bad[batch] = dict(logs or {})
            self._stop()
        if self._first_loss is None:
            self._first_loss = loss
        if not self._warned and loss > FAR_ABOVE * max(self._first_loss, 1.0):
            self._warned = True
            warnings.warn(
                f"The loss runs away: {loss:.4g} after step {batch + 1} of epoch {self._epoch + 1}, where it began at "
                f"{self._first_loss:.4g}. {self._remedy()}",
                stacklevel=2,
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell of tasks without any label."""
        tasks = sorted(self._unlabelled() or ()) if self._unlabelled is not None else []
        self._unlabelled = None
        if tasks:
            warnings.warn(
                f"No row of the first epoch has a label of {', '.join(map(repr, tasks))}: all are NaN, and nothing of "
                "it is learned. Look at how the column was read, or leave the task out of the schema.",
                stacklevel=2,
            )

    def _stop(self) -> None:
        # Threads may come here in another order than the steps'.
        with self._lock:
            batch = min(self._bad)
            logs = self._bad[batch]
        bad = sorted(name for name, value in logs.items() if name != "loss" and _is_bad(value))
        tasks = [task for task in self._task_names if any(_is_of(name, task) for name in bad)]
        if tasks:
            where = f"With it the metrics of {', '.join(map(repr, tasks))}: the predictions are no numbers."
        elif bad:
            where = (
                f"With it {', '.join(map(repr, bad))}, but no metric of a task: it is these losses of the step alone."
            )
        else:
            where = (
                "No task's metrics are: it is the loss of this step alone, such as of groups or residual learning, "
                "or metrics do not tell."
            )
        raise FloatingPointError(
            f"The loss became {float(logs['loss'])} {self._step} {batch + 1} of epoch {self._epoch + 1}. {where} "
            f"{self._remedy()} The weights are not worth keeping: go on from the last saved ones."
        )

    def _remedy(self) -> str:
        now = "" if self._rate is None else f" (now {self._rate:.3g})"
        return f"Take a smaller learning rate{now}, or limit gradients (`clipnorm` of the optimizer)."


def _is_of(metric: str, task: str) -> bool:
    # The losses of residual learning's heads bear a task's name, too, but do not come of its predictions.
    of_heads = metric in (f"{task}_residual_loss", f"{task}_pseudo_loss")
    return metric == task or (metric.startswith(f"{task}_") and not of_heads)


def _is_bad(value: Any) -> bool:
    return not math.isfinite(float(value))
