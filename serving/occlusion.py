"""Copies of rows in which one field after the other is unknown."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ..datasets import TableTransforms
from ..schema import Schema

# The output of the signature `explanations` that holds the names of the fields.
FIELDS = "fields"


@dataclasses.dataclass(frozen=True)
class Occlusion:
    """Replaces fields of a model's inputs by what the model reads where they are unknown.

    Args:
        fields: names of the fields.
        places: number of the field that each feature is of, from 1: the weights of a sequence go with it.
        references: what each feature is replaced by.

    Example:

    >>> from grouprank import Categorical, Numeric, Task
    >>> occlusion = Occlusion.of(Schema([Categorical("os", 9), Numeric("bid")], [Task("click")]))
    >>> copies = occlusion.copies({"os": np.array([3, 7]), "bid": np.array([0.5, 2.0])})
    >>> copies["os"].tolist(), copies["bid"].tolist()
    ([3, 7, 0, 0, 3, 7], [0.5, 2.0, 0.5, 2.0, 0.0, 0.0])
    """

    fields: tuple[str, ...]
    places: Mapping[str, int]
    references: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls, schema: Schema, transforms: TableTransforms | None = None, references: Mapping[str, Any] | None = None
    ) -> Self:
        """The fields of a schema, and what they are replaced by.

        Args:
            schema: the model's.
            transforms: what makes the inputs; they say which id an unknown token has. Without them it is 0. Defaults
                to `None`.
            references: what to replace a feature by instead. Defaults to `None`.

        Raises:
            ValueError: when a reference is of no feature, of another shape, no finite number or no id of its feature.
        """
        fields = tuple(schema.field_names())
        given = dict(references or {})
        if unknown := [name for name in given if name not in schema.feature_names]:
            raise ValueError(f"`references` names {unknown}, which are no features. Features: {schema.feature_names}.")
        found = {}
        for feature in schema.features:
            # A number that is missing is encoded as the mean of the training rows, which is 0. So is an unknown leaf.
            column = None if transforms is None else transforms.columns.get(feature.name)
            value = np.asarray(given.get(feature.name, (column and column.absent_id) or 0))
            if value.shape not in ((), feature.shape):
                raise ValueError(
                    f"`references`: feature {feature.name!r} has values of the shape {feature.shape}. "
                    f"Received: an array of the shape {value.shape}."
                )
            found[feature.name] = np.broadcast_to(value, feature.shape).astype(feature.dtype)
        # The same checks as of any row: ids in range, and finite numbers.
        schema.check({name: value[np.newaxis] for name, value in found.items()})
        return cls(fields, {f.name: 1 + fields.index(f.field) for f in schema.features}, found)

    def copies(self, inputs: Mapping[str, Any], library: Any = np) -> dict[str, Any]:
        """The rows as they are, then once for each field without it, `((fields + 1) · rows, ...)`.

        Args:
            inputs: the model's inputs, all of one number of rows.
            library: the module of their arrays, NumPy or TensorFlow. Defaults to NumPy.
        """
        numbers = np.arange(len(self.fields) + 1)
        found = {}
        for name, values in inputs.items():
            replaced = (numbers == self.places[name]).reshape(-1, *[1] * len(values.shape))
            copies = library.where(replaced, self.references[name], values[np.newaxis])
            found[name] = library.reshape(copies, (-1, *values.shape[1:]))
        return found
