"""Experts of each task, fused task by task and level upon level."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from ..check_arguments import check_positive
from .multi_task import MultiTask
from .task_to_task_fusion import TaskToTaskFusion


@keras.saving.register_keras_serializable(package="grouprank")
class AdaTT(MultiTask):
    """Adaptive task-to-task fusion: every task learns from every other task's experts, and keeps its own.

    In `PLE` tasks meet in shared experts alone. Here a task's gate sees the experts
    of all other tasks, at every level, and learns pair by pair whom to take from. A
    residual of the task's own experts, whose weights do not depend on the row,
    keeps what is the task's own.

    Without shared experts this is the paper's AdaTT-sp, with them its general AdaTT.
    We read the paper as the authors' code does: gates have a bias, a task with one
    expert adds it as it is, and shared experts have an output of their own at all
    levels but the last. Their code learns a weight for single experts too where
    other tasks have several; ours adds every single expert as it is.

    Args:
        task_names: names of the tasks.
        num_levels: number of levels. Defaults to `2`.
        num_task_experts: number of experts of each task per level. Defaults to `2`.
        num_shared_experts: number of shared experts per level. Defaults to `0`.
        units: widths of an expert's dense layers, the same at every level.
            Defaults to `(64,)`.
        activation: activation of the experts' layers. Defaults to `"relu"`.
        dropout: dropout rate after each layer of an expert. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the representation, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, dim)`.

    Output shape:
        A dict of `(batch, units[-1])` by task name.

    Raises:
        ValueError: on task names that are not different strings, a number or a width
            below 1, a negative `num_shared_experts`, no `units`, or a dropout rate
            outside `[0, 1)`.

    Example:

    >>> import numpy as np
    >>> out = AdaTT(["click", "like"], num_levels=2, units=(8,))(np.ones((4, 16), "float32"))
    >>> tuple(out["like"].shape)
    (4, 8)

    Reference:
        Li et al., *AdaTT: Adaptive Task-to-Task Fusion Network for Multitask Learning in
        Recommendations*, [arXiv:2304.04959](https://arxiv.org/abs/2304.04959).
    """

    def __init__(
        self,
        task_names: Sequence[str],
        num_levels: int = 2,
        num_task_experts: int = 2,
        num_shared_experts: int = 0,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(task_names, **kwargs)
        check_positive(num_levels=num_levels)
        self.num_levels = num_levels
        self.levels = [
            TaskToTaskFusion(
                len(self.task_names),
                num_task_experts,
                num_shared_experts,
                units,
                activation=activation,
                dropout=dropout,
                shared_output=bool(num_shared_experts) and level < num_levels - 1,
                dtype=self.dtype_policy,
                name=f"level_{level}",
            )
            for level in range(num_levels)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the levels in order."""
        shapes = [tuple(input_shape)] * len(self.levels[0].experts)
        for level in self.levels:
            level.build(shapes)
            shapes = level.compute_output_shape(shapes)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Each task's representation at the last level."""
        representations = [inputs] * len(self.levels[0].experts)
        for level in self.levels:
            representations = level(representations, training=training)
        return dict(zip(self.task_names, representations, strict=True))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        return dict.fromkeys(self.task_names, self.levels[0].compute_output_shape([input_shape])[0])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        level = self.levels[0].get_config()
        shared = ("num_task_experts", "num_shared_experts", "units", "activation", "dropout")
        return {
            **super().get_config(),
            "num_levels": self.num_levels,
            **{name: level[name] for name in shared},
        }
