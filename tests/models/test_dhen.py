"""DHEN and its interactions against their formulas; the layer contract itself is checked in tests/layers."""

import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave

import grouprank as gr
from grouprank.layers.interactions.dhen import (
    AttentionInteraction,
    CrossInteraction,
    DotProductInteraction,
    LinearInteraction,
    MLPInteraction,
)
from grouprank.models.backbones import DHEN, get

ALL = ("dcn", "self_attention", "dot", "linear", "mlp")
X = wave(4, 3, 6)
FIELDS = {"user": wave(6, 4), "ad": wave(6, 4, start=1.0), "user:groups": wave(6, 2, start=2.0)}
SHAPES = {name: (None, values.shape[1]) for name, values in FIELDS.items()}


def built(layer, shape=(None, 3, 6)):
    layer.build(shape)
    set_fixed_weights(layer)
    return layer


def weight(layer, path):
    """The weight whose path ends with `path`."""
    found = [variable for variable in layer.weights if variable.path.endswith(path)]
    assert len(found) == 1, [variable.path for variable in layer.weights]
    return as_array(found[0]).astype("float64")


def layer_norm(x, gamma, beta):
    centred = x - x.mean(-1, keepdims=True)
    return gamma * centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) + beta


def combined(layer, x, path="kernel"):
    """Embedding k is the sum over n of W[n, k] times embedding n."""
    w = weight(layer, path)
    return np.stack([sum(w[n, k] * x[:, n] for n in range(x.shape[1])) for k in range(w.shape[1])], axis=1)


def linear_by_numpy(layer, x):
    return combined(layer, x)


def dcn_by_numpy(layer, x):
    x0 = x.reshape(len(x), -1)
    dense = layer.cross.dense
    crossed = x0 * (x0 @ as_array(dense.kernel) + as_array(dense.bias)) + x0
    return combined(layer, crossed.reshape(x.shape), "combine/kernel")


def dot_by_numpy(layer, x):
    products = [np.sum(x[:, i] * x[:, j], -1) for i in range(x.shape[1]) for j in range(i)]
    out = np.stack(products, -1) @ weight(layer, "dense/kernel") + weight(layer, "dense/bias")
    return out.reshape(len(x), -1, x.shape[2])


def mlp_by_numpy(layer, x):
    hidden = x.reshape(len(x), -1) @ weight(layer, "dense_0/kernel") + weight(layer, "dense_0/bias")
    out = np.maximum(hidden, 0) @ weight(layer, "output/kernel") + weight(layer, "output/bias")
    return out.reshape(len(x), -1, x.shape[2])


def self_attention_by_numpy(layer, x):
    part = {name: weight(layer, f"attention/{name}/kernel") for name in ("query", "key", "value", "attention_output")}
    kernel = part["attention_output"]
    attended = np.zeros_like(x)
    for head in range(kernel.shape[0]):
        query, key, value = (x @ part[name][:, head] for name in ("query", "key", "value"))
        scores = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(kernel.shape[1]))
        attended += (scores / scores.sum(-1, keepdims=True)) @ value @ kernel[head]
    norms = [
        (weight(layer, f"{name}/gamma"), weight(layer, f"{name}/beta"))
        for name in ("attention_norm", "feed_forward_norm")
    ]
    a = layer_norm(x + attended, *norms[0])
    hidden = a @ weight(layer, "feed_forward/dense_0/kernel") + weight(layer, "feed_forward/dense_0/bias")
    fed = np.maximum(hidden, 0) @ weight(layer, "feed_forward/output/kernel") + weight(
        layer, "feed_forward/output/bias"
    )
    return combined(layer, layer_norm(a + fed, *norms[1]), "combine/kernel")


BY_NUMPY = {
    "dcn": dcn_by_numpy,
    "self_attention": self_attention_by_numpy,
    "dot": dot_by_numpy,
    "linear": linear_by_numpy,
    "mlp": mlp_by_numpy,
}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("dcn", lambda: CrossInteraction(2)),
        ("self_attention", lambda: AttentionInteraction(2, num_heads=3)),
        ("dot", lambda: DotProductInteraction(2)),
        ("linear", lambda: LinearInteraction(2)),
        ("mlp", lambda: MLPInteraction(2, units=(5,))),
    ],
)
def test_interaction_against_numpy(name, make):
    layer = built(make())
    expected = BY_NUMPY[name](layer, X.astype("float64"))
    assert expected.shape == layer.compute_output_shape(X.shape) == (4, 2, 6)
    np.testing.assert_allclose(as_array(layer(X)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("normalization", "axis"), [(None, None), ("batch", 0), ("layer", 1)])
def test_dense_layers_of_the_users_choice_against_numpy(normalization, axis):
    backbone = DHEN(1, 3, ("mlp",), units=(5,), activation="tanh", normalization=normalization)
    built(backbone, dict.fromkeys("abc", (None, 6)))
    layer = backbone.stages[0].interactions[0]
    hidden = X.reshape(4, -1) @ weight(layer, "dense_0/kernel") + weight(layer, "dense_0/bias")
    if normalization is not None:
        gamma, beta = (weight(layer, f"{normalization}_normalization_0/{part}") for part in ("gamma", "beta"))
        hidden = (hidden - hidden.mean(axis, keepdims=True)) / np.sqrt(hidden.var(axis, keepdims=True) + 1e-3)
        hidden = gamma * hidden + beta
    expected = np.tanh(hidden) @ weight(layer, "output/kernel") + weight(layer, "output/bias")
    found = as_array(layer(X, training=True)).reshape(4, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    config = DHEN.from_config(backbone.get_config()).get_config()
    assert (config["activation"], config["normalization"]) == ("tanh", normalization)


def test_dot_products_by_hand():
    layer = DotProductInteraction(1)
    layer.build((None, 3, 2))
    # One row a product, in the order (1, 0), (2, 0), (2, 1).
    layer.dense.kernel.assign([[1.0, 0.0], [0.0, 1.0], [0.0, 10.0]])
    x = np.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], "float32")
    np.testing.assert_allclose(as_array(layer(x)), [[[11.0, 17.0 + 390.0]]])


def layer_by_numpy(layer, x):
    found = [BY_NUMPY[name](part, x) for name, part in zip(layer.interaction_names, layer.interactions, strict=True)]
    together = np.concatenate(found, axis=1) if layer.ensemble == "concat" else sum(found)
    shortcut = x if layer.shortcut is None else combined(layer.shortcut, x)
    return layer_norm(together + shortcut, *(as_array(part) for part in layer.normalization.weights))


@pytest.mark.parametrize("ensemble", ["concat", "sum"])
@pytest.mark.parametrize("interactions", [ALL, ("dot", "dcn"), ("linear",)])
def test_layer_against_numpy(interactions, ensemble):
    layer = built(gr.layers.DHENLayer(2, interactions, ensemble, units=(5,)))
    expected = layer_by_numpy(layer, X.astype("float64"))
    assert layer.compute_output_shape(X.shape) == expected.shape
    np.testing.assert_allclose(as_array(layer(X)), expected, rtol=1e-4, atol=1e-5)


def test_the_shortcut_is_the_identity_where_the_number_of_embeddings_stays():
    same, summed, more = (
        built(gr.layers.DHENLayer(size, ("linear",), ensemble))
        for size, ensemble in ((3, "concat"), (3, "sum"), (2, "concat"))
    )
    assert (same.shortcut, summed.shortcut) == (None, None)
    assert more.shortcut.kernel.shape == (3, 2)
    for layer in (same, summed):
        layer.interactions[0].kernel.assign(np.zeros((3, 3)))
        layer.normalization.gamma.assign(np.ones(6))
        layer.normalization.beta.assign(np.zeros(6))
        np.testing.assert_allclose(as_array(layer(X)), layer_norm(X, 1.0, 0.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ensemble", ["concat", "sum"])
def test_dhen_against_numpy(ensemble):
    backbone = built(DHEN(2, 3, ALL, ensemble, units=(5,)), SHAPES)
    groups = FIELDS["user:groups"] @ weight(backbone, "user_groups_projection/kernel")
    x = np.stack([FIELDS["ad"], FIELDS["user"], groups], axis=1).astype("float64")
    for stage in backbone.stages:
        x = layer_by_numpy(stage, x)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), x.reshape(6, -1), rtol=1e-3, atol=1e-4)


def test_dropout_of_a_name():
    schema = gr.Schema([gr.Categorical("user", 9, side="user")], [gr.Task("click")])
    backbone = get("dhen", schema, dropout=0.3, name="backbone")
    assert [stage.dropout for stage in backbone.stages] == [0.3, 0.3]
    layer = gr.layers.DHENLayer(2, ("self_attention", "mlp"), dropout=0.5)
    first, second = (as_array(layer(X, training=True)) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(as_array(layer(X)), as_array(layer(X)))


def test_the_order_of_fields_does_not_matter():
    backbone = built(DHEN(1, 2, ALL), SHAPES)
    reverse = dict(reversed(FIELDS.items()))
    np.testing.assert_array_equal(as_array(backbone(reverse)), as_array(backbone(FIELDS)))


@pytest.mark.any_backend
def test_in_a_model():
    schema = gr.Schema([gr.Categorical("user", 9, side="user"), gr.Categorical("ad", 9)], [gr.Task("click")])
    model = gr.models.CTRModel(schema, backbone="dhen", embedding_dim=4, group_structure=("user",))
    logits = model({"user": np.arange(8) % 9, "ad": np.arange(8)[::-1] % 9})
    assert np.ptp(as_array(logits["click"])) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gr.layers.DHENLayer(0), "`num_embeddings` must be a positive integer.*num_embeddings=0"),
        (lambda: gr.layers.DHENLayer(num_heads=0), "`num_heads` must be a positive integer.*num_heads=0"),
        (lambda: gr.layers.DHENLayer(2, ("dnc",)), r"`interactions` must name .*'dcn'.*interactions=\('dnc',\)"),
        (lambda: gr.layers.DHENLayer(2, ("dcn", "dcn")), "`interactions` must name .* each once"),
        (lambda: gr.layers.DHENLayer(2, ()), "`interactions` must name one or more"),
        (lambda: gr.layers.DHENLayer(2, "dcn"), "`interactions` must name .*interactions='dcn'"),
        (lambda: gr.layers.DHENLayer(ensemble="mean"), "`ensemble` must be one of .*ensemble='mean'"),
        (lambda: gr.layers.DHENLayer(dropout=1.0), r"`dropout` must lie in \[0, 1\).*dropout=1.0"),
        (lambda: gr.layers.DHENLayer().build((None, 4)), r"\(batch, embeddings, dim\).*\(None, 4\)"),
        (
            lambda: gr.layers.DHENLayer(2, ("dot",)).build((None, 1, 4)),
            r"at least two embeddings.*input_shape=\(None, 1, 4\)",
        ),
        (
            lambda: gr.layers.DHENLayer(2, ("mlp",), normalization="group").build((None, 3, 4)),
            "`normalization` must be one of .*normalization='group'",
        ),
        (lambda: DHEN(0), "`num_layers` must be a positive integer.*num_layers=0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
