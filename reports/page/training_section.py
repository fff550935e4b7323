"""Training curves, epoch by epoch."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..names import listed, named, quoted
from .content import Chart, Charts, Column, Row, Section, Table
from .line_axes import LEFT, draw_legend, legend_rows, line_styles
from .prose import prose
from .svg import SvgFigure
from .wording import NONE, counted, number

History = Mapping[str, Sequence[float]]

# Its title, and the figures that are drawn solid and dashed.
_Panel = tuple[str, str, str | None]

_NE = "normalized_entropy"
_ABOUT = """Thin lines are seeds, thick ones their mean. NE: solid on validation rows, dashed on training rows. The
losses of models that add auxiliary terms do not compare with those of others; their NE does."""


def training_section(
    histories: Mapping[str, Sequence[History]], baseline: str | None, names: Iterator[str], title: str
) -> Section:
    """The section.

    Args:
        histories: for each model the histories of its seeds, `{figure: one value per epoch}` each, under Keras' names.
        baseline: which of the models is the baseline.
        names: of figures, each once.
        title: of the section.

    Raises:
        ValueError: when there is no epoch.
    """
    runs = {model: [_arrays(history) for history in of_model] for model, of_model in histories.items()}
    keys = list(dict.fromkeys(key for of_model in runs.values() for history in of_model for key in history))
    if not keys:
        raise ValueError(
            '`histories` must hold epochs, e.g. {"ours": [{"loss": [0.7, 0.6], "val_loss": [0.71, 0.65]}]}. '
            f"Received: {dict(histories)!r}."
        )
    keys = [key for key in keys if any(np.isfinite(h[key]).any() for of in runs.values() for h in of if key in h)]
    losses = (("training loss", "loss"), ("validation loss", "val_loss"))
    panels: list[_Panel] = [(shown, key, None) for shown, key in losses if key in keys]
    for key in dict.fromkeys(key.removeprefix("val_") for key in keys if key.endswith(_NE)):
        task = key.removesuffix(_NE).rstrip("_")
        panels.append((f"NE, {task}" if task else "NE", f"val_{key}", key))
    charts = tuple(_chart(panel, runs, baseline, next(names)) for panel in panels)
    return Section(title, (prose(_ABOUT), Charts(charts), _table(runs, panels)))


def _arrays(history: History) -> dict[str, np.ndarray]:
    """Figures as numbers, without those that are not numbers, such as dates."""
    found = {}
    for key, values in history.items():
        try:
            found[key] = np.array([np.nan if value is None else float(value) for value in values])
        except (TypeError, ValueError):
            continue
    return {key: values for key, values in found.items() if len(values) and key != "epoch"}


def _mean(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over the seeds that reached an epoch, as far as all did."""
    length = min(len(curve) for curve in curves)
    return np.mean([curve[:length] for curve in curves], axis=0)


def _chart(
    panel: _Panel,
    runs: Mapping[str, Sequence[dict[str, np.ndarray]]],
    baseline: str | None,
    name: str,
) -> Chart:
    title, solid, dashed = panel
    models = [model for model, of_model in runs.items() if any(solid in h or dashed in h for h in of_model)]
    styles = line_styles(list(runs), baseline)
    foot = 16.0 * legend_rows(models) + 6.0
    height = 218.0 + foot
    with SvgFigure(name, height, f"{named(title)} by epoch. {_finding(solid, runs)}") as drawing:
        axes = drawing.figure.add_axes((LEFT, (foot + 36.0) / height, 0.985 - LEFT, 176.0 / height))
        longest = 1
        for model in models:
            line = {"color": styles[model]["color"]}
            for key, dashes in ((solid, "-"), (dashed, (0, (3, 2)))):
                curves = [history[key] for history in runs[model] if key in history]
                for curve in curves if key == solid and len(curves) > 1 else ():
                    axes.plot(np.arange(1, len(curve) + 1), curve, linewidth=0.8, alpha=0.4, **line)
                if curves:
                    mean = _mean(curves)
                    marks = {"marker": styles[model]["marker"], "markersize": 4.5} if key == solid else {}
                    axes.plot(np.arange(1, len(mean) + 1), mean, linewidth=1.8, linestyle=dashes, **marks, **line)
                    longest = max(longest, *(len(curve) for curve in curves))
        step = -(-longest // 12)
        axes.set(xlim=(0.7, longest + 0.3), xticks=np.arange(1, longest + 1, step), xlabel="epoch")
        axes.locator_params(axis="y", nbins=6)
        draw_legend(axes, models, {model: {**styles[model], "linestyle": "-"} for model in models})
    return Chart(title, drawing.svg)


def _finding(key: str, runs: Mapping[str, Sequence[dict[str, np.ndarray]]]) -> str:
    said = []
    for model, of_model in zip(quoted(list(runs)), runs.values(), strict=True):
        curves = [history[key] for history in of_model if key in history and np.isfinite(history[key]).any()]
        if curves:
            mean = _mean(curves)
            if np.isfinite(mean).any():
                best = int(np.nanargmin(mean))
                said.append(f"{model} {mean[best]:.4f} at epoch {best + 1} of {len(mean)}")
    return f"Lowest mean: {listed(said)}." if said else ""


def _table(runs: Mapping[str, Sequence[dict[str, np.ndarray]]], panels: Sequence[_Panel]) -> Table:
    keys = [(title, key) for title, key, _ in panels if key != "loss"]
    rows = []
    for model, of_model in runs.items():
        for seed, history in enumerate(of_model):
            watched = history.get("val_loss", history.get("loss"))
            if watched is None or not np.isfinite(watched).any():
                rows.append(Row((model, str(seed + 1), *[NONE] * (2 + len(keys)))))
                continue
            best = int(np.nanargmin(watched))
            figures = [number(float(history[key][best]), 5) if key in history else NONE for _, key in keys]
            rows.append(Row((model, str(seed + 1), str(len(watched)), str(best + 1), *figures)))
    columns = [Column("model", text=True, facet=True), Column("run"), Column("epochs"), Column("best epoch")]
    columns += [Column(title if key.endswith("loss") else f"{title}, validation") for title, key in keys]
    caption = f"{counted(len(rows), 'run')}: the epoch of the lowest validation loss, and the figures in it"
    return Table(caption, tuple(columns), tuple(rows), folded=len(rows) > 12)
