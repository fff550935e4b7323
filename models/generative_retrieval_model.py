"""Retrieval that writes the codes of the next item."""

import contextlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from ..distribution import replicas
from ..layers import SemanticIds
from ..schema import Categorical, Schema, Sequence, Task
from .retrieval.beam_search import beam_search
from .retrieval.check_beam import check_beam
from .retrieval.check_histories import check_histories
from .retrieval.code_transformer import CodeTransformer
from .retrieval.code_tree import CodeTree
from .retrieval.compiled_call import CompiledCall
from .without_optimizers import without_optimizers


@keras.saving.register_keras_serializable(package="grouprank")
class GenerativeRetrievalModel(keras.Model):
    """Finds the next items of a user by writing their semantic ids, code by code (TIGER).

    It is a stage before ranking, like `TwoTowerModel`, for catalogs whose items have vectors of their content: what
    it learns of an item it learns of all that share codes with it, and it keeps no vector for each item. Codes come
    from `grouprank.layers.fit_semantic_ids`. Items that share all codes get a further one that tells them apart.

        history of items → their codes → encoder ─┐
              begin, code 1, …, code n − 1 → decoder → code 1, …, code n

    Training is plain `compile()` and `fit(x, y)`. `y` is the id of each row's next item, and the loss is the cross
    entropy of its codes, each given those before it: their mean, then the mean of the rows. A row whose next item has
    no codes has no loss. `retrieve` searches with a beam that is kept to codes of items.

    We read the paper in this way. The blocks are T5's: normalized before by their root mean square, feed-forward
    networks of ReLU, no biases, and the table of codes is also that of the last layer. In place of relative positions,
    an item of the history has a learned place, counted back from the newest, so that padding may stand at either end.
    A code has a vector for each level, which tells its position, and the softmax of a level is over codes of that level
    alone. A user is one token, one of `user_tokens` by the remainder of the id; without users all rows share one.

    Args:
        codes: a `SemanticIds`, or integers of shape `(items, num_levels)`; row `i` has the codes of item id `i`. Row 0
            belongs to padding and unknown items, and it and every item without codes is -1. Sizes as in the config make
            a model whose weights are loaded.
        history_length: most items of a history. Defaults to `20`, as in the paper.
        width: width of tokens. Defaults to `128`, as in the paper.
        num_heads: number of attention heads; must divide `width`. Defaults to `4`.
        encoder_layers: number of the encoder's blocks. Defaults to `4`, as in the paper.
        decoder_layers: number of the decoder's blocks. Defaults to `4`, as in the paper.
        dropout: dropout rate. Defaults to `0.1`, as in the paper.
        hidden_units: width of the feed-forward networks. `None` takes `4 * width`. Defaults to `None`.
        user_tokens: number of tokens that users share, `2000` in the paper; with `0` the model does not read users.
            Defaults to `0`.
        **kwargs: `name`, `trainable` and `dtype`.

    Call arguments:
        inputs: `{"history": …}` with item ids, oldest first, 0 where there is none, and `"user_id"` with `user_tokens`;
            or the history alone. Items without codes are not read.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, length)` item ids, with a length of at most `history_length`; `(batch,)` user ids.

    Output shape:
        What the decoder reads: `{"states": (batch, 1 + length * num_levels, width), "counted": …}`.

    Raises:
        ValueError: on codes that `SemanticIds` refuses, if no item has codes, on a number below 1, a dropout rate
            outside `[0, 1)`, or a width that `num_heads` does not divide.

    Example:

    >>> import numpy as np
    >>> codes = [[-1, -1], [0, 1], [0, 2], [3, 1], [3, 1]]
    >>> model = GenerativeRetrievalModel(codes, history_length=3, width=8, encoder_layers=1, decoder_layers=1)
    >>> model.compile()
    >>> history = model.fit(np.array([[0, 1, 2], [3, 4, 1]]), np.array([3, 2]), verbose=0)
    >>> items, log_probabilities = model.retrieve([[0, 1, 2]], k=2)
    >>> items.shape, log_probabilities.shape
    ((1, 2), (1, 2))

    Reference:
        Rajput et al., *Recommender Systems with Generative Retrieval*,
        [arXiv:2305.05065](https://arxiv.org/abs/2305.05065).
    """

    def __init__(
        self,
        codes: SemanticIds | ArrayLike | Mapping[str, Any],
        history_length: int = 20,
        width: int = 128,
        num_heads: int = 4,
        encoder_layers: int = 4,
        decoder_layers: int = 4,
        dropout: float = 0.1,
        hidden_units: int | None = None,
        user_tokens: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        hidden_units = 4 * width if hidden_units is None else hidden_units
        self.history_length, self.width, self.num_heads = history_length, width, num_heads
        self.encoder_layers, self.decoder_layers = encoder_layers, decoder_layers
        self.dropout, self.hidden_units, self.user_tokens = dropout, hidden_units, user_tokens
        self.tree = CodeTree(codes, name="tree")
        self.transformer = CodeTransformer(
            self.tree.num_levels,
            self.tree.codebook_size,
            history_length,
            width,
            num_heads,
            encoder_layers,
            decoder_layers,
            dropout,
            hidden_units,
            user_tokens,
            dtype=self.dtype_policy,
            name="transformer",
        )
        self.transformer.build()
        # No layers, since each holds this model.
        self._calls: dict[str, CompiledCall] = {}
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Read histories."""
        history, users = (inputs["history"], inputs.get("user_id")) if isinstance(inputs, Mapping) else (inputs, None)
        return self.transformer(self.tree(history), users, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Mean cross entropy of the codes of the rows' next items, of those that have codes."""
        codes = self.tree.codes_of(ops.reshape(y, (-1,)))
        weight = ops.cast(codes[:, 0] >= 0, "float32")
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        found = self.transformer.log_probabilities(y_pred, ops.expand_dims(ops.maximum(codes, 0), 1), training=training)
        losses = -ops.mean(found[:, 0], axis=-1)
        return replicas.ratio(ops.sum(losses * weight), ops.sum(weight))

    def search(self, inputs: Any, k: int, beam: int) -> dict[str, Any]:
        """The `k` best items of a beam search, as tensors: `{"items": (batch, k), "scores": (batch, k)}`.

        Args:
            inputs: as in a call.
            k: number of items.
            beam: number of prefixes kept, at least `k`.
        """
        read = self(inputs, training=False)

        def next_codes(codes: list[Any]) -> Any:
            return ops.log_softmax(self.transformer.logits(read, codes, training=False)[:, :, -1], axis=-1)

        items, scores = beam_search(self.tree, next_codes, ops.shape(read["states"])[0], beam)
        return {"items": items[:, :k], "scores": scores[:, :k]}

    # === Keras' methods ===

    def compile(self, optimizer: Any = None, loss: Any = None, **kwargs: Any) -> None:
        """Configure training.

        Args:
            optimizer: Keras optimizer or its name. `None` takes Adam at 0.001. Defaults to `None`.
            loss: must be `None`; the loss is built in.
            **kwargs: further arguments of `keras.Model.compile` but for metrics, since a call predicts no items.
        """
        given = [name for name in ("loss_weights", "metrics", "weighted_metrics") if kwargs.get(name) is not None]
        if loss is not None or given:
            raise ValueError(
                f"{type(self).__name__} has its own loss, and a call returns what its decoder reads, which no metric "
                f"can judge. Received: {['loss'] if loss is not None else given}. Leave it out, and judge what "
                "`retrieve` finds."
            )
        super().compile(optimizer if optimizer is not None else keras.optimizers.Adam(1e-3), **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does, on ids that are compared with the table; those of a loader are not.

        Args:
            x: see the model's inputs; a data frame; or a loader of batches.
            y: ids of the next items. Not with a loader.
            *args: see `keras.Model.fit`.
            **kwargs: see `keras.Model.fit`.
        """
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple | list):
            columns, items, weight = keras.utils.unpack_x_y_sample_weight(validation)
            kwargs["validation_data"] = (*self._checked(columns, items), weight)
        return super().fit(*self._checked(x, y), *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the loss as `keras.Model.evaluate` does, on ids that are checked like those of `fit`."""
        if kwargs.get("_use_cached_eval_dataset"):
            # Called by `fit`, which has checked the validation data.
            return super().evaluate(x, y, *args, **kwargs)
        return super().evaluate(*self._checked(x, y), *args, **kwargs)

    def retrieve(
        self, x: Any, k: int = 10, beam: int | None = None, batch_size: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and log probabilities of each row's `k` most probable items, best first, `(rows, k)` each.

        Only codes of items are searched. With a beam of all items the answer is exact; a smaller one may miss an item
        whose first codes are improbable. An item of the history may be found again.

        Args:
            x: see the model's inputs.
            k: number of items. Defaults to `10`.
            beam: number of prefixes kept after each code. `None` takes `2 * k`. Defaults to `None`.
            batch_size: rows searched together. `None` takes Keras' 32. Defaults to `None`.

        Raises:
            ValueError: if `k` is greater than `beam` or than the number of items that have codes, or on ids outside the
                table.
        """
        beam = self.beam_of(k, beam)
        x = self._checked(x, None)[0]
        found = self._predict(f"{k} of {beam}", lambda inputs: self.search(inputs, k, beam), x, batch_size)
        return found["items"], found["scores"]

    def beam_of(self, k: int, beam: int | None) -> int:
        """The beam of a search for `k` items, see `retrieve`; raises where that search would."""
        return check_beam(k, beam, self.tree.num_leaves)

    def score(self, x: Any, items: Any, batch_size: int | None = None) -> np.ndarray:
        """Log probabilities of given items, float32 `(rows, items)`; minus infinity where an item has no codes.

        Args:
            x: see the model's inputs.
            items: ids to score for each row, `(rows, items)`.
            batch_size: rows scored together. `None` takes Keras' 32. Defaults to `None`.
        """

        def scores(inputs: dict[str, Any]) -> dict[str, Any]:
            codes = self.tree(inputs["items"])
            found = self.transformer.log_probabilities(self(inputs, training=False), ops.maximum(codes, 0), False)
            return {"scores": ops.where(codes[..., 0] >= 0, ops.sum(found, axis=-1), -float("inf"))}

        x = {**self._checked(x, None)[0], "items": np.asarray(items, "int32")}
        return self._predict("scores", scores, x, batch_size)["scores"]

    def _predict(self, name: str, function: Any, x: Any, batch_size: int | None) -> dict[str, Any]:
        if name not in self._calls:
            # Kept, since a new one would be traced anew.
            self._calls[name] = CompiledCall(self, function)
        return self._calls[name].predict(x, batch_size)

    def save(self, filepath: Any, *args: Any, include_optimizer: bool = True, **kwargs: Any) -> None:
        """Save as `keras.Model.save` does; without the optimizer's state if `include_optimizer` is `False`."""
        with contextlib.nullcontext() if include_optimizer else without_optimizers(self):
            super().save(filepath, *args, **kwargs)

    def _checked(self, x: Any, y: Any) -> tuple[Any, Any]:
        return check_histories(x, y, self.tree.num_items, self.history_length, self.user_tokens > 0)

    @property
    def schema(self) -> Schema:
        """The inputs as features, and the task."""
        features: list[Any] = [Sequence("history", self.tree.num_items, self.history_length, side="user")]
        if self.user_tokens:
            features.append(Categorical("user_id", self.user_tokens, side="user"))
        return Schema(features, [Task("next_item")])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, sizes in place of the codes."""
        own = ("history_length", "width", "num_heads", "encoder_layers", "decoder_layers", "dropout", "hidden_units")
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "codes": self.tree.sizes(),
            **{name: getattr(self, name) for name in (*own, "user_tokens")},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "GenerativeRetrievalModel":
        """Inverse of `get_config`."""
        return cls(**config)
