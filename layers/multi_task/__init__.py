"""Structures between the backbone and the task towers."""

from .adaptive_information_transfer import AdaptiveInformationTransfer
from .adatt import AdaTT
from .aitm import AITM
from .customized_gate_control import CustomizedGateControl
from .home import HoME
from .joint_logit import JointLogit
from .masked_experts import MaskedExperts
from .mmoe import MMoE
from .multi_task import MultiTask
from .ple import PLE
from .shared_bottom import SharedBottom
from .stem import STEM
from .task_to_task_fusion import TaskToTaskFusion

MULTI_TASK: dict[str, type[MultiTask]] = {
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "aitm": AITM,
    "adatt": AdaTT,
    "home": HoME,
    "stem": STEM,
}

__all__ = [
    "AITM",
    "MULTI_TASK",
    "PLE",
    "STEM",
    "AdaTT",
    "AdaptiveInformationTransfer",
    "CustomizedGateControl",
    "HoME",
    "JointLogit",
    "MMoE",
    "MaskedExperts",
    "MultiTask",
    "SharedBottom",
    "TaskToTaskFusion",
]
