"""Warns about raw columns that are not spelled as in training."""

import warnings
from collections.abc import Mapping
from typing import Any

from ..datasets import TableTransforms
from ..datasets.transforms.unknown_tokens import UnknownTokens


def warn_of_unknown(transforms: TableTransforms | None, raw: Mapping[str, Any]) -> tuple[UnknownTokens, ...]:
    """The columns of which far more tokens are unknown than were in training, each with a warning.

    Args:
        transforms: the fitted transforms, or `None` where rows are model inputs.
        raw: raw rows.

    Example:

    >>> warn_of_unknown(None, {})
    ()
    """
    unknown = () if transforms is None else tuple(transforms.unknown_tokens(raw))
    for found in unknown:
        warnings.warn(str(found), stacklevel=3)
    return unknown
