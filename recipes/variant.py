"""One model of a study, which differs from the baseline in what is named."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from ..distribution import world_size
from ..models import CTRModel, CVRModel, ResidualLearning
from ..models.backbones import BACKBONES
from ..models.feature_embedder import target_of
from ..models.group_placements import placement_groups
from ..schema import Schema, Sequence
from .training import Training

# Name of the target column that holds a task's pseudo-labels.
PSEUDO_LABELS = "teacher_{task}"


@dataclasses.dataclass(frozen=True)
class Variant:
    """What one model of a study changes in the baseline.

    Args:
        name: name in tables and of its files.
        groups: arguments of `GroupConcat` by placement. Defaults to `None`, no groups.
        residual: arguments of `ResidualLearning`; `None` for none. Defaults to `None`.
        teacher: kind of pseudo-labels, see `pseudo_labels`; `"self"` for the model's own. Defaults to `"self"`.
        random_codes: placements at which rows get random groups of the same width as `random_shape` says, the
            control that tells learned groups from mere width. Defaults to `()`.
        random_shape: levels and codes per level of those. Defaults to `(3, 64)`.
        width: factor of the backbone's dense widths, the control that tells groups from mere parameters.
            Defaults to `1.0`.
        training: settings that replace the study's. Defaults to `None`.
        left_out: features that it does not read. Defaults to `()`.

    Example:

    >>> Variant("GSL(user)", groups={"user": {"num_levels": 2}}).parts()
    ('groups', 'user')
    """

    name: str
    groups: Mapping[str, Mapping[str, Any]] | None = None
    residual: Mapping[str, Any] | None = None
    teacher: str = "self"
    random_codes: tuple[str, ...] = ()
    random_shape: tuple[int, int] = (3, 64)
    width: float = 1.0
    training: Mapping[str, Any] | None = None
    left_out: tuple[str, ...] = ()

    def parts(self) -> tuple[str, ...]:
        """What it has that the baseline lacks, as words."""
        found: list[str] = []
        if self.groups:
            found += ["groups", *self.groups]
        if self.residual is not None:
            found += ["residual learning", self.teacher]
        return tuple(found)

    def settings(self, study: Training) -> Training:
        """The study's training with what this variant replaces."""
        return dataclasses.replace(study, **(self.training or {}))

    def model(self, schema: Schema, study: Training, seed: int) -> CTRModel:
        """The untrained model; the caller has set the seed."""
        settings = self.settings(study)
        schema = Schema([f for f in schema.features if f.name not in self.left_out], schema.tasks)
        groups = {
            placement: placement_groups(placement, settings.embedding_dim, **{"seed": seed, **arguments})
            for placement, arguments in (self.groups or {}).items()
        }
        learning: Any = False
        if self.residual is not None:
            teacher = "self" if self.teacher == "self" else PSEUDO_LABELS
            learning = ResidualLearning(**{"teacher": teacher, **self.residual})
        # Tasks with a parent are a funnel: they are predicted over the entire space of impressions too.
        kind = CVRModel if any(task.given for task in schema.tasks) else CTRModel
        return kind(
            schema,
            backbone=self._backbone(schema, settings),
            multi_task=settings.multi_task,
            sequence_encoder=_of_histories(schema, settings.sequence_encoder),
            group_structure=groups or (),
            residual_learning=learning,
            embedding_dim=settings.embedding_dim,
            tower_units=(settings.tower_units,),
            dropout=settings.dropout,
            table_placement="rows" if world_size() > 1 or keras.distribution.distribution() is not None else "device",
            embeddings_regularizer=keras.regularizers.L2(settings.embedding_l2) if settings.embedding_l2 else None,
        )

    def _backbone(self, schema: Schema, settings: Training) -> Any:
        if self.width == 1.0:
            return settings.backbone
        kind: Any = BACKBONES[settings.backbone]
        plain = kind.from_schema(schema, dropout=settings.dropout, name="backbone")
        config = plain.get_config()
        if "units" not in config:
            raise ValueError(
                f"A wider network is made by a backbone's `units`, which {settings.backbone!r} does not have. Take a "
                'backbone with them, such as "dcn_v2".'
            )
        widened = [max(1, round(self.width * units)) for units in config["units"]]
        return type(plain).from_config({**config, "units": widened})


def _of_histories(schema: Schema, encoder: str) -> str | dict[str, str]:
    """The encoder for the sequences that list what is ranked; for all sequences where there are none of these."""
    sequences = [feature.name for feature in schema.features if isinstance(feature, Sequence)]
    found = [name for name in sequences if target_of(schema, name) is not None]
    return dict.fromkeys(found, encoder) if found else encoder
