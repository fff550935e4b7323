"""Figures of matplotlib as SVG inside HTML."""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from markupsafe import Markup

from ...extras import require_extra
from ..clean import clean
from .theme import COLORS, color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Width of every figure in points. On a phone the picture is 350 pixels wide, and text of 10.5 is still readable.
WIDTH = 380.0

# A `gid` for text that lies on lines or bubbles: the style sheet draws an edge of the paper's colour around it.
HALO = "halo"

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: the page's font, found by search, small
    "svg.hashsalt": "grouprank",
    "text.parse_math": False,  # a `$` in a name is no formula
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.0,
    "text.color": color("ink"),
    "axes.labelcolor": color("muted"),
    "axes.edgecolor": color("line"),
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": color("line"),
    "grid.linewidth": 0.6,
    "xtick.color": color("line"),
    "ytick.color": color("line"),
    "xtick.labelcolor": color("muted"),
    "ytick.labelcolor": color("muted"),
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "hatch.linewidth": 1.2,
}
_BY_LIGHT = {light: name for name, (light, _) in COLORS.items()}
_LONG = re.compile(r"(\d+\.\d\d)\d+")
_FONT_FAMILY = re.compile(r"font-family:[^;]*;?\s*")


class SvgFigure:
    """A figure to draw on, and its SVG when the block ends.

    Pages of equal content are equal to the byte. Ids begin with the figure's name, since all figures of a page share
    one set of ids.

    Args:
        name: prefix of the ids, another for each figure of a page.
        height: in points.
        label: text alternative: what the figure says, in words.

    Example:

    >>> with SvgFigure("figure-1", 100, "A line that rises.") as drawing:
    ...     _ = drawing.figure.add_subplot().plot([0, 1], [0, 1])
    >>> drawing.svg[:71]
    Markup('<svg viewBox="0 0 380 100" role="img" aria-label="A line that rises."><')
    """

    def __init__(self, name: str, height: float, label: str) -> None:
        self.name, self.height, self.label = name, height, label
        self.svg = Markup("")
        self.figure: Figure

    def __enter__(self) -> "SvgFigure":
        require_extra("reports", "A chart of a report")
        from matplotlib import style
        from matplotlib.figure import Figure

        # Over matplotlib's defaults, whatever the caller has set.
        self._settings = style.context(["default", _SETTINGS])
        self._settings.__enter__()
        self.figure = Figure(figsize=(WIDTH / 72.0, self.height / 72.0))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.svg = self._inline()
        finally:
            self._settings.__exit__(None, None, None)

    def _inline(self) -> Markup:
        written = io.BytesIO()
        with warnings.catch_warnings():
            # Names in any script: the reader's font has the letters that the one used for measuring lacks.
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            self.figure.savefig(written, format="svg", metadata={"Date": None})
        root = ET.fromstring(written.getvalue())
        for parent in list(root.iter()):
            for child in list(parent):
                # matplotlib's style sheet would be the whole page's.
                if _local(child.tag) in ("metadata", "style"):
                    parent.remove(child)
        used = set(re.findall(r"#([\w.-]+)\"", written.getvalue().decode()))
        used |= set(re.findall(r"url\(#([\w.-]+)\)", written.getvalue().decode()))
        for element in root.iter():
            self._mend(element, used)
        root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": clean(self.label)}
        text = ET.tostring(root, encoding="unicode", short_empty_elements=True)
        return Markup(re.sub(r">\s+<", "><", text).strip())

    def _mend(self, element: ET.Element, used: set[str]) -> None:
        element.tag = _local(element.tag)
        element.text = (element.text or "").strip() or None
        element.tail = None
        attributes = {_local(name): value for name, value in element.attrib.items()}
        if "fill" in attributes:  # of a hatch's ground; only a style may hold a variable everywhere
            attributes["style"] = f"fill: {attributes.pop('fill')}"
        identity = attributes.pop("id", None)
        if identity in used:
            attributes["id"] = f"{self.name}-{identity}"
        elif identity == HALO:
            attributes["class"] = HALO
        for name, value in attributes.items():
            if name == "href":
                value = f"#{self.name}-{value[1:]}"
            elif name == "style":
                value = _FONT_FAMILY.sub("", re.sub("#[0-9a-f]{6}", _variable, value)).rstrip("; ")
            elif name in ("d", "x", "y", "transform", "width", "height"):
                value = " ".join(_LONG.sub(r"\1", value).split())
            attributes[name] = value.replace("url(#", f"url(#{self.name}-")
        if attributes.get("transform", "").startswith("rotate(-0 "):
            del attributes["transform"]
        element.attrib = attributes


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _variable(found: "re.Match[str]") -> str:
    name = _BY_LIGHT.get(found.group())
    return found.group() if name is None else f"var(--{name})"
