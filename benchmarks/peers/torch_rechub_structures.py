"""Torch-RecHub's MMOE, PLE and AITM: what they hand to each task's tower."""

from typing import Any

import torch
from torch_rechub.basic.features import DenseFeature
from torch_rechub.models.multi_task import AITM, MMOE, PLE

from .formula import array, case, fill

ENVIRONMENT = "torch_rechub"
REQUIREMENTS = ("torch==2.13.0", "torch-rechub==0.9.0")

WIDTH = 4
INPUT = {"shape": [6, WIDTH], "start": 0.0}
UNITS = [5, 3]
EXPERT = {"dims": UNITS}
TOWER: dict[str, Any] = {"dims": []}


def outputs() -> dict[str, Any]:
    """Representations by the number of the task."""
    return {
        "mmoe": _case(MMOE(_features(), _types(2), 3, EXPERT, [TOWER] * 2), num_tasks=2, num_experts=3),
        "ple_of_one_level": _ple(num_tasks=2, num_levels=1, num_task_experts=2, num_shared_experts=1),
        "ple": _ple(num_tasks=3, num_levels=2, num_task_experts=1, num_shared_experts=2),
        "aitm": _case(AITM(_features(), 3, EXPERT, [TOWER] * 3), num_tasks=3),
    }


def _ple(num_tasks: int, **sizes: int) -> dict[str, Any]:
    parts = (sizes["num_levels"], sizes["num_task_experts"], sizes["num_shared_experts"])
    model = PLE(_features(), _types(num_tasks), *parts, EXPERT, [TOWER] * num_tasks)
    return _case(model, num_tasks=num_tasks, **sizes)


def _features() -> list[DenseFeature]:
    return [DenseFeature("x", WIDTH)]


def _types(num_tasks: int) -> list[str]:
    return ["classification"] * num_tasks


def _case(model: torch.nn.Module, **settings: Any) -> dict[str, Any]:
    weights = fill(model, scale=1.0)
    found: dict[str, torch.Tensor] = {}
    towers: Any = model.towers
    for index, tower in enumerate(towers):
        tower.register_forward_pre_hook(lambda _, inputs, task=str(index): found.update({task: inputs[0]}))
    with torch.no_grad():
        model.eval()({"x": torch.from_numpy(array(INPUT))})
    return case({"x": INPUT}, weights, found, units=UNITS, **settings)
