"""Random groups, the control that learned groups have to beat."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...reports.statistics.user_buckets import mixed_bits
from ...schema import Schema
from ...schema import Sequence as SequenceFeature


class RandomCodes:
    """Gives each user, user-ad pair or row random codes, as a further field of the model.

    They have as many levels, codes and dimensions as learned groups, are summed in the same way and are trained as
    embeddings, but a hash decides who shares a code. A gain from them is a gain from width.

    Args:
        keys: names of the id columns that a placement's codes belong to, by placement.
        num_levels: number of codes per row.
        codebook_size: number of codes per level.
        seed: seed of the hash. Defaults to `0`.

    Example:

    >>> codes = RandomCodes({"user": ["user_id"]}, num_levels=2, codebook_size=8)
    >>> found = codes.columns({"user_id": np.array([5, 9, 5])})["random_user"]
    >>> found.shape, (found[0] == found[2]).all()
    ((3, 2), np.True_)
    """

    def __init__(self, keys: Mapping[str, Sequence[str]], num_levels: int, codebook_size: int, seed: int = 0) -> None:
        self.keys, self.num_levels, self.codebook_size, self.seed = dict(keys), num_levels, codebook_size, seed

    def schema(self, schema: Schema) -> Schema:
        """The schema with one more field per placement."""
        fields = [
            SequenceFeature(f"random_{placement}", 1 + self.num_levels * self.codebook_size, self.num_levels, "context")
            for placement in self.keys
        ]
        return Schema([*schema.features, *fields], schema.tasks)

    def columns(self, features: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The codes of rows, int32 `(rows, num_levels)` by field; id 0 is kept for unknown values."""
        found = {}
        for placement, names in self.keys.items():
            mixed = np.zeros(len(features[names[0]]), "uint64")
            for name in names:
                mixed = mixed_bits(mixed ^ np.asarray(features[name]).astype("uint64"))
            levels = []
            for level in range(self.num_levels):
                salt = hashlib.blake2b(f"{self.seed}/{placement}/{level}".encode(), digest_size=8).digest()
                drawn = mixed_bits(mixed ^ np.uint64(int.from_bytes(salt, "little"))) % np.uint64(self.codebook_size)
                levels.append(1 + level * self.codebook_size + drawn.astype("int32"))
            found[f"random_{placement}"] = np.stack(levels, axis=1).astype("int32")
        return found
