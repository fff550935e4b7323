"""YAML that a person wrote, read with bounds on what it may unfold into."""

from typing import Any

import yaml

# Ten times what a description of ten thousand columns needs, and deeper than any description here.
_MOST_CHARACTERS = 10_000_000
_DEEPEST = 20


def read_yaml(text: str) -> Any:
    """The lists, mappings and plain values of a YAML document.

    Aliases (`*name`) are refused: a few lines of them can stand for more values than fit into memory. So are
    documents that are very long or nested very deeply.

    Args:
        text: the document.

    Raises:
        ValueError: if it is no YAML, or beyond the bounds; says in which line.

    Example:
    >>> read_yaml("tasks: [click]")
    {'tasks': ['click']}
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"a YAML document may have {_MOST_CHARACTERS:,} characters. Received: {len(text):,}.")
    try:
        _check_events(text)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {line}: aliases (`*{event.anchor}`) are not read. Write out what it stands for.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"line {line}: lists and mappings may be nested {_DEEPEST} deep.")
