"""Batches without a model, from our loader and from what one would write without it."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets import PreparedTable
from ..support.prepared import Prepared


def prepare(table: str, kind: str, batch_size: int, batches: int) -> Prepared:
    """Epoch after epoch of batches; a step is several of them.

    Args:
        table: folder of the prepared table.
        kind: `"sequential"`, `"shuffled"` or `"shuffled, no thread"` (our loader), `"tf.data"` (`from_tensor_slices`
            of arrays in memory, `shuffle`, `batch`, `prefetch`) or `"torch"` (`DataLoader` of a `TensorDataset` in
            memory, `shuffle=True`).
        batch_size: rows of a batch.
        batches: batches of a step.
    """
    data = PreparedTable(table)
    epochs = {"tf.data": _tf_data, "torch": _torch}.get(kind)
    if epochs is None:
        epochs = _ours
    epoch = epochs(data, kind, batch_size)
    before = _own_bytes()
    for _ in epoch() if epochs is _ours else ():
        pass
    facts = {"own bytes": _own_bytes(), "growth over an epoch": _own_bytes() - before, "batches per step": batches}
    stream = itertools.chain.from_iterable(epoch() for _ in itertools.count())

    def run(steps: int) -> list[float]:
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            for _ in itertools.islice(stream, batches):
                pass
            seconds.append(time.perf_counter() - start)
        return seconds

    return Prepared(run, facts)


def _ours(data: PreparedTable, kind: str, batch_size: int) -> Callable[[], Iterator[Any]]:
    loader = data.batches("train", batch_size, shuffle=kind != "sequential", read_ahead=int("no thread" not in kind))

    def epoch() -> Iterator[Any]:
        yield from loader
        loader.on_epoch_end()

    return epoch


def _arrays(data: PreparedTable) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    names = (data.schema.feature_names, data.schema.task_names)
    x, y = ({name: np.array(data.column("train", name)) for name in part} for part in names)
    return x, y


def _tf_data(data: PreparedTable, kind: str, batch_size: int) -> Callable[[], Iterator[Any]]:
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices(_arrays(data)).shuffle(100_000)
    batches = rows.batch(batch_size).prefetch(tf.data.AUTOTUNE)
    return lambda: iter(batches)


def _torch(data: PreparedTable, kind: str, batch_size: int) -> Callable[[], Iterator[Any]]:
    import torch

    x, y = _arrays(data)
    tensors = [torch.from_numpy(values) for values in (*x.values(), *y.values())]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch_size, shuffle=True)
    return lambda: iter(loader)


def _own_bytes() -> int:
    """Memory of the process without mapped files."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
