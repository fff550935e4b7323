"""Keras losses: residual learning, and cross entropy with missing labels."""

from .observed_binary_crossentropy import ObservedBinaryCrossentropy
from .observed_loss import ObservedLoss
from .ordered_probability_loss import OrderedProbabilityLoss
from .residual_label_loss import ResidualLabelLoss

__all__ = ["ObservedBinaryCrossentropy", "ObservedLoss", "OrderedProbabilityLoss", "ResidualLabelLoss"]
