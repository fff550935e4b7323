"""The base of multi-task structures: one representation goes in, one for each task comes out."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ..check_arguments import checked_task_names


class MultiTask(keras.layers.Layer):
    """Base class of the structures between a shared representation and the tasks' towers.

    To write your own, subclass this, implement `call` (and `get_config` if it takes arguments beside the names of the
    tasks), register it with Keras so that models save and export, and pass an instance to
    `CTRModel(multi_task=...)`.

    Args:
        task_names: names of the tasks.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the representation, of floating dtype.
        training: whether the model is training.

    Input shape:
        `(batch, dim)`.

    Output shape:
        A dict of `(batch, width)` by task name.

    Raises:
        ValueError: on task names that are not different strings.

    Example:

    >>> import keras
    >>> @keras.saving.register_keras_serializable(package="my_project")
    ... class Halves(MultiTask):
    ...     def call(self, inputs, training=None):
    ...         return dict(zip(self.task_names, keras.ops.split(inputs, len(self.task_names), axis=-1)))
    >>> out = Halves(["click", "like"])(keras.ops.ones((4, 16)))
    >>> tuple(out["like"].shape)
    (4, 8)
    """

    def __init__(self, task_names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_names = checked_task_names(task_names)

    @property
    def ordered_weight(self) -> float:
        """Factor of `OrderedProbabilityLoss` that a model adds for each of `ordered_pairs` in training."""
        return 0.0

    @property
    def ordered_pairs(self) -> Mapping[str, str]:
        """The task that each task follows, and is at most as probable as."""
        return {}

    @staticmethod
    def embedding_parts(num_tasks: int) -> int:
        """How many parts the structure finds in every embedding, each as wide as an embedding otherwise is.

        Args:
            num_tasks: number of tasks.
        """
        return 1

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Each task's representation."""
        raise NotImplementedError(f"{type(self).__name__} must implement `call`.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "task_names": list(self.task_names)}
