"""Tables in Markdown."""

from collections.abc import Collection, Iterable, Sequence


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], text_columns: Collection[int] = (0,)) -> str:
    """A Markdown table of text cells, columns of numbers to the right.

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
    lines = ["| " + " | ".join(columns) + " |"]
    lines.append("|" + "|".join("---" if number in text_columns else "---:" for number in range(len(columns))) + "|")
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
