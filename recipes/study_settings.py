"""What decides the results of a study of a baseline and a candidate."""

import dataclasses
from typing import ClassVar

from ..datasets import PreparedTable
from ..models import CTRModel
from .training import Training
from .variant import Variant

TEACHERS = ("self", "out_of_time", "column")
EXPORTED = ("candidate", "better")


@dataclasses.dataclass(frozen=True)
class StudySettings(Training):
    """Everything that decides a study's results: how both models are trained, and what the candidate adds.

    Args:
        group_structure: placements of the candidate's groups.
        num_levels: levels of each placement's codebooks.
        codebook_size: codes per level.
        residual_weight: `α` of eq. 8.
        distillation_weight: factor of eq. 5, `None` for the teacher's default.
        teacher: `"self"`, `"out_of_time"` (a baseline trained on the earlier half of the
            training rows) or `"column"` (the dataset's `teacher_TASK` columns).
        patience: epochs without a better validation after which training stops; the best weights are kept.
        seed: of weights and shuffling, the same for both models.
        exported: `"candidate"`, or `"better"`: the one of both models that validates better.
        **settings: those of `Training`.
    """

    group_structure: tuple[str, ...] = ("user", "user_ad", "representation")
    num_levels: int = 3
    codebook_size: int = 16
    residual_weight: float = 0.1
    distillation_weight: float | None = None
    teacher: str = "self"
    patience: int = 2
    seed: int = 0
    exported: str = "candidate"

    _UNRECORDED: ClassVar[tuple[str, ...]] = ("tower_units", "decay")

    def __post_init__(self) -> None:
        if self.teacher not in TEACHERS:
            raise ValueError(f"`teacher` must be one of {TEACHERS}. Received: teacher={self.teacher!r}.")
        if self.exported not in EXPORTED:
            raise ValueError(f"`exported` must be one of {EXPORTED}. Received: exported={self.exported!r}.")

    def baseline(self, table: PreparedTable) -> CTRModel:
        """The model without groups and residual learning."""
        return Variant("baseline").model(table.schema, self, self.seed)

    def candidate(self, table: PreparedTable) -> CTRModel:
        """The model with both."""
        shape = {"num_levels": self.num_levels, "codebook_size": self.codebook_size}
        residual = {"weight": self.residual_weight, "distillation_weight": self.distillation_weight}
        groups = dict.fromkeys(self.group_structure, shape)
        return Variant("candidate", groups, residual, self.teacher).model(table.schema, self, self.seed)
