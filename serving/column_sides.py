"""Which raw columns come once per request and which once per ad."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ..models.ranking import REQUEST_SIDES
from ..schema import Schema


@dataclasses.dataclass(frozen=True)
class ColumnSides:
    """Raw columns by what they describe.

    Args:
        request: columns of the user and the context.
        candidate: columns of the ad.

    Example:

    >>> sides = ColumnSides(("user_id",), ("ad_id",))
    >>> sides.can_rank, ColumnSides((), ("ad_id",)).can_rank
    (True, False)
    """

    request: tuple[str, ...]
    candidate: tuple[str, ...]

    @classmethod
    def of(cls, schema: Schema, sources: Mapping[str, str]) -> "ColumnSides":
        """Sides of the columns that a schema's features read.

        Args:
            schema: the model's.
            sources: raw column by feature; a feature that is made of others has none.
        """
        # In the order of the features, each once.
        request = dict.fromkeys(sources[f.name] for f in schema.on_side(*REQUEST_SIDES) if f.name in sources)
        candidate = dict.fromkeys(sources[f.name] for f in schema.on_side("ad") if f.name in sources)
        return cls(tuple(request), tuple(candidate))

    @property
    def can_rank(self) -> bool:
        """Whether the two can be told apart: both exist, and no column is read by features of both."""
        return bool(self.request) and bool(self.candidate) and not set(self.request) & set(self.candidate)

    def cross(self, raw: Mapping[str, np.ndarray], requests: int, candidates: int) -> dict[str, np.ndarray]:
        """Rows of some users with as many ads each: the request's columns from one row, the ad's from another.

        Args:
            raw: raw columns.
            requests: number of users.
            candidates: number of ads of each.
        """
        count = len(next(iter(raw.values())))
        user, ad = np.repeat(np.arange(requests), candidates) % count, np.arange(requests * candidates) % count
        return {name: values[user if name in self.request else ad] for name, values in raw.items()}

    def fold(self, crossed: Mapping[str, np.ndarray], candidates: int) -> dict[str, np.ndarray]:
        """Rows made by `cross` as the signature `rank` takes them: users once, ads `(requests, candidates, ...)`."""
        return {
            name: values[::candidates] if name in self.request else values.reshape(-1, candidates, *values.shape[1:])
            for name, values in crossed.items()
        }
