"""The checks of a loader's batches, while a model reads them."""

import copy
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import keras
import numpy as np

from ...schema import Schema
from .check_tf_batches import check_tf_batches
from .data_shards import check_shards
from .host_columns import as_host_array


class BatchCheck:
    """Compares the batches of a loader with what a model expects, one by one, on the host.

    Call it with what `fit`, `evaluate` or `predict` got for `x`: a `PyDataset`, a `tf.data.Dataset`, a `DataLoader` of
    torch or a generator comes back as one of its kind that raises at the first wrong batch. Nothing is read in
    advance. Anything else comes back as it is.

    Keras hands data to TensorFlow through a pipeline that turns errors into its own. As a context manager this object
    raises the error that the data had in place of that one.

    Args:
        schema: what is expected of `x` and of the labels.
        check: raises if `(x, y, sample_weight)`, NumPy arrays, are wrong; `y` is `None` if labels do not matter, `x` if
            the loader has compared columns and labels with the same schema already.
        targets: what the model makes of a batch's `y`: columns by name. `None`: labels do not matter. Defaults to
            `None`.
        probabilities: further columns of `y` in `[0, 1]`. Defaults to `()`.

    Example:

    >>> from grouprank import Categorical, Task
    >>> schema = Schema([Categorical("ad_id", 5)], [Task("click")])
    >>> watched = BatchCheck(schema, lambda x, y, weight: schema.check_batch(x, y))
    >>> batches = watched(({"ad_id": np.array([number])}, None) for number in (4, 5))
    >>> next(batches)[0]["ad_id"].tolist()
    [4]
    >>> next(batches)
    Traceback (most recent call last):
    ...
    ValueError: Feature 'ad_id' (categorical), row 0: expected an id in [0, 5). Received: 5; ...
    """

    def __init__(
        self,
        schema: Schema,
        check: Callable[[Any, Any, Any], None],
        targets: Callable[[Any], Mapping[str, Any]] | None = None,
        probabilities: tuple[str, ...] = (),
    ) -> None:
        self.schema = schema
        self.targets = targets
        self.probabilities = probabilities
        self.error: Exception | None = None
        # Tasks of which no row so far had a label; `None` as long as no labels were looked at.
        self.unlabelled: set[str] | None = None
        self._check = check

    def __call__(self, data: Any) -> Any:
        """The same data, checked when it is read."""
        if getattr(data, "check", True) is False:
            return data
        size = number_of_batches(data)
        if size == 0:
            raise ValueError(f"The data has no rows: {type(data).__name__} of 0 batches. Expected at least one row.")
        if isinstance(data, keras.utils.PyDataset):
            return _CheckedDataset(data, self)
        if isinstance(data, types.GeneratorType):
            return self._generate(data)
        if _is_a(data, "tensorflow", "data.Dataset"):
            return check_tf_batches(data, self)
        if _is_a(data, "torch", "utils.data.DataLoader"):
            return _checked_loader(data, self)
        return data

    def batch(self, batch: Any, compared: bool = False) -> None:
        """Raise if a batch is wrong.

        Args:
            batch: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`, of arrays or tensors.
            compared: whether the loader has compared it with the same schema. Defaults to `False`.
        """
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        try:
            if isinstance(x, Mapping):
                self._columns(x, y, weight, compared)
        except Exception as error:
            self.error = self.error or error
            raise

    def _columns(self, x: Mapping[str, Any], y: Any, weight: Any, compared: bool) -> None:
        columns = None
        if not compared:
            columns = {name: as_host_array(x[name]) for name in self.schema.feature_names if name in x}
        targets = None
        if self.targets is not None and y is not None:
            targets = {name: as_host_array(values) for name, values in self.targets(y).items()}
        self._check(columns, targets, keras.tree.map_structure(as_host_array, weight) if targets is not None else None)
        check_shards(len(next(iter(x.values()))))
        if targets is not None:
            self.note_labels(targets)

    def note_labels(self, targets: Mapping[str, np.ndarray]) -> None:
        """Note which tasks have a label in some rows."""
        tasks = self.schema.task_names if self.unlabelled is None else self.unlabelled
        self.unlabelled = {task for task in tasks if np.isnan(targets[task]).all()}

    def _generate(self, data: Iterator[Any]) -> Iterator[Any]:
        for batch in data:
            self.batch(batch)
            yield batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None and self.error is not None and error is not self.error:
            raise self.error from error


class _CheckedDataset(keras.utils.PyDataset):
    """A dataset whose batches are checked when they are read."""

    def __init__(self, data: Any, check: BatchCheck) -> None:
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._data = data
        self._check = check
        self._compared = getattr(data, "check", False) is True and getattr(data, "schema", None) == check.schema

    @property
    def num_batches(self) -> int | None:
        return self._data.num_batches

    def __getitem__(self, index: int) -> Any:
        try:
            batch = self._data[index]
        except Exception as error:
            self._check.error = self._check.error or error
            raise
        self._check.batch(batch, self._compared)
        return batch

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()


def _checked_loader(loader: Any, check: BatchCheck) -> Any:
    """A torch `DataLoader` whose batches are checked in the process that trains."""

    class Checked(type(loader)):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            for batch in super().__iter__():
                check.batch(batch)
                yield batch

    # Keras asks for a `DataLoader`, and one cannot be made anew from another.
    checked = copy.copy(loader)
    checked.__class__ = Checked
    return checked


def _is_a(data: Any, library: str, name: str) -> bool:
    """Whether data is of a library's class; a library that nobody imported has made none."""
    kind: Any = sys.modules.get(library)
    for part in name.split("."):
        kind = getattr(kind, part, None)
    return kind is not None and isinstance(data, kind)


def number_of_batches(data: Any) -> int | None:
    """How many batches a loader has, `None` where that is not known.

    Example:

    >>> number_of_batches(iter([]))
    """
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches
    if _is_a(data, "tensorflow", "data.Dataset"):
        return max(int(data.cardinality()), -1)
    if _is_a(data, "torch", "utils.data.DataLoader") and hasattr(data.dataset, "__len__"):
        return len(data)
    return None
