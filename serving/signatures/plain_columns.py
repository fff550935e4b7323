"""Model inputs as they are, for models that are exported without transforms."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ...schema import Schema


class PlainColumns(tf.Module):
    """Takes the place of `GraphTransforms` when ids and floats are sent.

    Args:
        schema: the model's.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self._schema = schema
        self.sources = {name: name for name in schema.feature_names}

    def signature(self) -> dict[str, tf.TensorSpec]:
        """A spec per feature, of any batch size."""
        return {f.name: tf.TensorSpec([None, *f.shape], f.dtype, name=f.name) for f in self._schema.features}

    def __call__(self, raw: Mapping[str, Any], missing: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The columns given; missing ids are 0, which is out of vocabulary, and numbers that are not finite are 0."""
        found = {name: raw[name] for name in self.sources if name in raw}
        for name, value in found.items():
            if missing and name in missing:
                found[name] = tf.where(missing[name], tf.zeros_like(value), value)
        return found

    def leaves(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """None: leaves of boosted trees are sent like other ids.

        Args:
            inputs: model inputs by feature name.
        """
        return {}
