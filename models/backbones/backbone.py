"""The base of backbones: embedded fields go in, one representation comes out."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ...schema import Schema


class Backbone(keras.layers.Layer):
    """Base class of feature interaction networks.

    A backbone turns the embedded fields of a row into one representation. To
    write your own, subclass this, implement `call` (and `get_config` if it takes
    arguments), register it with Keras so that models save and export, and pass
    an instance to `CTRModel(backbone=...)`.

    `concatenate` puts the fields side by side, `(batch, sum of widths)`, and `stack`
    stacks them, `(batch, fields, width)`. A backbone that uses `stack` calls
    `build_stack` in its `build`. Learned groups may be wider or narrower than the
    features; there a linear layer brings them to the features' width.

    A backbone with the class attribute `reads_sequences = True` gets the positions of each
    sequence of the user or the context beside its one vector: `"NAME:steps"`, `(batch, length, width)`,
    and `"NAME:mask"`, boolean `(batch, length)`, `False` where a position does not count.
    `without_steps` leaves them out.

    Call arguments:
        fields: dict of embedded fields by name: one per feature, and one per
            learned group placement before the backbone.
        training: whether the model is training.

    Input shape:
        A dict of `(batch, width)`; features share one width unless `CTRModel(tables=...)` says otherwise.

    Output shape:
        `(batch, representation width)`.

    Example:

    >>> import keras
    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class SumOfFields(Backbone):
    ...     def call(self, fields, training=None):
    ...         return sum(fields.values())
    """

    reads_sequences: bool = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._projections: dict[str, keras.layers.Dense] = {}

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "Backbone":
        """The backbone for a table; one that treats sides or kinds of features differently looks them up here."""
        return cls(**arguments)

    @staticmethod
    def without_steps(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields of one vector each, and what there is of the positions of sequences."""
        steps = {name: value for name, value in fields.items() if name.endswith((":steps", ":mask"))}
        return {name: value for name, value in fields.items() if name not in steps}, steps

    def concatenate(self, fields: Mapping[str, Any]) -> Any:
        """All fields side by side, in the order of their names."""
        # Keras may hand a dict back in another order, and weights belong to positions.
        return ops.concatenate([fields[name] for name in sorted(fields)], axis=-1)

    def concatenated_width(self, input_shape: Mapping[str, Any]) -> int:
        """Width of `concatenate`'s result, for `build`."""
        return sum(shape[-1] for shape in input_shape.values())

    def build_stack(self, input_shape: Mapping[str, Any]) -> tuple[int, int]:
        """Prepare `stack`; returns the number of fields and their width, the most frequent one."""
        widths = {name: shape[-1] for name, shape in input_shape.items()}
        width = Counter(widths.values()).most_common(1)[0][0]
        for name in sorted(widths):
            if widths[name] != width:
                projection = keras.layers.Dense(
                    width, use_bias=False, dtype=self.dtype_policy, name=f"{name.replace(':', '_')}_projection"
                )
                projection.build((None, widths[name]))
                self._projections[name] = projection
        return len(widths), width

    def stack(self, fields: Mapping[str, Any]) -> Any:
        """All fields stacked, `(batch, fields, width)`, in the order of their names."""
        rows = [self._projections[n](fields[n]) if n in self._projections else fields[n] for n in sorted(fields)]
        return ops.stack(rows, axis=1)

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        raise NotImplementedError(f"{type(self).__name__} must implement `call`.")
