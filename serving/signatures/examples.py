"""Signatures that take serialized `tf.Example`s, for batch jobs and the Classify and Regress APIs."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from ...datasets.transforms.token_counts import NO_TOKEN
from ..examples import examples_argument
from .predict import named

Outputs = dict[str, Any]


def examples_signatures(
    function: Callable[[dict[str, Any]], Outputs], columns: Any, answers: Mapping[str, Callable[[Outputs], Outputs]]
) -> dict[str, Any]:
    """Concrete functions of a vector of serialized `tf.Example`s, by signature name.

    Each column is a feature of its own name with one value (a `Vector` with its floats). A feature that is missing
    or empty is out of vocabulary; a number is then taken for its mean, as a missing one in training.

    The signatures differ in little. What they have in common is traced once and called by each of them, so that it is
    also written and loaded once.

    Args:
        function: model inputs in, a dict of outputs out.
        columns: `GraphTransforms` or `PlainColumns`.
        answers: what each signature makes of the function's outputs, by signature name. The name decides the name of
            the input, see `examples_argument`.
    """
    specs = columns.signature()

    def answered(examples: Any) -> Outputs:
        features = {
            name: tf.io.RaggedFeature(_stored(spec.dtype), row_splits_dtype=tf.int64) for name, spec in specs.items()
        }
        parsed = tf.io.parse_example(examples, features)
        raw, missing = {}, {}
        for name, spec in specs.items():
            raw[name], absent = _column(name, parsed[name], spec)
            if not spec.dtype.is_floating:
                missing[name] = absent
        return function(columns(raw, missing))

    common = tf.function(answered, autograph=False)
    return {name: _signature(common, answer, str(examples_argument(name))) for name, answer in answers.items()}


def _signature(common: Callable[[Any], Outputs], answer: Callable[[Outputs], Outputs], argument: str) -> Any:
    def serve(**arguments: Any) -> Outputs:
        return named(answer(common(arguments[argument])))

    return tf.function(serve, autograph=False).get_concrete_function(
        **{argument: tf.TensorSpec([None], tf.string, name=argument)}
    )


def _stored(dtype: tf.DType) -> tf.DType:
    """What a `tf.Example` keeps a dtype as."""
    return tf.int64 if dtype.is_integer else tf.float32 if dtype.is_floating else tf.string


def _column(name: str, values: Any, spec: tf.TensorSpec) -> tuple[Any, Any]:
    """The column dense, and which of its rows have no value."""
    width = spec.shape[1] if spec.shape.rank > 1 else 1
    lengths = values.row_lengths()
    fits = tf.logical_or(tf.equal(lengths, 0), tf.equal(lengths, width))
    check = tf.debugging.Assert(
        tf.reduce_all(fits),
        [
            f"Feature {name} of an Example holds none or {width} of {_stored(spec.dtype).name}. Received in some rows:",
            tf.boolean_mask(lengths, tf.logical_not(fits)),
        ],
        summarize=8,
    )
    checks = [check]
    if spec.dtype.is_integer and spec.dtype != tf.int64:
        # An Example holds 64 bits; a cast would change an id that does not fit into the column's dtype.
        outside = tf.logical_or(values.flat_values < spec.dtype.min, values.flat_values > spec.dtype.max)
        checks.append(
            tf.debugging.Assert(
                tf.logical_not(tf.reduce_any(outside)),
                [
                    f"Feature {name} of an Example holds {spec.dtype.name}, {spec.dtype.min} to {spec.dtype.max}. "
                    "Received in some rows:",
                    tf.boolean_mask(values.flat_values, outside),
                ],
                summarize=8,
            )
        )
    with tf.control_dependencies(checks):
        values = tf.identity(values)
    default = {tf.int64: 0, tf.float32: float("nan"), tf.string: NO_TOKEN}[_stored(spec.dtype)]
    dense = tf.cast(values.to_tensor(default, shape=[None, width]), spec.dtype)
    absent = tf.equal(lengths, 0)
    return (dense, absent[:, tf.newaxis]) if spec.shape.rank > 1 else (dense[:, 0], absent)
