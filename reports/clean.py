"""Text from data as a page, a table or a terminal may show it."""

import unicodedata

# Characters that change the writing direction of all text after them.
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e"


def clean(text: str) -> str:
    """Text with � in place of what must not be interpreted: control characters, halves of pairs, turned directions.

    Names and values come from data. HTML and SVG may not hold control characters, a terminal would act on them, and an
    override of the writing direction would reverse the words around a name. Line feeds and tabs stay.

    Args:
        text: any text.

    Example:

    >>> clean("a" + chr(0) + "b" + chr(0xD800) + "c" + chr(0x202E))
    'a�b�c�'
    """
    wrong = ("Cc", "Cs", "Cn")
    return "".join("�" if (unicodedata.category(c) in wrong and c not in "\n\t") or c in OVERRIDES else c for c in text)
