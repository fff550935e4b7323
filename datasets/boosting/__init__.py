"""Boosted trees by LightGBM, whose leaves become categorical features of a prepared table."""

from .with_boosted_leaves import with_boosted_leaves

__all__ = ["with_boosted_leaves"]
