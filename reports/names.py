"""Names from data inside sentences."""

import unicodedata
from collections.abc import Sequence

from .clean import clean

_RIGHT_TO_LEFT = ("R", "AL", "AN")
_ISOLATES = str.maketrans(dict.fromkeys("\u2066\u2067\u2068\u2069", "�"))


def named(name: str) -> str:
    r"""A name on one line; one that is written from right to left does not change the order of the words around it.

    Example:

    >>> named("two\nlines"), named("\u05d0") == "\u2068\u05d0\u2069"
    ('two lines', True)
    """
    text = " ".join(clean(name).translate(_ISOLATES).split())
    turns = any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text)
    return f"\u2068{text}\u2069" if turns else text


def quoted(names: Sequence[str]) -> list[str]:
    """Names for a list in a sentence, all in quotes where one of them holds what separates them.

    Example:

    >>> quoted(["a", "b"]), quoted(["a", "b, c"])
    (['a', 'b'], ['“a”', '“b, c”'])
    """
    doubtful = any(mark in name for name in names for mark in (",", ";", " and "))
    return [f"“{named(name)}”" if doubtful else named(name) for name in names]


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence, with semicolons where a part holds a comma.

    Example:

    >>> listed(["a", "b", "c"]), listed(quoted(["a", "b, c"]))
    ('a, b and c', '“a”; and “b, c”')
    """
    if len(parts) == 1:
        return parts[0]
    comma, last = ("; ", "; and ") if any("," in part for part in parts) else (", ", " and ")
    return f"{comma.join(parts[:-1])}{last}{parts[-1]}"
