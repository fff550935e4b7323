"""Named configurations of models, kept as data."""

from .preset_registry import Preset, get_preset, presets

__all__ = ["Preset", "get_preset", "presets"]
