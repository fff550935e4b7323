"""Which negatives of an epoch are kept."""

import math
from collections.abc import Mapping

import numpy as np

from ..schema import Schema
from .parted_column import PartedColumn

RECALIBRATIONS = ("loss", "logit", None)


class NegativeSampling:
    """Keeps each negative of a task with the task's rate, and every positive.

    One random number a row decides for all tasks, so that a row that is negative for all of them is dropped as a whole
    wherever their rates are equal. A task that is `given` another one belongs to the positives of that one: where the
    other did not come true, the row goes with it.

    Args:
        negative_rate: the rate of all tasks, or rates by task, in `(0, 1]`. Tasks left out keep all.
        targets: columns by name, of the whole table. They may be memory-mapped.
        schema: the table, which says which targets are tasks. Without one all are.
        seed: seed of the random numbers.
        block_rows: number of consecutive rows that are looked at together.

    Raises:
        ValueError: on a rate outside `(0, 1]` or an unknown task.

    Example:

    >>> click = np.arange(1000) % 10 == 0
    >>> rows, _ = NegativeSampling(0.1, {"click": click}, None, seed=0, block_rows=500).kept(epoch=0, block=1)
    >>> int(rows.min()) >= 500, int(click[rows].sum()), 60 < len(rows) < 130
    (True, 50, True)
    """

    def __init__(
        self,
        negative_rate: float | Mapping[str, float],
        targets: Mapping[str, np.ndarray | PartedColumn],
        schema: Schema | None,
        seed: int,
        block_rows: int,
    ) -> None:
        tasks = [name for name in targets if schema is None or name in schema.task_names]
        rates = dict(negative_rate) if isinstance(negative_rate, Mapping) else dict.fromkeys(tasks, negative_rate)
        unknown = sorted(set(rates) - set(tasks))
        if unknown:
            raise ValueError(f"`negative_rate` names unknown tasks {unknown}. Tasks: {tasks}.")
        for name, rate in rates.items():
            if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not 0.0 < rate <= 1.0:
                raise ValueError(
                    f"`negative_rate` is the share of negatives to keep, above 0 and at most 1. Received: {rate!r} for "
                    f"{name!r}."
                )
        self.rates = {name: float(rate) for name, rate in rates.items() if rate < 1.0}
        self._paths = {
            task: [name for name in (schema.path(task) if schema else (task,)) if name in targets] for task in tasks
        }
        self._labels = {task: targets[task] for task in tasks}
        self._seed, self._block_rows = seed, block_rows

    def most_rows(self) -> int:
        """About how many rows an epoch has at most: the expected number and three standard deviations."""
        rows = len(next(iter(self._labels.values())))
        expected = variance = 0.0
        for block in range(-(-rows // self._block_rows)):
            rates = self._row_rates(block)
            expected += rates.sum()
            variance += (rates * (1.0 - rates)).sum()
        return min(max(math.ceil(expected + 3.0 * math.sqrt(variance)), 1), rows)

    def kept(self, epoch: int, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of a block that the sample of an epoch has, and the random numbers of these rows.

        Args:
            epoch: number of the epoch.
            block: number of the block.
        """
        rates = self._row_rates(block)
        # The last 1 tells these numbers apart from those that shuffle the rows.
        numbers = np.random.default_rng((self._seed, epoch, block, 1)).random(len(rates))
        kept = np.flatnonzero(numbers < rates)
        return kept + block * self._block_rows, numbers[kept]

    def sample(
        self, targets: Mapping[str, np.ndarray], numbers: np.ndarray, weigh: bool
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Targets with the labels that are not kept hidden, and float32 weights for all of them.

        Args:
            targets: target columns of some rows.
            numbers: the rows' random numbers. A number of 1 or more hides every label of the row.
            weigh: whether a label that is kept counts for those that are not, by one over its rate.
        """
        found, weights = dict(targets), dict[str, np.ndarray]()
        for task, rates in self._keep_rates(targets).items():
            kept = numbers < rates
            found[task] = np.where(kept, targets[task], np.float32("nan"))
            weights[task] = np.where(kept, 1.0 / rates if weigh else 1.0, 0.0).astype("float32")
        others = (numbers < 1.0).astype("float32")
        return found, {name: weights.get(name, others) for name in targets}

    def _row_rates(self, block: int) -> np.ndarray:
        """The probability with which each row is kept: that of its likeliest label, 1 where it never had one."""
        part = slice(block * self._block_rows, (block + 1) * self._block_rows)
        labels = {task: np.asarray(column[part]) for task, column in self._labels.items()}
        observed = [np.where(np.isnan(labels[task]), 0.0, rates) for task, rates in self._keep_rates(labels).items()]
        most = np.max(observed, axis=0)
        return np.where(most > 0.0, most, 1.0)

    def _keep_rates(self, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """By task, the probability with which each row keeps its label."""
        found = {}
        for task, path in self._paths.items():
            rates = np.ones(len(labels[task]))
            # From the task up, so that the first outcome of the path that did not come true has the last word.
            for name in reversed(path):
                rates[labels[name] == 0.0] = self.rates.get(name, 1.0)
            found[task] = rates
        return found
