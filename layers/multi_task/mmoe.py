"""Experts that all tasks share, mixed by a gate per task."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive
from ..parallel_mlp import ParallelMLP
from .multi_task import MultiTask


@keras.saving.register_keras_serializable(package="grouprank")
class MMoE(MultiTask):
    """Multi-gate mixture of experts: every task mixes the same experts in its own way.

    Tasks that are little related suffer from one shared representation. Here
    each has a gate that reads the input of the row, so that two tasks can lean on
    different experts, at the price of one small product per task.

    A gate is linear with a softmax, as in the paper. Unlike the paper's, it has a
    bias, which starts at 0. All experts are one product, and so are all gates.

    Args:
        task_names: names of the tasks.
        num_experts: number of experts. Defaults to `8`.
        units: widths of an expert's dense layers. Defaults to `(64,)`.
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
    >>> out = MMoE(["click", "like"], num_experts=4, units=(8,))(np.ones((4, 16), "float32"))
    >>> tuple(out["like"].shape)
    (4, 8)

    Reference:
        Ma et al., *Modeling Task Relationships in Multi-task Learning with
        Multi-gate Mixture-of-Experts*, KDD 2018, eq. 6 – 8
        ([doi:10.1145/3219819.3220007](https://doi.org/10.1145/3219819.3220007)).
    """

    def __init__(
        self,
        task_names: Sequence[str],
        num_experts: int = 8,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        gate_units: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(task_names, **kwargs)
        check_positive(num_experts=num_experts)
        self.num_experts = num_experts
        self.gate_units = tuple(gate_units)
        self.experts = ParallelMLP(
            num_experts, units, activation=activation, dropout=dropout, dtype=self.dtype_policy, name="experts"
        )
        self.gates = ParallelMLP(
            len(self.task_names),
            self.gate_units,
            activation=activation,
            output_units=num_experts,
            dtype=self.dtype_policy,
            name="gates",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the experts and the gates."""
        self.experts.build(input_shape)
        self.gates.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Each task's mixture of the experts."""
        shares = ops.softmax(self.gates(inputs), axis=-1)
        mixtures = ops.matmul(shares, self.experts(inputs, training=training))
        return dict(zip(self.task_names, ops.unstack(mixtures, axis=1), strict=True))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        batch, _, width = self.experts.compute_output_shape(input_shape)
        return dict.fromkeys(self.task_names, (batch, width))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        experts = self.experts.get_config()
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            **{name: experts[name] for name in ("units", "activation", "dropout")},
            "gate_units": list(self.gate_units),
        }
