"""The embedding tables of many features."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from . import optimizers as embedding_optimizers
from .pool import COMBINERS, pool
from .stacked_tables import StackedTables, stack_tables
from .table_config import TableConfig


@keras.saving.register_keras_serializable(package="grouprank")
class EmbeddingCollection(keras.layers.Layer):
    """Looks up the embeddings of many categorical features in stacked tables.

    Ranking models have tens of id columns. Tables of one width, initializer and
    optimizer are stacked into one, with an offset per table. One gather then looks
    all of their features up, and their weights are one variable. Without `tables`
    each feature has a table, and all of them are one stack.

    Id 0 is out-of-vocabulary. An id outside its feature's range is read as 0 on
    every backend; JAX alone would return NaN for it, and TensorFlow and torch would raise. (JAX cuts
    64-bit ids to 32 bits before any layer sees them; `Schema.check` finds those.)

    Keras' optimizers read and write the whole table at every step. From about a
    hundred thousand rows on use `FusedEmbeddingCollection`, which trains the rows
    of the batch.

    Args:
        vocabulary_sizes: feature name to number of ids, id 0 included.
        embedding_dim: width of an embedding, unless `tables` name another. Defaults to `16`.
        sequences: names of features with several ids per row, padded to one length;
            their embeddings are combined into one, but see `unpooled`. Defaults to `()`.
        combiner: `"mean"` or `"sum"` over the ids of a sequence that count; a
            sequence without any is zero. See `tables` and `weights`. Defaults to `"mean"`.
        padding_id: id that does not count in sequences, `None` if every id does (see
            `masks`). Defaults to `0`.
        shares: feature name to the name of the feature whose rows it uses; such
            a feature has no rows of its own. Defaults to `None`.
        unpooled: names of sequences that come out as they are, a vector per id and
            zeros for ids that do not count, for a `SequenceEncoder`. Defaults to `()`.
        embeddings_initializer: initializer of the tables. Defaults to a normal
            distribution of standard deviation `0.01`.
        embeddings_regularizer: regularizer of the tables that the optimizer of `compile`
            trains. Defaults to `None`.
        tables: a `TableConfig` for each table that is to differ from the arguments above
            and below. One with an optimizer is a fused table (see `FusedEmbedding`). Defaults to `()`.
        feature_tables: feature name to the name of its table; features of one table share its
            rows. A feature left out has a table of its own name, or that of the feature it
            `shares`. Defaults to `None`.
        optimizer: what trains the tables whose config names no optimizer: `None` for the optimizer of
            `compile`, else see `FusedEmbeddingCollection`. Defaults to `None`.
        storage_dtype: `"float32"`, `"bfloat16"` or `"float16"`, how fused tables keep their rows.
            Defaults to `"float32"`.
        placement: `"device"` or `"rows"`, where fused tables lie, see `FusedEmbedding`. Defaults to `"device"`.
        seed: integer seed of the rounding to half precision. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: dict of integer ids by feature name. Features left out are not embedded.
        masks: dict of booleans by sequence name, the shape of its ids; where `False`,
            an id does not count. Sequences left out are masked by `padding_id` alone.
        weights: dict of non-negative numbers by sequence name, the shape of its ids, for a weighted sum or
            mean (see `pool`). Sequences left out weigh every id that counts 1.
        training: whether to run in training mode (no effect on a plain table).

    Input shape:
        A dict of `(batch,)` or `(batch, 1)`; `(batch, length)` for sequences.

    Output shape:
        A dict of `(batch, width of the table)` under the same names;
        `(batch, length, width of the table)` for `unpooled` sequences.

    Raises:
        ValueError: on a size below 1, an unknown `combiner` or sequence, an `unpooled`
            feature that is no sequence, a `shares` entry that names no feature with rows of its own,
            a table that no feature uses, one with fewer rows than its vocabulary, or half precision
            without an optimizer.

    Example:

    >>> import numpy as np
    >>> layer = EmbeddingCollection({"user_id": 100, "ad_id": 50}, embedding_dim=8)
    >>> out = layer({"user_id": np.array([3, 7]), "ad_id": np.array([1, 49])})
    >>> tuple(out["ad_id"].shape)
    (2, 8)
    >>> wide = EmbeddingCollection({"user_id": 100, "ad_id": 50}, 8, tables=[TableConfig("ad_id", width=16)])
    >>> tuple(wide({"user_id": np.array([3]), "ad_id": np.array([1])})["ad_id"].shape)
    (1, 16)
    """

    def __init__(
        self,
        vocabulary_sizes: Mapping[str, int],
        embedding_dim: int = 16,
        sequences: Iterable[str] = (),
        combiner: str = "mean",
        padding_id: int | None = 0,
        shares: Mapping[str, str] | None = None,
        *,
        embeddings_initializer: str | keras.initializers.Initializer | None = None,
        embeddings_regularizer: str | keras.regularizers.Regularizer | None = None,
        unpooled: Sequence[str] = (),
        tables: Iterable[TableConfig | dict[str, Any]] = (),
        feature_tables: Mapping[str, str] | None = None,
        optimizer: str | embedding_optimizers.RowOptimizer | None = None,
        storage_dtype: str = "float32",
        placement: str = "device",
        seed: int | None = None,
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
        self.tables = tuple(t if isinstance(t, TableConfig) else TableConfig.from_config(t) for t in tables)
        self.feature_tables = dict(feature_tables or {})
        self.optimizer = optimizer if optimizer is None else embedding_optimizers.get(optimizer)
        self.storage_dtype = storage_dtype
        self.placement = placement
        self.seed = seed
        if embedding_dim < 1:
            raise ValueError(f"`embedding_dim` must be a positive integer. Received: embedding_dim={embedding_dim}.")
        for name, size in self.vocabulary_sizes.items():
            if size < 1:
                raise ValueError(f"Feature {name!r}: the vocabulary size must be at least 1. Received: {size}.")
        if combiner not in COMBINERS:
            raise ValueError(f"`combiner` must be one of {COMBINERS}. Received: combiner={combiner!r}.")
        self._check_names("sequences", self.sequences, self.vocabulary_sizes)
        self._check_names("unpooled", self.unpooled, self.sequences)
        self._check_names("feature_tables", self.feature_tables, self.vocabulary_sizes)
        owners = [name for name in self.vocabulary_sizes if name not in self.shares]
        for name, owner in self.shares.items():
            if name not in self.vocabulary_sizes or owner not in owners:
                raise ValueError(
                    f"`shares` maps a feature to one that owns its rows. Received: {name!r} -> {owner!r}. "
                    f"Owners: {owners}."
                )
        defaults = TableConfig(
            "default",
            None,
            embedding_dim,
            combiner,
            self.embeddings_initializer,
            self.optimizer,
            storage_dtype,
            placement,
        )
        self.stacks = stack_tables(self._features_of_tables(), self.vocabulary_sizes, self.tables, defaults)
        self.num_rows = sum(stack.num_rows for stack in self.stacks)
        for number, stack in enumerate(self.stacks):
            if stack.config.optimizer is not None:
                # The name by which files keep the only table of a layer.
                name = "table" if len(self.stacks) == 1 else f"table_{number}"
                stack.layer = stack.fused(stack.config.optimizer, seed, self.dtype_policy, name)
        fused = [stack.layer for stack in self.stacks if stack.layer is not None]
        if len(self.stacks) == 1 and fused:
            self.table = fused[0]
        else:
            self.fused_tables = fused

    def _features_of_tables(self) -> dict[str, list[str]]:
        """Table name to the features that use it."""
        features: dict[str, list[str]] = {}
        for name in self.vocabulary_sizes:
            owner = self.shares.get(name, name)
            features.setdefault(self.feature_tables.get(name, self.feature_tables.get(owner, owner)), []).append(name)
        return features

    def _check_names(self, argument: str, names: Any, known: Any) -> None:
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise ValueError(f"`{argument}` names {unknown}. Expected names among {sorted(known)}.")

    def build(self, input_shape: Any) -> None:
        """Create the stacked tables."""
        for number, stack in enumerate(self.stacks):
            if stack.layer is not None:
                stack.layer.build()
                continue
            stack.variable = self.add_weight(
                name=f"embeddings_{number}" if number else "embeddings",
                shape=(stack.num_rows, stack.config.width),
                initializer=stack.config.initializer,
                regularizer=self.embeddings_regularizer,
                # Under mixed precision the rows looked up are cast, not the table.
                autocast=False,
            )
        self.built = True

    @property
    def embeddings(self) -> keras.Variable:
        """The one stack of all tables; `rows_of` finds a feature's rows where there are several stacks."""
        if len(self.stacks) > 1:
            raise ValueError(
                f"`embeddings` is for a layer with one stack of tables, but {self.name!r} has {len(self.stacks)}. "
                "Use `rows_of` instead."
            )
        return self.stacks[0].whole_embeddings()

    def rows_of(self, feature: str) -> tuple[keras.Variable, int, int]:
        """The stack in which the rows of a feature lie, the first of them and the one after the last.

        Args:
            feature: name of a feature.
        """
        self._check_names("feature", [feature], self.vocabulary_sizes)
        stack = next(stack for stack in self.stacks if feature in stack.first_row)
        first = stack.first_row[feature]
        return stack.whole_embeddings(), first, first + stack.num_ids[feature]

    def call(
        self,
        inputs: Mapping[str, Any],
        masks: Mapping[str, Any] | None = None,
        training: bool | None = None,
        weights: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Embed every feature that is given."""
        masks, weights = masks or {}, weights or {}
        self._check_names("masks", masks, self.sequences)
        self._check_names("weights", weights, [name for name in self.sequences if name not in self.unpooled])
        given = [name for name in self.vocabulary_sizes if name in inputs]
        if not given:
            raise ValueError(
                f"No feature of this table is given. Expected ids of {list(self.vocabulary_sizes)}. "
                f"Received: {sorted(inputs)}."
            )
        outputs: dict[str, Any] = {}
        for stack in self.stacks:
            names = [name for name in given if name in stack.first_row]
            if names:
                outputs.update(self._embed(stack, names, inputs, masks, weights, training))
        return {name: outputs[name] for name in given}

    def _embed(
        self,
        stack: StackedTables,
        names: list[str],
        inputs: Mapping[str, Any],
        masks: Mapping[str, Any],
        weights: Mapping[str, Any],
        training: bool | None,
    ) -> dict[str, Any]:
        """Embed features of one stack."""
        singles = [name for name in names if name not in self.sequences]
        sequences = [name for name in self.sequences if name in names]
        # A block of lines per kind of feature, batch last, and one lookup for all of them: the backward pass of a
        # fused table wants every id of a step at once, and one large gather is faster than many small ones.
        blocks, counted = [], []
        if singles:
            blocks.append(
                stack.rows_of_ids(singles, _concatenate([ops.reshape(inputs[name], (1, -1)) for name in singles]))
            )
            counted.append(ops.ones_like(blocks[0], dtype="bool"))
        for name in sequences:
            rows = stack.rows_of_ids([name], ops.transpose(ops.convert_to_tensor(inputs[name])))
            blocks.append(rows)
            mask = masks.get(name)
            counted.append(stack.counted(name, rows, self.padding_id, None if mask is None else ops.transpose(mask)))
        if stack.config.placement == "rows":
            # The rows of a batch are dealt over devices, and so the batch comes first.
            mask = ops.concatenate([ops.transpose(block) for block in counted], axis=1) if sequences else None
            rows = ops.concatenate([ops.transpose(block) for block in blocks], axis=1)
            vectors = ops.transpose(stack.lookup(rows, mask, training), (1, 0, 2))
            vectors = ops.reshape(vectors, (-1, stack.config.width))
        else:
            mask = ops.concatenate([_flat(block) for block in counted], axis=0) if sequences else None
            rows = ops.concatenate([_flat(block) for block in blocks], axis=0)
            vectors = stack.lookup(rows, mask, training)
        vectors = ops.cast(vectors, self.compute_dtype)
        outputs: dict[str, Any] = {}
        width, start = stack.config.width, 0
        for number, block in enumerate(blocks):
            lines, rows = ops.shape(block)
            block_vectors = ops.reshape(vectors[start : start + lines * rows], (lines, rows, width))
            start = start + lines * rows
            if singles and number == 0:
                columns = ops.split(block_vectors, len(singles), axis=0)
                outputs.update({name: ops.squeeze(x, 0) for name, x in zip(singles, columns, strict=True)})
            else:
                name = sequences[number - bool(singles)]
                if name in self.unpooled:
                    outputs[name] = _unpooled(block_vectors, counted[number])
                else:
                    weight = ops.cast(counted[number], block_vectors.dtype)
                    if name in weights:
                        given = ops.cast(ops.transpose(weights[name]), weight.dtype)
                        weight = ops.where(counted[number], given, ops.zeros_like(weight))
                    outputs[name] = pool(block_vectors, weight, stack.combiner[name], axis=0)
        return outputs

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
            stack = next(stack for stack in self.stacks if name in stack.first_row)
            found[name] = stack.counted(name, stack.rows_of_ids([name], ids), self.padding_id, masks.get(name))
        return found

    def compute_output_shape(self, input_shape: Mapping[str, Any]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        widths = {name: stack.config.width for stack in self.stacks for name in stack.first_row}
        return {
            name: (*input_shape[name][: 2 if name in self.unpooled else 1], widths[name])
            for name in self.vocabulary_sizes
            if name in input_shape
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
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
            "tables": [table.get_config() for table in self.tables],
            "feature_tables": self.feature_tables,
            "optimizer": self.optimizer if self.optimizer is None else serialize(self.optimizer),
            "storage_dtype": self.storage_dtype,
            "placement": self.placement,
            "seed": self.seed,
        }


def _unpooled(vectors: Any, counted: Any) -> Any:
    """The vectors batch first, zeros where an id does not count."""
    vectors = ops.where(ops.expand_dims(counted, -1), vectors, ops.zeros_like(vectors))
    return ops.transpose(vectors, (1, 0, 2))


def _flat(block: Any) -> Any:
    return ops.reshape(block, (-1,))


def _concatenate(lines: list[Any]) -> Any:
    lines = [ops.convert_to_tensor(line) for line in lines]
    # A batch may mix integer widths.
    dtypes = {keras.backend.standardize_dtype(line.dtype) for line in lines}
    return ops.concatenate(lines if len(dtypes) == 1 else [ops.cast(line, "int64") for line in lines], axis=0)
