"""Rows per second of `model.fit`, with a model that costs almost nothing and with DCNv2."""

import itertools
import time
from typing import Any

import keras
import numpy as np

import grouprank as gr

from ..support.prepared import Prepared


def prepare(table: str, model: str, kind: str, batch_size: int, batches: int, fit_steps: int) -> Prepared:
    """`fit` over the training rows of a prepared table.

    Args:
        table: folder of the prepared table.
        model: `"dense"`, one `Dense(1)` over all columns, or `"dcn_v2"`.
        kind: `"loader"` (shuffled), `"arrays"` (the columns in memory, passed to `fit` as arrays) or `"one batch"`
            (the same arrays at each step: what Keras itself costs).
        batch_size: rows of a batch.
        batches: batches of a step.
        fit_steps: most steps of one call of `fit`.
    """
    data = gr.datasets.PreparedTable(table)
    network = _dense(data.schema) if model == "dense" else _dcn_v2(data.schema)
    calls = 0

    def fit(steps: int) -> list[float]:
        nonlocal calls
        calls += 1
        clock = _Clock()
        # The first batches of a call wait for the data source to start; they are not timed.
        needed = batches * (steps + 1)
        rows = slice(0, needed * batch_size)
        loader = data.batches("train", batch_size, shuffle=kind == "loader", seed=calls, rows=rows)
        if kind == "arrays":
            x, y = (
                {name: np.array(data.column("train", name)[rows]) for name in names}
                for names in (data.schema.feature_names, data.schema.task_names)
            )
            network.fit(x, y, batch_size=batch_size, epochs=1, verbose=0, callbacks=[clock])
        else:
            source = _Again(loader[0], len(loader)) if kind == "one batch" else loader
            network.fit(source, shuffle=False, epochs=1, verbose=0, callbacks=[clock])
        ends = clock.ends[batches - 1 :: batches]
        return [after - before for before, after in itertools.pairwise(ends)]

    def run(steps: int) -> list[float]:
        seconds: list[float] = []
        while len(seconds) < steps:
            seconds += fit(min(fit_steps, steps - len(seconds)))
        return seconds

    return Prepared(run, {"batches per step": batches})


class _Again(keras.utils.PyDataset):
    def __init__(self, batch: Any, length: int) -> None:
        super().__init__()
        self._batch, self._length = batch, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return self._batch


class _Clock(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        float(np.asarray(logs["loss"]))  # waits for the step
        self.ends.append(time.perf_counter())


@keras.saving.register_keras_serializable(package="grouprank_benchmarks")
class _Stack(keras.layers.Layer):
    def call(self, columns: list[Any]) -> Any:
        return keras.ops.stack([keras.ops.cast(column, self.compute_dtype) for column in columns], axis=-1)


def _dense(schema: Any) -> keras.Model:
    inputs = {
        feature.name: keras.Input(
            (), dtype="int32" if isinstance(feature, gr.Categorical) else "float32", name=feature.name
        )
        for feature in schema.features
    }
    logit = keras.layers.Dense(1)(_Stack()(list(inputs.values())))
    model = keras.Model(inputs, {schema.task_names[0]: keras.layers.Reshape(())(logit)})
    model.compile("sgd", keras.losses.MeanSquaredError())
    return model


def _dcn_v2(schema: Any) -> keras.Model:
    backbone = gr.models.backbones.DCNv2(3, units=(256, 128))
    model = gr.models.CTRModel(
        schema,
        backbone=backbone,
        group_structure=(),
        residual_learning=False,
        embedding_dim=16,
        tower_units=(),
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), metrics={})
    return model
