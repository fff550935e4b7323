"""Group ids as the output of a functional model."""

from typing import Any

import keras

from .group_concat import GroupConcat


@keras.saving.register_keras_serializable(package="grouprank")
class GroupIds(keras.layers.Layer):
    """Names the groups that a `GroupConcat` of the same model assigns.

    Use it to put group ids among a model's outputs, for logging, segment reports
    or a serving signature. It shares the other layer's weights and has none of
    its own.

    Args:
        group_concat: the `GroupConcat` whose groups are wanted.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: what `group_concat` is called on.

    Input shape:
        `(..., dim)`.

    Output shape:
        int32 of shape `(..., num_levels)`.

    Example:

    >>> import keras
    >>> groups = GroupConcat(num_levels=2, codebook_size=8)
    >>> x = keras.Input((4,))
    >>> h = groups(x)
    >>> model = keras.Model(x, {"score": keras.layers.Dense(1)(h), "groups": GroupIds(groups)(x)})
    >>> model.output["groups"].shape
    (None, 2)
    """

    def __init__(self, group_concat: GroupConcat, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.group_concat = group_concat

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the shared layer if its own call has not."""
        if not self.group_concat.built:
            self.group_concat.build(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Encode the inputs."""
        return self.group_concat.encode(inputs)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """Integer codes in place of the last axis."""
        return keras.KerasTensor((*inputs.shape[:-1], self.group_concat.num_levels), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "group_concat": keras.saving.serialize_keras_object(self.group_concat),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "GroupIds":
        """Inverse of `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config.pop("group_concat")), **config)
