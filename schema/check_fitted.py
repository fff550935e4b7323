"""Comparison of how two schemas' features were fitted, in words."""

from collections.abc import Sequence as Items

from .features import Feature, Numeric, fingerprint_of


def check_fitted(features: Items[Feature], others: Items[Feature], mine: str, theirs: str) -> None:
    """Raise a `ValueError` that names every feature that was fitted differently (see `Schema.check_fitted`)."""
    by_name = {feature.name: feature for feature in others}
    differing = [
        feature
        for feature in features
        if feature.name in by_name and _differ(fingerprint_of(feature), fingerprint_of(by_name[feature.name]))
    ]
    if not differing:
        return
    ids = [feature.name for feature in differing if not isinstance(feature, Numeric)]
    numbers = [feature.name for feature in differing if isinstance(feature, Numeric)]
    found = [f"the ids of {ids} stand for other tokens"] if ids else []
    found += [f"the numbers of {numbers} are standardised otherwise"] if numbers else []
    raise ValueError(
        f"{mine[0].upper()}{mine[1:]} and {theirs} were fitted on different rows: {' and '.join(found)}, so what one "
        "has learned says nothing about the other. Use the prepared table and the transforms that the model was "
        "trained with (raw rows become its inputs by `table.transforms(rows)`), or train a model on the new ones."
    )


def _differ(fingerprint: str | None, other: str | None) -> bool:
    return fingerprint is not None and other is not None and fingerprint != other
