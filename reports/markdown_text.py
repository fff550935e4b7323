"""Text of data inside Markdown."""

import re

from .visible_text import visible_text

# What begins an escape, a code, a link, an element, an entity or another cell, and what could be emphasis.
_SIGNS = re.compile(r"[\\`|*~]|\](?=[(\[])|<(?=[A-Za-z/!?])|&(?=[#\w]+;)|(?<![^\W_])_|_(?![^\W_])")


def markdown_text(text: object) -> str:
    r"""Text that Markdown shows as it stands, on one line.

    Signs of Markdown and HTML are escaped, control characters spelled out.

    Args:
        text: what to show, as `str` gives it.

    Example:

    >>> print(markdown_text("a|b is_click <b>"))
    a\|b is_click \<b>
    """
    return _SIGNS.sub(r"\\\g<0>", visible_text(text))
