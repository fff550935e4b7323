"""Exports a two-tower model as a SavedModel that answers raw user rows with ads."""

import dataclasses
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import TableTransforms
from ..models import TwoTowerModel
from ..schema import Schema
from .check_transforms import check_transforms
from .check_weights import check_weights
from .fresh_process import run_fresh_process
from .hand_over import hand_over
from .layout.provenance import describe, write_provenance
from .layout.server_files import write_server_files
from .retrieval_report import RetrievalReport
from .row_columns import raw_rows, row_columns
from .unfinished_folder import unfinished_folder
from .verify_retrieval import verify_retrieval
from .version_folder import check_version, publish

# Index to the packages that write it.
_PACKAGES = {
    "brute_force": ("tensorflow_recommenders", "tf_keras"),
    "scann": ("tensorflow_recommenders", "tf_keras", "scann"),
}


def export_retrieval(
    model: TwoTowerModel,
    path: str | Path,
    candidates: Any,
    k: int = 100,
    index: str = "brute_force",
    transforms: TableTransforms | None = None,
    rows: Any = None,
    index_options: Mapping[str, Any] | None = None,
    tolerance: float = 1e-5,
    provenance: Mapping[str, Any] | None = None,
) -> RetrievalReport:
    """Write user tower and indexed ads as `NAME/VERSION` for TF Serving, and prove that they answer as Keras does.

    Signature `serving_default` takes the raw columns of the user's side and the
    context and returns the `ids` and `scores` of the `k` best ads, best first,
    `(batch, k)` each; `user_vectors` returns the users' `vectors`, `groups` the
    learned group ids. Ads change more often than towers: export the same model
    with other ads as the next version.

    The index is a layer of TensorFlow Recommenders (`pip install "grouprank[tfrs]"`),
    whose score is exact for `"brute_force"`. `"scann"` searches approximately; it
    needs the package `scann` built for the installed TensorFlow, and a server that
    knows its operations (the image `google/tf-serving-scann`). Everything is
    written, checked and published as by `export`.

    Args:
        model: a trained `TwoTowerModel`.
        path: the version folder to create, `NAME/VERSION`, or the model's folder `NAME` for
            the version after its newest; the report says which.
        candidates: the ads to recommend, one row per ad: raw columns with transforms, a polars
            frame or a dict, and the served ids are the raw ones; else model inputs.
        k: number of ads returned. Defaults to `100`.
        index: `"brute_force"` or `"scann"`. Defaults to `"brute_force"`.
        transforms: the fitted transforms, `PreparedTable.transforms`. `None` exports a
            model that takes ids and floats. Defaults to `None`.
        rows: raw user rows to compare on, a polars frame or a dict of columns. `None`
            draws rows from the vocabularies. Defaults to `None`.
        index_options: further arguments of the index layer. For `"scann"`, `num_leaves`
            is the root of the number of ads, `num_leaves_to_search` a fifth of it and
            `num_reordering_candidates` ten times `k` unless given. Defaults to `None`.
        tolerance: largest difference of a score, as a share of the largest score where
            that is above 1. Defaults to `1e-5`.
        provenance: further facts to keep with the model, such as data and metrics; JSON. Defaults to `None`.

    Returns:
        A `RetrievalReport`: rows compared, largest difference, recall, ids and scores.

    Raises:
        FileExistsError: when the version folder exists; it is never overwritten.
        ImportError: when a package is missing that writes the index.
        ValueError: when `path` cannot be a version folder, the transforms belong to another
            schema, a weight is NaN or infinite, an ad is listed twice, or `k` is greater
            than the number of ads.
        RuntimeError: when the SavedModel disagrees with the Keras model.

    Example:

    ```python
    ads = raw_rows.unique("ad_id")  # a polars frame
    report = gr.serving.export_retrieval(model, "saved_models/retrieval", ads, k=50, transforms=table.transforms)
    print(report)
    ```
    """
    folder, version = check_version(Path(path))
    _check_arguments(model, index, transforms)
    check_weights(model)
    known = describe(model, provenance)
    user_transforms = _side_transforms(transforms, model.user_schema)
    corpus = model.index(*_ad_columns(model, candidates, transforms))
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(corpus.ids):
        raise ValueError(f"`k` must be an integer between 1 and the {len(corpus.ids)} ads. Received: k={k!r}.")
    raw = raw_rows(model.user_schema, user_transforms, rows)
    inputs = raw if user_transforms is None else user_transforms(raw)
    options = _scann_options(len(corpus.ids), k) if index == "scann" else {}
    config = {"index": index, "k": k, "options": {**options, **(index_options or {})}}
    with unfinished_folder(folder) as work:
        hand_over(model, work, user_transforms, raw, folder.resolve().name)
        (work / "index.json").write_text(json.dumps(config))
        np.savez(work / "ads.npz", vectors=corpus.vectors, ids=corpus.ids)
        run_fresh_process(
            ["-m", "grouprank.serving.write_retrieval", str(work)],
            "The SavedModel was not written",
            {"TF_USE_LEGACY_KERAS": "1"},
        )
        exact = index == "brute_force"
        report = verify_retrieval(model, work / "saved_model", corpus, raw, inputs, exact, tolerance)
        known |= {"verified_rows": report.rows, "largest_difference_to_keras": report.max_difference}
        known["retrieval"] = {**config, "ads": len(corpus.ids), "recall": report.recall}
        write_provenance(work / "saved_model", known)
        write_server_files(folder)
        return dataclasses.replace(report, path=publish(work / "saved_model", folder, version))


def _check_arguments(model: Any, index: str, transforms: TableTransforms | None) -> None:
    if not isinstance(model, TwoTowerModel):
        raise ValueError(f"`model` must be a TwoTowerModel. Received: {type(model).__name__}.")
    if index not in _PACKAGES:
        raise ValueError(f"`index` must be one of {sorted(_PACKAGES)}. Received: index={index!r}.")
    missing = [name for name in _PACKAGES[index] if importlib.util.find_spec(name) is None]
    if missing:
        remedy = 'pip install "grouprank[tfrs]"' + (" scann" if "scann" in missing else "")
        raise ImportError(f"index={index!r} is written with {missing}, which cannot be imported. Install: {remedy}.")
    if transforms is not None:
        check_transforms(model, transforms)


def _side_transforms(transforms: TableTransforms | None, schema: Schema) -> Any:
    """The transforms of one side's features, `None` without transforms."""
    if transforms is None:
        return None
    columns = {name: column for name, column in transforms.columns.items() if name in schema.feature_names}
    leaves = transforms.leaves if len(columns) < len(schema.feature_names) else None
    return TableTransforms(schema, columns, transforms.oov_share, leaves)


def _ad_columns(model: TwoTowerModel, candidates: Any, transforms: TableTransforms | None) -> tuple[Any, np.ndarray]:
    """Model inputs of the ads, and the ids under which they are served."""
    if transforms is None:
        columns = row_columns(candidates, dict.fromkeys(model.ad_schema.feature_names), "candidates")
        return columns, columns[model.ad_id].reshape(-1).astype("int64")
    ad_transforms = _side_transforms(transforms, model.ad_schema)
    raw = row_columns(candidates, ad_transforms.raw_columns, "candidates")
    ids = raw[transforms.columns[model.ad_id].raw]
    # NumPy's own strings: they sort, compare and load without pickle.
    strings = transforms.columns[model.ad_id].dtype == "string"
    return ad_transforms(raw), np.array([v.decode() for v in ids]) if strings else ids.astype("int64")


def _scann_options(ads: int, k: int) -> dict[str, int]:
    leaves = max(1, round(ads**0.5))
    return {
        "num_leaves": leaves,
        "num_leaves_to_search": max(1, -(-leaves // 5)),
        "num_reordering_candidates": min(ads, 10 * k),
    }
