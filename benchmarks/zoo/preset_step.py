"""A preset's training step, through `fit`."""

from typing import Any

import keras
import numpy as np

import grouprank as gr

from ...models.preset_registry import get_preset
from ..dcn.timed_fit import TimedFit
from ..dcn.workload import Workload
from ..support.prepared import Prepared

SIDES = ("user", "ad", "context")


def prepare(work: dict[str, Any], preset: str) -> Prepared:
    """A preset with two tasks, a click and what follows it, a third of the fields on each side.

    Args:
        work: arguments of `Workload`.
        preset: name of the preset.
    """
    data = Workload.of(work)
    keras.utils.set_random_seed(0)
    columns = zip(data.field_names, data.vocabulary_sizes, strict=True)
    schema = gr.Schema(
        [gr.Categorical(name, size, side=SIDES[number % 3]) for number, (name, size) in enumerate(columns)],
        [gr.Task("click"), gr.Task("purchase", given="click")],
    )
    kind = getattr(gr.models, get_preset(preset).model)
    model = kind.from_preset(preset, schema, embedding_dim=data.embedding_dim)
    model.compile(metrics={})
    steps = TimedFit(model, data, task="click")
    rng = np.random.default_rng(1)
    for _, labels in steps.batches:
        labels["purchase"] = labels["click"] * (rng.random(data.batch_size) < 0.1).astype("float32")
    table = sum(int(np.prod(w.shape)) for w in model.trainable_weights if "embedding" in w.path.split("/")[0])
    weights = sum(int(np.prod(w.shape)) for w in model.logits_model().trainable_weights)
    return Prepared(steps, {"parameters beside embeddings": weights - table})
