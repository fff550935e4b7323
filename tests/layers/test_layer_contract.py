"""Every public layer and every backbone keeps the contract of `run_layer_test`."""

import json

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.run_layer_test import run_layer_test
from support.sequence_encoders import OF_DICT

import grouprank as gr
from grouprank.models.backbones import (
    DHEN,
    DLRM,
    FM,
    GDCN,
    LR,
    NCF,
    AutoInt,
    Concatenation,
    DCNv2,
    DeepFM,
    FinalMLP,
    HSTUBackbone,
    InterFormer,
    MaskNet,
    MLPBackbone,
    OneTrans,
    PEPNet,
    RankMixer,
    UserOnceDCN,
    Wukong,
)

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
HISTORY = {
    "sequence": wave(6, 3, 4),
    "target": wave(6, 4, start=1.0),
    "mask": np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1], [1, 0, 1], [0, 0, 1]], "bool"),
}
FIELDS_AND_STEPS = {**FIELDS, "seen:steps": HISTORY["sequence"], "seen:mask": HISTORY["mask"]}
# One token before histories of 1 and 3 positions.
TOKENS = {
    "tokens": wave(6, 5, 4),
    "mask": np.array([[1, c, *row] for c, row in zip([1, 0, 1, 0, 1, 1], HISTORY["mask"], strict=True)], "bool"),
}
REPRESENTATIONS = {"click": wave(6, 2), "like": wave(6, 2, start=1.0)}

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
    "embedding_collection_of_tables": (
        LAYERS.EmbeddingCollection,
        {
            **COLLECTION,
            "tables": [LAYERS.TableConfig("ad", width=3), LAYERS.TableConfig("user", rows=7, combiner="sum")],
        },
        IDS,
        {"user": (None, 2), "ad": (None, 3), "history": (None, 2)},
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
    "embedding_collection_unpooled": (
        LAYERS.EmbeddingCollection,
        {**COLLECTION, "unpooled": ("history",)},
        IDS,
        {"user": (None, 2), "ad": (None, 2), "history": (None, 3, 2)},
    ),
    "fused_embedding_collection_unpooled": (
        LAYERS.FusedEmbeddingCollection,
        {**COLLECTION, "optimizer": "rowwise_adagrad", "unpooled": ("history",)},
        IDS,
        {"user": (None, 2), "ad": (None, 2), "history": (None, 3, 2)},
    ),
    "mean_pooling": (OF_DICT["MeanPooling"], {}, HISTORY, (None, 4)),
    # Not with Dice: a fixed weight may be below 0, which no variance is. test_sequence_encoders.py has it in a model.
    "target_attention": (OF_DICT["TargetAttention"], {"units": (3, 2), "activation": "tanh"}, HISTORY, (None, 4)),
    "dice": (LAYERS.Dice, {"epsilon": 1e-3}, X[:, 1:2], (None, 1)),
    "causal_transformer": (
        OF_DICT["CausalTransformer"],
        {"num_blocks": 2, "num_heads": 2, "dropout": 0.1},
        HISTORY,
        (None, 4),
    ),
    "hstu": (OF_DICT["HSTU"], {"num_blocks": 2, "num_heads": 2, "dropout": 0.1}, HISTORY, (None, 4)),
    "semantic_id_embedding": (
        LAYERS.SemanticIdEmbedding,
        {"semantic_ids": [[-1, -1], [2, 0], [2, 1], [0, 1]], "embedding_dim": 2},
        IDS["history"],
        (None, 3, 2),
    ),
    "semantic_id_embedding_concatenated": (
        LAYERS.SemanticIdEmbedding,
        {"semantic_ids": [[-1, -1], [2, 0], [2, 1], [0, 1]], "embedding_dim": 2, "aggregate": "concat"},
        IDS["user"],
        (None, 4),
    ),
    "mmoe": (
        LAYERS.MMoE,
        {"task_names": ("click", "like"), "num_experts": 3, "units": (4, 3), "activation": "tanh", "dropout": 0.1},
        X,
        {"click": (None, 3), "like": (None, 3)},
    ),
    "mmoe_deep_gates": (
        LAYERS.MMoE,
        {"task_names": ("click", "like"), "num_experts": 3, "units": (3,), "activation": "tanh", "gate_units": (5,)},
        X,
        {"click": (None, 3), "like": (None, 3)},
    ),
    "ple": (
        LAYERS.PLE,
        {
            "task_names": ("click", "like"),
            "num_levels": 2,
            "num_shared_experts": 1,
            "num_task_experts": 2,
            "units": (4, 3),
            "activation": "tanh",
            "dropout": 0.1,
            "gate_units": (5,),
        },
        X,
        {"click": (None, 3), "like": (None, 3)},
    ),
    "aitm": (
        LAYERS.AITM,
        {"task_names": ("click", "like", "buy"), "units": (4, 3), "activation": "tanh", "dropout": 0.1},
        X,
        {"click": (None, 3), "like": (None, 3), "buy": (None, 3)},
    ),
    "aitm_tree": (
        LAYERS.AITM,
        {
            "task_names": ("buy", "click", "like"),
            "parents": {"buy": "click", "like": "click"},
            "units": (3,),
            "activation": "tanh",
        },
        X,
        {"click": (None, 3), "like": (None, 3), "buy": (None, 3)},
    ),
    "adatt": (
        LAYERS.AdaTT,
        {
            "task_names": ("click", "like"),
            "num_levels": 2,
            "num_task_experts": 2,
            "num_shared_experts": 1,
            "units": (4, 3),
            "activation": "tanh",
            "dropout": 0.1,
        },
        X,
        {"click": (None, 3), "like": (None, 3)},
    ),
    "task_to_task_fusion": (
        LAYERS.TaskToTaskFusion,
        {
            "num_tasks": 2,
            "num_task_experts": 1,
            "num_shared_experts": 2,
            "units": (4, 3),
            "activation": "tanh",
            "dropout": 0.1,
            "shared_output": True,
        },
        [X, wave(6, 2, start=1.0), wave(6, 5, start=2.0)],
        [(None, 3), (None, 3), (None, 3)],
    ),
    "home": (
        LAYERS.HoME,
        {
            "task_names": ("click", "like"),
            "meta_tasks": {"all": ["like", "click"]},
            "num_experts": 1,
            "units": (3,),
            "activation": "tanh",
            "dropout": 0.1,
            "gate_rank": 2,
        },
        X,
        {"click": (None, 3), "like": (None, 3)},
    ),
    "masked_experts": (
        LAYERS.MaskedExperts,
        {"sees": [[], [1, 0]], "units": (3,), "dropout": 0.1, "gate_rank": 2},
        [X, wave(6, 2, start=1.0)],
        [(None, 3)],
    ),
    "stem": (
        LAYERS.STEM,
        {
            "task_names": ("click", "like"),
            "num_shared_experts": 1,
            "num_task_experts": 2,
            "units": (4, 3),
            "activation": "tanh",
            "dropout": 0.1,
            "gate_units": (5,),
        },
        wave(6, 6),
        {"click": (None, 3), "like": (None, 3)},
    ),
    "concatenation": (Concatenation, {}, FIELDS, (None, 8)),
    "fixed_weighting": (
        LAYERS.FixedWeighting,
        {"task_names": ("click", "like"), "task_weights": {"like": 2.0}},
        REPRESENTATIONS,
        {"click": (None, 2), "like": (None, 2)},
    ),
    "uncertainty_weighting": (
        LAYERS.UncertaintyWeighting,
        {"task_names": ("click", "like")},
        REPRESENTATIONS,
        {"click": (None, 2), "like": (None, 2)},
    ),
    "grad_norm": (
        LAYERS.GradNorm,
        {"task_names": ("click", "like"), "alpha": 0.5, "task_weights": {"like": 2.0}},
        REPRESENTATIONS,
        {"click": (None, 2), "like": (None, 2)},
    ),
    "field_self_attention": (
        LAYERS.FieldSelfAttention,
        {"num_heads": 2, "head_dim": 3, "dropout": 0.2},
        wave(6, 3, 4),
        (None, 3, 6),
    ),
    "field_self_attention_scaled": (
        LAYERS.FieldSelfAttention,
        {"num_heads": 1, "head_dim": 2, "use_scale": True},
        wave(6, 3, 4),
        (None, 3, 2),
    ),
    "mask_block": (
        LAYERS.MaskBlock,
        {"units": 3, "reduction_ratio": 1.5, "dropout": 0.2, "activation": "tanh"},
        {"hidden": X, "embedding": wave(6, 5, start=1.0)},
        (None, 3),
    ),
    "feature_gate": (
        LAYERS.FeatureGate,
        {"units": (3,), "activation": "tanh"},
        {"features": X, "context": wave(6, 2, start=1.0)},
        (None, 4),
    ),
    "feature_gate_learned": (
        LAYERS.FeatureGate,
        {"units": (3,), "activation": "tanh", "context_dim": 2},
        {"features": X},
        (None, 4),
    ),
    "bilinear_fusion": (
        LAYERS.BilinearFusion,
        {"num_heads": 2},
        {"left": X, "right": wave(6, 2, start=1.0)},
        (None, 8),
    ),
    "dhen_layer": (
        LAYERS.DHENLayer,
        {
            "num_embeddings": 2,
            "interactions": ("self_attention", "dot", "mlp"),
            "units": (4,),
            "dropout": 0.2,
        },
        wave(6, 3, 4),
        (None, 6, 4),
    ),
    "attention_interaction": (
        LAYERS.AttentionInteraction,
        {"num_embeddings": 2, "num_heads": 2, "dropout": 0.2},
        wave(6, 3, 4),
        (None, 2, 4),
    ),
    "cross_interaction": (LAYERS.CrossInteraction, {"num_embeddings": 2}, wave(6, 3, 4), (None, 2, 4)),
    "dot_product_interaction": (LAYERS.DotProductInteraction, {"num_embeddings": 2}, wave(6, 3, 4), (None, 2, 4)),
    "linear_interaction": (LAYERS.LinearInteraction, {"num_embeddings": 2}, wave(6, 3, 4), (None, 2, 4)),
    "mlp_interaction": (
        LAYERS.MLPInteraction,
        {"num_embeddings": 2, "units": (5,), "dropout": 0.2},
        wave(6, 3, 4),
        (None, 2, 4),
    ),
    "adaptive_information_transfer": (
        LAYERS.AdaptiveInformationTransfer,
        {"activation": "tanh", "dropout": 0.1},
        [X, wave(6, 4, start=1.0)],
        (None, 4),
    ),
    "customized_gate_control": (
        LAYERS.CustomizedGateControl,
        {
            "num_tasks": 2,
            "num_shared_experts": 1,
            "num_task_experts": 2,
            "units": (4, 3),
            "activation": "tanh",
            "dropout": 0.1,
            "gate_units": (5,),
            "shared_gate": True,
        },
        [X, wave(6, 2, start=1.0), wave(6, 5, start=2.0)],
        [(None, 3), (None, 3), (None, 3)],
    ),
    "weighted_pooling": (
        OF_DICT["WeightedPooling"],
        {"combiner": "sum"},
        {"vectors": HISTORY["sequence"], "weights": np.abs(wave(6, 3)), "mask": HISTORY["mask"]},
        (None, 4),
    ),
    "autoint": (AutoInt, {"num_layers": 2, "head_dim": 2, "dropout": 0.1}, FIELDS, (None, 12)),
    "autoint_plus": (
        AutoInt,
        {"num_layers": 1, "num_heads": 1, "head_dim": 2, "use_scale": True, "units": (3,), "activation": "tanh"},
        FIELDS,
        (None, 9),
    ),
    "masknet_parallel": (
        MaskNet,
        {"block_units": (3, 2), "units": (3,), "dropout": 0.1, "activation": "tanh"},
        FIELDS,
        (None, 3),
    ),
    "masknet_serial": (
        MaskNet,
        {"block_units": (4, 3), "structure": "serial", "reduction_ratio": 1.0, "activation": "tanh"},
        FIELDS,
        (None, 3),
    ),
    "final_mlp": (
        FinalMLP,
        {"first_units": (4,), "second_units": (2,), "gate_units": (3,), "context_dim": 2, "activation": "tanh"},
        FIELDS,
        (None, 8),
    ),
    "final_mlp_with_contexts": (
        FinalMLP,
        {
            "first_units": (3, 4),
            "second_units": (4,),
            "first_context": ("user", "user:groups"),
            "second_context": ("ad",),
            "gate_units": (3,),
            "num_heads": 2,
            "dropout": 0.1,
            "activation": "tanh",
        },
        FIELDS,
        (None, 12),
    ),
    "dhen": (
        DHEN,
        {"num_layers": 2, "num_embeddings": 2, "interactions": ("dcn", "linear"), "ensemble": "sum"},
        FIELDS,
        (None, 6),
    ),
    "bi_interaction_pooling": (LAYERS.BiInteractionPooling, {}, wave(6, 3, 4), (None, 4)),
    "factorization_machine": (LAYERS.FactorizationMachine, {}, wave(6, 3, 4), (None, 4)),
    "lr": (LR, {}, FIELDS, (None, 3)),
    "fm": (FM, {}, FIELDS, (None, 3)),
    "deepfm": (DeepFM, {"units": (4, 3), "activation": "tanh", "dropout": 0.1}, FIELDS, (None, 6)),
    "ncf": (
        NCF,
        {"user_fields": ("user",), "ad_fields": ("ad",), "units": (4, 3), "activation": "tanh", "dropout": 0.1},
        {"user": wave(6, 4), "ad": wave(6, 4, start=1.0), "user:groups": wave(6, 3, start=2.0)},
        (None, 5),
    ),
    "user_once_dcn": (
        UserOnceDCN,
        {"request_fields": ("user",), "num_cross_layers": 2, "units": (3, 2), "activation": "tanh", "dropout": 0.1},
        FIELDS,
        (None, 10),
    ),
    "dlrm": (
        DLRM,
        {
            "dense_fields": ("age",),
            "bottom_units": (4,),
            "top_units": (5, 2),
            "activation": "tanh",
            "dropout": 0.1,
        },
        {**FIELDS, "age": wave(6, 3, start=3.0)},
        (None, 2),
    ),
    "field_tokens": (
        LAYERS.FieldTokens,
        {"num_tokens": 3, "width": 2, "request_fields": ("user", "user:groups")},
        FIELDS,
        (None, 3, 2),
    ),
    "per_token_mlp": (LAYERS.PerTokenMLP, {"hidden_units": 3, "dropout": 0.2}, wave(6, 3, 4), (None, 3, 4)),
    "rank_mixer_block": (
        LAYERS.RankMixerBlock,
        {"expansion": 2, "request_tokens": 1, "dropout": 0.2},
        wave(6, 2, 4),
        (None, 2, 4),
    ),
    "rank_mixer": (
        RankMixer,
        {
            "num_tokens": 2,
            "token_width": 4,
            "num_layers": 1,
            "dropout": 0.1,
            "request_fields": ("user",),
            "user_once": True,
        },
        FIELDS,
        (None, 4),
    ),
    "pepnet": (
        PEPNet,
        {
            "id_fields": ("user",),
            "domain_fields": ("ad",),
            "units": (4, 3),
            "gate_units": (3,),
            "activation": "tanh",
            "dropout": 0.1,
        },
        FIELDS,
        (None, 3),
    ),
    "one_trans": (
        OneTrans,
        {"num_tokens": 2, "token_width": 4, "num_layers": 1, "dropout": 0.1, "request_fields": ("user",)},
        FIELDS_AND_STEPS,
        (None, 8),
    ),
    "hstu_backbone": (
        HSTUBackbone,
        {"num_tokens": 2, "token_width": 4, "num_layers": 1, "dropout": 0.1, "request_fields": ("user",)},
        FIELDS_AND_STEPS,
        (None, 8),
    ),
    "field_summary": (LAYERS.FieldSummary, {"num_summaries": 2}, wave(6, 3, 4), (None, 2, 4)),
    "history_summary": (
        LAYERS.HistorySummary,
        {"lengths": (1, 3), "num_pooled": 1, "num_recent": 2, "num_heads": 1},
        TOKENS,
        (None, 5, 4),
    ),
    "personalized_attention": (
        LAYERS.PersonalizedAttention,
        {"units": (3,), "num_heads": 1, "dropout": 0.2},
        {**TOKENS, "context": wave(6, 2, 3, start=1.0)},
        (None, 5, 4),
    ),
    "inter_former": (
        InterFormer,
        {
            "num_layers": 1,
            "num_products": 2,
            "num_linear": 1,
            "rank": 2,
            "units": (4,),
            "num_summaries": 1,
            "num_pooled": 1,
            "num_recent": 1,
            "num_heads": 1,
            "map_units": (3,),
            "dropout": 0.1,
        },
        FIELDS_AND_STEPS,
        (None, 12),
    ),
    "wukong_layer": (
        LAYERS.WukongLayer,
        {"num_products": 2, "num_linear": 2, "rank": 2, "units": (4,), "activation": "tanh", "dropout": 0.2},
        wave(6, 3, 4),
        (None, 4, 4),
    ),
    "wukong": (
        Wukong,
        {"num_layers": 2, "num_products": 2, "num_linear": 1, "rank": 2, "units": (4,), "dropout": 0.1},
        FIELDS,
        (None, 9),
    ),
    "gated_cross": (LAYERS.GatedCross, {}, [X, wave(6, 4, start=1.0)], (None, 4)),
    "gdcn": (GDCN, {"num_cross_layers": 2, "units": (3,), "activation": "tanh", "dropout": 0.1}, FIELDS, (None, 11)),
    "gdcn_stacked": (
        GDCN,
        {"num_cross_layers": 1, "units": (3,), "activation": "tanh", "structure": "stacked"},
        FIELDS,
        (None, 3),
    ),
    "dlrm_without_dense_fields": (DLRM, {"top_units": (2,), "activation": "tanh"}, FIELDS, (None, 2)),
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
    "embedding_collection_of_tables": {
        "user": [-0.1277706, -0.4629073],
        "ad": [-0.4895889, 0.1637372, 0.4473956],
        "history": [0.1192861, -0.0636638],
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
    "embedding_collection_unpooled": {
        "user": [-0.1277706, -0.4629074],
        "ad": [-0.4858992, 0.1795292],
        "history": [[-0.1277706, -0.4629074], [0.2470567, 0.3992436], [0.0, 0.0]],
    },
    "fused_embedding_collection_unpooled": {
        "user": [-0.1277706, -0.4629074],
        "ad": [-0.4858992, 0.1795292],
        "history": [[-0.1277706, -0.4629074], [0.2470567, 0.3992436], [0.0, 0.0]],
    },
    "mean_pooling": [0.2470567, 0.895076, -0.4777079, -0.7719758],
    "target_attention": [-0.2100028, -0.7333877, 0.3989887, 0.6305727],
    "dice": [0.6938532],
    "causal_transformer": [-0.7377288, 3.1278532, -0.0682845, -3.1102571],
    "semantic_id_embedding": [[-0.233642, 0.324744], [0.7469532, 0.3449252], [-0.3499374, 0.1867638]],
    "semantic_id_embedding_concatenated": [0.2470567, 0.3992436, -0.4806988, -0.0744995],
    "field_self_attention": [
        [0.0, 1.1266236, 0.0, 0.0, 0.4089344, 0.9897525],
        [0.1913435, 0.7119083, 0.0, 0.0, 0.5667992, 0.4555202],
        [0.4634866, 0.2256584, 0.0, 0.0, 0.6195924, 0.0],
    ],
    "field_self_attention_scaled": [[0.0, 0.4076596], [0.0, 0.3738517], [0.0528817, 0.2823438]],
    "mask_block": [0.1027418, -0.3685345, -0.7838015],
    "feature_gate": [0.0, 0.6854024, -0.2341205, -1.2297504],
    "feature_gate_learned": [0.0, 0.8143945, -0.2925168, -1.0574489],
    "bilinear_fusion": [0.0, 0.9916648, -0.2555411, -0.9258147, 0.841471, 0.4273799, 0.4137509, 0.1971149],
    "attention_interaction": [
        [-0.0386227, -0.0370432, 0.0607793, -0.0895486],
        [-0.1574156, -0.3566734, 0.195036, -0.2106165],
    ],
    "cross_interaction": [
        [0.2318212, 0.8118102, 0.0940543, 0.2561894],
        [-0.7614932, -0.3070898, -0.2693995, -0.1570674],
    ],
    "dot_product_interaction": [
        [1.4167573, 0.6918182, -1.5950313, -0.2807962],
        [1.6673894, -0.1488718, -1.6290268, 0.5686539],
    ],
    "linear_interaction": [
        [0.1491285, -0.0040057, -0.1480963, 0.0421685],
        [0.1142861, 0.2804701, -0.1865602, -0.2323956],
    ],
    "mlp_interaction": [[0.1265452, -0.5024188, 0.0029225, 0.5016657], [-0.1321963, -0.4676001, 0.2526917, 0.4024843]],
    "adaptive_information_transfer": [0.3956061, 0.1095756, -0.4238425, -0.000356],
    "customized_gate_control": [
        [0.4921293, -0.4979592, -0.4134628],
        [-0.2342446, 0.2434593, 0.1738285],
        [-0.0497033, 0.0275124, 0.0376697],
    ],
    "weighted_pooling": [0.4899948, 0.7918316, -0.6940411, -0.6129848],
    "autoint": [0.4891349, 0.2559792, 0.0, 0.0, 0.3184524, 0.1450306, 0.0, 0.0, 0.2842955, 0.3494777, 0.0, 0.0],
    "autoint_plus": [0.0267572, 0.5514959, 0.0, 0.9410471, 0.0, 0.5698932, -0.932351, -0.0198625, 0.933017],
    "masknet_parallel": [0.3780629, -0.5157498, -0.2456496],
    "masknet_serial": [0.7177328, -0.3548501, 0.1989717],
    "final_mlp": [-0.3427056, 0.2281067, 0.2888598, -0.2993522, 0.7712771, 0.7865972, -0.0220473, -0.1159135],
    "final_mlp_with_contexts": [
        0.0332309,
        -0.1833829,
        0.0145522,
        0.1797564,
        0.4607655,
        0.7971966,
        -0.6523557,
        -0.7114102,
        0.0495221,
        -0.0180102,
        0.0426883,
        -0.0418633,
    ],
    "dhen": [0.4387827, 0.5007093, 0.4883946, -0.5878025, 0.3589104, 0.5248045],
    "mmoe": {"click": [0.1844618, -0.1517202, -0.1396556], "like": [0.2008215, 0.0915796, -0.2170054]},
    "mmoe_deep_gates": {"click": [0.0265474, 0.1932194, -0.076959], "like": [0.0685054, 0.157686, -0.1096584]},
    "ple": {"click": [0.1363366, -0.1151412, -0.0931459], "like": [-0.2981248, -0.2009417, 0.3470787]},
    "aitm": {
        "click": [0.5811805, -0.7952084, -0.3666413],
        "like": [-0.1371629, -0.4587179, 0.2553695],
        "buy": [-0.1026622, -0.0981814, 0.1279625],
    },
    "aitm_tree": {
        "buy": [-0.2442931, 0.1161894, 0.2143524],
        "click": [0.2075628, 0.1803514, -0.2520602],
        "like": [0.0692807, -0.2623568, -0.0016742],
    },
    "adatt": {"click": [-0.0168419, -0.0477846, 0.0358506], "like": [-0.0576675, -0.5988392, 0.2518188]},
    "task_to_task_fusion": [
        [-0.5966609, -0.6605245, 0.749757],
        [-0.2303483, 0.3131458, 0.1440552],
        [-0.2925798, 0.1774424, 0.2434257],
    ],
    "home": {"click": [0.4325406, 0.0974719, 0.2654976], "like": [-0.3656064, 0.6760774, 0.6648718]},
    "masked_experts": [[-0.2939633, -0.0441415, 0.373872]],
    "stem": {"click": [-0.2190974, 0.1923689, 0.1732427], "like": [-0.1365742, 0.0898283, 0.1196962]},
    "concatenation": [0.841471, 0.4273799, -0.9516021, 0.0, 0.9916648, -0.2555411, 0.9092974, -0.5298361],
    "fixed_weighting": {"click": [0.0, 0.9916648], "like": [0.841471, 0.4273799]},
    "uncertainty_weighting": {"click": [0.0, 0.9916648], "like": [0.841471, 0.4273799]},
    "grad_norm": {"click": [0.0, 0.9916648], "like": [0.841471, 0.4273799]},
    "bi_interaction_pooling": [0.4245233, 1.5020574, 1.0973814, 0.8023276],
    "factorization_machine": [1.3532752, 1.5020574, 1.0973814, 0.8023276],
    "lr": [1.086736, 1.7390044, -1.5348582],
    "fm": [1.086736, 0.8778547, 0.6387724],
    "deepfm": [0.4128568, 0.4372976, -0.2712704, 0.367524, -0.7084733, -0.1564363],
    "ncf": [0.0, 0.4238176, 0.1185609, -0.4865823, 0.0178574],
    "user_once_dcn": [
        0.0,
        1.6954454,
        -0.191728,
        0.3224854,
        -0.7502565,
        0.6330238,
        -0.2144609,
        -1.555599,
        -0.1720921,
        -0.1189685,
    ],
    "dlrm": [-0.0223767, -0.6038018],
    "dlrm_without_dense_fields": [0.3047712, 0.3276107],
    "dhen_layer": [
        [0.3887995, 0.5403616, -0.7233448, 0.4469922],
        [0.4262984, -0.3911718, -0.8133926, 0.0240938],
        [0.5534727, 0.0238649, -0.205427, -0.1896593],
        [0.544515, -0.1900295, -0.245787, -0.3449016],
        [0.4118007, 0.7977704, -0.5894538, 0.5195476],
        [0.5165894, 0.708003, -0.275879, 0.3624136],
    ],
    "field_tokens": [[0.2308968, -0.3473821], [-1.0216057, -0.4772202], [0.0096975, -0.148549]],
    "per_token_mlp": [
        [0.2812576, -0.8188277, -0.0702547, 0.8369316],
        [-0.4275737, -0.8416455, 0.6444565, 0.6755762],
        [-0.3056097, -0.0766309, 0.3253567, -0.00721],
    ],
    "rank_mixer_block": [[0.4176517, -0.7364083, 0.6835837, 0.4712451], [0.4743552, -0.6781617, 0.6989182, 0.5203903]],
    "rank_mixer": [0.5159874, 0.7892851, -0.4021079, 0.0424657],
    "wukong_layer": [
        [0.4005008, -0.3490722, -0.4040605, -0.7705649],
        [0.3170344, -0.4154705, -0.4123097, -0.8714483],
        [0.2332868, 0.9609948, -0.425938, 0.2649268],
        [0.5101051, 0.2661327, -0.3951859, -0.1852625],
    ],
    "wukong": [-0.5100979, -0.5808814, 0.1562405, -0.3582053, -0.7149856, 0.3553358, -0.5687239, -0.43887, 0.131125],
    "gated_cross": [0.841471, 0.7581589, -0.9338964, 0.0829027],
    "gdcn": [
        0.6880974,
        0.5064573,
        -0.9520098,
        0.0,
        1.0597814,
        -0.2443867,
        1.0759717,
        -0.392223,
        0.4472551,
        0.9133686,
        -0.7064354,
    ],
    "gdcn_stacked": [-0.5179705, -0.8414676, 0.7111641],
    "hstu": [1.4402927, 0.3737805, -1.5366118, 0.0221874],
    "pepnet": [0.6959047, -0.1571687, -0.7129148],
    "one_trans": [-1.2145383, -0.9782282, 1.4666171, 0.6002972, -1.3122272, 0.3981625, 1.2096251, -0.7098695],
    "hstu_backbone": [-0.125925, -0.7893993, 0.3293445, 0.7045308, -0.0956715, 0.3791978, -0.0020435, -0.3786712],
    "field_summary": [[0.0914492, -0.0017929, -0.0591963, 0.0243803], [0.0709917, 0.1335816, -0.0717511, -0.1287039]],
    "history_summary": [
        [0.0, 0.5790271, -0.1582804, -0.3573405],
        [0.0102861, 0.0021573, -0.0116854, 0.0009379],
        [0.1696207, 0.4552665, -0.4480059, -0.2434894],
        [0.3978749, -0.0633596, -0.5647364, 0.142339],
        [0.306373, 0.2261084, -0.6024058, -0.0592628],
    ],
    "personalized_attention": [
        [-0.1923173, 0.8452765, -0.0255011, -0.8387052],
        [0.3463228, 0.6622996, -0.5169901, -0.529077],
        [0.8264964, 0.2873683, -0.900548, -0.0553071],
        [1.0996345, -0.1895243, -1.0507963, 0.4603029],
        [1.0928637, -0.6419566, -0.9274384, 0.8809474],
    ],
    "inter_former": [
        0.0257757,
        -0.0378186,
        -0.0471946,
        -0.1932918,
        -0.3544326,
        0.4055769,
        -0.2404039,
        0.0256877,
        0.307299,
        -0.2150954,
        -0.3426083,
        0.735407,
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_contract(case, tmp_path):
    layer_class, init_kwargs, input_data, shape = CASES[case]
    hooked = case.startswith("fused") and keras.backend.backend() != "jax"
    # Log variances learn from the tasks' losses, which this fit does not combine.
    still = ("gradient_hook",) if hooked else {"uncertainty_weighting": ("log_variances",)}.get(case, ())
    run_layer_test(layer_class, init_kwargs, input_data, shape, GOLDEN[case], still=still, tmp_path=tmp_path)


def test_every_public_layer_is_here():
    # Two that do not take one input: see `test_group_ids` here and `TestJointLogit` of the models. One that is float32
    # under every policy: see `test_logit_calibration.py`.
    tested = {case[0].__name__ for case in CASES.values()} | {"GroupIds", "JointLogit", "LogitCalibration"}
    # Whose callers say what each token may read: see `test_token_sequences.py` of the models.
    tested |= {"HSTUBlock", "OneTransBlock", "SequenceTokens"}
    # Abstract bases, values and the function that makes one.
    tested |= {"MultiTask", "SequenceEncoder", "TaskWeighting", "SemanticIds", "TableConfig", "fit_semantic_ids"}
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
