"""What debiases a conversion's rate among clicks, by name."""

from typing import Any

import keras

from .counterfactual import Counterfactual
from .doubly_robust import DoublyRobust
from .inverse_propensity import InversePropensity
from .twin_towers import TwinTowers

COUNTERFACTUALS: dict[str, type[Counterfactual]] = {
    "ips": InversePropensity,
    "dr": DoublyRobust,
    "dcmt": TwinTowers,
}


def get(identifier: str | dict[str, Any] | Counterfactual | None) -> Counterfactual | None:
    """The regularizer of a name with its defaults, of a Keras config, or the given instance; `None` is none."""
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if identifier is None or isinstance(identifier, Counterfactual):
        return identifier
    if isinstance(identifier, str) and identifier in COUNTERFACTUALS:
        return COUNTERFACTUALS[identifier]()
    raise ValueError(
        f"`counterfactual` must be None, one of {sorted(COUNTERFACTUALS)} or an instance of a "
        f"`grouprank.models.counterfactuals.Counterfactual` subclass. Received: counterfactual={identifier!r}."
    )


__all__ = [
    "COUNTERFACTUALS",
    "Counterfactual",
    "DoublyRobust",
    "InversePropensity",
    "TwinTowers",
    "get",
]
