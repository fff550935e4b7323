"""Rows that several devices or processes share: cut for training, padded for evaluation and prediction."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ...distribution import rank, replicas, world_size
from ...layers import FusedEmbedding
from .batch_check import number_of_batches
from .data_shards import check_shards, data_shards
from .rows_of_process import rows_of_process


class DealtRows:
    """Makes the rows that `fit`, `evaluate` or `predict` get ready for several devices or processes.

    Under JAX's `keras.distribution` the rows of every batch must be a multiple of the number of devices. Under torch
    every process needs as many rows as the others, and as many steps. Rows that are left over are dropped in training.
    In evaluation the missing ones are made up for by copies of the last row. Their labels are unknown, so that they
    count in no metric.

    Args:
        method: the method that has the rows, for errors.
        tasks: names of the target columns that are labels.
        train: whether the rows are trained on. Defaults to `False`.
        pad: whether copies of a row change nothing where their labels are unknown. Defaults to `True`.

    Example:

    >>> dealt = DealtRows("fit", ["click"], train=True)
    >>> dealt.columns({"ad_id": np.arange(3)}, None, None, 32)[0]["ad_id"].tolist()
    [0, 1, 2]
    """

    def __init__(self, method: str, tasks: Sequence[str], train: bool = False, pad: bool = True) -> None:
        self.method, self.tasks, self.train, self.pad = method, tasks, train, pad

    def __call__(
        self, x: Any, y: Any, weight: Any, batch_size: int | None, steps: int | None = None, epochs: int = 1
    ) -> tuple[Any, Any, Any]:
        """Columns, labels and weights, or a loader in place of the columns.

        Args:
            x: columns, or a loader.
            y: labels, or `None`.
            weight: weights of rows, or `None`.
            batch_size: rows of a batch of columns; `None` takes 32.
            steps: number of steps of an epoch, if it is given.
            epochs: number of epochs. Defaults to `1`.

        Raises:
            ValueError: if processes differ in what they do.
        """
        if world_size() > 1:
            x, y, weight = self._of_processes(x, y, weight, batch_size, steps, epochs)
        if isinstance(x, Mapping):
            return self.columns(x, y, weight, batch_size)
        return self.loader(x), y, weight

    def columns(self, x: Mapping[str, Any], y: Any, weight: Any, batch_size: int | None) -> tuple[Any, Any, Any]:
        """Columns of as many rows as the devices can share."""
        rows = _rows(x)
        return self._resized(x, y, weight, rows, self._shared(rows, batch_size or 32))

    def loader(self, data: Any) -> Any:
        """A `BatchLoader` whose last batch the devices can share; anything else as it is."""
        rows, batch_size = getattr(data, "rows", None), getattr(data, "batch_size", None)
        if data_shards() == 1 or not isinstance(rows, int) or not isinstance(batch_size, int):
            return data
        wanted = self._shared(rows, batch_size)
        return data if wanted == rows else _DealtDataset(data, wanted, self.batch)

    def batch(self, batch: tuple[Any, ...], rows: int) -> tuple[Any, ...]:
        """A batch of another number of rows."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        return self._resized(x, y, weight, _rows(x), rows)[: len(batch)]

    def _shared(self, rows: int, batch_size: int) -> int:
        shards = data_shards()
        check_shards(batch_size if rows > batch_size else 0)
        left = rows % batch_size % shards
        if not (self.train or self.pad):
            check_shards(rows % batch_size)
        if not left:
            return rows
        wanted = rows - left if self.train else rows + shards - left
        if not wanted:
            raise ValueError(f"{rows} rows are fewer than the {shards} devices of keras.distribution.")
        return wanted

    def _of_processes(
        self, x: Any, y: Any, weight: Any, batch_size: int | None, steps: int | None, epochs: int
    ) -> tuple[Any, Any, Any]:
        """Columns of as many rows as those of the other processes; raises if these take other steps."""
        rows = _rows(x) if isinstance(x, Mapping) else -1
        found = ops.convert_to_numpy(replicas.gather(np.asarray(rows))).tolist()
        if min(found) < 0 <= max(found):
            raise ValueError(f"{self.method} got columns in some processes and a loader in others. Pass the same kind.")
        if rows >= 0:
            wanted = min(found) if self.train else max(found)
            x, y, weight = self._resized(x, y, weight, rows, wanted)
            steps = steps or -(-wanted // (batch_size or 32))
        elif steps is None:
            steps = number_of_batches(x)
        numbers = {"steps an epoch": steps or -1, "batch_size": batch_size or -1, "epochs": epochs}
        of_all = ops.convert_to_numpy(replicas.gather(np.asarray(list(numbers.values()))))
        for name, values in zip(numbers, of_all.T.tolist(), strict=True):
            if len(set(values)) > 1:
                raise ValueError(
                    f"{self.method} must take the same steps in every process. Received {name}: {values}, by rank. "
                    "Give every process as many batches as the others; a BatchLoader with `rank` and `world_size` does."
                )
        if not steps or steps < 0:
            raise ValueError(
                f"{self.method} in several processes must know its number of steps, which must be the same in all of "
                "them. Pass the number of steps, or a loader that has a length."
            )
        return x, y, weight

    def _resized(self, x: Any, y: Any, weight: Any, rows: int, wanted: int) -> tuple[Any, Any, Any]:
        if wanted == rows:
            return x, y, weight
        x, y, weight = (_resized(part, wanted) for part in (x, y, weight))
        if wanted > rows and y is not None:
            if not isinstance(y, Mapping):
                return x, _unknown_from(y, rows), weight
            y = {**y, **{name: _unknown_from(y[name], rows) for name in self.tasks if name in y}}
        return x, y, weight


def split_rows(
    x: Mapping[str, Any], y: Any, weight: Any, share: float
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """Columns, labels and weights of the first rows and of the last ones, as Keras' `validation_split` takes them.

    Keras splits rows that were made ready for several devices, and of neither part the devices could share the rest.

    Args:
        x: columns.
        y: labels.
        weight: weights of rows, or `None`.
        share: the share of the last rows, between 0 and 1.

    Raises:
        ValueError: if one of the parts has no rows.

    Example:

    >>> first, last = split_rows({"ad_id": np.arange(5)}, np.zeros(5), None, 0.2)
    >>> first[0]["ad_id"].tolist(), last[0]["ad_id"].tolist()
    ([0, 1, 2, 3], [4])
    """
    rows = _rows(x)
    first = math.floor(rows * (1.0 - share))
    if not 0 < first < rows:
        raise ValueError(
            f"`validation_split` must leave rows for training and for validation. Received: validation_split={share} "
            f"of {rows} rows."
        )
    parts = ((x, y, weight), slice(first)), ((x, y, weight), slice(first, None))
    train, check = (tuple(_sliced(part, which) for part in of) for of, which in parts)
    return train, check


def _sliced(part: Any, rows: slice) -> Any:
    if isinstance(part, Mapping):
        return {name: values[rows] for name, values in part.items()}
    return None if part is None else part[rows]


def predictions(model: keras.Model, predict: Callable[[Any], Any], x: Any, batch_size: int | None) -> Any:
    """Predictions of all rows and no others, whatever number of rows the devices can share.

    Args:
        model: the model that predicts.
        predict: makes its predictions of columns or a loader.
        x: columns, or a loader.
        batch_size: rows of a batch of columns; `None` takes 32.

    Example:

    >>> predictions(keras.Model(), lambda x: x["ad_id"], {"ad_id": np.arange(3)}, None).tolist()
    [0, 1, 2]
    """
    dealt = DealtRows("predict", ())
    rows: Any = _rows(x) if isinstance(x, Mapping) else getattr(x, "rows", None)
    if isinstance(rows, int):
        rows -= getattr(x, "padding", 0)
    # Processes of torch need each other only where one keeps rows that another one reads.
    if keras.backend.backend() == "jax" or has_dealt_rows(model):
        x = dealt(x, None, None, batch_size)[0]
    with rows_of_process(model):
        return keras.tree.map_structure(lambda values: values[:rows], predict(x))


def has_dealt_rows(model: keras.Model) -> bool:
    """Whether the rows of one of a model's tables lie on several devices or in several processes.

    Args:
        model: a built model.

    Example:

    >>> has_dealt_rows(keras.Model())
    False
    """
    return any(isinstance(layer, FusedEmbedding) and layer.num_shards > 1 for layer in model._flatten_layers())


def check_dealing(method: str, data: Any, train: bool = False) -> None:
    """Raise if a loader deals its batches to other processes than there are.

    Args:
        method: the method that has the loader, for errors.
        data: a `BatchLoader`; anything else passes.
        train: whether it is trained on. Defaults to `False`.

    Example:

    >>> check_dealing("fit", None)
    """
    dealt = getattr(data, "world_size", None)
    if not isinstance(dealt, int):
        return
    if (data.rank, dealt) != (rank(), world_size()):
        raise ValueError(
            f"{method} runs in process {rank()} of {world_size()}, and the loader deals the batches of process "
            f"{data.rank} of {dealt}. Make it with rank=gr.distribution.rank(), "
            "world_size=gr.distribution.world_size(). If each process has rows of its own, pass them as columns."
        )
    if train and data.padding:
        raise ValueError(
            f"{method} would train on {data.padding} copies of a row without labels, with which the loader fills up "
            'its last round of batches. Make the loader with remainder="drop", or with shuffle=True.'
        )


class _DealtDataset(keras.utils.PyDataset):
    """A loader with more or fewer rows in its last batch, or without it."""

    def __init__(self, data: Any, rows: int, resize: Any) -> None:
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._data, self._rows, self._resize = data, rows, resize
        # What `BatchCheck` asks for.
        self.check, self.schema = getattr(data, "check", True), getattr(data, "schema", None)

    @property
    def num_batches(self) -> int:
        return -(-self._rows // self._data.batch_size)

    def __getitem__(self, index: int) -> Any:
        batch = self._data[index]
        if index < self.num_batches - 1:
            return batch
        for dropped in range(self.num_batches, self._data.num_batches):
            # For the loader an epoch is over once every batch was read.
            self._data[dropped]
        return self._resize(batch, self._rows - index * self._data.batch_size)

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()


def _rows(x: Mapping[str, Any]) -> int:
    return len(next(iter(x.values())))


def _resized(part: Any, rows: int) -> Any:
    """The first rows of all arrays of a part; the last one is repeated where there are too few."""
    if part is None:
        return None
    if isinstance(part, Mapping):
        return {name: _resized(values, rows) for name, values in part.items()}
    missing = rows - len(part)
    if missing <= 0:
        return part[:rows]
    library: Any = ops if ops.is_tensor(part) else np
    return library.concatenate([part, library.repeat(part[-1:], missing, axis=0)])


def _unknown_from(labels: Any, row: int) -> Any:
    """Labels that are NaN from a row on."""
    known = np.arange(len(labels)).reshape(-1, *[1] * (len(labels.shape) - 1)) < row
    if ops.is_tensor(labels):
        return ops.where(ops.convert_to_tensor(known), ops.cast(labels, "float32"), float("nan"))
    return np.where(known, np.asarray(labels, "float32"), np.float32("nan"))
