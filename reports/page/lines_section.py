"""Pictures of lines and the tables of their figures."""

from collections.abc import Iterator, Sequence

from .content import Chart, Charts, Column, Prose, Row, Section, Table
from .line_chart import LineChart
from .prose import prose


def lines_section(charts: Sequence[LineChart], names: Iterator[str], title: str, text: str | None) -> Section:
    """The section; a chart without any value is not drawn.

    Args:
        charts: what is drawn.
        names: of figures, each once.
        title: of the section.
        text: paragraphs before the pictures, or `None`.
    """
    drawn = tuple(Chart(chart.title, chart.draw(next(names)), chart.caption) for chart in charts if chart.values)
    blocks: list[Prose | Charts | Table] = [] if text is None else [prose(text)]
    blocks.append(Charts(drawn))
    for chart in charts:
        columns = [Column(name, phrase=name in chart.intervals) for name in chart.lines]
        head = Column(chart.x_label, text=isinstance(chart.x[0], str))
        caption = f"{chart.title}: {chart.y_label} by {chart.x_label}"
        blocks.append(Table(caption, (head, *columns), tuple(map(Row, chart.cells())), folded=True))
    return Section(title, tuple(blocks))
