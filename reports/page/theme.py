"""Colours of the page and its charts, and how verdicts look."""

import dataclasses

# Light and dark, by what a colour is for. Charts are drawn in the light ones and get `var(--name)` in their place, so
# that they follow the page; no two light colours may be the same.
COLORS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#12161c"),
    "card": ("#f5f7f9", "#1b2129"),
    "ink": ("#1c2128", "#e6e9ee"),
    "muted": ("#57606a", "#a3adb9"),
    "line": ("#d0d7de", "#39424e"),
    "band": ("#e6eaef", "#2a323c"),
    "link": ("#0b5cad", "#6cb6ff"),
    "better": ("#0a5fa8", "#62b0f5"),
    "better-fill": ("#b5d6f2", "#1f4d78"),
    "worse": ("#b23c00", "#ff9a5c"),
    "series-0": ("#0072b2", "#56b4e9"),
    "series-1": ("#c4500a", "#ff9455"),
    "series-2": ("#00805e", "#2fc79c"),
    "series-3": ("#a8528c", "#e39acb"),
    "series-4": ("#857000", "#dcc04a"),
    "series-5": ("#4b4b9b", "#a9a9f2"),
    "series-6": ("#7a3b12", "#d3a07c"),
    "rate-0": ("#762a83", "#b469c4"),
    "rate-1": ("#c2a5cf", "#7d5a8c"),
    "rate-2": ("#e2e4e8", "#4a525c"),
    "rate-3": ("#a6dba0", "#4d8a55"),
    "rate-4": ("#1b7837", "#3fbf68"),
}


def color(name: str) -> str:
    """The light colour of a name, which charts are drawn in.

    Example:

    >>> color("paper")
    '#ffffff'
    """
    return COLORS[name][0]


SERIES = tuple(color(name) for name in COLORS if name.startswith("series-"))
MARKERS = ("s", "^", "D", "v", "P", "X", "p")


@dataclasses.dataclass(frozen=True)
class VerdictStyle:
    """How a verdict looks; it never differs only in colour.

    Args:
        role: name of its colour, and class of its text.
        symbol: before its word.
        marker: of its point in a chart.
        fill: name of the colour of its bar in a chart.
        hatch: of its bar in a chart.
    """

    role: str
    symbol: str
    marker: str
    fill: str = "band"
    hatch: str = ""


VERDICTS = {
    "better": VerdictStyle("better", "▲", "^", fill="better-fill"),
    "worse": VerdictStyle("worse", "▼", "v", fill="paper", hatch="////"),
    "no difference seen": VerdictStyle("muted", "○", "o"),
    "one seed: no claim": VerdictStyle("muted", "◇", "D"),
    "insufficient data": VerdictStyle("muted", "…", "o"),
    "baseline": VerdictStyle("muted", "·", "o"),
}
