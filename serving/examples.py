"""Rows as serialized `tf.Example`s."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def to_examples(columns: Mapping[str, Any]) -> list[bytes]:
    """One serialized `tf.Example` per row, as `serving_examples`, `classify` and `regress_TASK` take them.

    Each column becomes a feature: bytes for strings, int64 for integers and booleans, float for the rest, with several
    values where a row has several. `None` leaves the feature out, and it is then out of vocabulary.

    Args:
        columns: raw columns of one length.

    Raises:
        ValueError: when the columns differ in length.

    Example:

    >>> examples = to_examples({"ad_id": np.array(["a7", None], object), "bid": np.array([0.5, 2.0], "float32")})
    >>> [len(example) for example in examples]
    [36, 19]
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`columns` must have one length. Received: {lengths}.")

    rows = zip(*columns.values(), strict=True)
    return [_example(dict(zip(columns, row, strict=True))).SerializeToString(deterministic=True) for row in rows]


def examples_argument(signature: str) -> str | None:
    """The input of a signature that takes examples, `None` for one that takes columns, whatever they are named.

    Args:
        signature: its name.

    Example:

    >>> examples_argument("serving_examples"), examples_argument("regress_click"), examples_argument("rank")
    ('examples', 'inputs', None)
    """
    if signature == "serving_examples":
        return "examples"
    return "inputs" if signature == "classify" or signature.startswith("regress_") else None


def _example(row: Mapping[str, Any]) -> Any:
    example = _Example()
    for name, value in row.items():
        if value is None:
            continue
        feature, array = example.features.feature[name], np.atleast_1d(np.asarray(value))
        if array.dtype.kind in "iub":
            feature.int64_list.value.extend(array.tolist())
        elif array.dtype.kind == "f":
            feature.float_list.value.extend(array.tolist())
        else:
            feature.bytes_list.value.extend(v if isinstance(v, bytes) else str(v).encode() for v in array)
    return example


def _message() -> Any:
    """The class of `tf.train.Example`, declared here since importing TensorFlow's own imports all of TensorFlow."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="grouprank/example.proto", package="grouprank.example", syntax="proto3"
    )

    def message(parent: Any, name: str, fields: Mapping[str, tuple[int, Any]], repeated: bool = False) -> Any:
        found = parent.add(name=name)
        for field, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = found.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".grouprank.example.{kind}"
            else:
                added.type = kind
        return found

    lists = {"BytesList": kinds.TYPE_BYTES, "FloatList": kinds.TYPE_FLOAT, "Int64List": kinds.TYPE_INT64}
    for name, kind in lists.items():
        message(file.message_type, name, {"value": (1, kind)}, repeated=True)
    feature = message(
        file.message_type,
        "Feature",
        {"bytes_list": (1, "BytesList"), "float_list": (2, "FloatList"), "int64_list": (3, "Int64List")},
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message(file.message_type, "Features", {"feature": (1, "Features.FeatureEntry")}, repeated=True)
    entry = message(features.nested_type, "FeatureEntry", {"key": (1, kinds.TYPE_STRING), "value": (2, "Feature")})
    entry.options.map_entry = True
    message(file.message_type, "Example", {"features": (1, "Features")})
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("grouprank.example.Example"))


_Example = _message()
