"""Names and values of users' data on terminals: shown as they stand, never acted upon."""

import io

import pytest
from rich.table import Table

from grouprank.reports.terminal import Terminal
from grouprank.reports.visible_text import visible_text

HOSTILE = ["[/b]", "[bold red]x", "\x1b[2J\x1b]0;title\x07", ":smile:", "a\\", "[link=file:///x]y[/link]", "\x9b31m"]


def shown(print_it, **options):
    file = io.StringIO()
    print_it(Terminal(file=file, width=200, force_terminal=True, color_system=None, **options))
    return file.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_shows_text_as_it_stands(text):
    table = Table(text, title=text)
    table.add_row(text)
    printed = [
        shown(lambda terminal: terminal.print(text)),
        shown(lambda terminal: terminal.print(text, style="bold")),
        shown(lambda terminal: terminal.tagged("Error: ", "bold red", ValueError(text))),
    ]
    assert all(visible_text(text) in found for found in printed)
    cells = shown(lambda terminal: terminal.print(table))
    assert cells.count(visible_text(text)) == 3
    for found in (*printed, cells):
        assert all(sign.isprintable() or sign == "\n" for sign in found)


def test_lines_of_a_message_stay_lines():
    assert shown(lambda terminal: terminal.print("one\n\ttwo\x1b")).split() == ["one", "two\\x1b"]
    assert visible_text("one\ntwo") == "one\\ntwo"
    assert visible_text("价格 é 🙂") == "价格 é 🙂"
    assert visible_text("a\u2028\u202e\x85\ud800") == "a\\u2028\\u202e\\x85\\ud800"
