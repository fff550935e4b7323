"""LR, FM, DeepFM, DCNv2 and DLRM equal FuxiCTR's, with its weights; `benchmarks/peers` wrote down what it computes."""

import dataclasses

import numpy as np
import pytest
from support.fixed_weights import as_array
from support.peer_cases import peer_cases, set_dense

from grouprank.models.backbones import DLRM, FM, LR, DCNv2, DeepFM

CASES = peer_cases("fuxictr_factorization")
TABLES = "embedding.embedding_layer.embedding_layers"
WEIGHTS_OF_FM = "fm.lr_layer.embedding_layer.embedding_layer.embedding_layers"


def looked_up(case, tables):
    """Embedded fields of the case's ids."""
    ids = {name: column for name, column in case.inputs.items() if f"{tables}.{name}.weight" in case.weights}
    return {name: case.weights[f"{tables}.{name}.weight"][column] for name, column in ids.items()}


def weights_and_factors(case):
    """FuxiCTR has a table of weights and one of factors; ours is one, with the weight in front."""
    weights, factors = looked_up(case, WEIGHTS_OF_FM), looked_up(case, TABLES)
    return {name: np.concatenate([weights[name], factors[name]], axis=-1) for name in factors}


def built(backbone, fields):
    backbone.build({name: field.shape for name, field in fields.items()})
    return backbone


def set_mlp(mlp, case, name):
    """FuxiCTR numbers activations too: its dense layers are 0, 2, 4, …; returns the number of the next."""
    for index, dense in enumerate(mlp._stack):
        set_dense(dense, case.weights, f"{name}.mlp.{2 * index}")
    return 2 * len(mlp._stack)


def assert_equal(ours, case):
    np.testing.assert_allclose(ours, case.output, rtol=1e-5, atol=1e-5)


def test_lr():
    case = CASES["lr"]
    fields = looked_up(case, "lr.embedding_layer.embedding_layer.embedding_layers")
    assert_equal(as_array(built(LR(), fields)(fields)) + case.weights["lr.bias"], case)


def test_fm():
    case = CASES["fm"]
    fields = weights_and_factors(case)
    representation = as_array(built(FM(), fields)(fields))
    assert_equal(representation.sum(axis=-1, keepdims=True) + case.weights["fm.lr_layer.bias"], case)


def test_deepfm():
    case = CASES["deepfm"]
    fields = weights_and_factors(case)
    backbone = built(DeepFM(case.settings["units"]), fields)
    last = f"mlp.mlp.{set_mlp(backbone.mlp, case, 'mlp')}"
    width = fields["user"].shape[-1]
    representation = as_array(backbone(fields))
    logit = representation[:, :width].sum(axis=-1, keepdims=True) + case.weights["fm.lr_layer.bias"]
    logit += representation[:, width:] @ case.weights[f"{last}.weight"].T + case.weights[f"{last}.bias"]
    assert_equal(logit, case)


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_dcn_v2(structure):
    case = CASES[f"dcn_v2_{structure}"]
    fields = looked_up(case, TABLES)
    backbone = built(DCNv2(**case.settings, structure=structure), fields)
    for index, cross in enumerate(backbone.crosses):
        set_dense(cross.dense, case.weights, f"crossnet.cross_layers.{index}")
    set_mlp(backbone.mlp, case, "dnn")
    assert_equal(as_array(backbone(fields)), case)


@pytest.mark.parametrize("name", ["dlrm", "dlrm_without_dense_fields"])
def test_dlrm(name):
    """FuxiCTR puts the dense vector last, among the fields and beside the products; the paper's authors and we, first.

    Its products are in the order of an upper triangle, ours of a lower one: the rows of the top network's first kernel
    are brought into our order.
    """
    case = CASES[name]
    dense = {name: case.inputs[name][:, None] for name in case.settings["dense_fields"]}
    ids = looked_up(case, TABLES)
    fields = {**ids, **dense}
    backbone = built(DLRM(**case.settings), fields)
    theirs = [*sorted(ids), *(["dense"] if dense else [])]
    ours = [*(["dense"] if dense else []), *sorted(ids)]
    width = ids["user"].shape[-1] if dense else 0
    place = {}
    for i, first in enumerate(theirs):
        for second in theirs[i + 1 :]:
            place[frozenset((first, second))] = len(place)
    pairs = [place[frozenset((first, second))] for i, first in enumerate(ours) for second in ours[:i]]
    order = [*range(len(pairs), len(pairs) + width), *pairs]
    if dense:
        last = set_mlp(backbone.bottom, case, "bottom_mlp")
        set_dense(backbone.bottom_output, case.weights, f"bottom_mlp.mlp.{last}")
    first_kernel = "top_mlp.mlp.0.weight"
    case = dataclasses.replace(case, weights={**case.weights, first_kernel: case.weights[first_kernel][:, order]})
    last = f"top_mlp.mlp.{set_mlp(backbone.top, case, 'top_mlp')}"
    logit = as_array(backbone(fields)) @ case.weights[f"{last}.weight"].T + case.weights[f"{last}.bias"]
    assert_equal(logit, case)
