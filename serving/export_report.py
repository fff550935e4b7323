"""What an export wrote and how closely it was checked."""

import dataclasses
from pathlib import Path

import numpy as np

from ..datasets.transforms.unknown_tokens import UnknownTokens
from .quantization_cost import QuantizationCost


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """Result of `export`.

    Args:
        path: the version folder.
        rows: number of raw rows compared with the Keras model.
        max_difference: largest difference of a probability over them.
        border_rows: rows that rounding moved between two groups; they are not in `max_difference`.
        raw: the raw columns compared.
        probabilities: what it answered for them, by task.
        program: what answered. Defaults to `"the SavedModel"`.
        unknown: raw columns of which far fewer tokens are known than in training. Defaults to `()`.
        cost: what quantized tables cost, `None` for a version without. Defaults to `None`.

    Example:

    >>> print(ExportReport(Path("m/1"), 100, 2e-7, 0, {}, {}))
    m/1: 100 raw rows scored by the SavedModel in a fresh process, largest difference to Keras 2.0e-07
    """

    path: Path
    rows: int
    max_difference: float
    border_rows: int
    raw: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    program: str = "the SavedModel"
    unknown: tuple[UnknownTokens, ...] = ()
    cost: QuantizationCost | None = None

    def __str__(self) -> str:
        text = (
            f"{self.path}: {self.rows} raw rows scored by {self.program} in a fresh process, "
            f"largest difference to Keras {self.max_difference:.1e}"
        )
        text += f" ({self.border_rows} rows on a border between groups left out)" if self.border_rows else ""
        return "\n".join([text, *([str(self.cost)] if self.cost else []), *map(str, self.unknown)])
