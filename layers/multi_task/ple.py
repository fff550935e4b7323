"""Experts of each task beside shared ones, level upon level."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from ..check_arguments import check_positive
from .customized_gate_control import CustomizedGateControl
from .multi_task import MultiTask


@keras.saving.register_keras_serializable(package="grouprank")
class PLE(MultiTask):
    """Progressive layered extraction: shared and task-specific experts, kept apart.

    With experts that all tasks share, a task can gain at another's cost. Here each
    task has experts that only its own loss trains (in the last level), and shared
    experts are mixed in by its gate. Levels below the last also mix all experts
    into what the next level's shared experts read, so that the tasks part gradually.

    One level is the paper's customized gate control (CGC). A gate is linear with a
    softmax and reads what the experts of its task read. Unlike the paper's, it has
    a bias, which starts at 0.

    Args:
        task_names: names of the tasks.
        num_levels: number of levels. Defaults to `2`.
        num_shared_experts: number of shared experts per level. Defaults to `2`.
        num_task_experts: number of experts of each task per level. Defaults to `2`.
        units: widths of an expert's dense layers, the same at every level.
            Defaults to `(64,)`.
        activation: activation of the experts' layers and of the gates' hidden
            layers. Defaults to `"relu"`.
        dropout: dropout rate after each layer of an expert. Defaults to `0.0`.
        gate_units: widths of a gate's hidden layers. Defaults to `()`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the representation, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, dim)`.

    Output shape:
        A dict of `(batch, units[-1])` by task name.

    Raises:
        ValueError: on task names that are not different strings, a number or a
            width below 1, no `units`, or a dropout rate outside `[0, 1)`.

    Example:

    >>> import numpy as np
    >>> out = PLE(["click", "like"], num_levels=2, units=(8,))(np.ones((4, 16), "float32"))
    >>> tuple(out["like"].shape)
    (4, 8)

    Reference:
        Tang et al., *Progressive Layered Extraction (PLE)*, RecSys 2020, §4
        ([doi:10.1145/3383313.3412236](https://doi.org/10.1145/3383313.3412236)).
    """

    def __init__(
        self,
        task_names: Sequence[str],
        num_levels: int = 2,
        num_shared_experts: int = 2,
        num_task_experts: int = 2,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        gate_units: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(task_names, **kwargs)
        check_positive(num_levels=num_levels)
        self.num_levels = num_levels
        self.levels = [
            CustomizedGateControl(
                len(self.task_names),
                num_shared_experts,
                num_task_experts,
                units,
                activation=activation,
                dropout=dropout,
                gate_units=gate_units,
                shared_gate=level < num_levels - 1,
                dtype=self.dtype_policy,
                name=f"level_{level}",
            )
            for level in range(num_levels)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the levels in order."""
        shapes = [tuple(input_shape)] * (len(self.task_names) + 1)
        for level in self.levels:
            level.build(shapes)
            shapes = level.compute_output_shape(shapes)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Each task's mixture at the last level."""
        mixtures = [inputs] * (len(self.task_names) + 1)
        for level in self.levels:
            mixtures = level(mixtures, training=training)
        return dict(zip(self.task_names, mixtures, strict=True))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        return dict.fromkeys(self.task_names, self.levels[0].compute_output_shape([input_shape])[0])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        level = self.levels[0].get_config()
        shared = ("num_shared_experts", "num_task_experts", "units", "activation", "dropout", "gate_units")
        return {
            **super().get_config(),
            "num_levels": self.num_levels,
            **{name: level[name] for name in shared},
        }
