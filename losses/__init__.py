"""Keras losses: residual learning, cross entropy with missing labels, and conversions that come late."""

from .conversion_delays import conversion_delays
from .delayed_feedback_loss import DelayedFeedbackLoss
from .delayed_loss import DelayedLoss
from .elapsed_time_loss import ElapsedTimeLoss
from .elapsed_time_samples import ElapsedTimeSamples, elapsed_time_samples
from .observed_binary_crossentropy import ObservedBinaryCrossentropy
from .observed_loss import ObservedLoss
from .ordered_probability_loss import OrderedProbabilityLoss
from .residual_label_loss import ResidualLabelLoss

__all__ = [
    "DelayedFeedbackLoss",
    "DelayedLoss",
    "ElapsedTimeLoss",
    "ElapsedTimeSamples",
    "ObservedBinaryCrossentropy",
    "ObservedLoss",
    "OrderedProbabilityLoss",
    "ResidualLabelLoss",
    "conversion_delays",
    "elapsed_time_samples",
]
