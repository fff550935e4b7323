"""The state of a model as a tree of arrays that fits any number of devices, for checkpoints of Orbax."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ..layers import FusedEmbedding

_WEIGHTS = ("trainable_variables", "non_trainable_variables")


def tree_in_order(model: keras.Model, value_format: str) -> dict[str, Any]:
    """The state tree of Keras, in which the rows of fused tables lie in their order, with their slots.

    On torch and TensorFlow Keras knows of no slots, and on JAX a table that is dealt over devices is kept in another
    order on each number of them. Names that Keras numbers in the order in which objects are made, such as `adam_3`,
    are numbered anew, so that the tree fits a model that was made later. Metrics are left out, since an epoch begins
    without them: metrics of several tasks share names, and Keras could not lay them over other devices.

    Args:
        model: the model.
        value_format: `"numpy_array"` or `"backend_tensor"`.

    Raises:
        ValueError: on another `value_format`, or if two weights have one path.
    """
    if value_format not in ("numpy_array", "backend_tensor"):
        raise ValueError(
            f"`value_format` must be 'numpy_array' or 'backend_tensor'. Received: value_format={value_format!r}."
        )
    tables, names = _tables(model), _names(model)
    groups = dict(zip(_WEIGHTS, (model.trainable_variables, model.non_trainable_variables), strict=True))
    if getattr(model, "optimizer", None) is not None:
        groups["optimizer_variables"] = model.optimizer.variables
    found: dict[str, Any] = {}
    for group, variables in groups.items():
        by_path = {tuple(variable.path.split("/")): variable for variable in variables}
        if len(by_path) < len(variables):
            raise ValueError(f"Some of the {group} of {model.name!r} have the same path. Give its layers other names.")
        kept = {path: variable.value for path, variable in by_path.items() if path[:-1] not in tables}
        if group == "trainable_variables":
            for path, layer in tables.items():
                kept |= {(*path, name): value for name, value in layer.state_in_order().items()}
        if value_format == "numpy_array":
            kept = {path: ops.convert_to_numpy(value) for path, value in kept.items()}
        found[group] = _nested({tuple(names.get(part, part) for part in path): kept[path] for path in kept})
    return found


def take_tables(model: keras.Model, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Let fused tables take their rows and slots, and return the rest of the tree for Keras.

    Args:
        model: the model.
        tree: what `tree_in_order` gave.

    Raises:
        ValueError: if the tree holds weights that the model does not have.
    """
    tables, names = _tables(model), {new: old for old, new in _names(model).items()}
    rest: dict[str, Any] = {}
    of_tables: dict[tuple[str, ...], dict[str, Any]] = {path: {} for path in tables}
    known = {variable.path for variable in model.variables}
    unknown = []
    for group, values in tree.items():
        kept = {}
        for path, value in _leaves(values):
            path = tuple(names.get(part, part) for part in path)
            if keras.backend.backend() != "jax":
                value = np.asarray(value)
            if group in _WEIGHTS and path[:-1] in tables:
                of_tables[path[:-1]][path[-1]] = value
            else:
                kept[path] = value
                if group in _WEIGHTS and "/".join(path) not in known:
                    unknown.append("/".join(path))
        rest[group] = _nested(kept)
    if unknown:
        raise ValueError(
            f"The state holds weights that {model.name!r} does not have: {unknown[:5]}. Make the model with the "
            "arguments of the one whose state it is."
        )
    for path, layer in tables.items():
        layer.take_in_order(of_tables[path])
    return rest


def _tables(model: keras.Model) -> dict[tuple[str, ...], FusedEmbedding]:
    """The fused tables by their paths."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, FusedEmbedding)]
    return {tuple(layer.embeddings.path.split("/")[:-1]): layer for layer in layers}


def _names(model: keras.Model) -> dict[str, str]:
    """The names that Keras has numbered, and those that the tree has in their place."""
    optimizer = getattr(model, "optimizer", None)
    of_optimizer = [variable.path.partition("/")[0] for variable in optimizer.variables] if optimizer else []
    names = {name: re.sub(r"_\d+$", "", name) for name in of_optimizer}
    parts = [part for variable in model.variables for part in variable.path.split("/")]
    seeds = dict.fromkeys(part for part in parts if re.fullmatch(r"seed_generator(_\d+)?", part))
    return names | {seed: f"seed_generator_{number}" for number, seed in enumerate(seeds)}


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The arrays of a tree by their paths."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _nested(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        inner = tree
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    return tree
