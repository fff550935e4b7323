"""The check that transforms are those of a model's table."""

from typing import Any

from ..datasets import TableTransforms
from ..schema import Feature
from ..schema.features import with_fingerprint


def check_transforms(model: Any, transforms: TableTransforms) -> None:
    """Raise unless transforms give the model's features, fitted as those that it was trained on.

    Args:
        model: a model with a `schema`; a feature without a fingerprint in it agrees with any transform.
        transforms: fitted transforms.

    Raises:
        ValueError: when features differ, or how they were fitted; names them.

    Example:

    ```python
    check_transforms(model, table.transforms)
    ```
    """
    mine, theirs = (_plain(schema.features) for schema in (model.schema, transforms.schema))
    if mine != theirs:
        differing = sorted({f.name for f in mine} ^ {f.name for f in theirs}) or [
            f.name for f, other in zip(mine, theirs, strict=True) if f != other
        ]
        raise ValueError(
            "`transforms` were fitted for other features than the model's. "
            f"Transforms: {transforms.schema.feature_names}. Model: {model.schema.feature_names}. "
            f"They differ in: {differing}."
        )
    model.schema.check_fitted(transforms.schema, "the model", "the transforms")


def _plain(features: tuple[Feature, ...]) -> list[Feature]:
    return [with_fingerprint(feature, None) for feature in features]
