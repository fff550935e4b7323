"""Calibration: what was predicted against what happened."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ..names import listed, named, quoted
from ..statistics import PredictionSums, SegmentFigures
from .content import Chart, Charts, Column, Row, Section, Table
from .line_axes import LEFT, draw_legend, legend_rows, line_styles, set_rate_axis
from .prose import prose
from .svg import SvgFigure
from .theme import color
from .wording import NONE, counted, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Rates below it are so small that linear axes would press them into a corner.
SMALL_RATE = 0.02

_ABOUT = """The test rows of all seeds are in bins of about equal weight along each model's own prediction. The upper
picture shows the mean label of a bin over its mean prediction; on the dotted line both agree. The lower picture shows
their ratio, in which small deviations are visible; above 1 more happens than was predicted. The expected calibration
error (ECE) of the table is the mean distance between both over the bins."""


def calibration_section(
    sums: PredictionSums, models: Sequence[str] | None, names: Iterator[str], title: str
) -> Section:
    """The section.

    Args:
        sums: predictions, added up.
        models: which; `None` takes all.
        names: of figures, each once.
        title: of the section.

    Raises:
        ValueError: on an unknown model.
    """
    chosen = list(sums.models) if models is None else list(models)
    unknown = [model for model in chosen if model not in sums.models]
    if unknown or not chosen:
        raise ValueError(f"`models` must name some of {sums.models}. Received: models={chosen}.")
    charts, rows = [], []
    for task in sums.tasks:
        figures = SegmentFigures(sums, task)
        said = []
        for model, name in zip(chosen, quoted(chosen), strict=True):
            ratio, error = figures.calibration(model), figures.expected_calibration_error(model)
            shown = (NONE, NONE) if ratio is None else (f"{ratio.value:.4f}", f"{ratio.low:.4f} to {ratio.high:.4f}")
            rows.append(Row((model, task, *shown, number(error, 5))))
            if ratio is not None:
                said.append(f"{name} {ratio.value:.3f}")
        # A mean prediction of 0 has no ratio.
        curves = {model: _positive(sums.histogram(model, task).curve()) for model in chosen}
        if said and any(len(curve) for curve in curves.values()):
            finding = f"Predicted over observed as a whole: {listed(said)}."
            label = f"Calibration curves on {named(task)}, observed against predicted rates. {finding}"
            svg, notes = _chart(next(names), curves, sums.models[0], label)
            charts.append(Chart(task, svg, f"{finding} {notes}".strip()))
    columns = (
        Column("model", text=True),
        Column("task", text=True, facet=True),
        Column("calibration Σp/Σy"),
        Column("95 % interval"),
        Column("ECE"),
    )
    table = Table("Calibration of the whole and expected calibration error by task and model", columns, tuple(rows))
    return Section(title, (prose(_ABOUT), Charts(tuple(charts)), table))


def _positive(curve: np.ndarray) -> np.ndarray:
    return curve[curve[:, 0] > 0.0]


def _chart(name: str, curves: dict[str, np.ndarray], baseline: str, label: str) -> tuple[Markup, str]:
    """The picture and its caption."""
    every = np.concatenate(list(curves.values()))
    logarithmic = bool(np.median(every[:, 1]) < SMALL_RATE or np.quantile(every[:, 0], 0.1) < SMALL_RATE)
    hidden = 0
    if logarithmic:
        hidden = int(np.sum(every[:, 1] <= 0.0))
        curves = {model: curve[curve[:, 1] > 0.0] for model, curve in curves.items()}
        every = every[every[:, 1] > 0.0]
    limits = [
        (low / 1.3, min(1.0, high * 1.3)) if logarithmic else (0.0, min(1.0, high * 1.08))
        for low, high in zip(every[:, :2].min(axis=0), every[:, :2].max(axis=0), strict=True)
    ]
    models = list(curves)
    styles = line_styles(models, baseline)
    foot = 16.0 * legend_rows(models) + 6.0
    height = 328.0 + foot
    with SvgFigure(name, height, label) as drawing:
        above = drawing.figure.add_axes((LEFT, (foot + 132.0) / height, 0.985 - LEFT, 190.0 / height))
        below = drawing.figure.add_axes((LEFT, (foot + 36.0) / height, 0.985 - LEFT, 84.0 / height))
        set_rate_axis(above, "x", limits[0], logarithmic)
        set_rate_axis(above, "y", limits[1], logarithmic)
        set_rate_axis(below, "x", limits[0], logarithmic)
        above.tick_params(labelbottom=False)
        every_rate = [min(limits[0][0], limits[1][0]), max(limits[0][1], limits[1][1])]
        above.plot(every_rate, every_rate, color=color("muted"), linestyle=":", linewidth=1.2)
        below.axhline(1.0, color=color("muted"), linestyle=":", linewidth=1.2)
        for model, curve in curves.items():
            predicted, observed, _ = curve.T
            line = {**styles[model], "linewidth": 1.4, "markersize": 4.0}
            above.plot(predicted, observed, **line)
            below.plot(predicted, observed / predicted, **line)
        _set_ratio_limits(below, [curve[:, 1] / curve[:, 0] for curve in curves.values()])
        above.set_ylabel("observed")
        below.set_ylabel("obs. / pred.")
        below.set_xlabel("predicted")
        draw_legend(above, models, styles)
    caption = "Logarithmic axes." if logarithmic else ""
    if hidden:
        caption += f" {counted(hidden, 'bin')} without positives cannot be on them."
    return drawing.svg, caption.strip()


def _set_ratio_limits(axes: "Axes", ratios: Sequence[np.ndarray]) -> None:
    reach = float(np.quantile(np.abs(np.concatenate(ratios) - 1.0), 0.98)) * 1.25
    reach = min(max(reach, 0.02), 2.0)
    axes.set_ylim(max(0.0, 1.0 - reach), 1.0 + reach)
    axes.locator_params(axis="y", nbins=5)
