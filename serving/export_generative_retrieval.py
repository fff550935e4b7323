"""Exports a generative retrieval model as a SavedModel that answers histories with items."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models import GenerativeRetrievalModel
from .check_weights import check_weights
from .fresh_process import run_fresh_process
from .hand_over import hand_over
from .layout.provenance import describe, write_provenance
from .layout.server_files import write_server_files
from .retrieval_report import RetrievalReport
from .row_columns import raw_rows
from .unfinished_folder import unfinished_folder
from .verify_generative_retrieval import verify_generative_retrieval
from .version_folder import check_version, publish


def export_generative_retrieval(
    model: GenerativeRetrievalModel,
    path: str | Path,
    k: int = 10,
    beam: int | None = None,
    rows: Any = None,
    tolerance: float = 1e-5,
    provenance: Mapping[str, Any] | None = None,
) -> RetrievalReport:
    """Write model and beam search as `NAME/VERSION` for TF Serving, and prove that they answer as Keras does.

    Signature `serving_default` takes `history`, item ids `(batch, history_length)`, and `user_id` if the model reads
    users. It returns the `items` and `scores` of `retrieve`, best first, `(batch, k)` each. Items are ids, as in
    training; the table of codes is part of the SavedModel. Everything is written, checked and published as by `export`.

    Args:
        model: a trained `GenerativeRetrievalModel`.
        path: the version folder to create, `NAME/VERSION`, or the model's folder `NAME` for the version after its
            newest; the report says which.
        k: number of items returned. Defaults to `10`.
        beam: number of prefixes kept after each code. `None` takes `2 * k`. Defaults to `None`.
        rows: columns to compare on, a polars frame or a dict. `None` draws ids at random. Defaults to `None`.
        tolerance: largest difference of a score, as a share of the largest score where that is above 1. Defaults to
            `1e-5`.
        provenance: further facts to keep with the model, such as data and metrics; JSON. Defaults to `None`.

    Returns:
        A `RetrievalReport`: rows compared, largest difference, recall, items as `ids`, and scores.

    Raises:
        FileExistsError: when the version folder exists; it is never overwritten.
        ValueError: when `path` cannot be a version folder, a weight is NaN or infinite, or `k` is greater than `beam`
            or than the number of items that have codes.
        RuntimeError: when the SavedModel disagrees with the Keras model.

    Example:

    ```python
    report = gr.serving.export_generative_retrieval(model, "saved_models/tiger", k=50, beam=100)
    print(report)
    ```
    """
    folder, version = check_version(Path(path))
    if not isinstance(model, GenerativeRetrievalModel):
        raise ValueError(f"`model` must be a GenerativeRetrievalModel. Received: {type(model).__name__}.")
    config = {"k": k, "beam": model.beam_of(k, beam)}
    check_weights(model)
    known = describe(model, provenance)
    raw = raw_rows(model.schema, None, rows)
    with unfinished_folder(folder) as work:
        hand_over(model, work, None, raw, folder.resolve().name)
        (work / "search.json").write_text(json.dumps(config))
        program = ["-m", "grouprank.serving.write_generative_retrieval", str(work)]
        run_fresh_process(program, "The SavedModel was not written")
        report = verify_generative_retrieval(model, work / "saved_model", raw, **config, tolerance=tolerance)
        known |= {"verified_rows": report.rows, "largest_difference_to_keras": report.max_difference}
        known["retrieval"] = {**config, "items": model.tree.num_leaves, "recall": report.recall}
        write_provenance(work / "saved_model", known)
        write_server_files(folder)
        return dataclasses.replace(report, path=publish(work / "saved_model", folder, version))
