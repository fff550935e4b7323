"""Wukong, RankMixer, GDCN and PEPNet against their papers' formulas; a request's tokens are computed once."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.gradients import gradients
from support.wukong import normalized, wukong_by_numpy

import grouprank as gr
from grouprank.layers import FieldTokens, GatedCross, PerTokenMLP, RankMixerBlock, WukongLayer
from grouprank.models.backbones import GDCN, PEPNet, RankMixer, Wukong, get
from grouprank.models.ranking.candidate_calls import CandidateCalls
from grouprank.models.ranking.candidate_rows import CandidateRows, Once

# In the order of their names the sides are mixed, and the groups of users are the request's without being named.
FIELDS = {
    "ad": wave(6, 3),
    "hour": wave(6, 2, start=1.0),
    "user": wave(6, 3, start=2.0),
    "user:groups": wave(6, 2, start=3.0),
    "user_ad:groups": wave(6, 2, start=4.0),
}
REQUEST = ("hour", "user", "user:groups")
SCHEMA = gr.Schema(
    [gr.Categorical("user", 9, side="user"), gr.Categorical("hour", 24, side="context"), gr.Categorical("ad", 9)],
    [gr.Task("click")],
)
MIXER = {"num_tokens": 4, "token_width": 8, "num_layers": 2, "expansion": 2, "request_fields": ["user", "hour"]}


def built(backbone, fields=FIELDS):
    backbone.build({name: (None, values.shape[1]) for name, values in fields.items()})
    set_fixed_weights(backbone)
    return backbone


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


# === Tokens ===


def tokens_by_numpy(layer, fields):
    """Each side cut into pieces, one after the other."""
    found = []
    for side, names in enumerate([sorted(set(fields) & set(REQUEST)), sorted(set(fields) - set(REQUEST))]):
        x = np.concatenate([fields[name] for name in names], axis=-1)
        kernel, bias = as_array(layer._kernels[side]), as_array(layer._biases[side])
        for token in range(len(kernel)):
            piece = x[:, token * kernel.shape[1] : (token + 1) * kernel.shape[1]]
            found.append(piece @ kernel[token, : piece.shape[1]] + bias[token])
    return np.stack(found, axis=1)


def test_tokens_by_hand():
    layer = FieldTokens(2, 1)
    layer.build({"a": (None, 2), "b": (None, 1)})
    # Pieces (1, 2) and (3, 0); tokens 1·1 + 2·10 + 5 and 3·100 + 7.
    layer.set_weights([np.array([[[1.0], [10.0]], [[100.0], [1000.0]]]), np.array([[5.0], [7.0]])])
    fields = {"b": np.array([[3.0]], "float32"), "a": np.array([[1.0, 2.0]], "float32")}
    np.testing.assert_array_equal(as_array(layer(fields))[0], [[26.0], [307.0]])


def test_tokens_against_numpy():
    layer = built(FieldTokens(5, 3, request_fields=REQUEST))
    # Of 12 columns 7 are the request's: 5 · 7 / 12 tokens, rounded.
    assert layer.request_tokens == 3
    np.testing.assert_allclose(as_array(layer(FIELDS)), tokens_by_numpy(layer, FIELDS), rtol=1e-5, atol=1e-5)


def test_tokens_of_one_side():
    layer = built(FieldTokens(5, 3, request_fields=REQUEST))
    whole = as_array(layer(FIELDS))
    request = {name: FIELDS[name] for name in REQUEST}
    np.testing.assert_array_equal(as_array(layer(request, side=0)), whole[:, :3])
    others = {name: FIELDS[name] for name in FIELDS if name not in REQUEST}
    np.testing.assert_array_equal(as_array(layer(others, side=1)), whole[:, 3:])


def test_every_side_has_a_token():
    layer = FieldTokens(2, 3, request_fields=["user"])
    layer.build({"user": (None, 100), "ad": (None, 1)})
    assert layer.counts == (1, 1)
    assert layer._kernels[0].shape == (1, 100, 3)  # nothing is filled up where the pieces are whole
    with pytest.raises(ValueError, match=r"fields are of 2 sides, so there must be as many tokens.*num_tokens=1"):
        FieldTokens(1, 3, request_fields=["user"]).build({"user": (None, 100), "ad": (None, 1)})
    with pytest.raises(ValueError, match=r"`request_fields` names \['usr'\], which are none of the fields \['ad'\]"):
        FieldTokens(2, 3, request_fields=["usr"]).build({"ad": (None, 1)})


# === RankMixer ===


def per_token_by_numpy(layer, x):
    found = []
    for token in range(x.shape[1]):
        (kernel, bias), (output, last) = ((as_array(w)[token] for w in pair) for pair in (layer._hidden, layer._output))
        found.append(gelu(x[:, token] @ kernel + bias) @ output + last)
    return np.stack(found, axis=1)


def block_by_numpy(block, x, once=0):
    """The mixed token `h` is the heads number `h` of all tokens that it may read, side by side."""
    _, tokens, width = x.shape
    head = width // tokens
    mixed = np.zeros_like(x)
    for of in range(tokens):
        for read in range(once if of < once else tokens):
            mixed[:, of, read * head : (read + 1) * head] = x[:, read, of * head : (of + 1) * head]
    s = normalized(mixed + x, block._mixing_norm)
    return normalized(per_token_by_numpy(block._mlp, s) + s, block._output_norm)


def test_heads_by_hand():
    block = RankMixerBlock()
    block.build((None, 2, 4))
    heads = as_array(block.heads(ops.convert_to_tensor(np.arange(8.0).reshape(1, 2, 4))))
    np.testing.assert_array_equal(heads[0].reshape(2, 4), [[0, 1, 4, 5], [2, 3, 6, 7]])


@pytest.mark.parametrize("once", [0, 1, 3])
def test_block_against_numpy(once):
    block = RankMixerBlock(2, once)
    block.build((None, 3, 6))
    set_fixed_weights(block)
    x = wave(5, 3, 6)
    np.testing.assert_allclose(as_array(block(x)), block_by_numpy(block, x, once), rtol=1e-4, atol=1e-5)


def test_networks_of_some_tokens():
    layer = PerTokenMLP(4)
    layer.build((None, 3, 6))
    set_fixed_weights(layer)
    x = wave(5, 3, 6)
    np.testing.assert_allclose(as_array(layer(x[:, 1:], first=1)), as_array(layer(x))[:, 1:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("user_once", [False, True])
def test_rank_mixer_against_numpy(user_once):
    backbone = built(RankMixer(**MIXER, user_once=user_once))
    x = tokens_by_numpy(backbone.tokens, FIELDS)
    for block in backbone.blocks:
        x = block_by_numpy(block, x, backbone.tokens.request_tokens if user_once else 0)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), x.mean(axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.any_backend
@pytest.mark.parametrize("user_once", [False, True])
@pytest.mark.parametrize("requests", [1, 2])
def test_a_request_is_made_tokens_once(requests, user_once, monkeypatch):
    backbone = built(RankMixer(**MIXER, user_once=user_once))
    each = 6 // requests
    fields = {
        name: Once(ops.convert_to_tensor(x[::each])) if name in REQUEST else ops.convert_to_tensor(x)
        for name, x in FIELDS.items()
    }
    rows = {name: np.repeat(x[::each], each, axis=0) if name in REQUEST else x for name, x in FIELDS.items()}
    expected, made, mixed = as_array(backbone(rows)), [], []
    tokens = backbone.tokens
    monkeypatch.setattr(
        tokens, "_tokens", lambda side, x, call=tokens._tokens: made.append((side, ops.shape(x[0])[0])) or call(side, x)
    )
    for block in backbone.blocks:
        monkeypatch.setattr(
            block, "request_half", lambda x, call=block.request_half: mixed.append(ops.shape(x)[0]) or call(x)
        )
    found = CandidateCalls(CandidateRows(requests, each)).layer(backbone, fields)
    assert made == [(0, requests), (1, 6)]
    assert mixed == ([requests] * 2 if user_once else [])
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-4, atol=1e-5)


def test_the_request_does_not_read_the_ad():
    block = RankMixerBlock(2, 2)
    block.build((None, 4, 8))
    set_fixed_weights(block)
    here, there = (as_array(block(x)) for x in (wave(5, 4, 8), wave(5, 4, 8) * np.array([1, 1, 2, 3])[:, None]))
    np.testing.assert_array_equal(here[:, :2], there[:, :2])
    assert np.abs(here[:, 2:] - there[:, 2:]).max() > 0.1


def test_rank_mixer_of_a_table():
    backbone = get("rank_mixer", SCHEMA, dropout=0.3, user_once=True)
    assert backbone.request_fields == ["user", "hour"]
    twin = get(keras.saving.serialize_keras_object(backbone), SCHEMA)
    assert (twin.dropout, twin.user_once, twin.request_fields) == (0.3, True, ["user", "hour"])


def test_rank_mixer_refuses():
    with pytest.raises(ValueError, match=r"`num_tokens` must divide `token_width`. Received: num_tokens=3"):
        RankMixer(3, 8)
    with pytest.raises(ValueError, match=r"`user_once` needs fields of the request and others.*request_fields=\[\]"):
        built(RankMixer(2, 8, user_once=True))
    with pytest.raises(
        ValueError, match=r"must divide their width and be at least `request_tokens`.*3 tokens of width"
    ):
        RankMixerBlock(request_tokens=4).build((None, 3, 6))


# === Wukong ===


@pytest.mark.parametrize("embeddings", [5, 3])
def test_wukong_layer_against_numpy(embeddings):
    layer = WukongLayer(2, 3, rank=2, units=(4,))
    layer.build((None, embeddings, 3))
    set_fixed_weights(layer)
    assert (layer._shortcut is None) == (embeddings == 5)
    x = wave(6, embeddings, 3)
    np.testing.assert_allclose(as_array(layer(x)), wukong_by_numpy(layer, x), rtol=1e-4, atol=1e-5)


def test_wukong_against_numpy():
    fields = {name: wave(6, 3, start=float(place)) for place, name in enumerate(("user", "ad", "hour"))}
    backbone = built(Wukong(2, num_products=2, num_linear=1, rank=2, units=(4,)), fields)
    x = np.stack([fields[name] for name in sorted(fields)], axis=1)
    for stage in backbone.stages:
        x = wukong_by_numpy(stage, x)
    np.testing.assert_allclose(as_array(backbone(fields)), x.reshape(6, -1), rtol=1e-4, atol=1e-5)


# === GDCN ===


def test_a_gated_cross_by_hand():
    layer = GatedCross()
    layer.build([(None, 1), (None, 1)])
    layer.set_weights([np.array([[2.0]]), np.array([1.0]), np.array([[0.0]])])
    # 3 · (5 · 2 + 1) · sigmoid(0) + 5
    found = layer([np.array([[3.0]], "float32"), np.array([[5.0]], "float32")])
    np.testing.assert_allclose(as_array(found), [[21.5]])


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_gdcn_against_numpy(structure):
    backbone = built(GDCN(2, units=(4,), structure=structure))
    x0 = crossed = np.concatenate([FIELDS[name] for name in sorted(FIELDS)], axis=-1)
    for layer in backbone.crosses:
        gate = 1 / (1 + np.exp(-crossed @ as_array(layer.gate.kernel)))
        crossed = x0 * (crossed @ as_array(layer.cross.kernel) + as_array(layer.cross.bias)) * gate + crossed
    kernel, bias = (as_array(w) for w in backbone.mlp.weights)
    hidden = np.maximum((crossed if structure == "stacked" else x0) @ kernel + bias, 0)
    expected = hidden if structure == "stacked" else np.concatenate([crossed, hidden], axis=-1)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), expected, rtol=1e-4, atol=1e-5)


# === PEPNet ===


def gate_by_numpy(gate, context):
    (kernel, bias), (last, shift) = (
        (as_array(layer.kernel), as_array(layer.bias)) for layer in (gate.network._stack[0], gate.network._stack[-1])
    )
    return 2 / (1 + np.exp(-(np.maximum(context @ kernel + bias, 0) @ last + shift)))


@pytest.mark.parametrize("domain", [["hour"], []])
def test_pepnet_against_numpy(domain):
    backbone = built(PEPNet(["user", "ad"], domain, units=(4, 3), gate_units=(2,)))
    x = np.concatenate([FIELDS[name] for name in sorted(FIELDS)], axis=-1)
    if domain:
        x = x * gate_by_numpy(backbone.domain_gate, np.concatenate([FIELDS["hour"], x], axis=-1))
    ids = np.concatenate([FIELDS["user"], FIELDS["ad"], x], axis=-1)
    for layer, gate in zip(backbone.layers_of_units, backbone.gates, strict=True):
        kernel, bias = (as_array(w) for w in layer.weights)
        x = np.maximum(x @ kernel + bias, 0) * gate_by_numpy(gate, ids)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), x, rtol=1e-4, atol=1e-5)


def test_gates_do_not_train_the_other_fields():
    """With dense layers of zeros and a bias, the output depends on fields through the gates alone."""
    backbone = built(PEPNet(["user"], ["hour"], units=(3,), gate_units=(2,)))
    dense = backbone.layers_of_units[0]
    dense.set_weights([np.zeros_like(as_array(dense.weights[0])), np.ones(3)])
    names = sorted(FIELDS)
    _, by_field, _ = gradients(
        lambda *values: ops.sum(backbone(dict(zip(names, values, strict=True)))), [FIELDS[name] for name in names], []
    )
    moved = {name for name, gradient in zip(names, by_field, strict=True) if np.abs(gradient).max() > 0}
    assert moved == {"user"}


def test_pepnet_of_a_table():
    backbone = get("pepnet", SCHEMA, dropout=0.3)
    assert (backbone.id_fields, backbone.domain_fields, backbone.dropout) == (["user", "ad"], ["hour"], 0.3)
    numbers = gr.Schema([gr.Numeric("age", side="user"), gr.Numeric("bid")], [gr.Task("click")])
    with pytest.raises(ValueError, match="no categorical feature on these sides"):
        get("pepnet", numbers)
    with pytest.raises(ValueError, match="`id_fields` must not be empty"):
        PEPNet([])
    with pytest.raises(ValueError, match=r"`domain_fields` names \['page'\], which are none of the fields"):
        built(PEPNet(["user"], ["page"]))
