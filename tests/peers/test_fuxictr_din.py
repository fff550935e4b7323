"""TargetAttention equals FuxiCTR's DIN attention, with its weights; `benchmarks/peers` wrote down what it computes."""

import numpy as np
import pytest
from support.fixed_weights import as_array
from support.peer_cases import peer_cases, set_dense

from grouprank.layers import TargetAttention

CASES = peer_cases("fuxictr_din")


def set_dice(dice, weights, name):
    dice.alpha.assign(weights[f"{name}.alpha"])
    dice.normalization.moving_mean.assign(weights[f"{name}.bn.running_mean"])
    dice.normalization.moving_variance.assign(weights[f"{name}.bn.running_var"])


@pytest.mark.parametrize("name", CASES)
def test_target_attention(name):
    case = CASES[name]
    encoder = TargetAttention(**case.settings)
    encoder.build(case.inputs["sequence"].shape)
    # FuxiCTR numbers dense layers and activations alike.
    for index, hidden in enumerate(encoder._hidden):
        set_dense(hidden, case.weights, f"attention_layer.mlp.{2 * index}")
    for index, dice in enumerate(encoder._dices):
        set_dice(dice, case.weights, f"attention_layer.mlp.{2 * index + 1}")
    set_dense(encoder._weight, case.weights, f"attention_layer.mlp.{2 * len(encoder.units)}")
    ours = encoder(case.inputs["sequence"], target=case.inputs["target"], mask=case.inputs.get("mask"))
    np.testing.assert_allclose(as_array(ours), case.output, rtol=1e-5, atol=1e-5)
