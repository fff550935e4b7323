"""The configuration of one embedding table."""

import dataclasses
from typing import Any

import keras
import numpy as np

from . import optimizers
from .pool import COMBINERS

STORAGE_DTYPES = ("float32", "bfloat16", "float16")
PLACEMENTS = ("device", "rows")


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """Configures one embedding table; features name the table that they use.

    An argument that is `None` takes the value that the layer or model has for all of its tables. So a config names only
    what is special about a table: more room than its vocabulary fills, a width or an optimizer of its own.

    Args:
        name: name of the table. A feature that names no table has one of its own name.
        rows: capacity, the number of ids that the table has rows for, id 0 included. More rows than the vocabulary has
            ids are room ahead: a model takes new ids without another shape (see `grouprank.models.grow`). `None` takes
            the size of the vocabulary. Defaults to `None`.
        width: width of an embedding. Defaults to `None`.
        combiner: `"mean"` or `"sum"` over the ids of a sequence. Defaults to `None`.
        initializer: initializer of the rows. Defaults to `None`.
        optimizer: `"adam"`, `"adagrad"`, `"rowwise_adagrad"`, `"sgd"`, `"ftrl"` or one of
            `grouprank.layers.embedding_optimizers`, which makes the table a fused one (see `FusedEmbedding`).
            Defaults to `None`.
        storage_dtype: `"float32"`, `"bfloat16"` or `"float16"`, how a fused table keeps its rows. Defaults to `None`.
        placement: `"device"` or `"rows"`, where a fused table lies (see `FusedEmbedding`). Defaults to `None`.

    Raises:
        ValueError: on a size below 1, or an unknown combiner, initializer, optimizer, `storage_dtype` or `placement`.

    Example:

    >>> ads = TableConfig("ad_id", rows=1_000, width=32, optimizer="adagrad")
    >>> TableConfig.from_config(ads.get_config()) == ads
    True
    """

    name: str
    rows: int | None = None
    width: int | None = None
    combiner: str | None = None
    initializer: str | keras.initializers.Initializer | None = None
    optimizer: str | optimizers.RowOptimizer | None = None
    storage_dtype: str | None = None
    placement: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"A table's `name` must be a string that is not empty. Received: name={self.name!r}.")
        for argument in ("rows", "width"):
            value = getattr(self, argument)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
                raise ValueError(
                    f"Table {self.name!r}: `{argument}` must be a positive integer or None. "
                    f"Received: {argument}={value!r}."
                )
            # NumPy's integers are not written to a model's file.
            object.__setattr__(self, argument, value if value is None else int(value))
        choices_of = {"combiner": COMBINERS, "storage_dtype": STORAGE_DTYPES, "placement": PLACEMENTS}
        for argument, choices in choices_of.items():
            value = getattr(self, argument)
            if value is not None and value not in choices:
                raise ValueError(
                    f"Table {self.name!r}: `{argument}` must be one of {choices} or None. "
                    f"Received: {argument}={value!r}."
                )
        keras.initializers.get(self.initializer)
        if self.optimizer is not None:
            optimizers.get(self.optimizer)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; those that are `None` are left out."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for argument in ("initializer", "optimizer"):
            if not isinstance(config[argument], str | dict | None):
                config[argument] = keras.saving.serialize_keras_object(config[argument])
        return {name: value for name, value in config.items() if value is not None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TableConfig":
        """Inverse of `get_config`."""
        return cls(**config)
