"""How rows are cut into segments."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from .polars_frame import polars_frame

MISSING = "(missing)"


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """Cuts rows into segments by one column or several.

    A single column gives one segment per value, several columns give a cross. A numeric column is
    cut at `edges`. Group codes of one placement cross to **implicit segments**: the
    columns of the first level alone, of the first and the second, and so on
    (`Segmentation.codes`). Every row falls into exactly one segment, so what
    segments contribute adds up. In a cross, a value that holds a comma stands in quotes.

    Args:
        columns: names of the columns.
        edges: `{column: increasing numbers}` at which numeric columns are cut; a value
            equal to an edge falls above it. Defaults to `None`.
        name: how tables call it. `None` joins the columns. Defaults to `None`.

    Raises:
        ValueError: on no columns, a column twice, or edges that do not increase.

    Example:

    >>> frame = pl.DataFrame({"tab": ["home", "home", None], "bid": [0.2, 1.5, 9.0]})
    >>> Segmentation(("tab", "bid"), {"bid": [1.0, 2.0]}).labels(frame).to_list()
    ['tab=home, bid<1', 'tab=home, 1≤bid<2', 'tab=(missing), bid≥2']
    """

    columns: Sequence[str]
    edges: Mapping[str, Sequence[float]] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        columns = (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)
        edges = {column: tuple(float(e) for e in cuts) for column, cuts in (self.edges or {}).items()}
        if not columns or len(set(columns)) < len(columns):
            raise ValueError(f"`columns` must name one column or several different ones. Received: {self.columns!r}.")
        for column, cuts in edges.items():
            if column not in columns or not cuts or not all(np.diff(cuts) > 0) or not np.isfinite(cuts).all():
                raise ValueError(
                    f"`edges` must give increasing finite numbers for some of the columns {list(columns)}. "
                    f"Received: {column!r}: {list(cuts)}."
                )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "name", self.name or " × ".join(columns))

    @classmethod
    def quantiles(cls, frame: Any, column: str, bins: int = 4) -> "Segmentation":
        """Cut a numeric column into `bins` of about equal size, by a sample of rows; ties make fewer.

        Edges have three digits. The frame may be one of pandas.

        Example:

        >>> Segmentation.quantiles(pl.DataFrame({"bid": range(100)}), "bid", 2).edges
        {'bid': (50.0,)}
        """
        values = polars_frame(frame, [column])[column].cast(pl.Float64).to_numpy()
        values = values[np.isfinite(values)]
        if not len(values):
            raise ValueError(f"Column {column!r} has no finite number to find quantiles of.")
        cuts = np.quantile(values, np.arange(1, bins) / bins, method="higher")
        # Numbers that are easy to read.
        cuts = np.unique([float(f"{cut:.3g}") for cut in cuts])
        cuts = cuts[(cuts > values.min()) & (cuts <= values.max())]
        return cls((column,), {column: cuts.tolist()} if len(cuts) else None)

    @classmethod
    def codes(cls, placement: str, levels: int) -> "Segmentation":
        """Implicit segments: groups of a placement that share their first `levels` codes.

        The columns are `placement:1`, `placement:2` … as `code_columns` names them.

        Example:

        >>> Segmentation.codes("user", 2).columns
        ('user:1', 'user:2')
        """
        shown = "level 1" if levels == 1 else f"levels 1 – {levels}"
        return cls(tuple(f"{placement}:{level + 1}" for level in range(levels)), name=f"groups {placement}, {shown}")

    @staticmethod
    def code_columns(placement: str, codes: ArrayLike) -> dict[str, np.ndarray]:
        """Group ids `(rows, levels)` of a placement as columns, one per level.

        Example:

        >>> Segmentation.code_columns("user", np.array([[3, 1], [0, 7]]))
        {'user:1': array([3, 0]), 'user:2': array([1, 7])}
        """
        return {f"{placement}:{level + 1}": np.asarray(codes)[:, level] for level in range(np.shape(codes)[1])}

    def labels(self, frame: Any) -> pl.Series:
        """The segment of each row, as a string.

        Args:
            frame: rows with the columns, a polars or pandas frame.

        Raises:
            ValueError: when a column is missing.
        """
        frame = polars_frame(frame, self.columns)
        missing = [column for column in self.columns if column not in frame.columns]
        if missing:
            raise ValueError(
                f"Segmentation {self.name!r} needs the columns {missing}, which are missing. Received: {frame.columns}."
            )
        parts = [self._part(frame, column) for column in self.columns]
        return frame.select(pl.concat_str(parts, separator=", ").alias("segment"))["segment"]

    def _part(self, frame: pl.DataFrame, column: str) -> pl.Expr:
        assert self.edges is not None
        if column not in self.edges:
            value = pl.col(column).cast(pl.String)
            if len(self.columns) > 1:
                # Unquoted, a comma in a value would read as the next column's, and two crosses could get one name.
                quoted = pl.concat_str(pl.lit('"'), value.str.replace_all('"', '""', literal=True), pl.lit('"'))
                value = pl.when(value.str.contains('[,"]')).then(quoted).otherwise(value)
            return pl.concat_str(pl.lit(f"{column}="), value.fill_null(MISSING))
        cuts = self.edges[column]
        inner = [f"{a:g}≤{column}<{b:g}" for a, b in itertools.pairwise(cuts)]
        names = np.array([f"{column}<{cuts[0]:g}", *inner, f"{column}≥{cuts[-1]:g}", f"{column}={MISSING}"])
        values = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        bins = np.where(np.isnan(values), len(names) - 1, np.searchsorted(cuts, values, side="right"))
        return pl.lit(pl.Series(names[bins], dtype=pl.String))
