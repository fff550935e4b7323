"""Embedding tables that are stacked in one array."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from . import optimizers
from .fused_embedding import FusedEmbedding
from .initial_rows import initial_rows
from .move_rows import Span
from .quantized_table import BITS, QuantizedTable, quantized_blocks
from .row_tables.base_row_store import BLOCK_ROWS
from .table_config import TableConfig


class StackedTables:
    """Tables of one width, initializer, optimizer, storage dtype and placement, stacked.

    Args:
        config: what the tables have in common.
    """

    def __init__(self, config: TableConfig) -> None:
        self.config = config
        self.num_rows = 0
        # By table, from top to bottom: its first row and its number of rows.
        self.tables: dict[str, Span] = {}
        # By feature: the first row of its table, the number of ids that have rows there, and how several are combined.
        self.first_row: dict[str, int] = {}
        self.num_ids: dict[str, int] = {}
        self.combiner: dict[str, str] = {}
        # A fused table, or the weight that the optimizer of `compile` trains.
        self.layer: FusedEmbedding | None = None
        self.variable: keras.Variable | None = None
        # The same rows in fewer bits, once the stack only serves.
        self.quantized: QuantizedTable | None = None

    def add(self, table: TableConfig, num_ids: Mapping[str, int]) -> None:
        """Put a table below the others.

        Args:
            table: its config, with all that may be `None` filled in.
            num_ids: feature name to its number of ids, for the features that use the table.
        """
        for feature, ids in num_ids.items():
            self.first_row[feature], self.num_ids[feature] = self.num_rows, ids
            self.combiner[feature] = str(table.combiner)
        rows = int(table.rows or 0)
        self.tables[table.name] = (self.num_rows, rows)
        self.num_rows += rows

    def fused(
        self, optimizer: str | optimizers.RowOptimizer, seed: int | None, dtype: Any, name: str
    ) -> FusedEmbedding:
        """The stack as a fused table, whose rows an optimizer trains."""
        config = self.config
        return FusedEmbedding(
            self.num_rows,
            int(config.width or 0),
            optimizer,
            config.initializer,
            storage_dtype=str(config.storage_dtype),
            placement=str(config.placement),
            seed=seed,
            dtype=dtype,
            name=name,
        )

    @property
    def embeddings(self) -> Any:
        """The rows of all tables."""
        return self.layer.embeddings if self.layer is not None else self.variable

    def whole_embeddings(self) -> Any:
        """The same; raises if rows are dealt over devices, where they do not stand in their order."""
        if self.layer is not None and self.layer.num_shards > 1:
            raise ValueError(
                f"The rows of the table {self.layer.name!r} are dealt over {self.layer.num_shards} devices, and no "
                "variable holds them in their order. Read rows with its `read_rows`, in all processes."
            )
        return self.embeddings

    def rows_of_ids(self, features: Sequence[str], ids: Any) -> Any:
        """Rows of the stack, int32; an id outside its feature's range has the row of id 0.

        Args:
            features: names of features of the stack.
            ids: `(lines, batch)`, all of one feature or a line for each.
        """
        sizes = ops.convert_to_tensor([[self.num_ids[name]] for name in features], dtype=ids.dtype)
        first = ops.convert_to_tensor([[self.first_row[name]] for name in features], dtype="int32")
        inside = ops.logical_and(ids >= 0, ids < sizes)
        return ops.cast(ops.where(inside, ids, ops.zeros_like(ids)), "int32") + first

    def counted(self, feature: str, rows: Any, padding_id: int | None, mask: Any) -> Any:
        """Which ids of a sequence count, in the layout of the rows and the mask.

        Args:
            feature: name of the sequence.
            rows: rows of its ids.
            padding_id: the id that does not count, `None` if every id does.
            mask: booleans, or `None`.
        """
        counts = ops.ones_like(rows, dtype="bool")
        if padding_id is not None:
            counts = rows != self.first_row[feature] + padding_id
        return counts if mask is None else ops.logical_and(counts, ops.cast(mask, "bool"))

    def lookup(self, rows: Any, mask: Any, training: bool | None) -> Any:
        """Vectors of rows; where `mask` is `False` they do not matter."""
        if self.quantized is not None:
            return self.quantized(rows)
        if self.layer is not None:
            return self.layer(rows, training=training, mask=mask)
        return ops.take(self.variable, rows, axis=0)

    def quantize(self, dtype_of_rows: str) -> None:
        """Look rows up in a `QuantizedTable` from now on."""
        self.quantized = QuantizedTable(self.num_rows, int(self.config.width or 0), dtype_of_rows)
        self.quantized.fill(self.served_rows("float32"))

    def served_rows(self, dtype_of_rows: str) -> Iterator[np.ndarray]:
        """The rows in their order, some at a time, as a version for serving holds them.

        Args:
            dtype_of_rows: `"int8"` or `"int4"` for the bytes of a `QuantizedTable`, or `"float32"` for values. Those of
                a table in half precision keep its dtype, but bfloat16 may come as float32.
        """
        firsts = range(0, self.num_rows, BLOCK_ROWS)
        layer = self.layer
        if layer is not None and layer.num_shards > 1:
            numbers = (np.arange(first, min(first + BLOCK_ROWS, self.num_rows)) for first in firsts)
            blocks = (ops.convert_to_numpy(layer.read_rows(rows)) for rows in numbers)
        else:
            values = self.embeddings.value
            blocks = (ops.convert_to_numpy(values[first : first + BLOCK_ROWS]) for first in firsts)
        return quantized_blocks(blocks, BITS[dtype_of_rows]) if dtype_of_rows in BITS else blocks

    def reset(self, ids: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Let rows begin anew: they get initial values, and so do a fused table's slots.

        Args:
            ids: table name to ids in ascending order, for some of the tables.
            seed: see `initial_rows`.

        Returns:
            The rows of the stack that were reset.
        """
        rows, values = [], []
        initializer, width = self.config.initializer, int(self.config.width or 0)
        dtype = keras.backend.standardize_dtype(self.embeddings.dtype)
        for name, of_table in ids.items():
            rows.append(self.tables[name][0] + of_table)
            values.append(initial_rows(initializer, name, of_table, self.num_rows, width, dtype, seed))
        found, vectors = np.concatenate(rows), ops.concatenate(values, axis=0)
        if self.layer is not None:
            self.layer.reset_rows(found, vectors)
        elif self.variable is not None:
            self.variable.assign(ops.scatter_update(self.variable, found[:, None], vectors))
        return found

    def places(self, earlier: "StackedTables") -> list[tuple[Span, Span]]:
        """Where each table lay in a smaller stack of the same tables, and where it lies here."""
        return [(earlier.tables[name], span) for name, span in self.tables.items()]


def stack_tables(
    features: Mapping[str, Sequence[str]],
    vocabulary_sizes: Mapping[str, int],
    tables: Sequence[TableConfig],
    defaults: TableConfig,
) -> list[StackedTables]:
    """The stacks of a collection's tables, in the order of their first features.

    Args:
        features: table name to the features that use it.
        vocabulary_sizes: feature name to its number of ids.
        tables: configs of single tables.
        defaults: what holds where a config says nothing.

    Raises:
        ValueError: on two configs of one table, a config of a table that no feature uses, fewer rows than ids, or
            half precision or rows dealt over devices without an optimizer.
    """
    configs = {table.name: table for table in tables}
    names = [table.name for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"`tables` configures {name!r} more than once. Expected one TableConfig for each table.")
        if name not in features:
            raise ValueError(f"`tables` configures {name!r}, which no feature uses. Tables: {sorted(features)}.")
    stacks: dict[str, StackedTables] = {}
    for name, users in features.items():
        given = configs.get(name, TableConfig(name))
        said = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
        table = dataclasses.replace(defaults, **{key: value for key, value in said.items() if value is not None})
        sizes = {user: vocabulary_sizes[user] for user in users}
        if table.rows is None:
            table = dataclasses.replace(table, rows=max(sizes.values()))
        elif table.rows < max(sizes.values()):
            raise ValueError(
                f"Table {name!r} has fewer rows than ids: rows={table.rows}, vocabulary sizes {sizes}. "
                "Give it more rows."
            )
        else:
            sizes = dict.fromkeys(sizes, table.rows)
        if table.optimizer is None and table.storage_dtype != "float32":
            raise ValueError(
                f"Only a fused table keeps its rows in half precision: give the table {name!r} an `optimizer`, such as "
                f"'adam'. Received: storage_dtype={table.storage_dtype!r} without one."
            )
        if table.optimizer is None:
            if given.placement == "rows":
                raise ValueError(
                    f"Only a fused table is dealt over devices by rows: give the table {name!r} an `optimizer`, such "
                    f"as 'adam'. Received: placement='rows' without one."
                )
            # Tables that the optimizer of `compile` trains have no placement.
            table = dataclasses.replace(table, placement=None)
        alike = dataclasses.replace(
            table,
            name="stack",
            rows=None,
            combiner=None,
            initializer=keras.initializers.get(table.initializer),
            optimizer=table.optimizer if table.optimizer is None else optimizers.get(table.optimizer),
        )
        key = json.dumps(_values(alike.get_config()), sort_keys=True, default=str)
        stacks.setdefault(key, StackedTables(alike)).add(table, sizes)
    return list(stacks.values())


def _values(config: Any) -> Any:
    """A config without the numbers by which Keras finds one object in several places of a file."""
    if isinstance(config, dict):
        return {key: _values(value) for key, value in config.items() if key != "shared_object_id"}
    return [_values(value) for value in config] if isinstance(config, list | tuple) else config
