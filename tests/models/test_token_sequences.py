"""OneTrans and HSTU over histories and fields against their formulas; a request is read once for all its ads."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave

import grouprank as gr
from grouprank.layers import SequenceTokens
from grouprank.models.backbones import HSTUBackbone, OneTrans, get
from grouprank.models.ranking.candidate_calls import CandidateCalls
from grouprank.models.ranking.candidate_rows import CandidateRows, Once

ROWS, WIDTH, HEADS = 6, 8, 2
FIELDS = {
    "ad": wave(ROWS, 3),
    "hour": wave(ROWS, 2, start=1.0),
    "user": wave(ROWS, 3, start=2.0),
    "user:groups": wave(ROWS, 2, start=3.0),
}
STEPS = {
    "bought:steps": wave(ROWS, 2, 4, start=5.0),
    "bought:mask": np.array([[1, 1], [1, 0], [0, 1], [0, 0], [0, 0], [1, 1]], bool),
    "seen:steps": wave(ROWS, 3, 3, start=6.0),
    "seen:mask": np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0]], bool),
}
REQUEST = ("hour", "user", "user:groups", *STEPS)
LENGTH, TOKENS = 5, 4
ARGUMENTS = {"num_tokens": TOKENS, "token_width": WIDTH, "num_heads": HEADS, "request_fields": ["user", "hour"]}
BACKBONES = {"one_trans": OneTrans, "hstu": HSTUBackbone}
BOTH = pytest.mark.parametrize("name", BACKBONES)


def built(name, fields, **arguments):
    backbone = BACKBONES[name](**{**ARGUMENTS, **arguments})
    backbone.build({n: (None, *values.shape[1:]) for n, values in fields.items()})
    set_fixed_weights(backbone)
    return backbone


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))


def dense(layer, x):
    return x @ as_array(layer.kernel) + (as_array(layer.bias) if layer.use_bias else 0)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def histories_by_numpy(layer, row):
    """Tokens of one row's histories, and which of them count."""
    found, counts = [], []
    for name in ("bought", "seen"):
        mask = STEPS[f"{name}:mask"][row]
        for place in np.arange(len(mask)):
            vector = STEPS[f"{name}:steps"][row, place] if mask[place] else np.zeros(STEPS[f"{name}:steps"].shape[2])
            newer = mask[place + 1 :].sum()
            found.append(dense(layer._projections[name], vector) + as_array(layer._places[name].embeddings)[newer])
            counts.append(mask[place])
    return np.array(found), np.array(counts)


def tokens_of(backbone, row, with_histories):
    """All tokens of a row in their order, and which of them may be read."""
    fields = as_array(backbone.tokens(FIELDS))[row]
    if not with_histories:
        return fields, np.ones(TOKENS, bool)
    found, counts = histories_by_numpy(backbone.histories, row)
    return np.concatenate([found, fields]), np.append(counts, np.ones(TOKENS, bool))


def one_trans_by_numpy(block, x, counts):
    own = len(x) - TOKENS

    def rms(x, layer):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * as_array(layer.weights[0])

    def project(place, vector):
        if place < own:
            found = dense(block._projections, vector)
            return found if block.updates_shared else np.append(np.zeros(WIDTH), found)
        return vector @ as_array(block._own_kernel)[place - own] + as_array(block._own_bias)[place - own]

    def network(place, vector):
        if place < own and not block.updates_shared:
            return 0 * vector  # nothing reads it afterwards
        if place < own:
            return dense(block._made, gelu(dense(block._hidden, vector)))
        (kernel, bias), (output, last) = (
            (as_array(w)[place - own] for w in pair) for pair in (block._own_mlp._hidden, block._own_mlp._output)
        )
        return gelu(vector @ kernel + bias) @ output + last

    normed = rms(x, block._attention_norm)
    q, k, v = np.split(np.array([project(place, normed[place]) for place in range(len(x))]), 3, axis=-1)
    attended, head = np.zeros_like(x), WIDTH // HEADS
    for number in range(HEADS):
        of = slice(number * head, (number + 1) * head)
        for place in range(len(x)):
            read = [other for other in range(place + 1) if counts[other] or other == place]
            weights = softmax(k[read, of] @ q[place, of] / np.sqrt(head))
            attended[place, of] = weights @ v[read, of]
    x = x + dense(block._output, attended)
    normed = rms(x, block._mlp_norm)
    return x + np.array([network(place, normed[place]) for place in range(len(x))])


def hstu_by_numpy(block, x, counts):
    def normalized(x, layer):
        gamma, beta = (as_array(weight) for weight in layer.weights)
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta

    u, v, q, k = np.split(silu(dense(block._projections, normalized(x, block._input_norm))), 4, axis=-1)
    attended, head = np.zeros_like(x), WIDTH // HEADS
    for number in range(HEADS):
        of = slice(number * head, (number + 1) * head)
        for place in range(len(x)):
            for other in range(place + 1):
                if counts[other] or other == place:
                    score = q[place, of] @ k[other, of] + as_array(block.biases)[place - other, number]
                    attended[place, of] += silu(score) / len(x) * v[other, of]
    return x + dense(block._output, normalized(attended, block._attention_norm) * u)


@pytest.mark.parametrize("with_histories", [True, False])
@BOTH
def test_against_numpy(name, with_histories):
    fields = {**FIELDS, **STEPS} if with_histories else FIELDS
    backbone = built(name, fields)
    formula = {"one_trans": one_trans_by_numpy, "hstu": hstu_by_numpy}[name]
    output = as_array(backbone(fields))
    for row in range(ROWS):
        x, counts = tokens_of(backbone, row, with_histories)
        for block in backbone.blocks:
            x = formula(block, x, counts)
        np.testing.assert_allclose(output[row], x[-TOKENS:].reshape(-1), rtol=1e-3, atol=1e-4)


@BOTH
def test_padding_is_never_read(name):
    fields = {**FIELDS, **STEPS}
    backbone = built(name, fields)
    junk = {
        n: np.where(STEPS[n.replace("steps", "mask")][..., None], values, np.nan).astype("float32")
        for n, values in STEPS.items()
        if n.endswith("steps")
    }
    np.testing.assert_array_equal(as_array(backbone({**fields, **junk})), as_array(backbone(fields)))


@BOTH
def test_the_request_does_not_read_the_ad(name):
    fields = {**FIELDS, **STEPS}
    backbone = built(name, fields)
    here, there = (as_array(backbone(x)) for x in (fields, {**fields, "ad": FIELDS["ad"] + 1.0}))
    once = backbone.tokens.request_tokens * WIDTH
    np.testing.assert_array_equal(here[:, :once], there[:, :once])
    assert np.abs(here[:, once:] - there[:, once:]).max() > 0.01


@pytest.mark.any_backend
@pytest.mark.parametrize("requests", [1, 2])
@BOTH
def test_a_request_is_read_once(name, requests, monkeypatch):
    every = {**FIELDS, **STEPS}
    backbone, each = built(name, every), ROWS // requests
    fields = {
        n: Once(ops.convert_to_tensor(x[::each])) if n in REQUEST else ops.convert_to_tensor(x)
        for n, x in every.items()
    }
    rows = {n: np.repeat(x[::each], each, axis=0) if n in REQUEST else x for n, x in every.items()}
    expected, seen = as_array(backbone(rows)), []
    monkeypatch.setattr(
        backbone,
        "call_block",
        lambda block, x, *a, call=backbone.call_block: seen.append(x.shape[:2]) or call(block, x, *a),
    )
    found = CandidateCalls(CandidateRows(requests, each)).layer(backbone, fields)
    others = TOKENS - backbone.tokens.request_tokens
    assert [tuple(shape) for shape in seen] == [(requests, LENGTH + TOKENS - others)] * 2 + [(ROWS, others)] * 2
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-4, atol=1e-5)


@BOTH
def test_of_a_table(name):
    schema = gr.Schema(
        [
            gr.Categorical("user", 9, side="user"),
            gr.Sequence("seen", 9, 3, side="user", shares="ad"),
            gr.Categorical("ad", 9),
        ],
        [gr.Task("click")],
    )
    backbone = get(name, schema, dropout=0.3, num_tokens=2, token_width=4)
    assert backbone.request_fields == ["user", "seen"]
    twin = get(keras.saving.serialize_keras_object(backbone), schema)
    assert (twin.dropout, twin.num_tokens, twin.num_heads) == (0.3, 2, 2)
    model = gr.models.CTRModel(schema, backbone, embedding_dim=4, group_structure=("user",), residual_learning=False)
    columns = {"user": np.arange(4), "seen": np.arange(12).reshape(4, 3) % 9, "ad": np.arange(4)}
    before = model.predict_proba(columns)["click"]
    # The order of a history tells something: its first two positions are exchanged.
    assert (
        np.abs(model.predict_proba({**columns, "seen": columns["seen"][:, [1, 0, 2]]})["click"] - before).max() > 1e-6
    )


@pytest.mark.any_backend
def test_histories_are_those_of_the_request(monkeypatch):
    """The tags of an ad are a sequence, too, but they differ between the ads of a request."""
    schema = gr.Schema(
        [
            gr.Categorical("user", 9, side="user"),
            gr.Sequence("seen", 9, 3, side="user", shares="ad"),
            gr.Categorical("ad", 9),
            gr.Sequence("tags", 5, 2, side="ad"),
        ],
        [gr.Task("click")],
    )
    model = gr.models.CTRModel(schema, "one_trans", embedding_dim=4, group_structure=(), residual_learning=False)
    assert model.backbone.histories.names == ["seen"]
    seen, read = [], model.backbone.read_request
    monkeypatch.setattr(
        model.backbone,
        "read_request",
        lambda fields, *a: seen.append(fields["seen:steps"].shape[0]) or read(fields, *a),
    )
    request = {"user": np.array([1, 2]), "seen": np.arange(6).reshape(2, 3)}
    ads = {"ad": np.arange(6).reshape(2, 3), "tags": np.arange(12).reshape(2, 3, 2) % 5}
    ranked = model.rank_logits(request, ads)["click"]
    assert [int(rows) for rows in seen] == [2]
    rows = {name: np.repeat(values, 3, axis=0) for name, values in request.items()}
    rows |= {"ad": ads["ad"].reshape(-1), "tags": ads["tags"].reshape(-1, 2)}
    expected = model.predict(rows, verbose=0)["click"]
    np.testing.assert_allclose(as_array(ranked).reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="`num_heads` must divide `token_width`"):
        HSTUBackbone(2, 3, num_heads=2)
    with pytest.raises(ValueError, match=r"`num_heads` must divide the tokens' width.*num_heads=3"):
        built("one_trans", FIELDS, num_heads=3)
    with pytest.raises(ValueError, match="The history 'seen' needs a mask and a known length"):
        SequenceTokens(4).build({"seen:steps": (None, None, 3), "seen:mask": (None, None)})
