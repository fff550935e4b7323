"""Run folders that survive a kill: files that appear whole, settings that must not change, one run at a time."""

from .run_folder import RunFolder
from .run_lock import run_lock
from .whole_file import whole_file
from .whole_folder import whole_folder

__all__ = ["RunFolder", "run_lock", "whole_file", "whole_folder"]
