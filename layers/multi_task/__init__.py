"""Structures between the backbone and the task towers."""

from .aitm import AITM
from .joint_logit import JointLogit
from .mmoe import MMoE
from .multi_task import MultiTask
from .ple import PLE
from .shared_bottom import SharedBottom

MULTI_TASK: dict[str, type[MultiTask]] = {"shared_bottom": SharedBottom, "mmoe": MMoE, "ple": PLE, "aitm": AITM}

__all__ = ["AITM", "MULTI_TASK", "PLE", "JointLogit", "MMoE", "MultiTask", "SharedBottom"]
