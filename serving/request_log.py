"""Reads what a TensorFlow Serving process logged: raw columns and scores as frames."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from .client.tensor_values import tensor_values
from .examples import examples_argument

# Signatures that answer no scores.
_NO_SCORES = ("groups", "features")


def read_request_log(
    paths: str | Path | Iterable[str | Path],
    name: str = "served",
    ad_columns: Collection[str] = (),
    requests: int = 10_000,
    compression: str | None = None,
) -> Iterator[pl.DataFrame]:
    """The raw columns and scores of logged requests, a row for each that was scored, in frames of many requests.

    TensorFlow Serving logs a sample of its requests as TFRecords of `PredictionLog` where its `logging_config` asks for
    it. Requests of all signatures that score are read: of columns, of `tf.Example`s, of `rank`, and those of the
    Classify and Regress APIs. The frames go into `LogProfile.count` or `gr.reports.drift`.

    A missing string, which a request holds as an empty one, is null, and the empty strings that fill up a list are left
    out. Records without an answer and those of other signatures are skipped.

    Args:
        paths: a file or several.
        name: scores are in the columns `NAME:TASK`. Defaults to `"served"`.
        ad_columns: columns that requests of `rank` have for each ad; the others are repeated. Only for logs of such
            requests. Defaults to `()`.
        requests: records of a frame; memory is bounded by it. Defaults to 10,000.
        compression: of the files: `"GZIP"`, `"ZLIB"` or `None`. Defaults to `None`.

    Raises:
        ValueError: on a file that is no such log or ends within a record, on requests of `rank` without `ad_columns`,
            or on a request whose columns differ in their number of rows.

    Example:

    ```python
    reference = gr.reports.LogProfile.load("saved_models/ads/7/assets.extra/log_profile.json")
    print(gr.reports.drift(reference, gr.serving.read_request_log("logs/ads-2024-05-01.tfrecord")))
    ```
    """
    if requests < 1:
        raise ValueError(f"`requests` must be at least 1. Received: requests={requests!r}.")
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    found: list[pl.DataFrame] = []
    count = 0
    for path in map(str, files):
        for number, record in enumerate(_records(path, compression)):
            try:
                rows = _rows(PredictionLog.FromString(record), name, ad_columns)
                frame = None if rows is None else pl.DataFrame(rows)
            except (DecodeError, ValueError, pl.exceptions.ShapeError) as error:
                raise ValueError(f"{path}, record {number}: {error}") from error
            if frame is not None:
                found.append(frame)
            count += 1
            if count % requests == 0 and found:
                yield pl.concat(found, how="diagonal_relaxed")
                found = []
    if found:
        yield pl.concat(found, how="diagonal_relaxed")


def _records(path: str, compression: str | None) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(path, compression_type=compression).as_numpy_iterator()
    except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
        raise ValueError(
            f"{path} cannot be read to its end as TFRecords; is it still being written, compressed or torn? "
            f"TensorFlow says: {error.message}"
        ) from error


def _rows(log: Any, name: str, ad_columns: Collection[str]) -> dict[str, pl.Series] | None:
    """Columns of a record by name, or `None` where it has no scores."""
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        return _predicted(log.predict_log, name, ad_columns)
    if kind not in ("classify_log", "regress_log"):
        return None
    part = getattr(log, kind)
    columns = _examples(part.request.input)
    result = part.response.result
    if kind == "classify_log" and result.classifications:
        labels = dict.fromkeys(found.label for one in result.classifications for found in one.classes)
        scores = [{found.label: found.score for found in one.classes} for one in result.classifications]
        return columns | {f"{name}:{task}": pl.Series([row.get(task) for row in scores]) for task in labels}
    if kind == "regress_log" and result.regressions:
        task = part.request.model_spec.signature_name.removeprefix("regress_")
        return columns | {f"{name}:{task}": pl.Series([one.value for one in result.regressions])}
    return None


def _predicted(log: Any, name: str, ad_columns: Collection[str]) -> dict[str, pl.Series] | None:
    signature = log.request.model_spec.signature_name
    if signature in _NO_SCORES or not log.response.outputs:
        return None
    scores = {f"{name}:{task}": tensor_values(tensor) for task, tensor in log.response.outputs.items()}
    inputs = {column: tensor_values(tensor) for column, tensor in log.request.inputs.items()}
    argument = examples_argument(signature)
    if argument is not None and argument in inputs:
        columns = _parsed([tf.train.Example.FromString(one) for one in inputs[argument].reshape(-1)])
    elif signature == "rank":
        columns = _crossed(inputs, next(iter(scores.values())).shape, ad_columns)
    else:
        columns = {column: _series(values) for column, values in inputs.items()}
    return columns | {task: pl.Series(values.reshape(-1)) for task, values in scores.items()}


def _crossed(inputs: Mapping[str, np.ndarray], shape: tuple[int, ...], ad_columns: Collection[str]) -> dict[str, Any]:
    """Columns of `rank` with a row for each ad."""
    if not ad_columns:
        raise ValueError(
            "a request of `rank` has columns of users and of ads. Name those of ads in `ad_columns`, such as "
            f"ad_columns=['ad_id']. The request has: {sorted(inputs)}."
        )
    users, ads = shape
    of_ads = {n: values.reshape(users * ads, *values.shape[2:]) for n, values in inputs.items() if n in ad_columns}
    of_users = {n: np.repeat(values, ads, axis=0) for n, values in inputs.items() if n not in ad_columns}
    return {column: _series(values) for column, values in {**of_users, **of_ads}.items()}


def _examples(given: Any) -> dict[str, pl.Series]:
    """Columns of the examples of a Classify or Regress request; a context's features are in each of its examples."""
    if given.WhichOneof("kind") == "example_list_with_context":
        listed = given.example_list_with_context
        return _parsed(listed.examples, listed.context)
    return _parsed(given.example_list.examples)


def _parsed(examples: Iterable[Any], context: Any = None) -> dict[str, pl.Series]:
    rows = []
    for example in examples:
        row: dict[str, list[Any]] = {}
        for part in (context, example):
            for column, feature in part.features.feature.items() if part is not None else ():
                kind = feature.WhichOneof("kind")
                row[column] = [] if kind is None else list(getattr(feature, kind).value)
        rows.append(row)
    found = {}
    for column in dict.fromkeys(name for row in rows for name in row):
        values = [[_text(value) for value in row.get(column, [])] for row in rows]
        if all(len(of_row) <= 1 for of_row in values):
            found[column] = pl.Series([of_row[0] if of_row else None for of_row in values])
        else:
            found[column] = pl.Series([[value for value in of_row if value is not None] for of_row in values])
    return found


def _series(values: np.ndarray) -> pl.Series:
    if values.dtype.kind not in "OS":
        return pl.Series(values)
    if values.ndim == 1:
        return pl.Series([_text(value) for value in values.tolist()], dtype=pl.String)
    rows = values.reshape(len(values), -1).tolist()
    return pl.Series([[text for value in row if (text := _text(value)) is not None] for row in rows])


def _text(value: Any) -> Any:
    """A string's bytes as text, nothing for an empty one; numbers as they are."""
    return (value.decode("utf-8", "replace") or None) if isinstance(value, bytes) else value
