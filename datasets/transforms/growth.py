"""What a period of rows changed in growing ids."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureGrowth:
    """What a period of rows changed in the ids of one feature.

    Args:
        new: int32 ids that had no token before.
        handed_on: int32 ids whose token was evicted in favour of a new one.
        waiting: number of tokens that have been seen and are not admitted yet.
        refused: number of tokens of this period that were admitted and found no place.
        used: number of ids that have a token.
        capacity: number of tokens that there is room for.
        unknown_share: share of the period's tokens that had no id before it, `None` for a period without rows.

    Example:
    >>> ids = np.array([4, 5], "int32")
    >>> FeatureGrowth(ids, ids[:0], waiting=1, refused=0, used=5, capacity=9, unknown_share=0.5).new.tolist()
    [4, 5]
    """

    new: np.ndarray
    handed_on: np.ndarray
    waiting: int
    refused: int
    used: int
    capacity: int
    unknown_share: float | None

    def to_dict(self) -> dict[str, Any]:
        """The numbers, with the number of ids in place of the ids, for a file or a page."""
        return dataclasses.asdict(self) | {"new": len(self.new), "handed_on": len(self.handed_on)}


@dataclasses.dataclass(frozen=True, eq=False)
class Growth:
    """What a period of rows changed in growing ids, see `TableTransforms.extended`.

    Args:
        features: the growth of each feature that owns growing ids. A sequence that shares them is not listed.

    Example:
    >>> none = np.array([], "int32")
    >>> growth = Growth({"ad_id": FeatureGrowth(none, np.array([3], "int32"), 0, 0, 9, 9, 0.1)})
    >>> growth["ad_id"].used, growth.handed_on
    (9, {'ad_id': array([3], dtype=int32)})
    """

    features: Mapping[str, FeatureGrowth]

    def __getitem__(self, name: str) -> FeatureGrowth:
        """The growth of a feature."""
        return self.features[name]

    @property
    def new(self) -> dict[str, np.ndarray]:
        """The ids of each feature that had no token before."""
        return {name: growth.new for name, growth in self.features.items()}

    @property
    def handed_on(self) -> dict[str, np.ndarray]:
        """The ids of each feature whose token was evicted: their rows must be reset before they are trained."""
        return {name: growth.handed_on for name, growth in self.features.items()}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The numbers of each feature, for a file or a page."""
        return {name: growth.to_dict() for name, growth in self.features.items()}
