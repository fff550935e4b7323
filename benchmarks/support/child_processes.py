"""The processes that this one has started, themselves or by others."""

import os
from pathlib import Path


def child_processes() -> dict[int, str]:
    """Number to kind of each running process below this one: `"java"`, or `"tasks"` for Spark's Python workers."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        number = int(path.parent.name)
        names[number], parents[number] = name, int(rest.split()[1])
    own = os.getpid()
    found = {}
    for number, name in names.items():
        ancestor = parents[number]
        while ancestor not in (0, own):
            ancestor = parents.get(ancestor, 0)
        if ancestor == own:
            found[number] = "java" if name == "java" else "tasks"
    return found
