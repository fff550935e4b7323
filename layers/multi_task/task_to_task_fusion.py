"""One level of adaptive task-to-task fusion."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive
from ..parallel_mlp import ParallelMLP
from .weighted_sum import weighted_sum


@keras.saving.register_keras_serializable(package="grouprank")
class TaskToTaskFusion(keras.layers.Layer):
    """Experts of each task, which every task mixes by a gate of its own beside a residual of its own experts.

    `AdaTT` stacks such layers. A task's output is the sum of two parts. The first is
    a mixture of all experts of the level, those of other tasks included, by a linear
    gate with a softmax. The second is a sum of the task's own ("native") experts
    with learned weights, which are the same for every row. A task with one expert
    adds it with the weight 1.

    Args:
        num_tasks: number of tasks.
        num_task_experts: number of experts of each task.
        num_shared_experts: number of experts of no task. Defaults to `0`.
        units: widths of an expert's dense layers. Defaults to `(64,)`.
        activation: activation of the experts' layers. Defaults to `"relu"`.
        dropout: dropout rate after each layer of an expert. Defaults to `0.0`.
        shared_output: whether the shared experts have an output too, as the tasks have. Defaults to `False`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: a list of representations, one for each task in order, and with shared experts one more for these.
        training: dropout is active only if `True`.

    Input shape:
        A list of `num_tasks` shapes `(batch, dim)`, and one more with shared experts.

    Output shape:
        A list of `num_tasks` shapes `(batch, units[-1])`, and one more with `shared_output`.

    Raises:
        ValueError: on a number or a width below 1, a negative `num_shared_experts`, no `units`, a dropout rate outside
            `[0, 1)`, or a `shared_output` without shared experts.

    Example:

    >>> import numpy as np
    >>> x = np.ones((4, 16), "float32")
    >>> out = TaskToTaskFusion(2, 2, units=(8,))([x, x])
    >>> [tuple(one.shape) for one in out]
    [(4, 8), (4, 8)]

    Reference:
        Li et al., *AdaTT: Adaptive Task-to-Task Fusion Network for Multitask Learning in
        Recommendations*, [arXiv:2304.04959](https://arxiv.org/abs/2304.04959).
    """

    def __init__(
        self,
        num_tasks: int,
        num_task_experts: int,
        num_shared_experts: int = 0,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        shared_output: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_tasks=num_tasks, num_task_experts=num_task_experts)
        if num_shared_experts != 0:
            check_positive(num_shared_experts=num_shared_experts)
        elif shared_output:
            raise ValueError(
                "`shared_output` is the output of shared experts. Give `num_shared_experts`, or leave it out. "
                f"Received: num_shared_experts={num_shared_experts}, shared_output={shared_output}."
            )
        self.num_tasks = num_tasks
        self.num_task_experts = num_task_experts
        self.num_shared_experts = num_shared_experts
        self.shared_output = shared_output
        self._numbers = [num_task_experts] * num_tasks + ([num_shared_experts] if num_shared_experts else [])
        self.experts = [
            ParallelMLP(
                number, units, activation=activation, dropout=dropout, dtype=self.dtype_policy, name=f"experts_{index}"
            )
            for index, number in enumerate(self._numbers)
        ]
        self.gates = [
            keras.layers.Dense(sum(self._numbers), dtype=self.dtype_policy, name=f"gate_{index}")
            for index in range(num_tasks + int(shared_output))
        ]

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Build the experts and the gates, and create the weights of the native experts."""
        for experts, shape in zip(self.experts, input_shape, strict=True):
            experts.build(shape)
        self._native_weights: list[Any] = []
        for index, gate in enumerate(self.gates):
            gate.build(input_shape[index])
            number = self._numbers[index]
            if number > 1:
                bound = math.sqrt(1.0 / number)
                initializer = keras.initializers.RandomUniform(-bound, bound)
                weight = self.add_weight(name=f"native_{index}", shape=(number,), initializer=initializer)
                self._native_weights.append(weight)
            else:
                self._native_weights.append(None)
        self.built = True

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Each task's mixture, then that of the shared experts if it is asked for."""
        native = [experts(x, training=training) for experts, x in zip(self.experts, inputs, strict=True)]
        seen = ops.concatenate(native, axis=1)
        # Without an output of the shared experts the last input has experts alone.
        return [
            weighted_sum(ops.softmax(gate(x), axis=-1), seen) + _residual(own, weights)
            for gate, x, own, weights in zip(self.gates, inputs, native, self._native_weights, strict=False)
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
            "num_task_experts": self.num_task_experts,
            "num_shared_experts": self.num_shared_experts,
            **{name: experts[name] for name in ("units", "activation", "dropout")},
            "shared_output": self.shared_output,
        }


def _residual(experts: Any, weights: Any) -> Any:
    """The sum of `(batch, experts, width)` over the experts by fixed weights, or the only expert."""
    if weights is None:
        return ops.squeeze(experts, 1)
    return ops.sum(experts * ops.reshape(weights, (1, -1, 1)), axis=1)
