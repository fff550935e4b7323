"""`CTRModel` on whichever backend `KERAS_BACKEND` names."""

import math
from typing import Any

import keras

import grouprank as gr

from ..support.prepared import Prepared
from .timed_fit import TimedFit
from .workload import Workload


def make_network(data: Workload, **arguments: Any) -> gr.models.CTRModel:
    """Our DCNv2 without groups, over the workload's fields.

    Args:
        data: the workload.
        **arguments: further ones of `CTRModel`.
    """
    schema = gr.Schema(
        [gr.Categorical(name, size) for name, size in zip(data.field_names, data.vocabulary_sizes, strict=True)],
        [gr.Task("click")],
    )
    return gr.models.CTRModel(
        schema,
        backbone=gr.models.backbones.DCNv2(3, units=(256, 128)),
        group_structure=(),
        residual_learning=False,
        embedding_dim=data.embedding_dim,
        tower_units=(),
        **arguments,
    )


def prepare(work: dict[str, Any], optimizer: str = "adagrad", trainable: bool = True) -> Prepared:
    """Our DCNv2 with the fused table.

    Args:
        work: arguments of `Workload`.
        optimizer: the table's optimizer. Defaults to `"adagrad"`.
        trainable: False freezes the table, the floor below every way to update it. Defaults to `True`.
    """
    data = Workload.of(work)
    model = make_network(data, embedding_optimizer=optimizer)
    embedding = model.get_layer("embedding")
    embedding.trainable = trainable
    model.compile(optimizer=keras.optimizers.Adam(1e-3), metrics={})
    facts = {
        "embedding optimizer": optimizer if trainable else "none (frozen)",
        "embedding bytes": sum(4 * math.prod(variable.shape) for variable in embedding.table.state.values()),
    }
    return Prepared(TimedFit(model, data, task="click"), facts)
