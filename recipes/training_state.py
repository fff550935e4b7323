"""The state from which a model's training continues."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from ..distribution import rank, world_size


def training_state(model: keras.Model) -> list[tuple[str, Any]]:
    """Everything that decides how a compiled model continues to train, as pairs of a name and an array or variable.

    That is what each layer saves of itself (weights, codebooks' averages, slots of fused tables), the variables of the
    optimizer, and what a `.keras` file leaves out: the seeds of layers, and on PyTorch the generators that its dropout
    draws from. Metrics start anew in every epoch. Processes of PyTorch that train together draw other numbers each, so
    their seeds and generators are all collected. All processes must call this function.

    Args:
        model: built and compiled.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> [name for name, _ in training_state(model) if not name.startswith("generator/")]
    ['2/0', '2/1', 'variable/0', 'variable/1']
    """
    found = []
    for number, layer in enumerate(_layers(model)):
        store: dict[str, Any] = {}
        layer.save_own_variables(store)
        found += [(f"{number}/{name}", array) for name, array in store.items()]
    found += [(f"variable/{number}", variable) for number, variable in enumerate(_variables(model))]
    found += [(f"generator/{device}", state) for device, state in _generators().items()]
    for number, own in enumerate(_of_every_process(model)):
        found += [(f"process/{number}/{name}", array) for name, array in own.items()]
    return found


def restore_training_state(model: keras.Model, state: Iterable[tuple[str, np.ndarray]]) -> None:
    """Put back what `training_state` returned.

    Args:
        model: built and compiled as the model was that it was taken from.
        state: what `training_state` returned, as arrays.

    Raises:
        ValueError: if the model is another.
    """
    layers, variables = _layers(model), _variables(model)
    for owner, named in itertools.groupby(state, lambda pair: pair[0].partition("/")[0]):
        store = {name.partition("/")[2]: array for name, array in named}
        if owner == "generator":
            _set_generators(store)
        elif owner == "process":
            own = f"{rank()}/"
            _set_own(model, {name.removeprefix(own): a for name, a in store.items() if name.startswith(own)})
        elif owner == "variable":
            if len(store) != len(variables):
                raise ValueError(f"it has {len(store)} seeds and variables of an optimizer, the model {len(variables)}")
            for variable, array in zip(variables, store.values(), strict=True):
                variable.assign(array)
        elif int(owner) < len(layers):
            layers[int(owner)].load_own_variables(store)
        else:
            raise ValueError(f"it has a layer number {owner}, the model {len(layers)} layers")


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return list(model._flatten_layers())


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Seeds and the optimizer's variables."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*_seeds(model), *model.optimizer.variables]


def _seeds(model: keras.Model) -> list[keras.Variable]:
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _of_every_process(model: keras.Model) -> list[dict[str, np.ndarray]]:
    """Seeds and generators of each of several processes of PyTorch, which differ."""
    if keras.backend.backend() != "torch" or world_size() == 1:
        return []
    import torch

    seeds = {f"seed-{n}": keras.ops.convert_to_numpy(seed) for n, seed in enumerate(_seeds(model))}
    found: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(found, seeds | {f"generator-{d}": s for d, s in _generators().items()})
    return found


def _set_own(model: keras.Model, own: Mapping[str, np.ndarray]) -> None:
    """Put back what `_of_every_process` found in this process."""
    for number, seed in enumerate(_seeds(model)):
        if f"seed-{number}" in own:
            seed.assign(own[f"seed-{number}"])
    _set_generators({n.removeprefix("generator-"): a for n, a in own.items() if n.startswith("generator-")})


def _generators() -> dict[str, np.ndarray]:
    """States of the backend's own random generators by device; on TensorFlow and JAX Keras draws from seeds alone."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    on_gpus = {str(device): state.numpy() for device, state in enumerate(torch.cuda.get_rng_state_all())}
    return {"cpu": torch.get_rng_state().numpy(), **on_gpus}


def _set_generators(states: dict[str, np.ndarray]) -> None:
    if keras.backend.backend() != "torch":
        return
    import torch

    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(torch.from_numpy(state))
        elif int(device) < torch.cuda.device_count():
            torch.cuda.set_rng_state(torch.from_numpy(state), int(device))
