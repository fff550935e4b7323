"""Reading of official files: downloads, malformed rows, chunks in file order."""

from .bad_rows import BadRows
from .delimited_file import DelimitedFile, Kind
from .file_order_split import file_order_split
from .official_files import fetch_archive, find_file, require_file

__all__ = ["BadRows", "DelimitedFile", "Kind", "fetch_archive", "file_order_split", "find_file", "require_file"]
