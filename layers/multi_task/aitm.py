"""Tasks in sequence, each handing information on to the next."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..parallel_mlp import ParallelMLP
from .adaptive_information_transfer import AdaptiveInformationTransfer
from .multi_task import MultiTask


@keras.saving.register_keras_serializable(package="grouprank")
class AITM(MultiTask):
    """Adaptive information transfer: a conversion funnel's tasks, step after step.

    Where one outcome comes before another (impression, click, purchase), the
    earlier one has more positives and says much about the later one. Each task
    has dense layers of its own, and a later task mixes their result with what its
    predecessor hands on, by an attention over the two.

    The paper has a chain of tasks; here each may name its predecessor, so that two
    tasks can follow the same one. The paper's second part, a penalty on a later
    task that is more probable than the earlier one, is
    `grouprank.losses.OrderedProbabilityLoss`; a `CTRModel` adds it with the factor
    `ordered_weight`.

    Args:
        task_names: names of the tasks.
        parents: each task's predecessor by name; tasks left out have none and keep
            what their own layers say. `None` takes a chain in the order of
            `task_names`. Defaults to `None`.
        units: widths of each task's dense layers. Defaults to `(64,)`.
        activation: activation of these layers and of the transfers between tasks. Defaults to `"relu"`.
        dropout: dropout rate of these layers. Defaults to `0.0`.
        ordered_weight: factor of that penalty for each task with a predecessor. Use it only where the labels of both
            count among all rows: a `Task(given=...)` counts among its parent's positives alone, and its rate there may
            well be the larger one. Defaults to `0.0`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the representation, of floating dtype.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, dim)`.

    Output shape:
        A dict of `(batch, units[-1])` by task name.

    Raises:
        ValueError: on task names that are not different strings, parents that are
            unknown or form a cycle, a width below 1, no `units`, a dropout rate outside
            `[0, 1)`, or a negative `ordered_weight`.

    Example:

    >>> import numpy as np
    >>> layer = AITM(["click", "like", "buy"], parents={"like": "click", "buy": "click"}, units=(8,))
    >>> out = layer(np.ones((4, 16), "float32"))
    >>> tuple(out["buy"].shape)
    (4, 8)

    Reference:
        Xi et al., *Modeling the Sequential Dependence among Audience Multi-step
        Conversions with Multi-task Learning in Targeted Display Advertising*,
        [arXiv:2105.08489](https://arxiv.org/abs/2105.08489).
    """

    def __init__(
        self,
        task_names: Sequence[str],
        parents: Mapping[str, str] | None = None,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "relu",
        dropout: float = 0.0,
        *,
        ordered_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if not ordered_weight >= 0:
            raise ValueError(f"`ordered_weight` must not be negative. Received: ordered_weight={ordered_weight}.")
        super().__init__(task_names, **kwargs)
        self.parents = None if parents is None else dict(parents)
        self._ordered_weight = ordered_weight
        chain = dict(zip(self.task_names[1:], self.task_names, strict=False))
        self._parent_of = chain if parents is None else dict(parents)
        self._order = _parents_first(self.task_names, self._parent_of)
        self.bottoms = ParallelMLP(
            len(self.task_names), units, activation=activation, dropout=dropout, dtype=self.dtype_policy, name="bottoms"
        )
        self.transfers = [
            AdaptiveInformationTransfer(activation, dropout, dtype=self.dtype_policy, name=f"transfer_{index}")
            for index in range(len(self._parent_of))
        ]

    @property
    def ordered_weight(self) -> float:
        """Factor of the penalty on a task that is more probable than its predecessor."""
        return self._ordered_weight

    @property
    def ordered_pairs(self) -> Mapping[str, str]:
        """Each task's predecessor."""
        return self._parent_of

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build each task's layers and the transfers between tasks."""
        self.bottoms.build(input_shape)
        batch, _, width = self.bottoms.compute_output_shape(input_shape)
        for transfer in self.transfers:
            transfer.build([(batch, width)] * 2)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Each task's representation, with what its predecessor hands on."""
        bottoms = ops.unstack(self.bottoms(inputs, training=training), axis=1)
        known = dict(zip(self.task_names, bottoms, strict=True))
        children = [task for task in self._order if task in self._parent_of]
        for task, transfer in zip(children, self.transfers, strict=True):
            known[task] = transfer([known[self._parent_of[task]], known[task]], training=training)
        return known

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        batch, _, width = self.bottoms.compute_output_shape(input_shape)
        return dict.fromkeys(self.task_names, (batch, width))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        bottoms = self.bottoms.get_config()
        return {
            **super().get_config(),
            "parents": self.parents,
            "ordered_weight": self.ordered_weight,
            **{name: bottoms[name] for name in ("units", "activation", "dropout")},
        }


def _parents_first(task_names: list[str], parent_of: Mapping[str, str]) -> list[str]:
    """The tasks, each after its parent."""
    unknown = sorted({*parent_of, *parent_of.values()} - set(task_names))
    if unknown:
        raise ValueError(
            f"`parents` names unknown tasks {unknown}. Tasks: {task_names}. Received: parents={dict(parent_of)}."
        )
    order: list[str] = []
    waiting = list(task_names)
    while waiting:
        ready = [task for task in waiting if parent_of.get(task) in (None, *order)]
        if not ready:
            raise ValueError(
                f"`parents` must lead every task back to one without a parent, but {waiting} form a cycle or follow "
                f"one. Received: parents={dict(parent_of)}."
            )
        order += ready
        waiting = [task for task in waiting if task not in ready]
    return order
