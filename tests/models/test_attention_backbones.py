"""AutoInt, MaskNet and FinalMLP against their formulas; the layer contract itself is checked in tests/layers."""

import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave

import grouprank as gr
from grouprank.models.backbones import AutoInt, FinalMLP, MaskNet, get

FIELDS = {
    "user": wave(6, 3),
    "age": wave(6, 3, start=0.5),
    "ad": wave(6, 3, start=1.0),
    "user:groups": wave(6, 2, start=2.0),
}
ORDER = ("ad", "age", "user", "user:groups")
SHAPES = {name: (None, values.shape[1]) for name, values in FIELDS.items()}
SCHEMA = gr.Schema(
    [
        gr.Categorical("user", 9, side="user"),
        gr.Numeric("age", side="user"),
        gr.Categorical("ad", 9, side="ad"),
        gr.Categorical("hour", 24, side="context"),
    ],
    [gr.Task("click")],
)


def built(layer, shapes=SHAPES):
    layer.build(shapes)
    set_fixed_weights(layer)
    return layer


def weight(layer, path):
    """The weight whose path ends with `path`."""
    found = [variable for variable in layer.weights if variable.path.endswith(path)]
    assert len(found) == 1, [variable.path for variable in layer.weights]
    return as_array(found[0]).astype("float64")


def side_by_side(fields):
    return np.concatenate([fields[name] for name in ORDER], axis=-1).astype("float64")


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def layer_norm(x, gamma, beta):
    centred = x - x.mean(-1, keepdims=True)
    return gamma * centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) + beta


def mlp_by_numpy(mlp, x, linear_output=False):
    weights = [as_array(variable) for variable in mlp.weights]
    for index in range(0, len(weights), 2):
        x = x @ weights[index] + weights[index + 1]
        if not (linear_output and index + 2 == len(weights)):
            x = np.maximum(x, 0)
    return x


def attention_by_numpy(layer, x):
    """Song et al., eq. 5 to 8, one field and one head at a time."""
    w_query, w_key, w_value, w_res = (weight(layer, f"{part}/kernel") for part in ("query", "key", "value", "residual"))
    size, heads = layer.head_dim, layer.num_heads
    result = np.zeros((*x.shape[:2], heads * size))
    for m in range(x.shape[1]):
        for h in range(heads):
            columns = slice(h * size, (h + 1) * size)
            query = x[:, m] @ w_query[:, columns]
            scores = np.stack([np.sum(query * (x[:, k] @ w_key[:, columns]), -1) for k in range(x.shape[1])], -1)
            alpha = softmax(scores / np.sqrt(size) if layer.use_scale else scores)
            values = [alpha[:, k, None] * (x[:, k] @ w_value[:, columns]) for k in range(x.shape[1])]
            result[:, m, columns] = sum(values)
    return np.maximum(result + x @ w_res, 0)


@pytest.mark.parametrize("use_scale", [False, True])
def test_field_self_attention_against_numpy(use_scale):
    layer = built(gr.layers.FieldSelfAttention(3, 4, use_scale), (None, 5, 6))
    x = wave(7, 5, 6)
    np.testing.assert_allclose(as_array(layer(x)), attention_by_numpy(layer, x), rtol=1e-4, atol=1e-5)


def test_field_self_attention_by_hand():
    # One head of width 1: field 0 scores itself 1·1 and field 1 1·2.
    layer = gr.layers.FieldSelfAttention(1, 1)
    layer.build((None, 2, 1))
    for part, value in (("query", 1.0), ("key", 1.0), ("value", 10.0), ("residual", -1.0)):
        getattr(layer, part).kernel.assign([[value]])
    one, two = np.exp(1) / (np.exp(1) + np.exp(2)), np.exp(2) / (np.exp(2) + np.exp(4))
    expected = [[[one * 10 + (1 - one) * 20 - 1], [two * 10 + (1 - two) * 20 - 2]]]
    np.testing.assert_allclose(as_array(layer(np.array([[[1.0], [2.0]]], "float32"))), expected, rtol=1e-5)


@pytest.mark.parametrize("units", [(), (5, 4)])
def test_autoint_against_numpy(units):
    backbone = built(AutoInt(2, num_heads=2, head_dim=3, units=units))
    groups = FIELDS["user:groups"] @ weight(backbone, "user_groups_projection/kernel")
    x = np.stack([FIELDS["ad"], FIELDS["age"], FIELDS["user"], groups], axis=1)
    for layer in backbone.attention:
        x = attention_by_numpy(layer, x)
    expected = x.reshape(6, -1)
    if units:
        expected = np.concatenate([expected, mlp_by_numpy(backbone.mlp, side_by_side(FIELDS))], axis=-1)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), expected, rtol=1e-4, atol=1e-5)


def mask_block_by_numpy(block, hidden, embedding):
    """Wang et al.: mask = W2 relu(W1 v + b1) + b2, output = relu(LN(W (mask * hidden)))."""
    inner = np.maximum(embedding @ weight(block, "aggregation/kernel") + weight(block, "aggregation/bias"), 0)
    mask = inner @ weight(block, "projection/kernel") + weight(block, "projection/bias")
    x = (mask * hidden) @ weight(block, "hidden/kernel")
    return np.maximum(layer_norm(x, weight(block, "normalization/gamma"), weight(block, "normalization/beta")), 0)


def test_mask_block_against_numpy():
    block = built(gr.layers.MaskBlock(5, reduction_ratio=1.5), {"hidden": (None, 4), "embedding": (None, 6)})
    inputs = {"hidden": wave(3, 4), "embedding": wave(3, 6, start=1.0)}
    assert block.aggregation.kernel.shape == (6, 6)
    expected = mask_block_by_numpy(block, inputs["hidden"], inputs["embedding"])
    np.testing.assert_allclose(as_array(block(inputs)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("units", [(), (4,)])
@pytest.mark.parametrize("structure", ["parallel", "serial"])
def test_masknet_against_numpy(structure, units):
    backbone = built(MaskNet((5, 4), structure=structure, units=units))
    embedding = side_by_side(FIELDS)
    normalised = [
        layer_norm(FIELDS[name].astype("float64"), *(as_array(part) for part in backbone.normalizations[name].weights))
        for name in ORDER
    ]
    hidden = np.concatenate(normalised, axis=-1)
    if structure == "serial":
        for block in backbone.blocks:
            hidden = mask_block_by_numpy(block, hidden, embedding)
    else:
        hidden = np.concatenate([mask_block_by_numpy(block, hidden, embedding) for block in backbone.blocks], axis=-1)
    expected = mlp_by_numpy(backbone.mlp, hidden)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), expected, rtol=1e-4, atol=1e-5)


def test_dense_layers_of_masknet_are_the_papers():
    assert MaskNet(structure="parallel").mlp.units == (256, 128)
    assert MaskNet(structure="serial").mlp.units == ()
    assert MaskNet(structure="serial", units=(3,)).mlp.units == (3,)


def gate_by_numpy(gate, features, context):
    return 2 / (1 + np.exp(-mlp_by_numpy(gate.network, context, linear_output=True))) * features


@pytest.mark.parametrize("with_context", [False, True])
def test_feature_gate_against_numpy(with_context):
    inputs = {"features": wave(5, 6), "context": wave(5, 3, start=1.0)}
    if not with_context:
        del inputs["context"]
    gate = built(
        gr.layers.FeatureGate((4,), context_dim=2), {name: (None, part.shape[1]) for name, part in inputs.items()}
    )
    context = inputs["context"] if with_context else as_array(gate.context)
    np.testing.assert_allclose(as_array(gate(inputs)), gate_by_numpy(gate, inputs["features"], context), rtol=1e-5)


def test_a_new_gate_without_context_lets_everything_through():
    features = wave(5, 6)
    np.testing.assert_allclose(as_array(gr.layers.FeatureGate()({"features": features})), features, rtol=1e-6)


def logit_by_numpy(left, right, kernel):
    """Mao et al.: the bilinear term of the logit, head by head."""
    heads, size1, size2 = kernel.shape
    total = np.zeros(len(left))
    for h in range(heads):
        part1, part2 = left[:, h * size1 : (h + 1) * size1], right[:, h * size2 : (h + 1) * size2]
        total += np.einsum("bi,ij,bj->b", part1, kernel[h], part2)
    return total


@pytest.mark.parametrize("num_heads", [1, 2])
def test_bilinear_fusion_holds_the_papers_logit(num_heads):
    left, right = wave(5, 6), wave(5, 4, start=1.0)
    fusion = built(gr.layers.BilinearFusion(num_heads), {"left": (None, 6), "right": (None, 4)})
    output = as_array(fusion({"left": left, "right": right}))
    np.testing.assert_array_equal(output[:, :10], np.concatenate([left, right], axis=-1))
    expected = logit_by_numpy(left, right, as_array(fusion.kernel))
    np.testing.assert_allclose(output[:, 10:].sum(axis=-1), expected, rtol=1e-4, atol=1e-5)


def test_heads_of_a_fusion_start_apart():
    fusion = gr.layers.BilinearFusion(2)
    fusion.build({"left": (None, 8), "right": (None, 8)})
    kernel = as_array(fusion.kernel)
    assert not np.allclose(kernel[0], kernel[1])
    # Drawn as a matrix of 4 x 4 each: glorot's limit is sqrt(6 / 8).
    assert 0.5 < np.abs(kernel).max() <= np.sqrt(6 / 8)


@pytest.mark.parametrize("contexts", [((), ()), (("user", "age"), ("ad",))])
def test_final_mlp_against_numpy(contexts):
    first, second = contexts
    backbone = built(FinalMLP((5, 4), (6, 2), first, second, gate_units=(3,), context_dim=2, num_heads=2))
    features = side_by_side(FIELDS)
    outputs = []
    for gate, context, stream in zip(backbone.gates, contexts, backbone.streams, strict=True):
        seen = np.concatenate([FIELDS[name] for name in ORDER if name in context], -1) if context else gate.context
        gated = gate_by_numpy(gate, features, seen if context else as_array(seen))
        outputs.append(mlp_by_numpy(stream, gated))
    found = as_array(backbone(FIELDS))
    np.testing.assert_allclose(found[:, :6], np.concatenate(outputs, axis=-1), rtol=1e-4, atol=1e-5)
    expected = logit_by_numpy(*outputs, as_array(backbone.fusion.kernel))
    np.testing.assert_allclose(found[:, 6:].sum(axis=-1), expected, rtol=1e-4, atol=1e-5)


def test_contexts_of_a_schema():
    backbone = get("final_mlp", SCHEMA, dropout=0.3, name="backbone")
    assert backbone.contexts == (("user", "age"), ("ad",))
    assert backbone.name == "backbone"
    assert [stream.dropout for stream in backbone.streams] == [0.3, 0.3]
    assert FinalMLP.from_schema(SCHEMA, first_context=["hour"]).contexts == (("hour",), ("ad",))


def test_dropout_of_a_name():
    autoint, masknet = get("autoint", SCHEMA, dropout=0.3), get("masknet", SCHEMA, dropout=0.3)
    assert [layer.dropout for layer in autoint.attention] == [0.3] * 3
    assert [block.dropout for block in masknet.blocks] == [0.3] * 3
    assert autoint.mlp.dropout == masknet.mlp.dropout == 0.3


@pytest.mark.parametrize(
    "make",
    [
        lambda: AutoInt(1, head_dim=2, units=(3,)),
        lambda: MaskNet((4, 4), units=(3,)),
        lambda: FinalMLP((4,), (4,), ("user", "age"), ("ad",)),
    ],
)
def test_the_order_of_fields_does_not_matter(make):
    backbone = built(make())
    reverse = dict(reversed(FIELDS.items()))
    np.testing.assert_array_equal(as_array(backbone(reverse)), as_array(backbone(FIELDS)))


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["autoint", "masknet", "final_mlp"])
def test_in_a_model(name):
    model = gr.models.CTRModel(SCHEMA, backbone=name, embedding_dim=4, group_structure=("user", "user_ad"))
    x = {"user": np.arange(8) % 9, "age": wave(8), "ad": np.arange(8)[::-1] % 9, "hour": np.arange(8) % 24}
    assert np.ptp(as_array(model(x)["click"])) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gr.layers.FieldSelfAttention(num_heads=0), "`num_heads` must be a positive integer.*num_heads=0"),
        (lambda: gr.layers.FieldSelfAttention(head_dim=1.5), "`head_dim` must be a positive integer.*head_dim=1.5"),
        (lambda: gr.layers.FieldSelfAttention(dropout=1.0), r"`dropout` must lie in \[0, 1\).*dropout=1.0"),
        (lambda: gr.layers.FieldSelfAttention().build((None, 4)), r"\(batch, fields, dim\).*input_shape=\(None, 4\)"),
        (lambda: gr.layers.MaskBlock(0), "`units` must be a positive integer.*units=0"),
        (lambda: gr.layers.MaskBlock(3, 0), "`reduction_ratio` must be positive.*reduction_ratio=0"),
        (lambda: gr.layers.MaskBlock(3, dropout=-0.1), r"`dropout` must lie in \[0, 1\).*dropout=-0.1"),
        (lambda: gr.layers.MaskBlock(3).build({"hidden": (None, 2)}), r"'hidden' and 'embedding'.*\['hidden'\]"),
        (
            lambda: gr.layers.MaskBlock(3).build({"hidden": (None, None), "embedding": (None, 2)}),
            "last axis of 'hidden' must be known",
        ),
        (lambda: gr.layers.FeatureGate(context_dim=0), "`context_dim` must be positive integers.*context_dim=0"),
        (lambda: gr.layers.FeatureGate().build({"context": (None, 2)}), r"'features' and, optionally.*\['context'\]"),
        (lambda: gr.layers.BilinearFusion(0), "`num_heads` must be a positive integer.*num_heads=0"),
        (lambda: gr.layers.BilinearFusion().build({"left": (None, 2)}), r"'left' and 'right'.*\['left'\]"),
        (
            lambda: gr.layers.BilinearFusion(2).build({"left": (None, 4), "right": (None, 3)}),
            "`num_heads` must divide.*num_heads=2, widths 4 and 3",
        ),
        (
            lambda: gr.layers.BilinearFusion().build({"left": (None, None), "right": (None, 3)}),
            "last axes of the inputs must be known",
        ),
        (lambda: AutoInt(0), "`num_layers` must be a positive integer.*num_layers=0"),
        (lambda: MaskNet(structure="stacked"), "`structure` must be one of .*structure='stacked'"),
        (lambda: MaskNet(()), r"`block_units` must hold.*block_units=\(\)"),
        (lambda: FinalMLP(()), r"must each name at least one layer.*first_units=\(\)"),
        (lambda: FinalMLP(first_context=("usr",)).build(SHAPES), r"must name fields of .*'user'.*Received: \['usr'\]"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
