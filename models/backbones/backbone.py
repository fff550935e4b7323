"""What every backbone is: embedded fields in, one representation out."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops


class Backbone(keras.layers.Layer):
    """Base class of feature interaction networks.

    A backbone turns the embedded fields of a row into one representation. To
    write your own, subclass this, implement `call` (and `get_config` if it takes
    arguments), register it with Keras so that models save and export, and pass
    an instance to `CTRModel(backbone=...)`.

    Call arguments:
        fields: dict of embedded fields by name: one per feature, and one per
            learned group placement before the backbone.
        training: whether the model is training.

    Input shape:
        A dict of `(batch, width)`; features share one width.

    Output shape:
        `(batch, representation width)`.

    Example:

    >>> import keras
    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class SumOfFields(Backbone):
    ...     def call(self, fields, training=None):
    ...         return sum(fields.values())
    """

    def concatenate(self, fields: Mapping[str, Any]) -> Any:
        """All fields side by side, in the order of their names."""
        # Keras may hand a dict back in another order, and weights belong to positions.
        return ops.concatenate([fields[name] for name in sorted(fields)], axis=-1)

    def concatenated_width(self, input_shape: Mapping[str, Any]) -> int:
        """Width of `concatenate`'s result, for `build`."""
        return sum(shape[-1] for shape in input_shape.values())

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        raise NotImplementedError(f"{type(self).__name__} must implement `call`.")
