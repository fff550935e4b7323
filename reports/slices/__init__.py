"""Parts of the search for the worst slices."""

from .expected_entropy import ExpectedEntropy
from .half import Half, literal_columns, split_halves
from .lattice import Cells, Lattice
from .ratios import OBJECTIVES, CellSums, Ratios
from .slice_figures import SliceFigures
from .slice_report import Slice, SliceReport
from .slice_search import FoundSlice, SliceSearch, one_sided

__all__ = [
    "OBJECTIVES",
    "CellSums",
    "Cells",
    "ExpectedEntropy",
    "FoundSlice",
    "Half",
    "Lattice",
    "Ratios",
    "Slice",
    "SliceFigures",
    "SliceReport",
    "SliceSearch",
    "literal_columns",
    "one_sided",
    "split_halves",
]
