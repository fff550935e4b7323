"""One level of progressive layered extraction."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive
from ..mlp import MLP
from ..parallel_mlp import ParallelMLP
from .weighted_sum import weighted_sum


@keras.saving.register_keras_serializable(package="grouprank")
class CustomizedGateControl(keras.layers.Layer):
    """Experts of each task beside shared ones, mixed by a gate per task.

    `PLE` stacks such layers. A task's gate sees its own experts and the shared
    ones, never those of another task. The shared gate, which only a level below
    another one needs, sees all of them.

    Args:
        num_tasks: number of tasks.
        num_shared_experts: number of shared experts.
        num_task_experts: number of experts of each task.
        units: widths of an expert's dense layers.
        activation: activation of the experts' layers and of the gates' hidden
            layers. Defaults to `"relu"`.
        dropout: dropout rate after each layer of an expert. Defaults to `0.0`.
        gate_units: widths of a gate's hidden layers. Defaults to `()`.
        shared_gate: whether to mix all experts into a shared output. Defaults to `False`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: a list of representations, one for each task in order, and the shared one last.
        training: dropout is active only if `True`.

    Input shape:
        A list of `num_tasks + 1` shapes `(batch, dim)`.

    Output shape:
        A list of `num_tasks` shapes `(batch, units[-1])`, and one more with `shared_gate`.

    Raises:
        ValueError: on a number or a width below 1, no `units`, or a dropout rate
            outside `[0, 1)`.

    Example:

    >>> import numpy as np
    >>> x = np.ones((4, 16), "float32")
    >>> out = CustomizedGateControl(2, 1, 1, units=(8,))([x, x, x])
    >>> [tuple(one.shape) for one in out]
    [(4, 8), (4, 8)]

    Reference:
        Tang et al., *Progressive Layered Extraction (PLE)*, RecSys 2020, §4
        ([doi:10.1145/3383313.3412236](https://doi.org/10.1145/3383313.3412236)).
    """

    def __init__(
        self,
        num_tasks: int,
        num_shared_experts: int,
        num_task_experts: int,
        units: Sequence[int],
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        gate_units: Sequence[int] = (),
        shared_gate: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_tasks=num_tasks, num_shared_experts=num_shared_experts, num_task_experts=num_task_experts)
        self.num_tasks = num_tasks
        self.num_shared_experts = num_shared_experts
        self.num_task_experts = num_task_experts
        self.gate_units = tuple(gate_units)
        self.shared_gate = shared_gate
        self.experts = [
            ParallelMLP(
                number, units, activation=activation, dropout=dropout, dtype=self.dtype_policy, name=f"experts_{index}"
            )
            for index, number in enumerate([num_task_experts] * num_tasks + [num_shared_experts])
        ]
        choices = [num_task_experts + num_shared_experts] * num_tasks
        if shared_gate:
            choices.append(num_tasks * num_task_experts + num_shared_experts)
        self.gates = [
            MLP(
                self.gate_units,
                activation=activation,
                output_units=number,
                dtype=self.dtype_policy,
                name=f"gate_{index}",
            )
            for index, number in enumerate(choices)
        ]

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Build the experts and the gates."""
        for experts, shape in zip(self.experts, input_shape, strict=True):
            experts.build(shape)
        # Without a shared gate the last input has experts alone.
        for gate, shape in zip(self.gates, input_shape, strict=False):
            gate.build(shape)
        self.built = True

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Each task's mixture, then the shared one if it is asked for."""
        *own, shared = [experts(x, training=training) for experts, x in zip(self.experts, inputs, strict=True)]
        seen = [ops.concatenate([experts, shared], axis=1) for experts in own]
        if self.shared_gate:
            seen.append(ops.concatenate([*own, shared], axis=1))
        return [
            weighted_sum(ops.softmax(gate(x), axis=-1), experts)
            for gate, x, experts in zip(self.gates, inputs, seen, strict=False)
        ]

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> list[tuple[int | None, ...]]:
        """Shapes of the output list."""
        batch, _, width = self.experts[0].compute_output_shape(input_shape[0])
        return [(batch, width)] * len(self.gates)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        experts = self.experts[0].get_config()
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_shared_experts": self.num_shared_experts,
            "num_task_experts": self.num_task_experts,
            **{name: experts[name] for name in ("units", "activation", "dropout")},
            "gate_units": list(self.gate_units),
            "shared_gate": self.shared_gate,
        }
