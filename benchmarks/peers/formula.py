"""Inputs and weights by formula, so that a file of a peer's outputs needs to hold only their shapes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Recipe = dict[str, Any]


def wave(*shape: int, start: float = 0.0) -> np.ndarray:
    """Numbers in [-1, 1] without a pattern: a sine over the flat index."""
    return np.sin(np.arange(np.prod(shape, dtype=int)) * 1.7 + start).reshape(shape).astype("float32")


def array(recipe: Recipe) -> np.ndarray:
    """The array of a recipe.

    Args:
        recipe: `{"shape", "start", "scale"}` for a wave times `scale` (1 if left out); `{"shape", "start", "size"}`
            for ids in `[0, size)`, `(7 i + start) mod size` over the flat index; `{"values"}` for anything else.

    Example:

    >>> array({"shape": [4], "start": 1, "size": 5}).tolist()
    [1, 3, 0, 2]
    """
    if "values" in recipe:
        return np.array(recipe["values"])
    shape, start = recipe["shape"], recipe["start"]
    if "size" in recipe:
        return ((np.arange(np.prod(shape, dtype=int)) * 7 + start) % recipe["size"]).reshape(shape)
    return np.float32(recipe.get("scale", 1.0)) * wave(*shape, start=start)


def fill(module: Any, scale: float = 0.5) -> dict[str, Recipe]:
    """Set every floating parameter of a torch module, and return their recipes by name.

    The parameter at position `i` of `named_parameters()` becomes `scale * wave(*shape, start=i)`.
    """
    recipes: dict[str, Recipe] = {}
    for index, (name, parameter) in enumerate(module.named_parameters()):
        if not parameter.is_floating_point():
            continue
        recipes[name] = {"shape": list(parameter.shape), "start": float(index), "scale": scale}
        # A tensor on the host shares its memory with NumPy.
        parameter.detach().numpy()[...] = array(recipes[name])
    return recipes


def case(inputs: Mapping[str, Recipe], weights: Mapping[str, Recipe], output: Any, **settings: Any) -> dict[str, Any]:
    """One thing that a library computes, as JSON can hold it.

    Args:
        inputs: recipes of the inputs by name.
        weights: recipes of the weights by the library's names.
        output: a tensor or array, or a dict of them.
        **settings: whatever the test needs to make ours of the same sizes.
    """
    return {"settings": settings, "inputs": dict(inputs), "weights": dict(weights), "output": _numbers(output)}


def _numbers(output: Any) -> Any:
    if isinstance(output, Mapping):
        return {name: _numbers(part) for name, part in output.items()}
    values = np.asarray(output.detach() if hasattr(output, "detach") else output)
    # Nine digits give a float32 back exactly.
    return np.vectorize(lambda value: float(f"{value:.9g}"), otypes=[float])(values).tolist()
