"""Neural collaborative filtering."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import MLP
from ...schema import Schema
from .backbone import Backbone


@keras.saving.register_keras_serializable(package="grouprank")
class NCF(Backbone):
    """NeuMF: matrix factorization of users and ads, beside dense layers.

    The first half of an embedding belongs to generalized matrix factorization
    (GMF), the second to the dense layers, since the paper has separate tables for
    the two. GMF multiplies the sum over the user's fields and the sum over the ad's
    fields, elementwise. The dense layers see the second halves of those fields,
    and all of every other field (context, learned groups), which GMF leaves out.
    The representation is `concat[GMF, dense layers]`. With one id a side, and
    `tower_units=()`, this is exactly the paper's model.

    By name, as `CTRModel(backbone="ncf")`, the fields of a side are those that the
    schema puts there.

    Args:
        user_fields: names of the user's fields.
        ad_fields: names of the ad's fields.
        units: widths of the dense layers. Defaults to `(256, 128)`.
        activation: activation of the dense layers. Defaults to `"relu"`.
        dropout: dropout rate of the dense layers. Defaults to `0.0`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`, even for the fields of a side.

    Output shape:
        `(batch, width / 2 + units[-1])`.

    Raises:
        ValueError: if a side has no fields, or a field belongs to both; when it is
            built, if one of them is missing, or their width is odd or not the same.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(NCF(["user"], ["ad"], units=(32, 16))(fields).shape)
    (4, 20)

    Reference:
        He et al., *Neural collaborative filtering*,
        [arXiv:1708.05031](https://arxiv.org/abs/1708.05031), eq. 12.
    """

    def __init__(
        self,
        user_fields: Sequence[str],
        ad_fields: Sequence[str],
        units: Sequence[int] = (256, 128),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.user_fields, self.ad_fields = list(user_fields), list(ad_fields)
        for argument, names in (("user_fields", self.user_fields), ("ad_fields", self.ad_fields)):
            if not names:
                raise ValueError(
                    f"NCF multiplies users and ads, so `{argument}` must name at least one field. Received: []. Give "
                    f"some feature of the schema side={argument.removesuffix('_fields')!r}, or use a backbone that "
                    "treats all fields alike, such as 'deepfm'."
                )
        both = sorted(set(self.user_fields) & set(self.ad_fields))
        if both:
            raise ValueError(f"A field must belong to either the user or the ad. Received in both lists: {both}.")
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    @classmethod
    def from_schema(cls, schema: Schema, **arguments: Any) -> "NCF":
        """The backbone for a table: the fields of the sides are those of the schema."""
        sides = {f"{side}_fields": schema.field_names(side) for side in ("user", "ad")}
        return cls(**{**sides, **arguments})

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build the dense layers over the second halves."""
        names = [*self.user_fields, *self.ad_fields]
        missing = sorted(set(names) - set(input_shape))
        if missing:
            raise ValueError(
                f"NCF lacks the fields {missing} of `user_fields` and `ad_fields`. Received: {sorted(input_shape)}."
            )
        widths = {name: input_shape[name][-1] for name in names}
        if len(set(widths.values())) > 1:
            raise ValueError(f"The fields of users and ads must have one width. Received: {widths}.")
        width = next(iter(widths.values()))
        if width % 2:
            raise ValueError(
                "NCF splits the embeddings of users and ads into halves, so their width must be even. "
                f"Received: width {width}. Use another `embedding_dim`."
            )
        self._half = width // 2
        halved = len(names) * self._half
        self.mlp.build((None, self.concatenated_width(input_shape) - halved))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        user, ad = (
            ops.sum(ops.stack([fields[name][:, : self._half] for name in names], axis=1), axis=1)
            for names in (self.user_fields, self.ad_fields)
        )
        of_sides = {name: fields[name][:, self._half :] for name in (*self.user_fields, *self.ad_fields)}
        hidden = self.mlp(self.concatenate({**fields, **of_sides}), training=training)
        return ops.concatenate([user * ad, hidden], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            "user_fields": self.user_fields,
            "ad_fields": self.ad_fields,
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }
