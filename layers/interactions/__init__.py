"""Products of fields: the parts that backbones of feature interactions are made of."""

from .bi_interaction_pooling import BiInteractionPooling
from .bilinear_fusion import BilinearFusion
from .dhen import (
    AttentionInteraction,
    CrossInteraction,
    DHENLayer,
    DotProductInteraction,
    LinearInteraction,
    MLPInteraction,
)
from .factorization_machine import FactorizationMachine
from .feature_gate import FeatureGate
from .field_self_attention import FieldSelfAttention
from .gated_cross import GatedCross
from .mask_block import MaskBlock
from .wukong_layer import WukongLayer

__all__ = [
    "AttentionInteraction",
    "BiInteractionPooling",
    "BilinearFusion",
    "CrossInteraction",
    "DHENLayer",
    "DotProductInteraction",
    "FactorizationMachine",
    "FeatureGate",
    "FieldSelfAttention",
    "GatedCross",
    "LinearInteraction",
    "MLPInteraction",
    "MaskBlock",
    "WukongLayer",
]
