"""Exports a trained model as a SavedModel that answers raw rows."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from ..datasets import TableTransforms
from ..distribution import world_size
from .check_transforms import check_transforms
from .check_weights import check_weights
from .deltas.graph_parts import graph_parts
from .deltas.served_variables import RECORD_FILE, dense_values, digest
from .export_onnx import export_onnx
from .export_report import ExportReport
from .export_together import export_together
from .fresh_process import run_fresh_process
from .hand_over import hand_over
from .layout.provenance import describe, write_provenance
from .layout.server_files import write_server_files
from .log_profile import LOG_PROFILE_FILE, reference_as_json
from .occlusion import FIELDS, Occlusion
from .quantization_cost import LIMITS
from .row_columns import raw_rows
from .unfinished_folder import unfinished_folder
from .verify import verify
from .version_folder import check_version, publish

FORMATS = ("tf_saved_model", "onnx")
TABLE_DTYPES = ("float32", *LIMITS)


def export(
    model: keras.Model,
    path: str | Path,
    transforms: TableTransforms | None = None,
    rows: Any = None,
    tolerance: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    format: str = "tf_saved_model",
    table_dtype: str = "float32",
    explanations: bool = False,
    reference: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Write a model as `NAME/VERSION` for TF Serving, and prove that it answers as the Keras model does.

    Whichever backend trained the model, the SavedModel holds plain TensorFlow ops and nothing that only training needs.
    Its signatures are:

    - `serving_default`: the raw columns, strings and numbers as in the raw file, any
      batch size; returns `{task: probability}`.
    - `serving_examples`: the same rows as serialized `tf.Example`s. `classify` (a class per task) and `regress_TASK`
      are the same for the Classify and Regress APIs. A feature that is missing is out of vocabulary.
    - `rank`: columns of users and context, `(requests, ...)`, and of each one's ads,
      `(requests, ads, ...)`; returns `(requests, ads)` by task. What depends only on the user is computed once. The
      signature exists only if the schema has features of both sides.
    - `groups`: the raw columns; returns the learned group ids by placement.
    - `features`: the raw columns; returns the ids and floats made of them, by feature, for
      `check_skew`. Only with transforms.
    - `explanations`: the raw columns; returns what each field adds to the log-odds of each task, `(rows, fields)`, as
      `explain` defines it, and the names of the fields. Only with `explanations=True`.

    It is written in a fresh process, loaded in another one that has only TensorFlow's C library, and compared with the
    Keras model. Then the version folder appears in one rename, so a server that polls `NAME` never sees half of it. An
    export that fails leaves nothing behind.

    In several processes all of them call this and get the report. The model must fit into the memory of the first one's
    machine.

    The version folder also holds the vocabularies (`assets`), requests that warm the server up
    (`assets.extra/tf_serving_warmup_requests`, made of some of the `rows`) and where the model comes from
    (`assets.extra/provenance.json`). Beside it are the files that start a server, unless they exist already: run
    `docker compose up` in `NAME`.

    Args:
        model: a trained `CTRModel`.
        path: the version folder to create, `NAME/VERSION`, or the model's folder `NAME` for
            the version after its newest; the report says which.
        transforms: the fitted transforms, `PreparedTable.transforms`. `None` exports a
            model that takes ids and floats. Defaults to `None`.
        rows: raw rows to compare on, a polars frame or a dict of columns (model
            inputs without transforms). `None` draws rows from the vocabularies.
            Defaults to `None`.
        tolerance: largest difference of a probability; with quantized tables the largest relative rise of the
            normalized entropy of a task over the rows. Defaults to `None`: a difference of 1e-5, or a rise of 0.01 %
            for int8 and 0.03 % for int4.
        provenance: further facts to keep with the model, such as data and metrics; JSON. Defaults to `None`.
        format: `"tf_saved_model"`, or `"onnx"` for the model alone, ids and floats in and
            probabilities out, as the file `path`, checked in onnxruntime. It needs
            `pip install 'grouprank[onnx]'`; raw columns go through
            `PreparedTable.transforms` first. Defaults to `"tf_saved_model"`.
        table_dtype: how embedding tables are kept: `"float32"`, or in 8 or 4 bits a value with `"int8"` or `"int4"`
            (see `grouprank.layers.embedding.quantized_table.QuantizedTable`). All other weights stay as they are. The
            report's `cost` says what it costs: by the labels, where `rows` have a column for each task, else by the
            model's probabilities. Defaults to `"float32"`.
        explanations: whether the SavedModel has the signature `explanations`. Defaults to `False`.
        reference: what later logs are compared with, `gr.reports.LogProfile.fit(rows, ...).to_dict()`. It is kept as
            `assets.extra/log_profile.json`, which `gr.reports.LogProfile.load` reads. Only for a SavedModel. Defaults
            to `None`, none: `rows` may be few or the first ones of a file, and so are not taken for it.

    Returns:
        An `ExportReport`: the rows compared, the largest difference and the scores.

    Raises:
        FileExistsError: when the version folder exists; it is never overwritten.
        ValueError: when `path` cannot be a version folder, the transforms belong to
            another schema, a weight is NaN or infinite, or the model cannot be rebuilt
            in a fresh process.
        RuntimeError: when the SavedModel disagrees with the Keras model (see `verify`), or quantized tables cost more
            than the tolerance.

    Example:

    ```python
    report = gr.serving.export(model, "saved_models/my_model", transforms=table.transforms, rows=raw_rows)
    print(report)
    ```
    """
    if not hasattr(model, "predict_proba") or not hasattr(model, "schema"):
        raise ValueError(f"`model` must be a grouprank model such as CTRModel. Received: {type(model).__name__}.")
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {FORMATS}. Received: format={format!r}.")
    if table_dtype not in TABLE_DTYPES:
        raise ValueError(f"`table_dtype` must be one of {TABLE_DTYPES}. Received: table_dtype={table_dtype!r}.")
    if world_size() > 1:
        given = {"transforms": transforms, "rows": rows, "tolerance": tolerance, "provenance": provenance}
        given |= {"format": format, "table_dtype": table_dtype, "explanations": explanations, "reference": reference}
        return export_together(model, Path(path), given)
    if format == "onnx":
        if transforms is not None:
            raise ValueError(
                "An ONNX file holds the model without its transforms: leave `transforms` out, and give the file what "
                "they return. Received: transforms."
            )
        if explanations:
            raise ValueError(
                "An ONNX file has no signatures, so it cannot explain scores: use `grouprank.serving.explain`, or "
                "export a SavedModel. Received: explanations=True."
            )
        if reference is not None:
            raise ValueError(
                "An ONNX file has no folder for `reference`: keep the profile beside it with `LogProfile.save`. "
                "Received: reference."
            )
        return export_onnx(model, path, rows, tolerance, provenance, table_dtype)
    folder, version = check_version(Path(path))
    if transforms is not None:
        check_transforms(model, transforms)
    check_weights(model)
    occlusion = Occlusion.of(model.schema, transforms) if explanations else None
    if occlusion is not None and FIELDS in model.prediction_names:
        raise ValueError(
            f"The signature `explanations` has an output {FIELDS!r}, and a task has that name. Rename the task, or "
            "leave `explanations` out."
        )
    known = describe(model, provenance)
    profile = None if reference is None else reference_as_json(reference)
    raw = raw_rows(model.schema, transforms, rows)
    with unfinished_folder(folder) as work:
        graph = graph_parts(model, transforms, table_dtype, explanations)
        hand_over(model, work, transforms, raw, folder.resolve().name, table_dtype, occlusion, graph)
        run_fresh_process(["-m", "grouprank.serving.write_saved_model", str(work)], "The SavedModel was not written")
        if (work / "dense_weights.txt").read_text() != digest(dense_values(model)):
            # The other process has them in another order, so that places would mislead. No delta starts from here.
            (work / "saved_model" / RECORD_FILE).unlink(missing_ok=True)
        report = verify(model, work / "saved_model", transforms, raw if rows is None else rows, tolerance, table_dtype)
        known |= {"verified_rows": report.rows, "largest_difference_to_keras": report.max_difference}
        known |= {"quantization": report.cost.to_dict()} if report.cost else {}
        write_provenance(work / "saved_model", known)
        if profile is not None:
            (work / "saved_model" / LOG_PROFILE_FILE).write_text(profile, encoding="utf-8")
        write_server_files(folder)
        return dataclasses.replace(report, path=publish(work / "saved_model", folder, version))
