"""Steps of `model.fit`, timed as users run it."""

import time
from typing import Any

import keras
import numpy as np

from .workload import Workload


class TimedFit:
    """Runs steps of plain `model.fit` over a `PyDataset` and takes the time from the end of a step to the next's.

    So a step's time holds what a user pays: the batch on its way from NumPy, the compiled step, Keras' bookkeeping.
    The loss is read on the host after every step, which waits for the step.

    Args:
        model: a compiled model that takes a dict of `(batch,)` ids by field.
        work: the workload.
        task: the task's name if the model expects a dict of labels. Defaults to `None`.
    """

    def __init__(self, model: keras.Model, work: Workload, task: str | None = None) -> None:
        self.model = model
        self.batches: list[Any] = []
        for ids, labels in work.make_batches():
            columns = {name: np.ascontiguousarray(ids[:, number]) for number, name in enumerate(work.field_names)}
            self.batches.append((columns, {task: labels} if task else labels[:, None]))
        self._done = 0

    def __call__(self, steps: int) -> list[float]:
        """Run steps and return the seconds of each."""
        clock = _Clock()
        # `fit` starts its data source and callbacks anew on each call; the first step would count that.
        data = _Rotation(self.batches, self._done, steps + 1)
        self.model.fit(data, epochs=1, verbose=0, shuffle=False, callbacks=[clock])
        self._done += steps + 1
        return [after - before for before, after in zip(clock.ends, clock.ends[1:], strict=False)]


class _Rotation(keras.utils.PyDataset):
    def __init__(self, batches: list[Any], start: int, steps: int) -> None:
        super().__init__()
        self._batches, self._start, self._steps = batches, start, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> Any:
        return self._batches[(self._start + index) % len(self._batches)]


class _Clock(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float(np.asarray(logs["loss"]))
        if not np.isfinite(loss):
            raise ValueError(f"The loss is {loss} after {batch + 1} steps.")
        self.ends.append(time.perf_counter())
