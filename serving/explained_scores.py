"""What the fields of rows contribute to their scores."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import polars as pl

# Rows that `print` shows, and characters of a value.
_ROWS, _WIDTH = 3, 32


class GroupDescriptions(Protocol):
    """What says in words which rows a group has, such as a `grouprank.reports.GroupReport`."""

    def describe(self, code: int, /) -> str:
        """One line about the group of a first-level code."""


@dataclasses.dataclass(frozen=True)
class ExplainedScores:
    """What each field contributes to each score. Made by `grouprank.serving.explain`.

    Args:
        fields: names of the fields.
        probabilities: scores by task, `(rows,)`.
        contributions: by task, the log-odds less those without the field, `(rows, fields)`.
        without: by task, the probabilities without the field, `(rows, fields)`.
        values: raw values by field.
        as_unknown: where the model reads a value as it reads an unknown one, `(rows, fields)`. The field then
            contributes 0.
        groups: learned group ids by placement, `(rows, levels)`.
        group_reports: what describes the groups, by placement.

    Example:

    See `grouprank.serving.explain`.
    """

    fields: tuple[str, ...]
    probabilities: dict[str, np.ndarray]
    contributions: dict[str, np.ndarray]
    without: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    as_unknown: np.ndarray
    groups: dict[str, np.ndarray]
    group_reports: Mapping[str, GroupDescriptions]

    def to_frame(self, most: int | None = None) -> pl.DataFrame:
        """A line for each row, task and field, the strongest fields of a row and task first.

        Args:
            most: number of fields of a row and task. `None` lists all. Defaults to `None`.
        """
        parts = []
        texts = np.stack([[_text(value) for value in self.values[name]] for name in self.fields], axis=1)
        for task, contributions in self.contributions.items():
            field = _strongest(contributions, most)
            row = np.broadcast_to(np.arange(len(field))[:, np.newaxis], field.shape)
            columns = {
                "row": row,
                "field": np.array(self.fields)[field],
                "value": texts[row, field],
                "as_unknown": self.as_unknown[row, field],
                "contribution": contributions[row, field],
                "probability": self.probabilities[task][row],
                "without": self.without[task][row, field],
            }
            frame = pl.DataFrame({name: values.reshape(-1) for name, values in columns.items()})
            parts.append(frame.insert_column(1, pl.lit(task).alias("task")))
        return pl.concat(parts).sort("row", maintain_order=True)

    def describe(self, row: int, most: int = 8) -> str:
        """One row as text: its scores, what its strongest fields add to the log-odds, and its groups.

        Args:
            row: its number.
            most: number of fields for each task. Defaults to `8`.
        """
        texts = {name: _text(values[row]) for name, values in self.values.items()}
        lines = [f"row {row}"]
        for task, contributions in self.contributions.items():
            lines.append(f"  {task} {self.probabilities[task][row]:.4g}")
            shown, others = np.split(_strongest(contributions[[row]], None)[0], [most])
            names = [self.fields[field] for field in shown]
            wide, wider = (max(map(len, column), default=0) for column in (names, [texts[name] for name in names]))
            for name, field in zip(names, shown, strict=True):
                end = f"{contributions[row, field]:+.3f}  without it {self.without[task][row, field]:.4g}"
                end = "as unknown" if self.as_unknown[row, field] else end
                lines.append(f"    {name:{wide}}  {texts[name]:{wider}}  {end}")
            if len(others):
                lines.append(f"    {len(others)} more fields, each of {abs(contributions[row, others[0]]):.3f} at most")
        for placement, codes in self.groups.items():
            text = f"  group {'.'.join(map(str, codes[row]))} of {placement}"
            report = self.group_reports.get(placement)
            lines.append(f"{text}: {report.describe(int(codes[row, 0]))}" if report else text)
        return "\n".join(lines)

    def __str__(self) -> str:
        rows = len(self.as_unknown)
        shown = [self.describe(row) for row in range(min(rows, _ROWS))]
        return "\n".join([*shown, *([f"{rows - _ROWS} more rows"] if rows > _ROWS else [])])


def _strongest(contributions: np.ndarray, most: int | None) -> np.ndarray:
    """Numbers of the fields of each row, the strongest first."""
    order: np.ndarray = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :most]
    return order


def _text(value: Any) -> str:
    """A raw value on one line, with its control characters spelled out."""
    if isinstance(value, np.ndarray):
        text = f"[{', '.join(f'{part:.4g}' for part in value[:8].tolist())}{', …' if len(value) > 8 else ''}]"
    elif isinstance(value, bytes):
        text = repr(value.decode(errors="replace"))
    else:
        text = f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
