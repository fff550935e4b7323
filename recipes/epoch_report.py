"""Progress of a training run, readable with four tasks."""

from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_NE = "normalized_entropy"


class EpochReport(keras.callbacks.Callback):
    """A bar over the steps, and a line with every task's loss and validation NE after each epoch.

    The loss of a task is its cross entropy. With four tasks Keras' own bar prints about thirty figures per line. They
    are all in `history.csv`, with their sum and the losses of groups and residual learning.

    Args:
        name: what is being trained.
        console: where to print.
    """

    def __init__(self, name: str, console: Console) -> None:
        super().__init__()
        self._name = name
        self._console = console
        self._progress: Progress | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the bar."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        self._progress.start()
        label = f"{self._name}: epoch {epoch + 1}/{self.params['epochs']}"
        self._bar = self._progress.add_task(label, total=self.params.get("steps"))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(self._bar, completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the line."""
        if self._progress is not None:
            self._progress.stop()
        logs = logs or {}
        entropies = {k.removeprefix("val_").removesuffix(f"_{_NE}"): v for k, v in logs.items() if k.endswith(_NE)}
        validated = {k: v for k, v in entropies.items() if f"val_{k}_{_NE}" in logs or f"val_{_NE}" in logs}
        # With one task Keras leaves its name out.
        figures = "  ".join(f"{task.removesuffix(_NE)} {value:.5f}".strip() for task, value in validated.items())
        named = {k.removesuffix("_loss"): v for k, v in logs.items() if k.endswith("_loss") and f"val_{k}" in logs}
        losses = "  ".join(f"{task} {value:.5f}" for task, value in named.items())
        self._console.print(
            f"{self._name}: epoch {epoch + 1}/{self.params['epochs']}  loss: {losses}  validation NE: {figures}",
            highlight=False,
            soft_wrap=True,
        )

    def show_best(self, best: int, epochs: int) -> None:
        """Say which epoch's model is kept."""
        self._console.print(
            f"{self._name}: epoch {best} of the {epochs} trained has the lowest mean validation NE and is kept",
            highlight=False,
            markup=False,
        )
