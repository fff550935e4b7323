"""Batches of named columns for `fit`, on every backend."""

import functools
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from ..schema import Schema
from .negative_sampling import RECALIBRATIONS, NegativeSampling
from .parted_column import PartedColumn
from .read_ahead import ReadAhead

REMAINDERS = ("drop", "pad", None)


class BatchLoader(keras.utils.PyDataset):
    """Batches of memory-mapped (or plain) columns for `fit`, `evaluate` and `predict`.

    A batch is `({feature: array}, {target: float32 array})`, with the sample weights third if there are any.
    The last batch is as short as the rows left over.

    With `negative_rate` an epoch has all positives and a new random sample of the negatives. A negative that is not
    kept is unobserved (NaN, weight 0) for that task alone, and rows that no task observes any more are left out, so
    that an epoch costs less. The number of batches is fixed beforehand, with room for three standard deviations of the
    number of rows that are kept. The kept rows are spread over the batches evenly, and rows without labels fill each
    of them up to one size, so that nothing compiles again. Labels are read once to count the expected rows and once
    more at the start of each epoch.

    With `shuffle=True` the table is cut into blocks of consecutive rows. The blocks are put in random order, and the
    rows are permuted inside windows of several blocks. So a file is read one whole block at a time, which is 64 KiB of
    a column of ids by default, and not row by row. Memory holds the row numbers of a few windows and a few batches,
    however large the file is. A table of up to `block_rows * window_blocks` rows is one window, and its shuffle is a
    permutation of all rows.

    Each batch is a function of `(seed, epoch, index)` alone: batches may be read in any order and from
    several threads, and a run that resumes at epoch n sees what it would have seen. `epoch` advances after an
    epoch in which every batch was read. `fit` does not tell a dataset which epoch it is in, so a run that may
    resume (`BackupAndRestore`) also passes `loader.follow()` among its callbacks.

    Pass `shuffle=False` to `fit`: its default shuffles the order of the batches once more, which leaves the batches as
    they are but jumps between windows. That is slow where the columns do not fit into memory. With `steps_per_epoch` a
    pass over the rows can span epochs, and then it is not one permutation.

    With `world_size` the loaders of several processes deal the batches among them: batch `k` belongs to the process of
    rank `k % world_size`, so that a step of all processes has `world_size` consecutive batches of the order that one
    process would read. All processes get equally many batches of the same size; give all of them the same seed.

    Args:
        features: feature name to array, rows first.
        targets: target name to array of labels, NaN where unobserved.
        batch_size: rows per batch. Defaults to 4096.
        shuffle: whether to shuffle in blocks. Defaults to `False`.
        seed: seed of the shuffle. Defaults to 0.
        sample_weight: array of weights, or `None`.
        block_rows: consecutive rows that stay together on disk. Defaults to 16,384.
        window_blocks: blocks among which rows are permuted. Defaults to 32.
        read_ahead: number of batches that a thread prepares while the model trains, if they are asked for in order.
            Defaults to 1; with 0 there is no thread. (`workers` of `PyDataset` is not offered: on JAX and torch Keras'
            queue gives `fit` some batches twice and drops others.)
        check: whether each batch is compared with the schema when it is made (`Schema.check_batch`): ids in range,
            finite numbers, labels in `[0, 1]`. Without a `schema` here, the model that reads the batches compares
            them with its own. Defaults to `True`.
        schema: the schema that the columns were fitted with, which a model compares with its own, or `None`.
        negative_rate: the probability with which a label of 0 is kept in an epoch, in `(0, 1]`, for all tasks, or a
            dict of it by task. Tasks are those of `schema`, or without one all targets. A task that is `given`
            another one loses the rows of the negatives that the other loses. Defaults to `None`, which keeps all.
        recalibrate: what makes up for the negatives left out. With `"loss"` those that are kept weigh
            `1 / negative_rate`, so that a model is calibrated for all rows. With `"logit"` the model learns the sample
            as it is, and adds `log(negative_rate)` to its logits when it predicts: give `CTRModel` the same
            `negative_rate`, and evaluate it on another loader, since its predictions are those for all rows. With
            `None` its predictions are too high. Defaults to `"loss"`.
        rank: number of this process, `grouprank.distribution.rank()`. Defaults to `0`.
        world_size: number of processes, `grouprank.distribution.world_size()`. Defaults to `1`.
        remainder: with several processes, what becomes of the rows of a last round that has too few for all:
            `"drop"` leaves them out (of every epoch others, if it is shuffled), `"pad"` makes up for those that are
            missing by copies of a row without labels, which `evaluate` does not count and `predict` takes away.
            `padding` is their number in this process. Defaults to `None`, which drops with `shuffle=True`, for
            training, and else pads.

    Raises:
        ValueError: if the columns' lengths differ or an argument is out of range; when a batch is read, if it
            disagrees with the schema.

    Example:
    >>> loader = BatchLoader({"x": np.arange(5)}, {"click": np.zeros(5)}, batch_size=2)
    >>> len(loader), loader[2][0]["x"].tolist()
    (3, [4])
    >>> click = np.arange(10_000) % 100 == 0  # one in a hundred
    >>> sampled = BatchLoader({"x": np.arange(10_000)}, {"click": click}, batch_size=500, negative_rate=0.1)
    >>> len(sampled), float(sum(np.nansum(y["click"]) for _, y, _ in sampled))
    (3, 100.0)

    Reference:
        He et al., *Practical Lessons from Predicting Clicks on Ads at Facebook*, 2014, section 6.3 (negative rate).
    """

    def __init__(
        self,
        features: Mapping[str, ArrayLike],
        targets: Mapping[str, ArrayLike],
        batch_size: int = 4096,
        shuffle: bool = False,
        seed: int = 0,
        sample_weight: ArrayLike | None = None,
        block_rows: int = 16_384,
        window_blocks: int = 32,
        read_ahead: int = 1,
        check: bool = True,
        schema: Schema | None = None,
        *,
        negative_rate: float | Mapping[str, float] | None = None,
        recalibrate: str | None = "loss",
        rank: int = 0,
        world_size: int = 1,
        remainder: str | None = None,
    ) -> None:
        super().__init__()
        self.check = check
        self.schema = schema
        self._features = {name: _column(values) for name, values in features.items()}
        self._targets = {name: _column(values) for name, values in targets.items()}
        self._weight = None if sample_weight is None else _column(sample_weight)
        rows = {name: len(values) for name, values in {**self._features, **self._targets}.items()}
        if self._weight is not None:
            rows["sample_weight"] = len(self._weight)
        if not self._features or len(set(rows.values())) != 1 or not next(iter(rows.values())):
            raise ValueError(
                f"Features, targets and weights need the same number of rows, at least 1. Received: {rows}."
            )
        for argument, value, least in (
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
            ("block_rows", block_rows, 1),
            ("window_blocks", window_blocks, 1),
            ("read_ahead", read_ahead, 0),
            ("rank", rank, 0),
            ("world_size", world_size, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(
                    f"`{argument}` must be an integer of at least {least}. Received: {argument}={value!r}."
                )
        if rank >= world_size:
            raise ValueError(f"`rank` must be below `world_size`. Received: rank={rank}, world_size={world_size}.")
        if remainder not in REMAINDERS:
            raise ValueError(f"`remainder` must be one of {REMAINDERS}. Received: remainder={remainder!r}.")
        if recalibrate not in RECALIBRATIONS:
            raise ValueError(f"`recalibrate` must be one of {RECALIBRATIONS}. Received: recalibrate={recalibrate!r}.")
        sampling = None
        if negative_rate is not None:
            sampling = NegativeSampling(negative_rate, self._targets, schema, int(seed), int(block_rows))
        self.negative_rate = sampling.rates if sampling is not None else {}
        self.recalibrate = recalibrate if self.negative_rate else None
        self._sampling = sampling if self.negative_rate else None
        self._table_rows = next(iter(rows.values()))
        self.shuffle = shuffle
        self.seed = int(seed)
        self._block_rows = int(block_rows)
        self._window_blocks = int(window_blocks)
        self._epoch = 0
        self._served: set[int] = set()
        self._ahead = ReadAhead(self._make_batch, int(read_ahead))
        self.rank, self.world_size = int(rank), int(world_size)
        self.batch_size, self._epoch_rows = int(batch_size), self._table_rows
        if self._sampling is not None:
            most = self._sampling.most_rows()
            self.batch_size = min(self.batch_size, -(-most // self.world_size))
            a_step = self.batch_size * self.world_size
            self._epoch_rows = -(-most // a_step) * a_step
        self.rows, self.padding = self._epoch_rows, 0
        if self.world_size > 1:
            self._deal(remainder or ("drop" if shuffle else "pad"))
        # Pure functions of their arguments, so that caching them is safe between threads.
        self._plan = functools.lru_cache(maxsize=2)(self._make_plan)
        self._window = functools.lru_cache(maxsize=4)(self._make_window)

    def _deal(self, remainder: str) -> None:
        """Set how many rows this process gets, and how many of them are padding."""
        if remainder == "pad":
            self.batch_size = min(self.batch_size, -(-self._epoch_rows // self.world_size))
        a_step = self.batch_size * self.world_size
        batches = self._epoch_rows // a_step if remainder == "drop" else -(-self._epoch_rows // a_step)
        if not batches:
            raise ValueError(
                f"{self._epoch_rows} rows are fewer than a batch of {self.batch_size} for each of {self.world_size} "
                "processes. Choose a smaller `batch_size`."
            )
        self.rows = batches * self.batch_size
        last = self._epoch_rows - ((batches - 1) * self.world_size + self.rank) * self.batch_size
        self.padding = self.batch_size - min(max(last, 0), self.batch_size)

    @property
    def epoch(self) -> int:
        """Number of the epoch whose shuffle is served; set it to resume."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"`epoch` must be an integer of at least 0. Received: {value!r}.")
        self._epoch = int(value)
        self._served.clear()

    def follow(self) -> keras.callbacks.Callback:
        """A callback that sets `epoch` to the number `fit` is at, resumed runs included."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(self, "epoch", epoch))

    def on_epoch_end(self) -> None:
        """Advance the shuffle; Keras also calls this around epochs that read nothing or one batch."""
        if len(self._served) == len(self):
            self.epoch += 1

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} is out of range: there are {len(self)} batches.")
        self._served.add(index)
        following = ((self._epoch, later) for later in range(index + 1, len(self)))
        return self._ahead((self._epoch, index), following)

    def _make_batch(self, key: tuple[int, int]) -> tuple[Any, ...]:
        epoch, index = key
        start = (index * self.world_size + self.rank) * self.batch_size
        stop = min(start + self.batch_size, self._epoch_rows)
        missing = self.padding if index == len(self) - 1 else 0
        rows, numbers = None, np.empty(0)
        if self._sampling is not None:
            rows, numbers = self._drawn(epoch, index * self.world_size + self.rank)
        elif self.shuffle or missing:
            rows = self._positions(epoch, start, stop)[0] if self.shuffle else np.arange(start, stop)
            rows = np.append(rows, np.zeros(missing, int))

        def take(column: np.ndarray | PartedColumn, dtype: str | None = None) -> np.ndarray:
            # "clip" spares NumPy a second look at rows that are in range.
            values = np.array(column[start:stop]) if rows is None else np.take(column, rows, axis=0, mode="clip")
            return values if dtype is None else values.astype(dtype, copy=False)

        x = {name: take(column) for name, column in self._features.items()}
        y = {name: take(column, "float32") for name, column in self._targets.items()}
        weight: Any = None if self._weight is None else take(self._weight, "float32")
        if self._sampling is not None:
            y, weights = self._sampling.sample(y, numbers, weigh=self.recalibrate == "loss")
            weight = weights if weight is None else {name: weight * of_name for name, of_name in weights.items()}
        if missing:
            for name in y if self.schema is None else self.schema.task_names:
                y[name][-missing:] = np.nan
        if self.check and self.schema is not None:
            try:
                self.schema.check_batch(x, y)
            except ValueError as error:
                raise ValueError(f"Batch {index} of {len(self)}, rows counted within it: {error}") from error
        return (x, y) if weight is None else (x, y, weight)

    def _drawn(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of a batch of sampled rows, and their random numbers, infinite for those that fill it up."""
        kept = int(self._plan(epoch)[1][-1])
        batches = self._epoch_rows // self.batch_size
        start, stop = (kept * position // batches for position in (index, index + 1))
        rows, numbers = self._positions(epoch, start, stop)
        missing = max(self.batch_size - len(rows), 0)
        return np.resize(rows, len(rows) + missing), np.append(numbers, np.full(missing, np.inf))

    def _positions(self, epoch: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers at positions `start` to `stop` of the epoch's order, and their random numbers if it has any."""
        _, offsets = self._plan(epoch)
        first = int(np.searchsorted(offsets, start, side="right")) - 1
        last = int(np.searchsorted(offsets, stop, side="left"))
        parts = [
            [part[max(start - offsets[window], 0) : stop - offsets[window]] for part in self._window(epoch, window)]
            for window in range(first, last)
        ]
        rows, numbers = zip(*parts, strict=True) if parts else ([np.empty(0, int)], [np.empty(0)])
        return np.concatenate(rows), np.concatenate(numbers)

    def _make_plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Order of the blocks, and the position at which each window begins (the end last)."""
        blocks = np.arange(-(-self._table_rows // self._block_rows))
        if self.shuffle:
            blocks = np.random.default_rng((self.seed, epoch)).permutation(len(blocks))
        if self._sampling is None:
            sizes = np.minimum(self._block_rows, self._table_rows - blocks * self._block_rows)
        else:
            # In the order of the table, so that files of labels are read from their start to their end.
            sizes = np.array([len(self._sampling.kept(epoch, block)[0]) for block in range(len(blocks))])[blocks]
        ends = np.cumsum(sizes)
        offsets = np.append(np.append(0, ends)[: -1 : self._window_blocks], ends[-1])
        return blocks, offsets

    def _make_window(self, epoch: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of a window in their order, and the random numbers of sampled rows."""
        blocks, _ = self._plan(epoch)
        chosen = blocks[window * self._window_blocks : (window + 1) * self._window_blocks]
        numbers = np.empty(0)
        if self._sampling is None:
            rows = (chosen[:, None] * self._block_rows + np.arange(self._block_rows)).reshape(-1)
            rows = rows[rows < self._table_rows]
        else:
            kept = [self._sampling.kept(epoch, block) for block in chosen]
            rows, numbers = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        if not self.shuffle:
            return rows, numbers
        order = np.random.default_rng((self.seed, epoch, window)).permutation(len(rows))
        return rows[order], numbers[order] if len(numbers) else numbers


def _column(values: ArrayLike) -> np.ndarray | PartedColumn:
    # np.asarray drops the memmap subclass, whose indexing costs several times an array's; the file stays mapped.
    return values if isinstance(values, PartedColumn) else np.asarray(values)
