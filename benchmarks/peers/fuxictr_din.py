"""FuxiCTR's attention of Deep Interest Networks, with its Dice, in evaluation mode."""

from typing import Any

import torch
from fuxictr.pytorch.layers import DIN_Attention

from .formula import Recipe, array, case, fill

ENVIRONMENT = "fuxictr"
REQUIREMENTS = ("torch==2.13.0", "fuxictr==2.3.10")

ROWS, LENGTH, WIDTH = 6, 4, 3
HISTORIES = {
    "sequence": {"shape": [ROWS, LENGTH, WIDTH], "start": 0.0},
    "target": {"shape": [ROWS, WIDTH], "start": 1.0},
}
# Padding at the end, at the beginning and in between.
MASK = {"values": [[1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0]]}


def outputs() -> dict[str, Any]:
    """Sums of histories, weighted for a target."""
    return {
        "dice": _case([5, 3], "dice", HISTORIES | {"mask": MASK}),
        "dice_without_mask": _case([5], "dice", HISTORIES),
        "relu_softmax": _case([5, 3], "relu", HISTORIES | {"mask": MASK}, normalize=True),
    }


def _case(units: list[int], activation: str, inputs: dict[str, Recipe], normalize: bool = False) -> dict[str, Any]:
    attention = DIN_Attention(WIDTH, attention_units=units, hidden_activations=activation, use_softmax=normalize).eval()
    weights = fill(attention) | _fill_averages(attention)
    tensors = {name: torch.from_numpy(array(recipe)) for name, recipe in inputs.items()}
    with torch.no_grad():
        output = attention(tensors["target"], tensors["sequence"], tensors.get("mask"))
    return case(inputs, weights, output, units=units, activation=activation, normalize=normalize)


def _fill_averages(module: torch.nn.Module) -> dict[str, Recipe]:
    """Set the moving averages, which are no parameters, and return their recipes by name."""
    recipes: dict[str, Recipe] = {}
    for index, (name, buffer) in enumerate(module.named_buffers()):
        if name.endswith("running_mean"):
            recipes[name] = {"shape": list(buffer.shape), "start": float(index), "scale": 0.5}
        elif name.endswith("running_var"):
            recipes[name] = {"values": [0.25 + 0.25 * unit for unit in range(len(buffer))]}
        else:
            continue
        buffer.copy_(torch.from_numpy(array(recipes[name])))
    return recipes
