"""A generated ads log with planted groups."""

from .synthetic_ads import SyntheticAds
from .synthetic_ads_file import SyntheticAdsFile

__all__ = ["SyntheticAds", "SyntheticAdsFile"]
