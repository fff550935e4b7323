"""A terminal that shows data as it stands."""

from typing import Any

from rich.console import Console
from rich.text import Text

from .visible_text import visible_text


class Terminal(Console):
    r"""A Rich console on which text is never read as markup, and control characters are spelled out.

    Names, values and errors hold whatever a user's table holds: `[/b]` ends a plain console's print in an error,
    `:smile:` becomes a picture, and an escape byte reaches the terminal itself. Whoever prints data prints it here.
    Colours are given as styles, not as markup: `print(text, style="bold")` or `tagged`.

    Args:
        options: of `rich.console.Console`, as keywords.

    Example:

    >>> Terminal(width=40).print("a value: [/b] \x1b")
    a value: [/b] \x1b
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as Rich prints it: messages, cells and titles all come through here."""
        return super().render_str(visible_text(text, keep="\n\t"), **options)

    def tagged(self, tag: str, style: str, message: object) -> None:
        """Print a message behind a coloured word, such as `Error:`.

        Args:
            tag: the word, with what stands between it and the message.
            style: of the word, such as `"bold red"`.
            message: what to say.
        """
        self.print(Text.assemble((tag, style), visible_text(message, keep="\n\t")), soft_wrap=True)
