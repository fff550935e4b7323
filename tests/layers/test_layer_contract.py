"""Every public layer and every backbone keeps the contract of `run_layer_test`."""

import json

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.run_layer_test import run_layer_test

import grouprank as gr
from grouprank.models.backbones import DCNv2, MLPBackbone

LAYERS = gr.layers
X = wave(6, 4)
IDS = {
    "user": np.array([1, 2, 3, 0, 4, 1], "int32"),
    "ad": np.array([2, 0, 1, 2, 1, 0], "int32"),
    "history": np.array([[1, 2, 0], [0, 0, 0], [3, 3, 1], [0, 2, 0], [1, 0, 0], [2, 1, 1]], "int32"),
}
FIELDS = {"user": wave(6, 3), "ad": wave(6, 3, start=1.0), "user:groups": wave(6, 2, start=2.0)}
QUANTIZER = {"num_levels": 2, "codebook_size": 4, "seed": 0}
COLLECTION = {
    "vocabulary_sizes": {"user": 5, "ad": 3, "history": 5},
    "embedding_dim": 2,
    "sequences": ("history",),
    "shares": {"history": "user"},
}

GROUP_IDS = [[2, 3], [2, 3], [2, 3], [1, 3], [1, 2], [0, 2]]

CASES = {
    "quantizer_ema": (LAYERS.ResidualQuantizer, QUANTIZER, X, (None, 4)),
    "quantizer_gradient": (
        LAYERS.ResidualQuantizer,
        {**QUANTIZER, "codebook_update": "gradient"},
        X,
        (None, 4),
    ),
    "quantizer_of_sequences": (LAYERS.ResidualQuantizer, QUANTIZER, wave(6, 2, 4), (None, 2, 4)),
    "group_concat": (LAYERS.GroupConcat, {**QUANTIZER, "code_dim": 3}, X, (None, 7)),
    "group_concat_plain": (LAYERS.GroupConcat, QUANTIZER, X, (None, 8)),
    "group_concat_deep": (
        LAYERS.GroupConcat,
        {
            **QUANTIZER,
            "code_dim": 3,
            "encoder_units": (5,),
            "decoder_units": (6,),
            "activation": "tanh",
            "aggregate": "concat",
            "output_gradient": "straight_through",
            "input_gradient": True,
            "codebook_update": "gradient",
        },
        X,
        (None, 10),
    ),
    "group_concat_projected": (
        LAYERS.GroupConcat,
        {
            **QUANTIZER,
            "code_dim": 2,
            "aggregate": "mean",
            "output_gradient": "none",
            "zero_init_projection": True,
        },
        wave(6, 2, 4),
        (None, 2, 6),
    ),
    "embedding_collection": (
        LAYERS.EmbeddingCollection,
        COLLECTION,
        IDS,
        {"user": (None, 2), "ad": (None, 2), "history": (None, 2)},
    ),
    "fused_embedding": (
        LAYERS.FusedEmbedding,
        {"input_dim": 5, "output_dim": 2, "optimizer": "adagrad"},
        IDS["history"],
        (None, 3, 2),
    ),
    "fused_embedding_collection": (
        LAYERS.FusedEmbeddingCollection,
        {**COLLECTION, "optimizer": "rowwise_adagrad"},
        IDS,
        {"user": (None, 2), "ad": (None, 2), "history": (None, 2)},
    ),
    "numeric_embedding": (LAYERS.NumericEmbedding, {"embedding_dim": 3}, wave(6, 2), (None, 2, 3)),
    "mlp": (LAYERS.MLP, {"units": (5, 3), "output_units": 2, "dropout": 0.2, "activation": "tanh"}, X, (None, 2)),
    "mlp_regularized": (LAYERS.MLP, {"units": (3,), "kernel_regularizer": keras.regularizers.L2(0.1)}, X, (None, 3)),
    "parallel_mlp": (
        LAYERS.ParallelMLP,
        {"num_networks": 3, "units": (4,), "output_units": 2, "dropout": 0.2, "activation": "tanh"},
        X,
        (None, 3, 2),
    ),
    "shared_bottom": (
        LAYERS.SharedBottom,
        {"task_names": ("click", "like"), "units": (3,), "dropout": 0.1, "activation": "tanh"},
        X,
        {"click": (None, 3), "like": (None, 3)},
    ),
    "mlp_backbone": (MLPBackbone, {"units": (5, 3), "activation": "tanh"}, FIELDS, (None, 3)),
    "dcn_v2": (DCNv2, {"num_cross_layers": 2, "units": (3,), "activation": "tanh"}, FIELDS, (None, 11)),
    "dcn_v2_stacked": (
        DCNv2,
        {"num_cross_layers": 1, "projection_dim": 2, "units": (3,), "structure": "stacked", "activation": "tanh"},
        FIELDS,
        (None, 3),
    ),
}

# The first output row for weights and inputs by formula; the three backends must agree on them.
GOLDEN = {
    "quantizer_ema": [0.4396365, 0.2030137, -0.4919509, -0.0762434],
    "quantizer_gradient": [0.4396365, 0.2030137, -0.4919509, -0.0762434],
    "quantizer_of_sequences": [
        [0.4396365, 0.2030137, -0.4919509, -0.0762434],
        [0.6866932, 0.1064249, -0.7141178, 0.0775954],
    ],
    "group_concat": [0.0, 0.9916648, -0.2555411, -0.9258147, -1.714855, 0.0297812, 1.7071806],
    "group_concat_plain": [0.0, 0.9916648, -0.2555411, -0.9258147, -0.3061875, 0.3156159, 0.2248568, -0.373559],
    "group_concat_deep": [
        0.0,
        0.9916648,
        -0.2555411,
        -0.9258147,
        0.0,
        0.4958324,
        -0.1277706,
        -0.3641804,
        0.3866639,
        0.2645414,
    ],
    "group_concat_projected": [
        [0.0, 0.9916648, -0.2555411, -0.9258147, -0.2157317, 0.0862377],
        [0.4941134, 0.7984871, -0.6998747, -0.6181371, -0.2157317, 0.0862377],
    ],
    "embedding_collection": {
        "user": [-0.1277706, -0.4629073],
        "ad": [-0.4858992, 0.1795292],
        "history": [0.0596431, -0.0318319],
    },
    "fused_embedding": [[-0.1277706, -0.4629073], [0.2470567, 0.3992436], [0.0, 0.4958324]],
    "fused_embedding_collection": {
        "user": [-0.1277706, -0.4629073],
        "ad": [-0.4858992, 0.1795292],
        "history": [0.0596431, -0.0318319],
    },
    "numeric_embedding": [[0.4207355, 0.2136899, -0.4758011], [-0.5501302, 0.7442691, 0.3583402]],
    "mlp": [-1.0126848, 0.0804093],
    "mlp_regularized": [0.0, 0.982705, 0.0],
    "parallel_mlp": [[0.091866, -0.192967], [0.450477, 0.430005], [-0.113523, -0.845048]],
    "shared_bottom": {"click": [-0.1317735, 0.7542344, -0.1201055], "like": [-0.1317735, 0.7542344, -0.1201055]},
    "mlp_backbone": [0.6393954, -0.8992785, -0.3616222],
    "dcn_v2": [
        1.1446686,
        0.672309,
        -0.4681894,
        0.0,
        1.6084267,
        -0.3275833,
        0.2777053,
        -0.4752995,
        -0.9323511,
        -0.0198625,
        0.933017,
    ],
    "dcn_v2_stacked": [-0.829492, -0.8925597, 0.9147911],
}


@pytest.mark.parametrize("case", CASES)
def test_contract(case, tmp_path):
    layer_class, init_kwargs, input_data, shape = CASES[case]
    hooked = case.startswith("fused") and keras.backend.backend() != "jax"
    still = ("gradient_hook",) if hooked else ()
    run_layer_test(layer_class, init_kwargs, input_data, shape, GOLDEN[case], still=still, tmp_path=tmp_path)


def test_every_public_layer_is_here():
    tested = {case[0].__name__ for case in CASES.values()} | {"GroupIds"}
    assert set(gr.layers.__all__) - {"embedding_optimizers"} <= tested
    assert {backbone.__name__ for backbone in gr.models.backbones.BACKBONES.values()} <= tested


def test_group_ids(tmp_path):
    concat = gr.layers.GroupConcat(num_levels=2, codebook_size=4, code_dim=3, name="groups")
    layer = gr.layers.GroupIds(concat, name="ids")
    layer.build((None, 4))
    before = [variable.path for variable in layer.variables]
    assert before == [variable.path for variable in concat.variables]
    set_fixed_weights(concat)
    ids = layer(X)
    assert [variable.path for variable in layer.variables] == before
    np.testing.assert_array_equal(as_array(ids), as_array(concat.encode(X)))
    assert as_array(ids).tolist() == GROUP_IDS
    assert (ids.shape, keras.backend.standardize_dtype(ids.dtype)) == ((6, 2), "int32")
    config = layer.get_config()
    copy = json.loads(json.dumps(config))
    twin = gr.layers.GroupIds.from_config(copy)
    assert twin.group_concat.get_config() == concat.get_config()
    assert json.loads(json.dumps(config)) == json.loads(json.dumps(layer.get_config()))

    # In a model the two layers are one set of weights, also after a file.
    inputs = keras.Input((4,))
    symbolic = layer(inputs)
    assert (symbolic.shape, symbolic.dtype) == ((None, 2), "int32")
    model = keras.Model(inputs, {"h": concat(inputs), "ids": symbolic})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == len(concat.weights)
    np.testing.assert_array_equal(as_array(loaded(X)["ids"]), GROUP_IDS)
