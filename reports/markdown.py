"""Tables in Markdown."""

from collections.abc import Collection, Iterable, Sequence

from .escape_markdown import escape_markdown


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], text_columns: Collection[int] = (0,)) -> str:
    """A Markdown table of text cells; columns of numbers are aligned to the right, and names are never interpreted.

    Args:
        columns: heads of the columns.
        rows: cells.
        text_columns: numbers of the columns that go to the left. Defaults to `(0,)`.

    Example:

    >>> print(markdown_table(["task", "NE"], [["click", "0.87"]]))
    | task | NE |
    |---|---:|
    | click | 0.87 |
    """
    alignment = ["---" if number in text_columns else "---:" for number in range(len(columns))]
    lines = [_line(columns), f"|{'|'.join(alignment)}|", *(_line(row) for row in rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape_markdown(cell) for cell in cells) + " |"
