"""One embedding table for many features."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

COMBINERS = ("mean", "sum")


@keras.saving.register_keras_serializable(package="grouprank")
class EmbeddingCollection(keras.layers.Layer):
    """Looks up the embeddings of many categorical features in one stacked table.

    Ranking models have tens of id columns. One table with an offset per feature
    turns their lookups into one gather and their weights into one variable.

    Id 0 is out-of-vocabulary. An id outside its feature's range is read as 0 on
    every backend: JAX would return NaN for it, TensorFlow and torch raise. (JAX cuts
    64-bit ids to 32 bits before any layer sees them; `Schema.check` finds those.)

    Keras' optimizers read and write the whole table at every step. From about a
    hundred thousand rows on use `FusedEmbeddingCollection`, which trains the rows
    of the batch.

    Args:
        vocabulary_sizes: feature name to number of ids, id 0 included.
        embedding_dim: width of an embedding. Defaults to `16`.
        sequences: names of features with several ids a row, padded to one length;
            their embeddings are combined into one, but see `unpooled`. Defaults to `()`.
        combiner: `"mean"` or `"sum"` over the ids of a sequence that count; a
            sequence without any is zero. Defaults to `"mean"`.
        padding_id: id that does not count in sequences, `None` if every id does (see
            `masks`). Defaults to `0`.
        shares: feature name to the name of the feature whose rows it uses; such
            a feature has no rows of its own. Defaults to `None`.
        unpooled: names of sequences that come out as they are, a vector per id and
            zeros for ids that do not count, for a `SequenceEncoder`. Defaults to `()`.
        embeddings_initializer: initializer of the table. Defaults to a normal
            distribution of standard deviation `0.01`.
        embeddings_regularizer: regularizer of the table. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of integer ids by feature name. Features left out are not embedded.
        masks: dict of booleans by sequence name, the shape of its ids; where `False`,
            an id does not count. Sequences left out are masked by `padding_id` alone.
        training: whether to run in training mode (no effect on a plain table).

    Input shape:
        A dict of `(batch,)` or `(batch, 1)`; `(batch, length)` for sequences.

    Output shape:
        A dict of `(batch, embedding_dim)` under the same names;
        `(batch, length, embedding_dim)` for `unpooled` sequences.

    Raises:
        ValueError: on a size below 1, an unknown `combiner` or sequence, an `unpooled`
            feature that is no sequence, or a `shares` entry that names no feature with rows of its own.

    Example:

    >>> import numpy as np
    >>> layer = EmbeddingCollection({"user_id": 100, "ad_id": 50}, embedding_dim=8)
    >>> out = layer({"user_id": np.array([3, 7]), "ad_id": np.array([1, 49])})
    >>> tuple(out["ad_id"].shape)
    (2, 8)
    """

    def __init__(
        self,
        vocabulary_sizes: Mapping[str, int],
        embedding_dim: int = 16,
        sequences: Any = (),
        combiner: str = "mean",
        padding_id: int | None = 0,
        shares: Mapping[str, str] | None = None,
        embeddings_initializer: Any = None,
        embeddings_regularizer: Any = None,
        unpooled: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_sizes = dict(vocabulary_sizes)
        self.embedding_dim = embedding_dim
        self.sequences = tuple(sequences)
        self.combiner = combiner
        self.padding_id = padding_id
        self.shares = dict(shares or {})
        self.unpooled = tuple(unpooled)
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.01)
        )
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        if embedding_dim < 1:
            raise ValueError(f"`embedding_dim` must be a positive integer. Received: embedding_dim={embedding_dim}.")
        for name, size in self.vocabulary_sizes.items():
            if size < 1:
                raise ValueError(f"Feature {name!r}: the vocabulary size must be at least 1. Received: {size}.")
        if combiner not in COMBINERS:
            raise ValueError(f"`combiner` must be one of {COMBINERS}. Received: combiner={combiner!r}.")
        self._check_names("sequences", self.sequences, self.vocabulary_sizes)
        self._check_names("unpooled", self.unpooled, self.sequences)
        owners = [name for name in self.vocabulary_sizes if name not in self.shares]
        for name, owner in self.shares.items():
            if name not in self.vocabulary_sizes or owner not in owners:
                raise ValueError(
                    f"`shares` maps a feature to one that owns its rows. Received: {name!r} -> {owner!r}. "
                    f"Owners: {owners}."
                )
        starts = np.cumsum([0, *(self.vocabulary_sizes[name] for name in owners)])
        self._first_row = dict(zip(owners, starts[:-1].tolist(), strict=True))
        self._first_row.update({name: self._first_row[owner] for name, owner in self.shares.items()})
        self.num_rows = int(starts[-1])

    def _check_names(self, argument: str, names: Any, known: Any) -> None:
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise ValueError(f"`{argument}` names {unknown}. Expected names among {sorted(known)}.")

    def build(self, input_shape: Any) -> None:
        """Create the stacked table."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_rows, self.embedding_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            # Under mixed precision the rows looked up are cast, not the table.
            autocast=False,
        )
        self.built = True

    def call(
        self, inputs: Mapping[str, Any], masks: Mapping[str, Any] | None = None, training: bool | None = None
    ) -> dict[str, Any]:
        """Embed every feature that is given."""
        masks = masks or {}
        self._check_names("masks", masks, self.sequences)
        given = [name for name in self.vocabulary_sizes if name in inputs]
        if not given:
            raise ValueError(
                f"No feature of this table is given. Expected ids of {list(self.vocabulary_sizes)}. "
                f"Received: {sorted(inputs)}."
            )
        singles = [name for name in given if name not in self.sequences]
        sequences = [name for name in self.sequences if name in given]
        # A block of lines per kind of feature, batch last, and one lookup for all of them: the backward pass of a
        # fused table wants every id of a step at once, and one large gather is faster than many small ones.
        blocks, counted = [], []
        if singles:
            blocks.append(self._rows(singles, _concatenate([ops.reshape(inputs[name], (1, -1)) for name in singles])))
            counted.append(ops.ones_like(blocks[0], dtype="bool"))
        for name in sequences:
            rows = self._rows([name], ops.transpose(ops.convert_to_tensor(inputs[name])))
            blocks.append(rows)
            mask = masks.get(name)
            counted.append(self._counts(name, rows, None if mask is None else ops.transpose(mask)))
        mask = ops.concatenate([_flat(block) for block in counted], axis=0) if sequences else None
        vectors = self._lookup(ops.concatenate([_flat(block) for block in blocks], axis=0), mask, training)
        outputs: dict[str, Any] = {}
        start: Any = 0
        for number, block in enumerate(blocks):
            lines, rows = ops.shape(block)
            block_vectors = ops.reshape(vectors[start : start + lines * rows], (lines, rows, self.embedding_dim))
            start = start + lines * rows
            if singles and number == 0:
                columns = ops.split(block_vectors, len(singles), axis=0)
                outputs.update({name: ops.squeeze(x, 0) for name, x in zip(singles, columns, strict=True)})
            else:
                name = sequences[number - bool(singles)]
                combine = self._leave_unpooled if name in self.unpooled else self._combine
                outputs[name] = combine(block_vectors, counted[number])
        return {name: outputs[name] for name in given}

    def sequence_masks(self, inputs: Mapping[str, Any], masks: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Which ids of the `unpooled` sequences count: booleans `(batch, length)` by name.

        The mask that a `SequenceEncoder` needs beside the vectors. Also takes the symbolic inputs of a functional
        model.

        Args:
            inputs: as in a call.
            masks: as in a call. Defaults to `None`.
        """
        masks = masks or {}
        found = {}
        for name in (name for name in self.unpooled if name in inputs):
            ids = inputs[name]
            if not isinstance(ids, keras.KerasTensor):
                ids = ops.convert_to_tensor(ids)
            found[name] = self._counts(name, self._rows([name], ids), masks.get(name))
        return found

    def _rows(self, names: list[str], ids: Any) -> Any:
        """Rows of the table for ids `(lines, batch)`, all of one feature or a line per feature."""
        sizes = ops.convert_to_tensor([[self.vocabulary_sizes[name]] for name in names], dtype=ids.dtype)
        first = ops.convert_to_tensor([[self._first_row[name]] for name in names], dtype="int32")
        inside = ops.logical_and(ids >= 0, ids < sizes)
        return ops.cast(ops.where(inside, ids, ops.zeros_like(ids)), "int32") + first

    def _counts(self, name: str, rows: Any, mask: Any) -> Any:
        """Which ids of a sequence count, in the layout of the rows and the mask."""
        counts = ops.ones_like(rows, dtype="bool")
        if self.padding_id is not None:
            counts = rows != self._first_row[name] + self.padding_id
        return counts if mask is None else ops.logical_and(counts, ops.cast(mask, "bool"))

    def _combine(self, vectors: Any, counted: Any) -> Any:
        """Sum or mean over the ids of each sequence that count."""
        weights = ops.cast(ops.expand_dims(counted, -1), vectors.dtype)
        total = ops.sum(vectors * weights, axis=0)
        return total / ops.maximum(ops.sum(weights, axis=0), 1.0) if self.combiner == "mean" else total

    def _leave_unpooled(self, vectors: Any, counted: Any) -> Any:
        """The vectors batch first, zeros where an id does not count."""
        vectors = ops.where(ops.expand_dims(counted, -1), vectors, ops.zeros_like(vectors))
        return ops.transpose(vectors, (1, 0, 2))

    def _lookup(self, rows: Any, mask: Any, training: bool | None) -> Any:
        """Vectors of rows; where `mask` is `False` they do not matter."""
        return ops.cast(ops.take(self.embeddings, rows, axis=0), self.compute_dtype)

    def compute_output_shape(self, input_shape: Mapping[str, Any]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        return {
            name: (*input_shape[name][: 2 if name in self.unpooled else 1], self.embedding_dim)
            for name in self.vocabulary_sizes
            if name in input_shape
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_sizes": self.vocabulary_sizes,
            "embedding_dim": self.embedding_dim,
            "sequences": list(self.sequences),
            "combiner": self.combiner,
            "padding_id": self.padding_id,
            "shares": self.shares,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
            "unpooled": list(self.unpooled),
        }


def _flat(block: Any) -> Any:
    return ops.reshape(block, (-1,))


def _concatenate(lines: list[Any]) -> Any:
    lines = [ops.convert_to_tensor(line) for line in lines]
    # A batch may mix integer widths.
    dtypes = {keras.backend.standardize_dtype(line.dtype) for line in lines}
    return ops.concatenate(lines if len(dtypes) == 1 else [ops.cast(line, "int64") for line in lines], axis=0)
