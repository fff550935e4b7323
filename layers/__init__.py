"""Keras layers: residual quantization, group concatenation, embeddings, towers."""

from .embedding import EmbeddingCollection, FusedEmbedding, FusedEmbeddingCollection, NumericEmbedding, TableConfig
from .embedding import optimizers as embedding_optimizers
from .group_concat import GroupConcat
from .group_ids import GroupIds
from .interactions import (
    AttentionInteraction,
    BiInteractionPooling,
    BilinearFusion,
    CrossInteraction,
    DHENLayer,
    DotProductInteraction,
    FactorizationMachine,
    FeatureGate,
    FieldSelfAttention,
    GatedCross,
    LinearInteraction,
    MaskBlock,
    MLPInteraction,
    WukongLayer,
)
from .logit_calibration import LogitCalibration
from .mlp import MLP
from .multi_task import (
    AITM,
    PLE,
    STEM,
    AdaptiveInformationTransfer,
    AdaTT,
    CustomizedGateControl,
    HoME,
    JointLogit,
    MaskedExperts,
    MMoE,
    MultiTask,
    SharedBottom,
    TaskToTaskFusion,
)
from .parallel_mlp import ParallelMLP
from .residual_quantizer import ResidualQuantizer
from .semantic_ids import SemanticIdEmbedding, SemanticIds, fit_semantic_ids
from .sequence import HSTU, CausalTransformer, Dice, MeanPooling, SequenceEncoder, TargetAttention, WeightedPooling
from .task_weighting import FixedWeighting, GradNorm, TaskWeighting, UncertaintyWeighting
from .tokens import FieldTokens, PerTokenMLP, RankMixerBlock

__all__ = [
    "AITM",
    "HSTU",
    "MLP",
    "PLE",
    "STEM",
    "AdaTT",
    "AdaptiveInformationTransfer",
    "AttentionInteraction",
    "BiInteractionPooling",
    "BilinearFusion",
    "CausalTransformer",
    "CrossInteraction",
    "CustomizedGateControl",
    "DHENLayer",
    "Dice",
    "DotProductInteraction",
    "EmbeddingCollection",
    "FactorizationMachine",
    "FeatureGate",
    "FieldSelfAttention",
    "FieldTokens",
    "FixedWeighting",
    "FusedEmbedding",
    "FusedEmbeddingCollection",
    "GatedCross",
    "GradNorm",
    "GroupConcat",
    "GroupIds",
    "HoME",
    "JointLogit",
    "LinearInteraction",
    "LogitCalibration",
    "MLPInteraction",
    "MMoE",
    "MaskBlock",
    "MaskedExperts",
    "MeanPooling",
    "MultiTask",
    "NumericEmbedding",
    "ParallelMLP",
    "PerTokenMLP",
    "RankMixerBlock",
    "ResidualQuantizer",
    "SemanticIdEmbedding",
    "SemanticIds",
    "SequenceEncoder",
    "SharedBottom",
    "TableConfig",
    "TargetAttention",
    "TaskToTaskFusion",
    "TaskWeighting",
    "UncertaintyWeighting",
    "WeightedPooling",
    "WukongLayer",
    "embedding_optimizers",
    "fit_semantic_ids",
]
