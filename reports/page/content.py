"""What a page is made of."""

import dataclasses
from typing import ClassVar

from markupsafe import Markup


@dataclasses.dataclass(frozen=True)
class Prose:
    """Paragraphs.

    Args:
        html: escaped already.
    """

    kind: ClassVar = "prose"
    html: Markup


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar = "heading"
    text: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """A picture with its title, a caption and its text alternative in the picture's `aria-label`.

    Args:
        title: what is shown.
        svg: the picture.
        caption: what it says, below the title.
    """

    title: str
    svg: Markup
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Charts:
    """Pictures side by side where there is room."""

    kind: ClassVar = "charts"
    charts: tuple[Chart, ...]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: its head.
        text: words, to the left and sorted as words; else numbers. Defaults to `False`.
        facet: readers may choose rows by its values. Defaults to `False`.
        wide: long words, which may need several lines. Defaults to `False`.
        phrase: figures with their interval, on several lines where the screen is narrow. Defaults to `False`.
        printed: whether it is on paper, too. Defaults to `True`.
    """

    name: str
    text: bool = False
    facet: bool = False
    wide: bool = False
    phrase: bool = False
    printed: bool = True


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        cells: text in the order of the columns. The first is the row's head, and a verdict gets its symbol.
        printed: whether it is on paper, too. Defaults to `True`.
    """

    cells: tuple[str, ...]
    printed: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that readers can sort, and filter where it is long.

    Args:
        caption: what it holds.
        columns: its columns.
        rows: its rows.
        folded: shown when asked for. Defaults to `False`.
    """

    kind: ClassVar = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page with a heading.

    Args:
        title: its heading.
        blocks: its content, in order.
    """

    title: str
    blocks: tuple[Prose | Heading | Charts | Table, ...]
