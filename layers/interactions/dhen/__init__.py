"""A layer of a deep hierarchical ensemble network, and the interactions it is made of."""

from .attention_interaction import AttentionInteraction
from .cross_interaction import CrossInteraction
from .dhen_layer import DHENLayer
from .dot_product_interaction import DotProductInteraction
from .linear_interaction import LinearInteraction
from .mlp_interaction import MLPInteraction

__all__ = [
    "AttentionInteraction",
    "CrossInteraction",
    "DHENLayer",
    "DotProductInteraction",
    "LinearInteraction",
    "MLPInteraction",
]
