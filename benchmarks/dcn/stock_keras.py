"""The Keras model that a user writes without us, and the same with keras-rs' embedding."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..support.prepared import Prepared
from .timed_fit import TimedFit
from .workload import Workload


def prepare(work: dict[str, Any], tables: str = "per_field") -> Prepared:
    """A functional DCNv2 of stock layers, trained as `compile` and `fit` do by default.

    Args:
        work: arguments of `Workload`.
        tables: `"per_field"` for a `keras.layers.Embedding` a field, `"stacked"` for one over all fields with
            offsets, `"keras_rs"` for `keras_rs.layers.DistributedEmbedding`, which off the TPU leaves its tables to
            the model's optimizer. Defaults to `"per_field"`.
    """
    data = Workload.of(work)
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in data.field_names}
    x0 = {"per_field": _per_field, "stacked": _stacked, "keras_rs": _keras_rs}[tables](data, inputs)
    crossed = x0
    for _ in range(3):
        crossed = x0 * keras.layers.Dense(x0.shape[-1])(crossed) + crossed
    deep = keras.layers.Dense(128, activation="relu")(keras.layers.Dense(256, activation="relu")(x0))
    logit = keras.layers.Dense(1)(keras.layers.Concatenate()([crossed, deep]))
    model = keras.Model(inputs, logit)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    return Prepared(TimedFit(model, data), {"embedding optimizer": "adam"})


def _per_field(data: Workload, inputs: dict[str, Any]) -> Any:
    sizes = zip(data.field_names, data.vocabulary_sizes, strict=True)
    layers = {name: keras.layers.Embedding(size, data.embedding_dim, name=f"embed_{name}") for name, size in sizes}
    return keras.layers.Concatenate()([layers[name](inputs[name]) for name in data.field_names])


def _stacked(data: Workload, inputs: dict[str, Any]) -> Any:
    starts = np.cumsum([0, *data.vocabulary_sizes[:-1]]).astype("int32")
    ids = ops.stack([inputs[name] for name in data.field_names], axis=1) + starts
    vectors = keras.layers.Embedding(data.rows, data.embedding_dim)(ids)
    return keras.layers.Flatten()(vectors)


def _keras_rs(data: Workload, inputs: dict[str, Any]) -> Any:
    from keras_rs.layers import DistributedEmbedding, FeatureConfig, TableConfig

    features = {
        name: FeatureConfig(
            name,
            TableConfig(name, size, data.embedding_dim),
            input_shape=(data.batch_size,),
            output_shape=(data.batch_size, data.embedding_dim),
        )
        for name, size in zip(data.field_names, data.vocabulary_sizes, strict=True)
    }
    vectors = DistributedEmbedding(features)(inputs)
    return keras.layers.Concatenate()([vectors[name] for name in data.field_names])
