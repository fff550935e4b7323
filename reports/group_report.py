"""What the learned groups of a placement are."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from .escape_markdown import escape_markdown
from .markdown import markdown_table
from .polars_frame import polars_frame
from .segmentation import Segmentation
from .visible_text import visible_text


@dataclasses.dataclass(frozen=True)
class Level:
    """How one level's codes are used.

    Args:
        level: number of the level, from 1.
        used: number of codes that have rows.
        dead: number of codes without rows.
        perplexity: exp of the entropy of the codes' shares, i.e. the number of equally used codes with the same
            entropy.
        residual_norm: mean Euclidean norm of the residual after this level, `None` if not given.
    """

    level: int
    used: int
    dead: int
    perplexity: float
    residual_norm: float | None


@dataclasses.dataclass(frozen=True)
class Lift:
    """A feature value that is more frequent in a group than elsewhere.

    Args:
        value: `column=value`.
        lift: its share in the group over its share in all rows.
        share: share of the group's rows that have it.
    """

    value: str
    lift: float
    share: float


@dataclasses.dataclass(frozen=True)
class Group:
    """What the rows of one level-1 code have in common.

    Args:
        code: the code.
        rows: number of its rows.
        share: share of all rows.
        rates: mean label by task, `None` without labelled rows.
        lifts: feature values that tell its rows from others, the most telling first.
        shares_over_time: share of the rows of each period, in order.

    Example:

    >>> Group(3, 50, 0.1, {"click": 0.4}, (), (0.2, 0.1)).drift
    0.5
    """

    code: int
    rows: int
    share: float
    rates: dict[str, float | None]
    lifts: tuple[Lift, ...]
    shares_over_time: tuple[float, ...]

    @property
    def drift(self) -> float | None:
        """Share in the last period over the share in the first; `None` with one period or a first share of 0."""
        if len(self.shares_over_time) < 2 or not self.shares_over_time[0]:
            return None
        return self.shares_over_time[-1] / self.shares_over_time[0]


@dataclasses.dataclass(frozen=True)
class GroupReport:
    """The groups that a placement has learned. Made by `group_report`.

    Args:
        placement: name of the placement.
        rows: number of rows.
        codebook_size: number of codes per level.
        levels: use of the codes, one entry per level.
        rates: mean label of all rows by task.
        periods: names of the periods of time.
        groups: level-1 groups, the largest first.

    Example:

    ```python
    report = gr.reports.group_report("user", model.groups(x)["user"], 64, features, labels)
    print(report.to_markdown())
    ```
    """

    placement: str
    rows: int
    codebook_size: int
    levels: tuple[Level, ...]
    rates: dict[str, float | None]
    periods: tuple[str, ...]
    groups: tuple[Group, ...]

    def describe(self, code: int) -> str:
        """One line about the rows of a level-1 group: share of all rows, rates, and feature values that tell them.

        Args:
            code: its code.
        """
        group = next((group for group in self.groups if group.code == code), None)
        if group is None:
            return f"none of the {self.rows:,} rows of the report"
        parts = [f"{100 * group.share:.1f} % of rows"]
        for task, rate in group.rates.items():
            everywhere = self.rates[task]
            if rate is not None and everywhere is not None:
                parts.append(f"{task} {100 * rate:.2f} % (all {100 * everywhere:.2f} %)")
        parts.extend(f"{visible_text(found.value)} (×{found.lift:.1f})" for found in group.lifts)
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        groups = [{**dataclasses.asdict(group), "drift": group.drift} for group in self.groups]
        return {**dataclasses.asdict(self), "groups": groups}

    def to_markdown(self, most: int = 12) -> str:
        """Use of the levels, and what the `most` largest groups are."""
        levels = [
            (
                str(level.level),
                f"{level.used} of {self.codebook_size}",
                str(level.dead),
                f"{level.perplexity:.1f}",
                "–" if level.residual_norm is None else f"{level.residual_norm:.3f}",
            )
            for level in self.levels
        ]
        tasks = list(self.rates)
        groups = [
            (
                str(group.code),
                f"{group.rows:,}",
                f"{100 * group.share:.1f}",
                *("–" if (rate := group.rates[task]) is None else f"{100 * rate:.2f}" for task in tasks),
                "; ".join(f"{found.value} (×{found.lift:.1f})" for found in group.lifts) or "–",
                "–" if group.drift is None else f"×{group.drift:.2f}",
            )
            for group in self.groups[:most]
        ]
        parts = [
            f"### Groups at {escape_markdown(self.placement)}, {self.rows:,} rows\n",
            markdown_table(("level", "codes used", "dead", "perplexity", "residual norm"), levels, text_columns=()),
            "",
            markdown_table(
                (
                    "group",
                    "rows",
                    "share, %",
                    *(f"{task}, %" for task in tasks),
                    "feature values (lift)",
                    "share over time",
                ),
                groups,
                text_columns=(0, 3 + len(tasks)),
            ),
        ]
        if len(self.groups) > most:
            parts.append(f"\n{len(self.groups) - most} smaller groups are not shown.")
        return "\n".join(parts) + "\n"


def group_report(
    placement: str,
    codes: ArrayLike,
    codebook_size: int,
    features: Any = None,
    labels: Any = None,
    time: ArrayLike | None = None,
    residual_norms: Sequence[float] | None = None,
    most_lifts: int = 5,
    min_support: float = 0.05,
    min_lift: float = 1.2,
) -> GroupReport:
    """Describe the groups of a placement by their rows.

    A value is telling when it is frequent in the group and rare elsewhere. Values
    are ordered by `share · log(lift)`, the group's part in the mutual information between group and value. Lift alone
    would put the rarest values first.

    Args:
        placement: name for tables.
        codes: group ids `(rows, levels)`, as `model.groups` returns them.
        codebook_size: number of codes per level.
        features: raw columns of the same rows, a polars or pandas frame; numeric ones are cut at quartiles. Defaults to
            `None`.
        labels: arrays by task or a frame, NaN where unobserved. Defaults to `None`.
        time: a period for each row, such as its day; periods are sorted. Defaults to `None`.
        residual_norms: residual norms of the levels, as `ResidualQuantizer.residual_norms` returns them. Defaults to
            `None`.
        most_lifts: feature values shown for a group. Defaults to `5`.
        min_support: least share of the group's rows that a value must have. Defaults to `0.05`.
        min_lift: least lift of a value. Defaults to `1.2`.

    Raises:
        ValueError: when codes, features, labels and time have different numbers of rows, or a code is out of range.

    Example:

    >>> codes = np.array([[0, 1], [0, 0], [1, 1], [1, 0]])
    >>> features = pl.DataFrame({"os": ["ios", "ios", "android", "ios"]})
    >>> report = group_report("user", codes, 4, features, {"click": [1, 0, 0, 0]})
    >>> report.groups[1].lifts[0], report.levels[0].dead
    (Lift(value='os=android', lift=2.0, share=0.5), 2)
    """
    codes = np.asarray(codes)
    rows = len(codes)
    features = None if features is None else polars_frame(features)
    tasks = [] if labels is None else list(getattr(labels, "columns", labels))
    targets = {task: np.asarray(labels[task], "float64").reshape(-1) for task in tasks}
    given = {"features": features, "time": time, **{f"labels[{task!r}]": y for task, y in targets.items()}}
    for name, values in given.items():
        if values is not None and len(values) != rows:
            raise ValueError(
                f"`{name}` must have a row for each of the {rows} rows of `codes`. Received: {len(values)}."
            )
    if codes.ndim != 2 or not rows or codes.min() < 0 or codes.max() >= codebook_size:
        raise ValueError(
            f"`codes` must be integers in [0, {codebook_size}) of shape (rows, levels). Received: shape {codes.shape}"
            + (f", from {codes.min()} to {codes.max()}." if codes.size else ".")
        )
    first = codes[:, 0]
    counts = np.bincount(first, minlength=codebook_size)
    lifts = _lifts(first, counts, features, most_lifts, min_support, min_lift)
    periods, over_time = _over_time(first, codebook_size, time)
    found = [
        Group(
            code=int(code),
            rows=int(counts[code]),
            share=float(counts[code] / rows),
            rates={task: _rate(y[first == code]) for task, y in targets.items()},
            lifts=tuple(lifts.get(int(code), ())),
            shares_over_time=tuple(float(share) for share in over_time[:, code]),
        )
        for code in np.argsort(-counts, kind="stable")
        if counts[code]
    ]
    return GroupReport(
        placement=placement,
        rows=rows,
        codebook_size=codebook_size,
        levels=tuple(_level(codes, level, codebook_size, residual_norms) for level in range(codes.shape[1])),
        rates={task: _rate(y) for task, y in targets.items()},
        periods=periods,
        groups=tuple(found),
    )


def _level(codes: np.ndarray, level: int, size: int, norms: Sequence[float] | None) -> Level:
    shares = np.bincount(codes[:, level], minlength=size) / len(codes)
    used = shares[shares > 0]
    perplexity = float(np.exp(-np.sum(used * np.log(used))))
    norm = None if norms is None else float(norms[level])
    return Level(level + 1, len(used), size - len(used), perplexity, norm)


def _rate(labels: np.ndarray) -> float | None:
    seen = labels[~np.isnan(labels)]
    return float(seen.mean()) if len(seen) else None


def _lifts(
    first: np.ndarray, counts: np.ndarray, features: pl.DataFrame | None, most: int, min_support: float, min_lift: float
) -> dict[int, list[Lift]]:
    if features is None:
        return {}
    tables = []
    for column in features.columns:
        frame = pl.DataFrame({"code": first, "value": _values(features, column)})
        everywhere = frame.group_by("value").len("all")
        tables.append(frame.group_by("code", "value").len("rows").join(everywhere, on="value"))
    size = pl.DataFrame({"code": np.arange(len(counts)), "size": counts})
    table = pl.concat(tables).join(size.cast({"code": tables[0]["code"].dtype}), on="code")
    table = table.with_columns(share=pl.col("rows") / pl.col("size"))
    table = table.with_columns(lift=pl.col("share") / (pl.col("all") / len(first)))
    table = table.filter((pl.col("share") >= min_support) & (pl.col("lift") >= min_lift))
    table = table.with_columns(telling=pl.col("share") * pl.col("lift").log())
    # By name where equal, so that a report does not change between runs.
    table = table.sort("telling", "value", descending=[True, False]).group_by("code", maintain_order=True).head(most)
    found: dict[int, list[Lift]] = {}
    for code, value, lift, share in table.select("code", "value", "lift", "share").iter_rows():
        found.setdefault(int(code), []).append(Lift(value, lift, share))
    return found


def _values(features: pl.DataFrame, column: str) -> pl.Series:
    """`column=value` of each row, numbers with a fraction cut at their quartiles."""
    known = features[column].dtype.is_float() and features[column].fill_nan(None).drop_nulls().len()
    cut = Segmentation.quantiles(features, column, 4) if known else Segmentation(column)
    return cut.labels(features)


def _over_time(first: np.ndarray, size: int, time: Any) -> tuple[tuple[str, ...], np.ndarray]:
    if time is None:
        return (), np.zeros((0, size))
    periods, place = np.unique(np.asarray(time), return_inverse=True)
    counts = np.zeros((len(periods), size))
    np.add.at(counts, (place.reshape(-1), first), 1.0)
    return tuple(str(period) for period in periods), counts / counts.sum(axis=1, keepdims=True)
