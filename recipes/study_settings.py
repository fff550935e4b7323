"""What decides the results of a study of a baseline and a candidate."""

import dataclasses
from typing import Any

import keras

from ..datasets import PreparedTable
from ..models import CTRModel, CVRModel, ResidualLearning
from ..models.group_placements import placement_groups
from ..models.make_embedder import FUSED_FROM_ROWS
from ..schema import Categorical, Sequence
from .choose_batch_size import choose_batch_size

TEACHERS = ("self", "out_of_time", "column")
EXPORTED = ("candidate", "better")
SMALL_TABLE_L2 = 1e-3


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """Everything that decides a study's results.

    Args:
        backbone: name of the backbone.
        multi_task: name of the multi-task structure.
        sequence_encoder: name of the encoder of histories.
        group_structure: placements of the candidate's groups.
        num_levels: levels of each placement's codebooks.
        codebook_size: codes a level.
        residual_weight: `α` of eq. 8.
        distillation_weight: factor of eq. 5, `None` for the teacher's default.
        teacher: `"self"`, `"out_of_time"` (a baseline trained on the earlier half of the
            training rows) or `"column"` (the dataset's `teacher_TASK` columns).
        embedding_dim: width of embeddings.
        dropout: dropout rate.
        embedding_l2: L2 factor of the embedding table. `None` takes 0.001 for a table of fewer than 100,000 ids, which
            a small log learns by heart otherwise, and 0 for a larger one, which would be read whole at every step.
        learning_rate: of Adam.
        batch_size: rows per step, or `None` to follow the table's size, see `choose_batch_size`.
        epochs: most passes over the training rows.
        patience: epochs without a better validation after which training stops; the best weights are kept.
        seed: of weights and shuffling, the same for both models.
        exported: `"candidate"`, or `"better"`: the one of both models that validates better.
    """

    backbone: str = "dcn_v2"
    multi_task: str = "shared_bottom"
    sequence_encoder: str = "mean"
    group_structure: tuple[str, ...] = ("user", "user_ad", "representation")
    num_levels: int = 3
    codebook_size: int = 16
    residual_weight: float = 0.1
    distillation_weight: float | None = None
    teacher: str = "self"
    embedding_dim: int = 16
    dropout: float = 0.0
    embedding_l2: float | None = None
    learning_rate: float = 1e-3
    batch_size: int | None = None
    epochs: int = 20
    patience: int = 2
    seed: int = 0
    exported: str = "candidate"

    def __post_init__(self) -> None:
        if self.teacher not in TEACHERS:
            raise ValueError(f"`teacher` must be one of {TEACHERS}. Received: teacher={self.teacher!r}.")
        if self.exported not in EXPORTED:
            raise ValueError(f"`exported` must be one of {EXPORTED}. Received: exported={self.exported!r}.")

    def for_table(self, table: PreparedTable) -> "StudySettings":
        """These settings, with what follows the table's size filled in."""
        batch_size, embedding_l2 = self.batch_size, self.embedding_l2
        if batch_size is None:
            batch_size = choose_batch_size(table.rows("train"))
        if embedding_l2 is None:
            owners = (f for f in table.schema.features if isinstance(f, Categorical | Sequence))
            ids = sum(f.vocabulary_size for f in owners if isinstance(f, Categorical) or not f.shares)
            embedding_l2 = SMALL_TABLE_L2 if ids < FUSED_FROM_ROWS else 0.0
        return dataclasses.replace(self, batch_size=batch_size, embedding_l2=embedding_l2)

    def pseudo_label_column(self, task: str) -> str:
        """Name of the target column that holds a task's pseudo-labels."""
        return f"teacher_{task}"

    def baseline(self, table: PreparedTable) -> CTRModel:
        """The model without groups and residual learning."""
        return self._model(table, group_structure=(), residual_learning=False)

    def candidate(self, table: PreparedTable) -> CTRModel:
        """The model with both."""
        shape = {"num_levels": self.num_levels, "codebook_size": self.codebook_size, "seed": self.seed}
        groups = {place: placement_groups(place, self.embedding_dim, **shape) for place in self.group_structure}
        teacher = "self" if self.teacher == "self" else self.pseudo_label_column("{task}")
        learning = ResidualLearning(teacher, self.residual_weight, self.distillation_weight)
        return self._model(table, group_structure=groups, residual_learning=learning)

    def _model(self, table: PreparedTable, **arguments: Any) -> CTRModel:
        # Tasks with a parent are a funnel: they are predicted over the entire space of impressions too.
        kind = CVRModel if any(task.given for task in table.schema.tasks) else CTRModel
        return kind(
            table.schema,
            backbone=self.backbone,
            multi_task=self.multi_task,
            sequence_encoder=self.sequence_encoder,
            embedding_dim=self.embedding_dim,
            dropout=self.dropout,
            embeddings_regularizer=keras.regularizers.L2(self.embedding_l2) if self.embedding_l2 else None,
            **arguments,
        )
