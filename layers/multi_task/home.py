"""Experts of categories of tasks under experts of the tasks, normalized and gated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from .masked_experts import MaskedExperts
from .multi_task import MultiTask


@keras.saving.register_keras_serializable(package="grouprank")
class HoME(MultiTask):
    """Hierarchy of multi-gate experts: categories of tasks are separated before the tasks are.

    Under many tasks of very different rates gates of `MMoE` and `PLE` come to rest
    on few experts: some experts give nearly nothing, shared ones are taken over by
    one task, and the experts of rare tasks are hardly trained. Here every expert is
    normalized, tasks share in two steps, and gates of two more kinds bring inputs
    and gradients to every expert (see `MaskedExperts`).

    The first level has shared experts and experts of each *meta category* of tasks,
    such as passive and active behaviour. A category sees the shared experts and its
    own, the shared output sees all of them. At the second level shared experts read
    the shared output, and the experts of a category and of its tasks read the
    category's output. A task sees the shared experts, those of its category and
    its own; those of other categories and tasks are masked.

    We read the paper as follows. A gate reads what the experts of its own group read. The
    feature gate of an expert is one product of low rank, and has biases that start
    at 0. Experts are normalized over their units by default, since several
    processes of torch cannot normalize over the batch as the paper does. Towers
    are the model's, without a normalization.

    Args:
        task_names: names of the tasks.
        meta_tasks: names of the tasks of each meta category, every task in one of them. `None` puts all tasks into
            one category. Defaults to `None`.
        num_experts: number of shared experts, of experts of each category and of experts of each task, per level.
            Defaults to `2`.
        units: widths of an expert's dense layers, the same at both levels. Defaults to `(64,)`.
        activation: activation after each normalization. Defaults to `"silu"`, which is Swish.
        dropout: dropout rate after each layer of an expert. Defaults to `0.0`.
        normalization: `"layer"` or `"batch"` normalization of the experts' layers, or `None`. Defaults to `"layer"`.
        gate_rank: rank of the feature gates. Defaults to `8`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the representation, of floating dtype.
        training: whether dropout is active and batch normalization uses the batch's moments.

    Input shape:
        `(batch, dim)`.

    Output shape:
        A dict of `(batch, units[-1])` by task name.

    Raises:
        ValueError: on task names that are not different strings, `meta_tasks` that do not hold every task once, a
            number or a width below 1, no `units`, a dropout rate outside `[0, 1)`, or an unknown `normalization`.

    Example:

    >>> import numpy as np
    >>> meta_tasks = {"watch": ["click", "long_view"], "act": ["like"]}
    >>> out = HoME(["click", "like", "long_view"], meta_tasks, units=(8,))(np.ones((4, 16), "float32"))
    >>> tuple(out["like"].shape)
    (4, 8)

    Reference:
        Wang et al., *HoME: Hierarchy of Multi-Gate Experts for Multi-Task Learning at Kuaishou*,
        [arXiv:2408.05430](https://arxiv.org/abs/2408.05430).
    """

    def __init__(
        self,
        task_names: Sequence[str],
        meta_tasks: Mapping[str, Sequence[str]] | None = None,
        num_experts: int = 2,
        units: Sequence[int] = (64,),
        activation: str | Callable[[Any], Any] | None = "silu",
        dropout: float = 0.0,
        *,
        normalization: str | None = "layer",
        gate_rank: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(task_names, **kwargs)
        self.meta_tasks = None if meta_tasks is None else {name: list(tasks) for name, tasks in meta_tasks.items()}
        categories = [self.task_names] if self.meta_tasks is None else list(self.meta_tasks.values())
        if sorted(map(str, (task for tasks in categories for task in tasks))) != sorted(self.task_names):
            raise ValueError(
                f"`meta_tasks` must name every task of {self.task_names} once, in lists by the category's name. "
                f"Received: meta_tasks={meta_tasks!r}."
            )
        if not all(categories):
            raise ValueError(f"Every category of `meta_tasks` must have a task. Received: meta_tasks={meta_tasks!r}.")
        # Groups of experts by number: the shared ones, those of each category, and above those of each task.
        metas = range(1, len(categories) + 1)
        self._meta_of = [
            next(meta for meta, tasks in zip(metas, categories, strict=True) if task in tasks)
            for task in self.task_names
        ]
        of_task = [[0, meta, 1 + len(metas) + index] for index, meta in enumerate(self._meta_of)]

        def level(name: str, sees: list[list[int]]) -> MaskedExperts:
            return MaskedExperts(
                sees,
                num_experts,
                units,
                activation=activation,
                dropout=dropout,
                normalization=normalization,
                gate_rank=gate_rank,
                dtype=self.dtype_policy,
                name=name,
            )

        self.meta_level = level("meta_level", [[0, *metas], *([0, meta] for meta in metas)])
        self.task_level = level("task_level", [[], *([] for _ in metas), *of_task])

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build both levels."""
        shapes = [tuple(input_shape)] * len(self.meta_level.sees)
        self.meta_level.build(shapes)
        self.task_level.build(self._of_tasks(self.meta_level.compute_output_shape(shapes)))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Each task's mixture at the second level."""
        metas = self.meta_level([inputs] * len(self.meta_level.sees), training=training)
        return dict(zip(self.task_names, self.task_level(self._of_tasks(metas), training=training), strict=True))

    def _of_tasks(self, metas: list[Any]) -> list[Any]:
        """What each group of the second level reads."""
        return [*metas, *(metas[meta] for meta in self._meta_of)]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the output dict."""
        return dict.fromkeys(self.task_names, self.meta_level.compute_output_shape([input_shape])[0])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        level = self.meta_level.get_config()
        shared = ("num_experts", "units", "activation", "dropout", "normalization", "gate_rank")
        return {
            **super().get_config(),
            "meta_tasks": self.meta_tasks,
            **{name: level[name] for name in shared},
        }
