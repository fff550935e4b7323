"""Explains scores of raw rows by their fields and learned groups."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..datasets import TableTransforms
from ..models import CTRModel
from ..models.ranking_model import probabilities_of
from .check_transforms import check_transforms
from .explained_scores import ExplainedScores, GroupDescriptions
from .occlusion import Occlusion
from .row_columns import raw_rows


def explain(
    model: CTRModel,
    rows: Any,
    transforms: TableTransforms | None = None,
    group_reports: Mapping[str, GroupDescriptions] | None = None,
    references: Mapping[str, Any] | None = None,
    batch_size: int = 8192,
) -> ExplainedScores:
    """Say what each field of some rows contributes to their scores, and which learned groups the rows are in.

    A field is explained by occlusion: the rows are scored once more with the field unknown. An id then becomes the
    one of a token out of the vocabulary, a sequence becomes empty together with its weights, and a number becomes the
    mean of the training rows, as a missing number does. A field contributes the log-odds of the row less those
    without the field: log-odds add up better than probabilities, whose steps shrink near 0 and 1. The result has the
    probabilities without the field, too.

    Contributions add up to the score only where fields do not interact, as in a model with the backbone `"lr"`. Where
    two fields say the same, each contributes little, since the other one remains. A contribution says what the model
    reads out of a field, not what would happen if the field were changed in the world.

    All rows are scored `fields + 1` times, in large batches.

    Args:
        model: a trained `CTRModel` or `CVRModel`.
        rows: raw rows, a polars frame or a dict of columns (model inputs without transforms).
        transforms: the fitted transforms, `PreparedTable.transforms`. Defaults to `None`.
        group_reports: descriptions of the learned groups by placement, as `grouprank.reports.group_report` makes
            them. Defaults to `None`.
        references: what a feature is replaced by instead, by name, as the model reads it: the mean of a `Vector`, or
            of a number that was not standardised. Defaults to `None`.
        batch_size: number of rows that are scored at once, copies without a field included. Defaults to `8192`.

    Returns:
        `ExplainedScores`: arrays by task, `to_frame()` and `describe(row)`.

    Raises:
        ValueError: when `model` is of another kind, `rows` lack a column or do not fit, the transforms are not those
            of the model's table, or a reference or a group report is of something that the model does not have.

    Example:

    >>> import numpy as np
    >>> import grouprank as gr
    >>> schema = gr.Schema([gr.Categorical("os", 3), gr.Numeric("bid")], [gr.Task("click")])
    >>> model = gr.models.CTRModel(schema, "mlp", embedding_dim=4, group_structure=())
    >>> explained = gr.serving.explain(model, {"os": np.array([2, 0]), "bid": np.array([0.5, 1.5])})
    >>> explained.contributions["click"].shape, explained.as_unknown.tolist()
    ((2, 2), [[False, False], [True, False]])
    >>> explained.to_frame(most=1).columns
    ['row', 'task', 'field', 'value', 'as_unknown', 'contribution', 'probability', 'without']
    """
    if not isinstance(model, CTRModel):
        raise ValueError(f"`model` must be a CTRModel or CVRModel. Received: {type(model).__name__}.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}.")
    if transforms is not None:
        check_transforms(model, transforms)
    reports = dict(group_reports or {})
    if unknown := sorted(set(reports) - set(model.group_concats)):
        raise ValueError(
            f"`group_reports` has the placements {unknown}. The model's placements: {list(model.group_concats)}."
        )
    schema = model.schema
    occlusion = Occlusion.of(schema, transforms, references)
    raw = raw_rows(schema, transforms, rows)
    encoded = raw if transforms is None else {n: column.array for n, column in transforms.encode(raw).items()}
    schema.check(encoded)
    inputs = {f.name: np.asarray(encoded[f.name], f.dtype).reshape(-1, *f.shape) for f in schema.features}
    fields, count = occlusion.fields, len(next(iter(inputs.values())))
    step = max(1, batch_size // (len(fields) + 1))
    logits: dict[str, list[np.ndarray]] = {name: [] for name in model.prediction_names}
    for start in range(0, count, step):
        copies = occlusion.copies({name: values[start : start + step] for name, values in inputs.items()})
        found = model.predict(copies, batch_size, verbose=0)
        for name, parts in logits.items():
            parts.append(found[name].reshape(len(fields) + 1, -1).T)
    scored = {name: np.concatenate(parts) for name, parts in logits.items()}
    same = [(inputs[n] == occlusion.references[n]).reshape(count, -1).all(axis=1) for n in fields]
    as_unknown = np.stack(same, axis=1)
    sources = {n: n for n in fields} if transforms is None else transforms.sources
    return ExplainedScores(
        fields=fields,
        probabilities={name: probabilities_of(z[:, 0]) for name, z in scored.items()},
        # Copies that are equal to the row may differ from it by rounding.
        contributions={name: np.where(as_unknown, 0, z[:, :1] - z[:, 1:]) for name, z in scored.items()},
        without={name: probabilities_of(np.where(as_unknown, z[:, :1], z[:, 1:])) for name, z in scored.items()},
        # A leaf has no raw value, and shows its id.
        values={name: raw[sources[name]] if name in sources else inputs[name] for name in fields},
        as_unknown=as_unknown,
        groups=model.groups(inputs, batch_size),
        group_reports=reports,
    )
