"""The width at which a plain network has as many parameters as a candidate."""

from ...schema import Schema
from ..training import Training
from ..variant import Variant
from .paired_trainer import parameters


def matched_width(candidate: Variant, schema: Schema, training: Training) -> float:
    """Factor of the backbone's dense widths at which the baseline has as many parameters as a candidate serves.

    Args:
        candidate: the variant to match.
        schema: the table's schema.
        training: the study's settings.
    """
    wanted = parameters(candidate.model(schema, training, seed=0))[0]
    low, high = 1.0, 2.0
    while _count(high, schema, training) < wanted:
        low, high = high, 2.0 * high
    for _ in range(8):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _count(middle, schema, training) < wanted else (low, middle)
    return round(high, 3)


def _count(width: float, schema: Schema, training: Training) -> int:
    return parameters(Variant("wider", width=width).model(schema, training, seed=0))[0]
