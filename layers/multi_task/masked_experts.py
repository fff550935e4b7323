"""Groups of normalized experts, of which each output sees some."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive
from ..interactions import FeatureGate
from ..mlp import MLP
from .weighted_sum import weighted_sum


@keras.saving.register_keras_serializable(package="grouprank")
class MaskedExperts(keras.layers.Layer):
    """Experts in groups; the output of a group mixes the groups that it sees and adds its own experts once more.

    `HoME` is made of two such layers. What keeps its gates from collapsing onto a
    few experts, and experts of rare tasks from starving, is all here:

    - every layer of an expert is normalized before its activation (Swish), so that
      all experts give numbers of one size;
    - an expert reads its input through a *feature gate* of its own,
      `2 sigmoid(x B A) ⊙ x` of low rank, so that experts over one input differ;
    - a *self gate* adds the group's own experts to its output beside the mixture. It
      is a softmax over several experts and a sigmoid of a single one;
    - a *mask* says which groups an output sees.

    Both gates of an output are linear, have a bias that starts at 0, and read what
    the group's experts read.

    Args:
        sees: for each group, the numbers of the groups that its output mixes; an empty list for a group without an
            output.
        num_experts: number of experts of each group. Defaults to `2`.
        units: widths of an expert's dense layers. Defaults to `(64,)`.
        activation: activation after each normalization. Defaults to `"silu"`, which is Swish.
        dropout: dropout rate after each layer of an expert. Defaults to `0.0`.
        normalization: `"layer"` or `"batch"` normalization, or `None`. The paper normalizes over the batch, which
            several processes of torch cannot. Defaults to `"layer"`.
        gate_rank: rank of the feature gates. Defaults to `8`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: a list of tensors, what the experts of each group read.
        training: whether dropout is active and batch normalization uses the batch's moments.

    Input shape:
        A list of `(batch, dim)`, one for each group.

    Output shape:
        A list of `(batch, units[-1])`, one for each group that has an output.

    Raises:
        ValueError: on `sees` that names a group that does not exist or gives no group an output, a number or a width
            below 1, no `units`, a dropout rate outside `[0, 1)`, an unknown `normalization`, or another number of
            inputs than of groups.

    Example:

    >>> import numpy as np
    >>> x = np.ones((4, 16), "float32")
    >>> shared_and_two_tasks = MaskedExperts([[], [0, 1], [0, 2]], units=(8,))
    >>> [tuple(one.shape) for one in shared_and_two_tasks([x, x, x])]
    [(4, 8), (4, 8)]

    Reference:
        Wang et al., *HoME: Hierarchy of Multi-Gate Experts for Multi-Task Learning at Kuaishou*,
        [arXiv:2408.05430](https://arxiv.org/abs/2408.05430).
    """

    def __init__(
        self,
        sees: Sequence[Sequence[int]],
        num_experts: int = 2,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "silu",
        dropout: float = 0.0,
        *,
        normalization: str | None = "layer",
        gate_rank: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_experts=num_experts, gate_rank=gate_rank)
        self.sees = [list(seen) for seen in sees]
        groups = range(len(self.sees))
        if not any(self.sees) or any(group not in groups for seen in self.sees for group in seen):
            raise ValueError(
                f"`sees` must hold, for each of the {len(self.sees)} groups, numbers of groups from 0 on, and at least "
                f"one number in all. Received: sees={sees!r}."
            )
        if not units:
            raise ValueError(f"`units` must hold at least one width. Received: units={units!r}.")
        self.num_experts = num_experts
        self.gate_rank = gate_rank
        self.feature_gates, self.experts = [], []
        for group in groups:
            for index in range(num_experts):
                name = f"{group}_{index}"
                self.feature_gates.append(
                    FeatureGate((gate_rank,), activation=None, dtype=self.dtype_policy, name=f"feature_gate_{name}")
                )
                self.experts.append(
                    MLP(
                        units,
                        activation=activation,
                        dropout=dropout,
                        normalization=normalization,
                        dtype=self.dtype_policy,
                        name=f"expert_{name}",
                    )
                )
        self._with_output = [group for group in groups if self.sees[group]]
        self.gates = [
            keras.layers.Dense(len(self.sees[group]) * num_experts, dtype=self.dtype_policy, name=f"gate_{group}")
            for group in self._with_output
        ]
        self.self_gates = [
            keras.layers.Dense(num_experts, dtype=self.dtype_policy, name=f"self_gate_{group}")
            for group in self._with_output
        ]

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Build the experts and all gates."""
        if len(input_shape) != len(self.sees):
            raise ValueError(
                f"`inputs` must be a list of {len(self.sees)} tensors, one for each group. Received: "
                f"{len(input_shape)} shapes, {input_shape}."
            )
        for index, (feature_gate, expert) in enumerate(zip(self.feature_gates, self.experts, strict=True)):
            shape = input_shape[index // self.num_experts]
            feature_gate.build({"features": shape, "context": shape})
            expert.build(shape)
        for group, gate, self_gate in zip(self._with_output, self.gates, self.self_gates, strict=True):
            gate.build(input_shape[group])
            self_gate.build(input_shape[group])
        self.built = True

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> list[Any]:
        """The mixtures of the groups that have an output."""
        groups = [self._experts_of(group, x, training) for group, x in enumerate(inputs)]
        outputs = []
        for group, gate, self_gate in zip(self._with_output, self.gates, self.self_gates, strict=True):
            seen = ops.concatenate([groups[other] for other in self.sees[group]], axis=1)
            mixture = weighted_sum(ops.softmax(gate(inputs[group]), axis=-1), seen)
            scores = self_gate(inputs[group])
            own = ops.softmax(scores, axis=-1) if self.num_experts > 1 else ops.sigmoid(scores)
            outputs.append(mixture + weighted_sum(own, groups[group]))
        return outputs

    def _experts_of(self, group: int, x: Any, training: bool | None) -> Any:
        """The experts of a group, `(batch, num_experts, width)`."""
        own = slice(group * self.num_experts, (group + 1) * self.num_experts)
        return ops.stack(
            [
                expert(feature_gate({"features": x, "context": x}), training=training)
                for feature_gate, expert in zip(self.feature_gates[own], self.experts[own], strict=True)
            ],
            axis=1,
        )

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> list[tuple[int | None, ...]]:
        """Shapes of the output list."""
        return [self.experts[0].compute_output_shape(input_shape[0])] * len(self._with_output)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        expert = self.experts[0].get_config()
        return {
            **super().get_config(),
            "sees": [list(seen) for seen in self.sees],
            "num_experts": self.num_experts,
            **{name: expert[name] for name in ("units", "activation", "dropout", "normalization")},
            "gate_rank": self.gate_rank,
        }
