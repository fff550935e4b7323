"""`tfrs.experimental.models.Ranking` over `PartialTPUEmbedding`, in a process with legacy Keras."""

import time
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from ..support.prepared import Prepared
from .workload import Workload


class _CrossAndDense(tf_keras.layers.Layer):
    """Cross layers beside dense layers, over the embeddings that `Ranking` passes as a list."""

    def __init__(self) -> None:
        super().__init__()
        self.crosses = [tfrs.layers.feature_interaction.Cross() for _ in range(3)]
        self.deep = tfrs.layers.blocks.MLP(units=[256, 128], final_activation="relu")

    def call(self, inputs: Any) -> Any:
        # The last one is the bottom stack's, of dense features that this table does not have.
        x0 = tf.concat(inputs[:-1], axis=1)
        crossed = x0
        for cross in self.crosses:
            crossed = cross(x0, crossed)
        return tf.concat([crossed, self.deep(x0)], axis=1)


def prepare(work: dict[str, Any], optimizer: str = "adagrad") -> Prepared:
    """`Ranking` with equal cross layers, under `fit`; two optimizers through TFRS' `CompositeOptimizer`.

    Args:
        work: arguments of `Workload`.
        optimizer: the tables' optimizer, `"adagrad"`, `"adam"` or `"sgd"`. Defaults to `"adagrad"`.
    """
    data = Workload.of(work)
    legacy = tf_keras.optimizers.legacy
    of_tables = {"adagrad": legacy.Adagrad, "adam": legacy.Adam, "sgd": legacy.SGD}[optimizer](1e-2)
    tpu = tf.tpu.experimental.embedding
    features = {
        name: tpu.FeatureConfig(
            table=tpu.TableConfig(
                size, data.embedding_dim, initializer=tf_keras.initializers.RandomNormal(stddev=0.01), name=name
            )
        )
        for name, size in zip(data.field_names, data.vocabulary_sizes, strict=True)
    }
    embedding = tfrs.experimental.layers.embedding.PartialTPUEmbedding(features, of_tables)
    model = tfrs.experimental.models.Ranking(
        embedding,
        bottom_stack=tf_keras.layers.Lambda(tf.identity),
        feature_interaction=_CrossAndDense(),
        top_stack=tf_keras.layers.Dense(1, activation="sigmoid"),
        concat_dense=False,
        task=tfrs.tasks.Ranking(loss=tf_keras.losses.BinaryCrossentropy(), metrics=[]),
    )
    model.compile(
        optimizer=tfrs.experimental.optimizers.CompositeOptimizer(
            [
                (of_tables, lambda: model.embedding_trainable_variables),
                (legacy.Adam(1e-3), lambda: model.dense_trainable_variables),
            ]
        )
    )
    made = []
    for ids, labels in data.make_batches():
        columns = {name: np.ascontiguousarray(ids[:, number]) for number, name in enumerate(data.field_names)}
        made.append(({"dense_features": np.zeros((len(labels), 1), "float32"), "sparse_features": columns}, labels))
    batches = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *arrays: np.stack(arrays), *made)
    ).repeat()
    iterator = iter(batches)

    def run(steps: int) -> list[float]:
        clock = _Clock()
        model.fit(iterator, steps_per_epoch=steps + 1, epochs=1, verbose=0, callbacks=[clock])
        return [after - before for before, after in zip(clock.ends, clock.ends[1:], strict=False)]

    return Prepared(run, {"embedding optimizer": optimizer})


class _Clock(tf_keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float(np.asarray(logs["loss"]))
        if not np.isfinite(loss):
            raise ValueError(f"The loss is {loss} after {batch + 1} steps.")
        self.ends.append(time.perf_counter())
