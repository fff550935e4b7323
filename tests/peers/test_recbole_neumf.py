"""NCF equals RecBole's NeuMF, with its weights; `benchmarks/peers` wrote down what it computes."""

import dataclasses

import numpy as np
import pytest
from support.fixed_weights import as_array
from support.peer_cases import peer_cases, set_dense

from grouprank.models.backbones import NCF

CASES = peer_cases("recbole_neumf")
ITEM = {"user": "user", "ad": "item"}
PARTS = ("mf", "mlp")


@pytest.mark.parametrize("name", CASES)
def test_ncf(name):
    """RecBole's two tables a side are the halves of our one; its dense layers see the user first, ours the ad."""
    case = CASES[name]
    fields = {}
    for side, ids in case.inputs.items():
        tables = [case.weights.get(f"{ITEM[side]}_{part}_embedding.weight") for part in PARTS]
        halves = [np.zeros((len(ids), 4), "float32") if table is None else table[ids] for table in tables]
        fields[side] = np.concatenate(halves, axis=-1)
    backbone = NCF(["user"], ["ad"], units=case.settings["units"])
    backbone.build({side: field.shape for side, field in fields.items()})
    if case.settings["mlp_train"]:
        first = "mlp_layers.mlp_layers.1.weight"
        user, ad = np.split(case.weights[first], 2, axis=1)
        case = dataclasses.replace(case, weights={**case.weights, first: np.concatenate([ad, user], axis=1)})
        for index, dense in enumerate(backbone.mlp._stack):
            set_dense(dense, case.weights, f"mlp_layers.mlp_layers.{1 + 3 * index}")
    representation = as_array(backbone(fields))
    used = [
        *([slice(0, 4)] if case.settings["mf_train"] else []),
        *([slice(4, 7)] if case.settings["mlp_train"] else []),
    ]
    kept = np.concatenate([representation[:, part] for part in used], axis=-1)
    logit = kept @ case.weights["predict_layer.weight"].T + case.weights["predict_layer.bias"]
    np.testing.assert_allclose(logit[:, 0], case.output, rtol=1e-5, atol=1e-5)
