"""Backups of the epochs of a training run, from which a killed run continues with the same results."""

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from ..distribution import rank
from ..files import whole_file
from .state_file import StateFile
from .training_state import restore_training_state, training_state


class EpochBackup(keras.callbacks.Callback):
    """Keeps the state of training after every epoch, and stops when validation does not improve.

    A run that was killed at any moment and started again ends with the weights and figures of a run that was not
    killed. After each epoch its state is written to a file, read again, and renamed to `epoch-NUMBER.state`; only then
    older files are deleted. The last two and the best one are kept. If the newest is damaged, the one before it is used
    and the epoch is trained again.

    Call `find` before `fit`, and pass `initial_epoch=backup.epochs` to `fit`. Put this callback last, since a callback
    after it may miss an epoch when a run is killed. `history.csv` has one line per epoch, also after a kill, since it
    is written from the backup. Of several processes that train together, all need this callback, and the first one
    writes.

    Args:
        folder: folder of the states; it must hold nothing else.
        history: the CSV file of the epochs' figures.
        patience: epochs without a better one before training stops, or `None` to train all of them and keep the last.
            Defaults to `None`.
        monitor: names of the figures whose mean is lowest in the best epoch. Defaults to `("val_loss",)`.
        tell: called with a line of text about damaged files. Defaults to `print`.

    Example:

    ```python
    backup = EpochBackup(run / "backup", run / "history.csv", patience=2)
    backup.find()
    if not backup.stopped:
        model.fit(x, y, epochs=50, initial_epoch=backup.epochs, validation_data=validation, callbacks=[backup])
    backup.load_best(model)
    ```
    """

    def __init__(
        self,
        folder: Path,
        history: Path,
        patience: int | None = None,
        monitor: Sequence[str] = ("val_loss",),
        tell: Callable[[str], None] = print,
    ) -> None:
        super().__init__()
        if patience is not None and patience < 1:
            raise ValueError(f"`patience` must be at least 1, or None. Received: patience={patience!r}.")
        self._folder, self._file, self._tell = folder, history, tell
        self._patience, self._monitor = patience, tuple(monitor)
        self._history: list[dict[str, float]] = []

    @property
    def epochs(self) -> int:
        """Epochs that are done."""
        return len(self._history)

    @property
    def best(self) -> int:
        """The epoch to keep, counted from 1; without `patience` the last one."""
        figures = [self._figure(logs) for logs in self._history] if self._patience is not None else []
        lowest = min(figures, default=math.inf)
        # Without a figure that is a number there is nothing to choose by.
        return figures.index(lowest) + 1 if lowest < math.inf else self.epochs

    @property
    def stopped(self) -> bool:
        """Whether validation has not improved for `patience` epochs."""
        return self._patience is not None and self.epochs - self.best >= self._patience

    def find(self) -> bool:
        """Whether there is an epoch to continue from: the last one whose state is complete."""
        for file in sorted(self._folder.glob("epoch-*.state"), reverse=True):
            if not StateFile(file).is_whole():
                self._tell(f"{file} is damaged: its checksum is not that of its content. Taking the epoch before it")
                continue
            self._history = StateFile(file).value()
            best = self._path(self.best)
            if best.exists() and StateFile(best).is_whole():
                self._write_history()
                return True
            self._tell(f"{best}, the best epoch so far, is missing or damaged. Taking the epoch before {file}")
        self._history = []
        return False

    def load_best(self, model: keras.Model) -> None:
        """Put a compiled model into the state that it had after the best epoch."""
        self._load(model, self.best)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the model into the state of the last epoch: here, since `fit` draws random numbers before."""
        if self.epochs:
            self._load(self.model, self.epochs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the state, and stop if it is time."""
        before = self.best
        self._history.append({name: float(value) for name, value in (logs or {}).items()})
        self._folder.mkdir(parents=True, exist_ok=True)
        StateFile(self._path(self.epochs)).write(self._history, training_state(self.model))
        self._write_history()
        kept = {self._path(number) for number in (self.epochs, self.epochs - 1, self.best, before)}
        for file in self._folder.glob("epoch-*.state") if rank() == 0 else ():
            if file not in kept:
                file.unlink()
        if self.stopped:
            self.model.stop_training = True

    def _path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch:06d}.state"

    def _load(self, model: keras.Model, epoch: int) -> None:
        file = self._path(epoch)
        try:
            restore_training_state(model, StateFile(file).arrays())
        except ValueError as error:
            raise ValueError(
                f"{file} holds the state of another model than this one: {error}. Delete {self._folder} to train anew."
            ) from error

    def _write_history(self) -> None:
        names = sorted({name for logs in self._history for name in logs})
        with whole_file(self._file) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *names], restval="NA")
            writer.writeheader()
            writer.writerows({"epoch": number, **logs} for number, logs in enumerate(self._history))

    def _figure(self, logs: dict[str, float]) -> float:
        missing = [name for name in self._monitor if name not in logs]
        if missing:
            raise ValueError(f"There is no figure {missing} to stop by. There are: {sorted(logs)}.")
        figure = sum(logs[name] for name in self._monitor) / len(self._monitor)
        return math.inf if math.isnan(figure) else figure
