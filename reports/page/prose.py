"""Plain text with a little Markdown, as HTML."""

import re

from markupsafe import Markup, escape

from .content import Prose
from .wording import clean

_INLINE = re.compile(r"(`[^`\n]+`|\*\*[^*\n]+\*\*)")


def prose(text: str) -> Prose:
    r"""Paragraphs and lists of plain text; everything else that looks like HTML is shown as it stands.

    An empty line ends a paragraph, lines that begin with `- ` are a list, and `**bold**` and code in backticks are
    what they are in Markdown.

    Example:

    >>> prose("Use `a < b`.").html
    Markup('<p>Use <code>a &lt; b</code>.</p>')
    >>> prose("- one\n- **two**").html
    Markup('<ul><li>one</li><li><strong>two</strong></li></ul>')
    """
    parts = []
    for block in re.split(r"\n\s*\n", clean(text).strip()):
        lines = [line.strip() for line in block.splitlines()]
        paragraph = [line for line in lines if not line.startswith("- ")]
        items = [line[2:] for line in lines if line.startswith("- ")]
        if paragraph:
            parts.append(Markup("<p>{}</p>").format(_inline(" ".join(paragraph))))
        if items:
            listed = Markup("").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
            parts.append(Markup("<ul>{}</ul>").format(listed))
    return Prose(Markup("").join(parts))


def _inline(text: str) -> Markup:
    found = Markup("")
    for part in _INLINE.split(text):
        if part.startswith("`") and len(part) > 2:
            found += Markup("<code>{}</code>").format(part[1:-1])
        elif part.startswith("**") and len(part) > 4:
            found += Markup("<strong>{}</strong>").format(part[2:-2])
        else:
            found += escape(part)
    return found
