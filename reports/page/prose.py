"""Plain text with a little Markdown, as HTML."""

import re
from collections.abc import Mapping

from markupsafe import Markup, escape

from ..clean import clean
from .content import Prose

_INLINE = re.compile(r"(`[^`\n]+`|\*\*[^*\n]+\*\*)")


def prose(text: str, names: Mapping[str, str] | None = None) -> Prose:
    r"""Paragraphs and lists of plain text; everything else that looks like HTML is shown as it stands.

    An empty line ends a paragraph, lines that begin with `- ` are a list, and `**bold**` and code in backticks are
    what they are in Markdown.

    Args:
        text: the text.
        names: what stands in place of `{name}` in the text, and is never read as Markdown. Defaults to `None`, which
            leaves braces as they are.

    Example:

    >>> prose("Use `a < b`.").html
    Markup('<p>Use <code>a &lt; b</code>.</p>')
    >>> prose("- one\n- **two**").html
    Markup('<ul><li>one</li><li><strong>two</strong></li></ul>')
    >>> prose("Of `{model}`.", {"model": "a`**b**"}).html
    Markup('<p>Of <code>a`**b**</code>.</p>')
    """
    given = None if names is None else {name: " ".join(clean(value).split()) for name, value in names.items()}
    parts = []
    for block in re.split(r"\n\s*\n", clean(text).strip()):
        lines = [line.strip() for line in block.splitlines()]
        paragraph = [line for line in lines if not line.startswith("- ")]
        items = [line[2:] for line in lines if line.startswith("- ")]
        if paragraph:
            parts.append(Markup("<p>{}</p>").format(_inline(" ".join(paragraph), given)))
        if items:
            listed = Markup("").join(Markup("<li>{}</li>").format(_inline(item, given)) for item in items)
            parts.append(Markup("<ul>{}</ul>").format(listed))
    return Prose(Markup("").join(parts))


def _inline(text: str, names: Mapping[str, str] | None) -> Markup:
    found = Markup("")
    for part in _INLINE.split(text):
        frame, inner = "{}", part
        if part.startswith("`") and len(part) > 2:
            frame, inner = "<code>{}</code>", part[1:-1]
        elif part.startswith("**") and len(part) > 4:
            frame, inner = "<strong>{}</strong>", part[2:-2]
        words = escape(inner)
        found += Markup(frame).format(words if names is None else words.format(**names))
    return found
