"""Columns that hold a list of (field, id, value): one column a field."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from ..ordered_map import ordered_map
from .bad_rows import BadRows

_COUNT = "feature_num"
_LIST = "features"
_BETWEEN_FEATURES = "\x01"
_BEFORE_ID = "\x02"
_BEFORE_VALUE = "\x03"


class FeatureLists:
    r"""Turn the columns `feature_num` and `features` of a frame into one String column a field.

    A list is field, `\x02`, id, `\x03`, value, joined by `\x01`, in any order, as Ali-CCP has it.

    Args:
        single: field to column, for fields with one id per row; missing is null, further ids are dropped.
        several: field to column, for fields with several ids per row, joined by commas, highest value first.
        lengths: column to the number of ids kept, for each column of `several`.

    Example:
    >>> lists = FeatureLists({"1": "shop"}, {"2": "brands"}, {"brands": 2})
    >>> text = "1\x027\x031.0\x012\x025\x030.5\x012\x026\x030.9"
    >>> chunk = pl.DataFrame({"feature_num": [3], "features": [text]}), np.array([1])
    >>> frame, lines = next(lists.expand(Path("a.csv"), [chunk], BadRows(0)))
    >>> frame.rows()
    [('7', '6,5')]
    """

    def __init__(self, single: Mapping[str, str], several: Mapping[str, str], lengths: Mapping[str, int]) -> None:
        self._single = dict(single)
        self._several = {field: (name, lengths[name]) for field, name in several.items()}

    def expand(
        self,
        path: Path,
        chunks: Iterable[tuple[pl.DataFrame, np.ndarray]],
        bad_rows: BadRows,
        workers: int = 1,
    ) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Yield the frames with their other columns and the fields, and the line numbers of the rows that are left.

        Args:
            path: the file, for messages.
            chunks: frames with line numbers, as `DelimitedFile.chunks` yields them.
            bad_rows: what counts and limits the rows whose list does not fit.
            workers: threads that expand chunks. Defaults to 1.
        """
        with contextlib.closing(ordered_map(self._expand, chunks, workers)) as expanded:
            for frame, lines, problems in expanded:
                bad_rows.add(path, problems)
                if len(frame):
                    yield frame, lines

    def _expand(self, chunk: tuple[pl.DataFrame, np.ndarray]) -> tuple[pl.DataFrame, np.ndarray, list[tuple[int, str]]]:
        frame, lines = chunk
        lists = frame[_LIST].str.split(_BETWEEN_FEATURES)
        found = lists.list.len().to_numpy()
        items = (
            pl.DataFrame({"row": np.arange(len(frame), dtype="uint32"), "item": lists})
            .explode("item")
            .lazy()
            .with_columns(pl.col("item").str.split_exact(_BEFORE_ID, 1).struct.rename_fields(["field", "rest"]))
            .unnest("item")
            .with_columns(pl.col("rest").str.split_exact(_BEFORE_VALUE, 1).struct.rename_fields(["id", "value"]))
            .unnest("rest")
            .with_columns(pl.col("value").cast(pl.Float32, strict=False))
            .collect()
        )
        malformed = items.filter(pl.col("value").is_null() | (pl.col("id") == ""))["row"].unique().to_numpy()
        expected = frame[_COUNT].to_numpy()
        keep = found == expected
        keep[malformed] = False
        problems = [(int(lines[row]), self._problem(row, found, expected)) for row in np.flatnonzero(~keep).tolist()]
        columns = self._columns(items, len(frame))
        frame = pl.concat([frame.drop(_COUNT, _LIST), columns], how="horizontal")
        if not keep.all():
            frame, lines = frame.filter(pl.Series(keep)), lines[keep]
        return frame, lines, problems

    def _problem(self, row: int, found: np.ndarray, expected: np.ndarray) -> str:
        if found[row] != expected[row]:
            return f"column {_COUNT!r} announces {expected[row]} features. Received: {found[row]}."
        return f"column {_LIST!r}: expected field, \\x02, id, \\x03, value in every feature. Received another form."

    def _columns(self, items: pl.DataFrame, rows: int) -> pl.DataFrame:
        """A String column of `rows` values for every field."""
        every = pl.DataFrame({"row": np.arange(rows, dtype="uint32")})
        by_field = items.partition_by("field", as_dict=True, include_key=False)
        nothing = items.clear().drop("field")
        columns = {}
        for field, name in self._single.items():
            ids = by_field.get((field,), nothing).unique("row", keep="first")
            columns[name] = every.join(ids, on="row", how="left", maintain_order="left")["id"]
        for field, (name, length) in self._several.items():
            ids = by_field.get((field,), nothing).sort("row", "value", descending=[False, True], maintain_order=True)
            lists = ids.group_by("row").agg(pl.col("id").head(length).str.join(","))
            columns[name] = every.join(lists, on="row", how="left", maintain_order="left")["id"]
        return pl.DataFrame(columns)
