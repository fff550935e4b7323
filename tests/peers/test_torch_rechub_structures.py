"""MMoE, PLE and AITM equal Torch-RecHub's, with its weights; `benchmarks/peers` wrote down what it computes.

Torch-RecHub normalizes every dense layer over the batch, experts, gates and what AITM hands on alike. The papers do
not, and nor do we: at prediction it is a factor and an offset a unit, which go into our kernels and biases.
Its gates have a bias, the papers' have none; ours have one that starts at 0.
"""

import numpy as np
import pytest
from support.fixed_weights import as_array
from support.peer_cases import peer_cases

import grouprank as gr

CASES = peer_cases("torch_rechub_structures")
LAYERS = gr.layers


def dense_layers(case, name):
    """Kernels and biases of an MLP of Torch-RecHub, each with the normalization that follows it."""
    found = []
    # A Linear, a BatchNorm1d, an activation and a Dropout each.
    for index in range(0, 100, 4):
        linear, norm = f"{name}.mlp.{index}", f"{name}.mlp.{index + 1}"
        if f"{linear}.weight" not in case.weights:
            break
        # Its running mean is 0 and its running variance 1, as they start.
        factor = case.weights[f"{norm}.weight"] / np.sqrt(1 + 1e-5)
        kernel = case.weights[f"{linear}.weight"].T * factor
        found.append((kernel, case.weights[f"{linear}.bias"] * factor + case.weights[f"{norm}.bias"]))
    assert found, f"{name} is not among {list(case.weights)}"
    return found


def set_parallel(layer, case, names):
    """Give a `ParallelMLP` the networks of these names."""
    networks = [dense_layers(case, name) for name in names]
    weights = []
    for depth, layers in enumerate(zip(*networks, strict=True)):
        kernels, biases = zip(*layers, strict=True)
        weights += [np.stack(kernels, axis=1 if depth == 0 else 0), np.stack(biases)]
    layer.set_weights(weights)


def set_mlp(layer, case, name):
    """Give an `MLP` the network of this name."""
    layer.set_weights([array for pair in dense_layers(case, name) for array in pair])


def built(layer, case):
    layer.build((None, case.inputs["x"].shape[-1]))
    return layer


def task_names(case):
    return [str(index) for index in range(case.settings["num_tasks"])]


def assert_equal(layer, case):
    out = layer(case.inputs["x"])
    assert set(out) == set(case.output)
    for task, expected in case.output.items():
        # Rows differ, so that no level is flat.
        assert np.ptp(expected, axis=0).max() > 0.1
        np.testing.assert_allclose(as_array(out[task]), expected, rtol=1e-5, atol=1e-5)


def test_mmoe():
    case = CASES["mmoe"]
    sizes = case.settings
    layer = built(LAYERS.MMoE(task_names(case), sizes["num_experts"], sizes["units"]), case)
    set_parallel(layer.experts, case, [f"experts.{index}" for index in range(sizes["num_experts"])])
    set_parallel(layer.gates, case, [f"gates.{task}" for task in task_names(case)])
    assert_equal(layer, case)


@pytest.mark.parametrize("name", ["ple_of_one_level", "ple"])
def test_ple(name):
    case = CASES[name]
    sizes = {key: value for key, value in case.settings.items() if key != "num_tasks"}
    tasks = task_names(case)
    layer = built(LAYERS.PLE(tasks, **sizes), case)
    for number, level in enumerate(layer.levels):
        theirs = f"cgc_layers.{number}"
        for task, experts in enumerate(level.experts[:-1]):
            first = task * sizes["num_task_experts"]
            places = range(first, first + sizes["num_task_experts"])
            set_parallel(experts, case, [f"{theirs}.experts_specific.{place}" for place in places])
        shared = [f"{theirs}.experts_shared.{place}" for place in range(sizes["num_shared_experts"])]
        set_parallel(level.experts[-1], case, shared)
        for task, gate in enumerate(level.gates[: len(tasks)]):
            set_mlp(gate, case, f"{theirs}.gates_specific.{task}")
        if level.shared_gate:
            set_mlp(level.gates[-1], case, f"{theirs}.gate_shared")
    assert_equal(layer, case)


def test_aitm():
    case = CASES["aitm"]
    tasks = task_names(case)
    layer = built(LAYERS.AITM(tasks, units=case.settings["units"]), case)
    set_parallel(layer.bottoms, case, [f"bottoms.{task}" for task in tasks])
    for index, transfer in enumerate(layer.transfers):
        set_mlp(transfer.transfer, case, f"info_gates.{index}")
        for name, dense in (("v", transfer.value), ("k", transfer.key), ("q", transfer.query)):
            dense.kernel.assign(case.weights[f"aits.{index}.{name}_layer.weight"].T)
    assert_equal(layer, case)
