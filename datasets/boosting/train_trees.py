"""Training of boosted trees on encoded columns, which are read in chunks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from ...extras import require_extra
from ..parted_column import PartedColumn
from .tree_nodes import tree_nodes

# A training stops where so many further trees did not lower the loss of the rows that were held out for this.
_PATIENCE = 20

Columns = Mapping[str, "np.ndarray | PartedColumn"]


def train_trees(
    columns: Columns,
    labels: np.ndarray,
    held_out: int,
    categorical: Sequence[str],
    num_trees: int,
    settings: Mapping[str, Any],
    chunk_rows: int,
    workers: int,
) -> pl.DataFrame:
    """Train trees by LightGBM; returns the nodes of those with a split (see `BoostedLeaves`).

    LightGBM keeps a byte of each number, and reads the columns in chunks. The trees depend neither on the size of these
    nor on the number of threads. scikit-learn's `HistGradientBoostingClassifier` has no public way to its leaves.

    Args:
        columns: encoded columns in the order of the features.
        labels: one for each row, in `[0, 1]`, NaN where it is not known; such rows are left out.
        held_out: number of the last rows, which do not train and say when to stop.
        categorical: names of the columns of ids.
        num_trees: most trees.
        settings: LightGBM's `num_leaves`, `learning_rate`, `min_data_in_leaf` and `seed`.
        chunk_rows: rows read at a time.
        workers: number of threads.

    Raises:
        ValueError: if there are no labels, or no tree has a split.
        ModuleNotFoundError: if LightGBM is not installed.

    Example:
    >>> columns = {"hour": np.arange(480, dtype="float32") % 24}
    >>> labels = (columns["hour"] > 17).astype("float32")
    >>> settings = {"num_leaves": 2, "learning_rate": 0.1, "min_data_in_leaf": 20, "seed": 0}
    >>> train_trees(columns, labels, 240, (), 1, settings, 1000, 1).select("threshold", "leaf").rows()
    [(17.5, 0), (0.0, 1), (0.0, 2)]
    """
    require_extra("trees", "Boosted leaves")
    import lightgbm

    lightgbm.Sequence.register(_Rows)
    border = len(labels) - held_out
    known = np.flatnonzero(~np.isnan(labels))
    parts = known[known < border], known[known >= border]
    if not all(map(len, parts)):
        raise ValueError(
            f"Of {border} rows that train trees {len(parts[0])} have a label, and of {held_out} that say when to stop "
            f"{len(parts[1])}. Both need some: pass a larger `share`, or another task."
        )
    settings = {
        **settings,
        "objective": "cross_entropy",  # binary, and labels between 0 and 1
        "use_missing": False,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": workers,
        "verbosity": -1,
    }
    places = [place for place, name in enumerate(columns) if name in categorical]
    train = lightgbm.Dataset(
        _Rows(columns, parts[0], chunk_rows), labels[parts[0]], categorical_feature=places, params=settings
    )
    stop = lightgbm.Dataset(_Rows(columns, parts[1], chunk_rows), labels[parts[1]], reference=train)
    stopping = lightgbm.early_stopping(_PATIENCE, verbose=False)
    booster = lightgbm.train(settings, train, num_trees, valid_sets=[stop], callbacks=[stopping])
    trees = [tree for tree in booster.dump_model()["tree_info"] if tree["num_leaves"] > 1]
    if not trees:
        raise ValueError(
            f"No tree has a split: the features {list(columns)} say nothing of the labels in {len(parts[0])} rows with "
            f"at least {settings['min_data_in_leaf']} rows a leaf. Pass more rows, or a smaller `min_rows`."
        )
    return tree_nodes(trees)


class _Rows:
    """Some rows of columns as LightGBM reads them: single rows in rising order, then slices."""

    def __init__(self, columns: Columns, rows: np.ndarray, batch_size: int) -> None:
        self.batch_size = batch_size
        self._columns = columns
        self._rows = rows
        self._chunk = -1
        self._values = np.empty((0, 0))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> np.ndarray:
        if isinstance(place, slice):
            return self._read(*place.indices(len(self))[:2])
        chunk = int(place) // self.batch_size
        if chunk != self._chunk:
            start = chunk * self.batch_size
            self._chunk, self._values = chunk, self._read(start, min(start + self.batch_size, len(self)))
        return self._values[int(place) % self.batch_size]

    def _read(self, start: int, stop: int) -> np.ndarray:
        rows = self._rows[start:stop]
        return np.stack([np.asarray(column[rows], "float64") for column in self._columns.values()], axis=1)
