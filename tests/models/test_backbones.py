"""Backbones against their formulas; the layer contract itself is checked in tests/layers."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave

import grouprank as gr
from grouprank.models.backbones import DCNv2, MLPBackbone, get

FIELDS = {"user": wave(6, 3), "ad": wave(6, 3, start=1.0), "user:groups": wave(6, 2, start=2.0)}
SCHEMA = gr.Schema([gr.Categorical("user", 9, side="user"), gr.Categorical("ad", 9)], [gr.Task("click")])
SHAPES = {name: (None, values.shape[1]) for name, values in FIELDS.items()}


@keras.saving.register_keras_serializable(package="grouprank_tests")
class SumOfFields(gr.models.Backbone):
    def call(self, fields, training=None):
        return sum(fields.values())


def built(backbone):
    backbone.build(SHAPES)
    set_fixed_weights(backbone)
    return backbone


def side_by_side(fields):
    return np.concatenate([fields[name] for name in ("ad", "user", "user:groups")], axis=-1)


def crossed_by_numpy(backbone, x0):
    """x_{l+1} = x0 * (W x_l + b) + x_l, W of full rank or a product of two factors."""
    x = x0
    for cross in backbone.crosses:
        projected = x if backbone.projection_dim is None else x @ as_array(cross.down_proj_dense.kernel)
        x = x0 * (projected @ as_array(cross.dense.kernel) + as_array(cross.dense.bias)) + x
    return x


def mlp_by_numpy(mlp, x):
    weights = [as_array(weight) for weight in mlp.weights]
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        x = np.maximum(x @ kernel + bias, 0)
    return x


@pytest.mark.parametrize("projection_dim", [None, 2])
@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_dcn_v2_against_numpy(structure, projection_dim):
    backbone = built(DCNv2(3, projection_dim, units=(5, 4), structure=structure))
    x0 = side_by_side(FIELDS)
    crossed = crossed_by_numpy(backbone, x0)
    if structure == "stacked":
        expected = mlp_by_numpy(backbone.mlp, crossed)
    else:
        expected = np.concatenate([crossed, mlp_by_numpy(backbone.mlp, x0)], axis=-1)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), expected, rtol=1e-4, atol=1e-5)


def test_dcn_v2_has_one_matrix_or_two_factors_a_layer():
    width = 8
    full, low_rank = (built(DCNv2(2, dim, units=())) for dim in (None, 2))
    assert full.count_params() == 2 * (width * width + width)
    assert low_rank.count_params() == 2 * (2 * width * 2 + width)


def test_mlp_against_numpy():
    backbone = built(MLPBackbone((5, 3)))
    expected = mlp_by_numpy(backbone.mlp, side_by_side(FIELDS))
    np.testing.assert_allclose(as_array(backbone(FIELDS)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: MLPBackbone((4,)), lambda: DCNv2(1, units=(4,))])
def test_the_order_of_fields_does_not_matter(make):
    backbone = built(make())
    reverse = dict(reversed(FIELDS.items()))
    np.testing.assert_array_equal(as_array(backbone(reverse)), as_array(backbone(FIELDS)))


def test_dropout_of_a_name():
    assert get("mlp", SCHEMA, dropout=0.3).mlp.dropout == 0.3
    assert get("dcn_v2", SCHEMA, dropout=0.3).mlp.dropout == 0.3


def test_config_of_keras():
    twin = get(keras.saving.serialize_keras_object(DCNv2(2, 3, units=(5,), structure="stacked")), SCHEMA)
    assert isinstance(twin, DCNv2)
    assert (twin.num_cross_layers, twin.projection_dim, twin.structure) == (2, 3, "stacked")


@pytest.mark.parametrize("wrong", ["dnc_v2", None, 3, ["mlp"], keras.layers.Dense(3), MLPBackbone])
def test_unknown_backbone(wrong):
    with pytest.raises(
        ValueError, match=r"`backbone` must be one of \[.*'dcn_v2'.*'mlp'.*\] or an instance .*Received"
    ):
        get(wrong, SCHEMA)


def test_unknown_structure():
    with pytest.raises(ValueError, match=r"`structure` must be one of .*Received: structure='serial'"):
        DCNv2(structure="serial")


def test_a_backbone_without_call():
    with pytest.raises(NotImplementedError, match="Backbone must implement `call`"):
        gr.models.Backbone()(FIELDS)


@pytest.mark.any_backend
def test_a_backbone_of_the_users(ads, tmp_path):
    model = ads.model(["user"], backbone=SumOfFields())
    x = ads.columns()
    before = model.predict_proba(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.backbone) is SumOfFields
    for task, expected in before.items():
        np.testing.assert_allclose(loaded.predict_proba(x)[task], expected, atol=1e-7)
        assert np.ptp(expected) > 0


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "name",
    ["autoint", "dcn_v2", "deepfm", "dhen", "dlrm", "final_mlp", "masknet", "mlp", "ncf", "user_once_dcn"],
)
def test_dense_layers_are_normalized_where_asked(name):
    # AutoInt and DHEN have no dense layers by default.
    dense = {"autoint": {"units": (8,)}, "dhen": {"interactions": ("linear", "mlp")}}
    backbone = get(name, SCHEMA, normalization="batch", **dense.get(name, {}))
    fields = {"user": wave(6, 4), "ad": wave(6, 4, start=1.0)}
    backbone.build(dict.fromkeys(fields, (None, 4)))
    found = [path for path in (weight.path for weight in backbone.weights) if "moving_variance" in path]
    assert found
    assert get(keras.saving.serialize_keras_object(backbone), SCHEMA).get_config()["normalization"] == "batch"
    quiet = as_array(backbone(fields, training=False))
    assert np.isfinite(quiet).all()
    assert np.abs(as_array(backbone(fields, training=True)) - quiet).max() > 1e-3
