"""Where the user's own classes in a model come from."""

import ast
import importlib
import sys
import types
from pathlib import Path
from typing import Any

import keras

from .script_definitions import script_definitions

# The module in which a fresh process defines the classes of a script.
_SCRIPT = "__grouprank_export__"
_OURS = ("keras", "keras_rs", "grouprank", "__main__")


def custom_modules(model: Any) -> dict[str, Any]:
    """What a fresh process must import or define to know the model's own classes.

    Args:
        model: a Keras model.

    Returns:
        `names` of modules to import, and the `script` that was started, if it defines classes. Only its definitions are
        run, so that nothing is trained again.

    Raises:
        ValueError: when a class was defined interactively, or in a function of the script.

    Example:

    >>> custom_modules(keras.Sequential([keras.layers.Dense(1)]))
    {'names': [], 'script': None}
    """
    if _SCRIPT in sys.modules:
        # What this process was given itself.
        return dict(sys.modules[_SCRIPT].__dict__["modules"])
    classes = [type(layer) for layer in model._flatten_layers()]
    names = sorted({own.__module__ for own in classes if own.__module__.split(".")[0] not in _OURS})
    own = {_top_level_name(one) for one in classes if one.__module__ == "__main__"}
    if not own:
        return {"names": names, "script": None}
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if not file:
        raise ValueError(
            "The model has layers whose classes were defined interactively, which a fresh process cannot rebuild. "
            "Move them to a module and import it."
        )
    # Functions that the layers name in their configs.
    registered: list[Any] = [one for one in keras.saving.get_custom_objects().values() if hasattr(one, "__qualname__")]
    also = {_top_level_name(one) for one in registered if one.__module__ == "__main__"}
    path = Path(str(file)).resolve()
    script = {
        "path": str(path),
        "package": getattr(main, "__package__", None) or "",
        "source": ast.unparse(script_definitions(path.read_text(encoding="utf-8"), own, also)),
    }
    return {"names": names, "script": script}


def _top_level_name(one: Any) -> str:
    """What the script calls a class or function, or what it is part of."""
    name, place = str(one.__name__), str(one.__qualname__)
    if "<locals>" not in place:
        return place.split(".")[0]
    return name if getattr(sys.modules["__main__"], name, None) is one else place


def import_custom_modules(modules: dict[str, Any]) -> None:
    """Import and define what `custom_modules` found, which registers the classes with Keras.

    Args:
        modules: its answer, in another process.

    Example:

    >>> import_custom_modules({"names": ["math"], "script": None})
    """
    for name in modules["names"]:
        importlib.import_module(name)
    script = modules["script"]
    if script is None:
        return
    # Not "__main__", which is this process' own.
    module = types.ModuleType(_SCRIPT)
    module.__dict__.update(modules=modules, __file__=script["path"], __package__=script["package"])
    sys.modules[module.__name__] = module
    exec(compile(script["source"], script["path"], "exec"), module.__dict__)
