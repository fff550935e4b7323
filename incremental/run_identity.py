"""What a run is made of, as far as a run folder can tell it from another."""

import dataclasses
import json
from typing import Any

import keras

from ..datasets import TableDescription, TableTransforms
from ..models import RankingModel
from .period_step import pseudo_label_columns


def run_identity(model: RankingModel, transforms: TableTransforms, description: TableDescription) -> dict[str, Any]:
    """Plain values that differ where model, optimizer, transforms or columns do.

    Names that Keras makes up are left out, since they count the layers of a process.

    Args:
        model: the compiled model.
        transforms: its transforms.
        description: what the columns are.

    Raises:
        ValueError: if the model cannot be trained period by period.
    """
    if not isinstance(model, RankingModel):
        raise ValueError(
            f"`model` must be a ranking model such as CTRModel. Received: {model!r} of type {type(model).__name__}."
        )
    if getattr(model, "optimizer", None) is None:
        raise ValueError("`model` must be compiled, since its optimizer goes on with it. Call `model.compile()` first.")
    if model.schema != transforms.schema:
        model.schema.check_fitted(transforms.schema, "the model", "the transforms")
        raise ValueError("`model` and `transforms` must have one schema. Make the model of `transforms.schema`.")
    pseudo_label_columns(model)
    plain = {name: value for name, value in model.get_config().items() if name != "name" and _is_plain(value)}
    optimizer = {name: value for name, value in model.optimizer.get_config().items() if name != "name"}
    columns = [{"kind": column.kind, **dataclasses.asdict(column)} for column in description.columns]
    return {
        "backend": keras.backend.backend(),
        "model": {"class": type(model).__name__, "parameters": model.count_params(), **plain},
        "optimizer": {"class": type(model.optimizer).__name__, **json.loads(json.dumps(optimizer, default=str))},
        "schema": transforms.schema.to_dict(),
        "columns": json.loads(json.dumps(columns)),
        "labels": dict(description.labels),
        "missing": list(description.missing),
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)
