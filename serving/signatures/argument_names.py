"""Names of a signature's arguments while it is traced."""

import collections
import keyword
import re
from collections.abc import Iterable

# What TensorFlow takes as the name of a Python argument and of an operation, and gives back as it was.
_PLAIN = re.compile("[A-Za-z][A-Za-z0-9_]*")
_STANDS_FOR = re.compile("column_((?:[0-9a-f]{2})+)")


def argument_names(columns: Iterable[str]) -> dict[str, str]:
    """An argument for each column: the column's name where TensorFlow allows it, otherwise `column_` and its bytes.

    A column may be named `self`, `class`, `Price (EUR)` or `_age`, or `Age` beside `age`, and the saved signature has
    an input of that name. A Python function that is traced cannot have such arguments.

    Args:
        columns: names of all columns of a model.

    Example:

    >>> argument_names(["bid", "self", "a b"])
    {'bid': 'bid', 'self': 'column_73656c66', 'a b': 'column_612062'}
    """
    names = list(columns)
    # Operations whose names differ in their capitals alone are one to TensorFlow.
    alike = collections.Counter(name.lower() for name in names)

    def plain(name: str) -> bool:
        reserved = keyword.iskeyword(name) or name == "self" or _STANDS_FOR.fullmatch(name)
        return bool(_PLAIN.fullmatch(name)) and not reserved and alike[name.lower()] == 1

    return {name: name if plain(name) else f"column_{name.encode().hex()}" for name in names}


def column_name(argument: str) -> str:
    """The column that an argument stands for.

    Args:
        argument: one of `argument_names`.

    Example:

    >>> column_name("column_73656c66"), column_name("bid")
    ('self', 'bid')
    """
    found = _STANDS_FOR.fullmatch(argument)
    return bytes.fromhex(found[1]).decode() if found else argument
