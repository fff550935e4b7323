"""Where the classes of a model of the user's come from."""

import sys
from pathlib import Path
from typing import Any


def custom_modules(model: Any) -> dict[str, Any]:
    """Modules that a fresh process must import to know the model's own classes.

    Args:
        model: a Keras model.

    Raises:
        ValueError: when a class was defined interactively.

    Example:

    >>> import keras
    >>> custom_modules(keras.Sequential([keras.layers.Dense(1)]))
    {'names': [], 'script': None}
    """
    own = {type(layer).__module__ for layer in model._flatten_layers()}
    names = sorted(name for name in own if name.split(".")[0] not in ("keras", "keras_rs", "grouprank", "__main__"))
    script = None
    if "__main__" in own:
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            names.append(spec.name)
        elif getattr(main, "__file__", None):
            script = str(Path(str(main.__file__)).resolve())
        else:
            raise ValueError(
                "The model has layers whose classes were defined interactively, which a fresh process cannot rebuild. "
                "Move them to a module and import it."
            )
    return {"names": names, "script": script}
