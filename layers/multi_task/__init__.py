"""Structures between the backbone and the task towers."""

from .adaptive_information_transfer import AdaptiveInformationTransfer
from .aitm import AITM
from .customized_gate_control import CustomizedGateControl
from .joint_logit import JointLogit
from .mmoe import MMoE
from .multi_task import MultiTask
from .ple import PLE
from .shared_bottom import SharedBottom

MULTI_TASK: dict[str, type[MultiTask]] = {"shared_bottom": SharedBottom, "mmoe": MMoE, "ple": PLE, "aitm": AITM}

__all__ = [
    "AITM",
    "MULTI_TASK",
    "PLE",
    "AdaptiveInformationTransfer",
    "CustomizedGateControl",
    "JointLogit",
    "MMoE",
    "MultiTask",
    "SharedBottom",
]
