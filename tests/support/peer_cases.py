"""What other libraries compute, as `grouprank.benchmarks.peer_outputs` wrote it down."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from grouprank.benchmarks.peers.formula import array

FOLDER = Path(__file__).parents[1] / "peers"


@dataclasses.dataclass(frozen=True)
class PeerCase:
    """One case: `settings`, `inputs` and `weights` (arrays by name) and `output` (an array, or arrays by name)."""

    settings: dict[str, Any]
    inputs: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    output: Any


def peer_cases(module):
    """`{case: PeerCase}` of a module of `benchmarks/peers`."""
    cases = json.loads((FOLDER / f"{module}.json").read_text(encoding="utf-8"))["cases"]
    return {name: _peer_case(case) for name, case in cases.items()}


def _peer_case(case):
    inputs, weights = ({name: array(recipe) for name, recipe in case[kind].items()} for kind in ("inputs", "weights"))
    output = case["output"]
    named = isinstance(output, dict)
    expected = {name: np.array(part, "float32") for name, part in output.items()} if named else np.array(output)
    return PeerCase(case["settings"], inputs, weights, expected)


def set_dense(dense, weights, name):
    """Give a built Keras `Dense` the weights of the torch `Linear` that the library calls `name`."""
    dense.kernel.assign(weights[f"{name}.weight"].T)
    if dense.use_bias:
        dense.bias.assign(weights[f"{name}.bias"])
