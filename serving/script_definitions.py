"""The part of a script that defines what a model is made of."""

import ast
from collections.abc import Iterable, Iterator
from typing import Any

# Statements that hold others, whose own lines are run if any of those is.
_BLOCKS = (ast.If, ast.Try, ast.With)
_PARTS = ("body", "orelse", "finalbody", "handlers")


def script_definitions(source: str, names: Iterable[str], also: Iterable[str] = ()) -> ast.Module:
    r"""The statements of a script that define some names, with what these need, and nothing else.

    A script defines a backbone, trains and exports. To rebuild the model, another process must define the backbone but
    must not train again. So the imports, assignments, functions and classes that the names need, directly or
    indirectly, are kept, and calls between them are left out.

    Args:
        source: the script.
        names: classes and functions defined at its top level.
        also: further names, where they are defined there. Defaults to `()`.

    Raises:
        ValueError: when a name is not defined there.

    Example:

    >>> script = "import keras\nWIDTH = 8\nclass Own(keras.layers.Dense):\n    width = WIDTH\nprint('training')"
    >>> print(ast.unparse(script_definitions(script, ["Own"])))
    import keras
    WIDTH = 8
    <BLANKLINE>
    class Own(keras.layers.Dense):
        width = WIDTH
    """
    tree, wanted = ast.parse(source), set(names)
    defined = {name for statement in tree.body for name in _bound(statement)}
    missing = sorted(wanted - defined)
    if missing:
        raise ValueError(
            f"The model has layers of the classes {missing}, which the script does not define at its top level: "
            "a fresh process cannot rebuild them. Move them there, out of functions and of the part that is guarded by "
            "__name__, or to a module that you import."
        )
    wanted |= defined & set(also)
    needed = set[str]()
    while wanted - needed:
        needed |= wanted
        wanted = {name for statement in _kept(tree.body, needed) for name in _read(statement)} & defined
    return ast.Module(_kept(tree.body, needed), type_ignores=[])


def _kept(statements: list[Any], needed: set[str]) -> list[Any]:
    kept = []
    for statement in statements:
        if isinstance(statement, ast.ImportFrom) and (
            statement.module == "__future__" or any(alias.name == "*" for alias in statement.names)
        ):
            kept.append(statement)
        elif needed & set(_bound(statement)):
            kept.append(_pruned(statement, needed) if isinstance(statement, _BLOCKS) else statement)
    return kept


def _pruned(block: Any, needed: set[str]) -> Any:
    """A block with those of its statements that bind what is needed."""
    parts: dict[str, Any] = {field: getattr(block, field) for field in block._fields}
    for part in _PARTS:
        if part == "handlers" and part in parts:
            parts[part] = [
                ast.copy_location(ast.ExceptHandler(h.type, h.name, _kept(h.body, needed) or [_nothing(h)]), h)
                for h in parts[part]
            ]
        elif part in parts:
            parts[part] = _kept(parts[part], needed)
    parts["body"] = parts["body"] or [_nothing(block)]
    return ast.copy_location(type(block)(**parts), block)


def _nothing(place: Any) -> ast.Pass:
    return ast.copy_location(ast.Pass(), place)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement gives a value at the top level; those behind the guard of a script are not."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in statement.names)
    elif isinstance(statement, _BLOCKS):
        if not _is_guard(statement):
            for part in _PARTS:
                for inner in getattr(statement, part, ()):
                    yield from (
                        (n for s in inner.body for n in _bound(s))
                        if isinstance(inner, ast.ExceptHandler)
                        else _bound(inner)
                    )
    else:
        yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _is_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


def _read(statement: ast.stmt) -> Iterator[str]:
    return (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
