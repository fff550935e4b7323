"""Wukong's layer: a factorization machine of embeddings beside linear combinations of them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive, known_sizes
from ..mlp import MLP
from .dhen import LinearInteraction


@keras.saving.register_keras_serializable(package="grouprank")
class WukongLayer(keras.layers.Layer):
    """Makes embeddings of the products of embeddings, and keeps linear combinations of these beside them.

    Stacked layers double the order of the interactions that they hold. With the embeddings of a row as the rows of `X`:

        F = reshape(mlp(layer_norm(flatten(X Xᵀ Y))))
        L = W X
        output = layer_norm([F; L] + X)

    `Y` has `rank` columns, so that the products of all pairs of embeddings, `X Xᵀ`, are never written out. Where the
    number of embeddings changes, the shortcut is a linear combination `W' X`.

    The paper also lets `Y` depend on the row. Here it is a weight, as in the paper's own equation of the layer.

    Args:
        num_products: number of embeddings made of the products.
        num_linear: number of linear combinations.
        rank: columns of `Y`. Defaults to `24`.
        units: widths of the dense layers above the products. Defaults to `(256,)`.
        activation: their activation. Defaults to `"relu"`.
        dropout: their dropout rate. Defaults to `0.0`.
        epsilon: of the normalizations. Defaults to `1e-5`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the embeddings, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, embeddings, dim)`.

    Output shape:
        `(batch, num_products + num_linear, dim)`.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, or inputs of another rank or of unknown size.

    Example:

    >>> import numpy as np
    >>> tuple(WukongLayer(3, 2, rank=4)(np.ones((4, 6, 8), "float32")).shape)
    (4, 5, 8)

    Reference:
        Zhang et al., *Wukong*, [arXiv:2403.02545](https://arxiv.org/abs/2403.02545), section 3.
    """

    def __init__(
        self,
        num_products: int,
        num_linear: int,
        rank: int = 24,
        units: Sequence[int] = (256,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_products=num_products, num_linear=num_linear, rank=rank)
        self.num_products, self.num_linear, self.rank, self.epsilon = num_products, num_linear, rank, epsilon
        self.mlp = MLP(units, activation, dropout, dtype=self.dtype_policy, name="mlp")
        self.linear = LinearInteraction(num_linear, dtype=self.dtype_policy, name="linear")
        self._products_norm, self._output_norm = (
            keras.layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name=name)
            for name in ("products_norm", "output_norm")
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the projection, the dense layers and the linear combinations."""
        embeddings, dim = known_sizes(input_shape)
        count = self.num_products + self.num_linear
        self.projection = self.add_weight(name="projection", shape=(embeddings, self.rank))
        self._products_norm.build((None, embeddings * self.rank))
        self.mlp.build((None, embeddings * self.rank))
        width = self.mlp.compute_output_shape((None, embeddings * self.rank))[-1]
        self._products = keras.layers.Dense(self.num_products * dim, dtype=self.dtype_policy, name="products")
        self._products.build((None, width))
        self.linear.build(input_shape)
        self._shortcut = None
        if embeddings != count:
            self._shortcut = LinearInteraction(count, dtype=self.dtype_policy, name="shortcut")
            self._shortcut.build(input_shape)
        self._output_norm.build((None, count, dim))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Embeddings of the products, then linear combinations."""
        _, embeddings, dim = inputs.shape
        products = ops.matmul(inputs, ops.einsum("bnd,nk->bdk", inputs, self.projection))
        hidden = self._products_norm(ops.reshape(products, (-1, embeddings * self.rank)))
        made = self._products(self.mlp(hidden, training=training))
        found = [ops.reshape(made, (-1, self.num_products, dim)), self.linear(inputs)]
        shortcut = inputs if self._shortcut is None else self._shortcut(inputs)
        return self._output_norm(ops.concatenate(found, axis=1) + shortcut)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (input_shape[0], self.num_products + self.num_linear, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        mlp = self.mlp.get_config()
        return {
            **super().get_config(),
            "num_products": self.num_products,
            "num_linear": self.num_linear,
            "rank": self.rank,
            **{name: mlp[name] for name in ("units", "activation", "dropout")},
            "epsilon": self.epsilon,
        }
