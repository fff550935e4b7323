"""Text from data inside Markdown."""

import re

from .clean import clean

# `<` begins an element, `&` an entity, `[` a link, and `_` emphasis, only before or beside certain characters.
_MARKUP = re.compile(r"[\\|`*~$]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|\[(?=[^\]]*\]\()|(?<![^\W_])_|_(?![^\W_])")


def escape_markdown(text: str) -> str:
    r"""One line of text that Markdown shows as it stands, in a table's cell too.

    Args:
        text: any text. Line feeds become spaces, control characters �.

    Example:

    >>> print(escape_markdown("is_click|<b>*x*\n1 < 2"))
    is_click\|\<b>\*x\* 1 < 2
    """
    return _MARKUP.sub(r"\\\g<0>", " ".join(clean(text).split()))
