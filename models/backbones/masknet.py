"""Hidden layers under instance-guided masks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ...layers import MLP, MaskBlock
from .backbone import Backbone

STRUCTURES = ("parallel", "serial")


@keras.saving.register_keras_serializable(package="grouprank")
class MaskNet(Backbone):
    """Mask blocks on the normalised embeddings, side by side or one after the other.

    Every block multiplies its input by a mask that it computes from the row's
    embeddings. In the parallel model all blocks mask the embeddings, each of which
    has a layer normalization of its own, and dense layers follow; in the serial
    model a block masks the output of the one before.

    Args:
        block_units: width of each block's output. Defaults to `(128, 128, 128)`.
        reduction_ratio: width of a mask's inner layer over the width of the mask.
            Defaults to `2.0`.
        structure: `"parallel"` or `"serial"`. Defaults to `"parallel"`.
        units: widths of dense layers above the blocks. `None` takes `(256, 128)` above
            parallel blocks and no layers above serial ones, as in the paper. Defaults
            to `None`.
        activation: activation of blocks and dense layers. Defaults to `"relu"`.
        dropout: dropout rate of blocks and dense layers. Defaults to `0.0`.
        normalization: `"batch"` or `"layer"` normalization between each dense layer and its activation, or `None`.
            Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        fields: dict of embedded fields by name.
        training: dropout is active only if `True`.

    Input shape:
        A dict of `(batch, width)`.

    Output shape:
        `(batch, units[-1])`; without dense layers `(batch, sum of block_units)` for
        `"parallel"` and `(batch, block_units[-1])` for `"serial"`.

    Raises:
        ValueError: on an unknown `structure`, no block, or what `MaskBlock` and
            `MLP` refuse.

    Example:

    >>> import numpy as np
    >>> fields = {"user": np.ones((4, 8), "float32"), "ad": np.ones((4, 8), "float32")}
    >>> tuple(MaskNet((16, 16), units=(8,))(fields).shape)
    (4, 8)

    Reference:
        Wang et al., *MaskNet*, [arXiv:2102.07619](https://arxiv.org/abs/2102.07619).
    """

    def __init__(
        self,
        block_units: Sequence[int] = (128, 128, 128),
        reduction_ratio: float = 2.0,
        structure: str = "parallel",
        units: Sequence[int] | None = None,
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if structure not in STRUCTURES:
            raise ValueError(f"`structure` must be one of {STRUCTURES}. Received: structure={structure!r}.")
        if not block_units:
            raise ValueError(f"`block_units` must hold a width for each block. Received: block_units={block_units!r}.")
        self.structure = structure
        self.reduction_ratio = reduction_ratio
        self.blocks = [
            MaskBlock(width, reduction_ratio, activation, dropout, dtype=self.dtype_policy, name=f"block_{index}")
            for index, width in enumerate(block_units)
        ]
        if units is None:
            units = (256, 128) if structure == "parallel" else ()
        self.mlp = MLP(units, activation, dropout, normalization=normalization, dtype=self.dtype_policy, name="mlp")

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Build normalizations, blocks and dense layers."""
        self.normalizations = {
            name: keras.layers.LayerNormalization(
                epsilon=1e-5, dtype=self.dtype_policy, name=f"{name.replace(':', '_')}_normalization"
            )
            for name in sorted(input_shape)
        }
        for name, normalization in self.normalizations.items():
            normalization.build(input_shape[name])
        embedding = (None, self.concatenated_width(input_shape))
        hidden = embedding
        for block in self.blocks:
            block.build({"hidden": hidden, "embedding": embedding})
            if self.structure == "serial":
                hidden = (None, block.units)
        merged = hidden[1] if self.structure == "serial" else sum(block.units for block in self.blocks)
        self.mlp.build((None, merged))
        self.built = True

    def call(self, fields: Mapping[str, Any], training: bool | None = None) -> Any:
        """Representation of the fields."""
        embedding = self.concatenate(fields)
        hidden = self.concatenate({name: normalize(fields[name]) for name, normalize in self.normalizations.items()})
        if self.structure == "serial":
            for block in self.blocks:
                hidden = block({"hidden": hidden, "embedding": embedding}, training=training)
        else:
            inputs = {"hidden": hidden, "embedding": embedding}
            hidden = ops.concatenate([block(inputs, training=training) for block in self.blocks], axis=-1)
        return self.mlp(hidden, training=training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            "block_units": [block.units for block in self.blocks],
            "reduction_ratio": self.reduction_ratio,
            "structure": self.structure,
            **{name: mlp[name] for name in ("units", "activation", "dropout", "normalization")},
        }
