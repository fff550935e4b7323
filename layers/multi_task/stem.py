"""Embeddings and experts of each task, which other tasks read but do not train."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive
from ..mlp import MLP
from ..parallel_mlp import ParallelMLP
from .multi_task import MultiTask
from .weighted_sum import weighted_sum


@keras.saving.register_keras_serializable(package="grouprank")
class STEM(MultiTask):
    """Shared and task-specific embeddings: tasks may disagree about an id.

    Other structures share the embeddings of all tasks, so that a user and an ad lie
    close to each other for every task or for none. Here each field has an embedding
    for each task and a shared one. The experts of a task read its embeddings, the
    shared experts read the shared ones. A task's gate sees the experts of all
    tasks, but through a `stop_gradient` where they are another task's: a task
    learns from what others have learned, and only trains its own experts and
    embeddings and the shared ones.

    The embeddings are the columns of one table, `tasks + 1` times as wide. Of the
    representation, whose columns are those of the fields side by side, the task
    `t` takes the columns `t`, `t + (tasks + 1)` and so on, and the shared experts those
    of the last part. It does not matter which columns of an embedding are a task's, as
    long as they are always the same ones. `CTRModel` makes every field `tasks + 1`
    times `embedding_dim` wide. It refuses fields of other widths that are no multiple
    of `tasks + 1`, and every backbone but `"concatenation"`, since any other mixes the
    parts before they come here. Learned groups are fields like others. A sequence
    encoder other than `"mean"` reads all parts at once, so that tasks meet in it.

    We read the paper as the authors' code does: a task's gate reads the sum of the
    task's part and the shared part. Their code can stack such levels; here there is one,
    which is its default.

    Args:
        task_names: names of the tasks.
        num_shared_experts: number of shared experts. Defaults to `1`.
        num_task_experts: number of experts of each task. Defaults to `1`.
        units: widths of an expert's dense layers. Defaults to `(64,)`.
        activation: activation of the experts' layers and of the gates' hidden
            layers. Defaults to `"relu"`.
        dropout: dropout rate after each layer of an expert. Defaults to `0.0`.
        gate_units: widths of a gate's hidden layers. Defaults to `()`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the fields side by side, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, dim)`, where `dim` is a multiple of the number of tasks plus 1.

    Output shape:
        A dict of `(batch, units[-1])` by task name.

    Raises:
        ValueError: on task names that are not different strings, a number or a
            width below 1, no `units`, a dropout rate outside `[0, 1)`, or inputs whose
            width is no such multiple.

    Example:

    >>> import numpy as np
    >>> out = STEM(["click", "like"], units=(8,))(np.ones((4, 3 * 5), "float32"))
    >>> tuple(out["like"].shape)
    (4, 8)

    Reference:
        Su et al., *STEM: Unleashing the Power of Embeddings for Multi-Task
        Recommendation*, AAAI 2024, [arXiv:2308.13537](https://arxiv.org/abs/2308.13537).
    """

    def __init__(
        self,
        task_names: Sequence[str],
        num_shared_experts: int = 1,
        num_task_experts: int = 1,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        gate_units: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(task_names, **kwargs)
        check_positive(num_shared_experts=num_shared_experts, num_task_experts=num_task_experts)
        self.num_shared_experts = num_shared_experts
        self.num_task_experts = num_task_experts
        self.gate_units = tuple(gate_units)
        tasks = len(self.task_names)
        self.experts = [
            ParallelMLP(
                number, units, activation=activation, dropout=dropout, dtype=self.dtype_policy, name=f"experts_{index}"
            )
            for index, number in enumerate([num_task_experts] * tasks + [num_shared_experts])
        ]
        self.gates = [
            MLP(
                self.gate_units,
                activation=activation,
                output_units=tasks * num_task_experts + num_shared_experts,
                dtype=self.dtype_policy,
                name=f"gate_{index}",
            )
            for index in range(tasks)
        ]

    @staticmethod
    def embedding_parts(num_tasks: int) -> int:
        """A part for each task and a shared one."""
        return num_tasks + 1

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the experts and the gates on their parts of the inputs."""
        parts, width = len(self.experts), input_shape[-1]
        if width is None or width % parts:
            raise ValueError(
                f"STEM splits its inputs into {parts} parts of one width, one for each of the {parts - 1} tasks and a "
                f"shared one. Expected a width that is a multiple of {parts}, as all tables and groups together have "
                f"if each has. Received: input_shape={input_shape}."
            )
        for experts in self.experts:
            experts.build((None, width // parts))
        for gate in self.gates:
            gate.build((None, width // parts))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Each task's mixture of all experts."""
        parts = len(self.experts)
        split = ops.unstack(ops.reshape(inputs, (-1, inputs.shape[-1] // parts, parts)), axis=2)
        found = [experts(part, training=training) for experts, part in zip(self.experts, split, strict=True)]
        frozen = [ops.stop_gradient(experts) for experts in found[:-1]]
        mixtures = {}
        for index, (task, gate) in enumerate(zip(self.task_names, self.gates, strict=True)):
            seen = [*frozen[:index], found[index], *frozen[index + 1 :], found[-1]]
            shares = ops.softmax(gate(split[index] + split[-1]), axis=-1)
            mixtures[task] = weighted_sum(shares, ops.concatenate(seen, axis=1))
        return mixtures

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        batch, _, width = self.experts[0].compute_output_shape(input_shape)
        return dict.fromkeys(self.task_names, (batch, width))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        experts = self.experts[0].get_config()
        return {
            **super().get_config(),
            "num_shared_experts": self.num_shared_experts,
            "num_task_experts": self.num_task_experts,
            **{name: experts[name] for name in ("units", "activation", "dropout")},
            "gate_units": list(self.gate_units),
        }
