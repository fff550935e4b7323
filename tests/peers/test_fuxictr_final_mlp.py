"""FinalMLP equals FuxiCTR's, with its weights; `benchmarks/peers` wrote down what it computes."""

import numpy as np
import pytest
from support.fixed_weights import as_array
from support.peer_cases import peer_cases, set_dense

from grouprank.models.backbones import FinalMLP

CASES = peer_cases("fuxictr_final_mlp")


def set_mlp(mlp, weights, name):
    """FuxiCTR numbers activations too: its dense layers are 0, 2, 4, …"""
    for index, dense in enumerate(mlp._stack):
        set_dense(dense, weights, f"{name}.mlp.{2 * index}")


@pytest.mark.parametrize("name", CASES)
def test_final_mlp(name):
    case = CASES[name]
    weights = case.weights
    tables = "embedding.embedding_layer.embedding_layers"
    fields = {field: weights[f"{tables}.{field}.weight"][ids] for field, ids in case.inputs.items()}
    # FuxiCTR's learned context is as wide as an embedding.
    backbone = FinalMLP(**case.settings, context_dim=fields["user"].shape[-1])
    backbone.build({field: values.shape for field, values in fields.items()})
    for index, (gate, stream) in enumerate(zip(backbone.gates, backbone.streams, strict=True), start=1):
        set_mlp(gate.network, weights, f"fs_module.fs{index}_gate")
        set_mlp(stream, weights, f"mlp{index}")
        if gate.context is not None:
            gate.context.assign(weights[f"fs_module.fs{index}_ctx_bias"])
    backbone.fusion.kernel.assign(weights["fusion_module.w_xy"].reshape(backbone.fusion.kernel.shape))

    representation = as_array(backbone(fields))
    first, second = (stream.units[-1] for stream in backbone.streams)
    logit = sum(weights[f"fusion_module.w_{part}.bias"] for part in "xy")
    logit = logit + representation[:, :first] @ weights["fusion_module.w_x.weight"].T
    logit += representation[:, first : first + second] @ weights["fusion_module.w_y.weight"].T
    logit += representation[:, first + second :].sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(logit, case.output, rtol=1e-5, atol=1e-5)
