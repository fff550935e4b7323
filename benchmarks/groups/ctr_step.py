"""A `CTRModel` with and without group structure and residual learning, through `fit`."""

import math
from typing import Any

import keras
import numpy as np

import grouprank as gr

from ..dcn.timed_fit import TimedFit
from ..dcn.workload import Workload
from ..support.prepared import Prepared

TASKS = ("click", "like", "follow", "share")
SIDES = ("user", "ad", "context")


def prepare(
    work: dict[str, Any], placements: list[str], residual: bool, code_dims: list[int], head_units: list[int]
) -> Prepared:
    """DCNv2 with four tasks, a third of the fields on each side.

    Args:
        work: arguments of `Workload`.
        placements: where groups are learned.
        residual: whether residual learning is on.
        code_dims: width of the codes of each placement; empty for the model's defaults.
        head_units: hidden layers of a residual learning head.
    """
    data = Workload.of(work)
    keras.utils.set_random_seed(0)
    columns = zip(data.field_names, data.vocabulary_sizes, strict=True)
    schema = gr.Schema(
        [gr.Categorical(name, size, side=SIDES[number % 3]) for number, (name, size) in enumerate(columns)],
        [gr.Task(task) for task in TASKS],
    )
    groups: Any = tuple(placements)
    if code_dims:
        groups = {
            placement: gr.layers.GroupConcat(code_dim=width, name=f"{placement}_groups")
            for placement, width in zip(placements, code_dims, strict=True)
        }
    model = gr.models.CTRModel(
        schema,
        group_structure=groups,
        residual_learning=gr.models.ResidualLearning(units=head_units) if residual else False,
        embedding_dim=data.embedding_dim,
        embedding_optimizer=None,
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), metrics={})
    steps = TimedFit(model, data, task=TASKS[0])
    rng = np.random.default_rng(1)
    for _, labels in steps.batches:
        labels.update({task: (rng.random(data.batch_size) < 0.25).astype("float32") for task in TASKS[1:]})
    return Prepared(steps, {"multiply-adds per row": multiply_adds(model)})


def multiply_adds(model: Any) -> int:
    """Multiply-adds that the matrix products of a training step need for a row.

    A dense layer needs three products: forward, by its kernel and by its inputs; an encoder of groups two, since
    nothing goes back to its inputs. A search needs one product per level.

    Args:
        model: a `CTRModel`.
    """
    kernels = sum(3 * math.prod(weight.shape) for weight in model.trainable_weights if weight.name.startswith("kernel"))
    for layer in model.group_concats.values():
        encoder = next(weight for weight in layer.trainable_weights if "/encoder_0/kernel" in weight.path)
        kernels += math.prod(layer.quantizer.codebooks.shape) - math.prod(encoder.shape)
    return kernels
