"""Rows as serialized `tf.Example`s."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def to_examples(columns: Mapping[str, Any]) -> list[bytes]:
    """One serialized `tf.Example` a row, as the signatures `serving_examples`, `classify` and `regress_TASK` take it.

    A feature a column: bytes for strings, int64 for integers and booleans, float for the rest; several values where a
    row has several. `None` leaves the feature out, which scores as out of vocabulary.

    Args:
        columns: raw columns of one length.

    Raises:
        ValueError: when the columns differ in length.

    Example:

    >>> examples = to_examples({"ad_id": np.array(["a7", None], object), "bid": np.array([0.5, 2.0], "float32")})
    >>> [len(example) for example in examples]
    [35, 16]
    """
    # Here, not above: whoever exports has TensorFlow loaded, whoever only reads a report need not.
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`columns` must have one length. Received: {lengths}.")

    def feature(value: Any) -> Any:
        array = np.atleast_1d(np.asarray(value))
        if array.dtype.kind in "iub":
            return Feature(int64_list=Int64List(value=array.tolist()))
        if array.dtype.kind == "f":
            return Feature(float_list=FloatList(value=array.tolist()))
        return Feature(bytes_list=BytesList(value=[v if isinstance(v, bytes) else str(v).encode() for v in array]))

    rows = zip(*columns.values(), strict=True)
    return [
        Example(
            features=Features(feature={n: feature(v) for n, v in zip(columns, row, strict=True) if v is not None})
        ).SerializeToString(deterministic=True)
        for row in rows
    ]
