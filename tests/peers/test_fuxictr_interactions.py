"""AutoInt and MaskNet equal FuxiCTR's, with its weights; `benchmarks/peers` wrote down what it computes."""

import numpy as np
import pytest
from support.fixed_weights import as_array
from support.peer_cases import peer_cases, set_dense

from grouprank.models.backbones import AutoInt, MaskNet

CASES = peer_cases("fuxictr_interactions")


def fields_of(case):
    """The embedded fields by names that sort in the library's order."""
    return {f"field_{index}": case.inputs["fields"][:, index] for index in range(case.inputs["fields"].shape[1])}


def built(backbone, fields):
    backbone.build({name: field.shape for name, field in fields.items()})
    return backbone


def set_mlp(mlp, weights, name):
    """FuxiCTR numbers activations too: its dense layers are 0, 2, 4, …; returns the name of the next."""
    for index, dense in enumerate(mlp._stack):
        set_dense(dense, weights, f"{name}.{2 * index}")
    return f"{name}.{2 * len(mlp._stack)}"


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


@pytest.mark.parametrize("name", ["autoint", "autoint_plus"])
def test_autoint(name):
    """FuxiCTR's residual is the identity where a layer keeps the width, ours always has the paper's `W_res`."""
    case = CASES[name]
    fields = fields_of(case)
    backbone = built(AutoInt(**case.settings), fields)
    for index, layer in enumerate(backbone.attention):
        place = f"self_attention.{index}"
        for ours, theirs in ((layer.query, "W_q"), (layer.key, "W_k"), (layer.value, "W_v")):
            set_dense(ours, case.weights, f"{place}.{theirs}")
        if f"{place}.W_res.weight" in case.weights:
            set_dense(layer.residual, case.weights, f"{place}.W_res")
        else:
            layer.residual.kernel.assign(np.eye(layer.residual.units))
    units = case.settings["units"]
    last = set_mlp(backbone.mlp, case.weights, "dnn.dnn")
    representation = as_array(backbone(fields))
    width = representation.shape[-1] - (units[-1] if units else 0)
    logit = linear(representation[:, :width], case.weights, "fc")
    if units:
        logit += linear(representation[:, width:], case.weights, last)
    np.testing.assert_allclose(logit, case.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["masknet_serial", "masknet_parallel"])
def test_masknet(name):
    case = CASES[name]
    fields = fields_of(case)
    backbone = built(MaskNet(**case.settings), fields)
    for index, field in enumerate(fields):
        set_norm(backbone.normalizations[field], case.weights, f"emb_norm.{index}")
    for index, block in enumerate(backbone.blocks):
        place = f"mask_net.mask_blocks.{index}"
        set_dense(block.aggregation, case.weights, f"{place}.mask_layer.0")
        set_dense(block.projection, case.weights, f"{place}.mask_layer.2")
        set_dense(block.hidden, case.weights, f"{place}.hidden_layer.0")
        set_norm(block.normalization, case.weights, f"{place}.hidden_layer.1")
    serial = case.settings["structure"] == "serial"
    last = "mask_net.fc.0" if serial else set_mlp(backbone.mlp, case.weights, "mask_net.dnn.dnn")
    logit = linear(as_array(backbone(fields)), case.weights, last)
    np.testing.assert_allclose(logit, case.output, rtol=1e-5, atol=1e-5)


def set_norm(normalization, weights, name):
    normalization.gamma.assign(weights[f"{name}.weight"])
    normalization.beta.assign(weights[f"{name}.bias"])
