"""Names of a table's columns as a model's inputs may have them."""

import itertools
import re
from collections.abc import Iterator, Sequence, Set

from ...schema import Categorical, Schema, Task


def input_names(columns: Sequence[str]) -> list[str]:
    """A distinct name for every column, of letters, digits and underscores; none is the name of another column.

    Args:
        columns: names of the columns, all of them different.

    Example:
    >>> input_names(["user id", "user_id", "2nd", "价格", "split"])
    ['user_id_column', 'user_id', 'column_2nd', 'column_4', 'split_column']
    """
    taken = set(columns)
    names = []
    for position, column in enumerate(columns, 1):
        name = column if _is_allowed(column) else next(_free(column, position, taken))
        taken.add(name)
        names.append(name)
    return names


def _free(column: str, position: int, taken: Set[str]) -> Iterator[str]:
    base = re.sub(r"[\W_]+", "_", column, flags=re.ASCII).strip("_") or f"column_{position}"
    base = f"column_{base}" if base[0].isdigit() else base
    candidates = itertools.chain([base, f"{base}_column"], (f"{base}_{number}" for number in itertools.count(2)))
    return (name for name in candidates if name not in taken and _is_allowed(name))


def _is_allowed(name: str) -> bool:
    """Whether a schema takes the name, for a feature and a task alike."""
    if name == "split" or name.startswith("_"):
        return False
    try:
        Schema([Categorical(name, 1)], [Task(f"{name}_task")])
        Schema([Categorical(f"{name}_feature", 1)], [Task(name)])
    except ValueError:
        return False
    return True
