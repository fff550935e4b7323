"""Names in the room that a picture has for them."""

import unicodedata

from ..clean import clean

# More lines than these would hide a chart behind its labels.
_MOST_LINES = 4
_BREAKS = " _=,/×"


def text_width(text: str) -> int:
    """Width in letters: one of Chinese, Japanese or Korean is as wide as two others.

    Example:

    >>> text_width("ab"), text_width("\u4e2d\u6587")
    (2, 4)
    """
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def shortened(text: str, most: int) -> str:
    """Text no wider than so many letters, the middle left out.

    Example:

    >>> shortened("abcdefghij", 7)
    'abc…hij'
    """
    text = " ".join(clean(text).split())
    if text_width(text) <= most:
        return text
    head = _fitting(text, most // 2)
    tail = _fitting(text[::-1], most - 1 - text_width(text[:head]))
    return f"{text[:head]}…{text[len(text) - tail :]}"


def shortened_segment(text: str, most: int) -> str:
    """A segment's label, the column's name shortened first: the value is what tells segments apart.

    Example:

    >>> shortened_segment("user_active_degree=full_active", 20)
    'user…ree=full_active'
    """
    text = " ".join(clean(text).split())
    name, sign, value = text.partition("=")
    room = most - text_width(sign + value)
    if text_width(text) <= most or not sign:
        return shortened(text, most)
    return f"{shortened(name, room)}={value}" if room >= 3 else f"…={shortened(value, most - 2)}"


def wrapped(text: str, most: int) -> list[str]:
    """Lines no wider than so many letters, broken after what joins the words of a name where that is possible.

    Example:

    >>> wrapped("user_active_degree=full_active", 20)
    ['user_active_degree=', 'full_active']
    """
    rest, lines = shortened_segment(text, _MOST_LINES * most * 3 // 4), []
    while text_width(rest) > most:
        cut = _fitting(rest, most)
        joint = max(rest.rfind(mark, cut // 2, cut) for mark in _BREAKS) + 1
        cut = joint or cut
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, rest]


def _fitting(text: str, most: int) -> int:
    """How many letters fit."""
    width, count = 0, 0
    for letter in text:
        width += text_width(letter)
        if width > most:
            break
        count += 1
    return count
