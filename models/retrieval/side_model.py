"""The part of a model that needs the columns of one side alone."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ...schema import Schema
from ..checks.host_columns import frame_columns
from ..distinct_names import distinct_names
from .side_columns import batches, side_columns


class SideModel:
    """A model of the same weights that takes the columns of one side, for outputs that depend on no others.

    Both towers read one embedding call (a fused table is looked up once a step),
    so the whole graph asks for every id. Here the absent columns are zeros, and what
    is computed from them is not used.

    Args:
        model: a functional model of a dict of columns.
        outputs: its symbolic outputs that are wanted, nested as they shall be returned.
        present: the features to take, as a schema of their own.
        absent: the model's other features.

    Example:

    ```python
    users = SideModel(model, model.output["user"], model.user_schema, model.ad_schema)
    vectors = users.predict({"user_id": [3, 7]})
    ```
    """

    def __init__(self, model: keras.Model, outputs: Any, present: Schema, absent: Schema) -> None:
        self.schema = present
        inputs = {f.name: keras.Input(shape=f.shape, dtype=f.dtype, name=f.name) for f in present.features}
        reference = present.features[0]
        column = ops.reshape(inputs[reference.name], (-1, math.prod(reference.shape)))[:, :1]
        zeros = {}
        for feature in absent.features:
            zero = ops.zeros_like(column, dtype=feature.dtype)
            zeros[feature.name] = ops.repeat(zero, feature.shape[0], axis=1) if feature.shape else zero[:, 0]
        # One call of the whole graph: calling its layers again would give each a second place in it.
        found = keras.Model(model.input, outputs)({**inputs, **zeros})
        distinct_names(found, inputs)
        self.model = keras.Model(inputs, found)

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """Outputs as NumPy for columns or a loader, whose columns of other sides are left aside."""
        self.schema.check_loader(x)
        x = frame_columns(x)
        if isinstance(x, Mapping):
            return self.model.predict(side_columns(self.schema, x), batch_size=batch_size, verbose=0)
        parts = [self.model.predict_on_batch(side_columns(self.schema, columns)) for columns, _ in batches(x)]
        return keras.tree.map_structure(lambda *values: np.concatenate(values), *parts)
