"""What decides how a run trains."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..datasets import BatchLoader
from ..models import RankingModel
from ..models.calibrations import check_loader_rates
from ..reports import GateRule


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of `IncrementalTrainer` that decide its results; a run folder keeps them.

    Args:
        batch_size: rows per step of the optimizer.
        epochs: passes over the rows of a period.
        replay: rows of earlier periods that are trained again, as a share of the period's rows.
        held_out: share of a period's rows that are not trained but decide at the gate and calibrate.
        gate: the rules of the gate.
        late_weight: weight of rows with late labels.
        user: column that says whose rows they are, or `None`.
        seed: of everything random.
        negative_rate: share of the negatives that are trained, of all tasks or by task, or `None`.
        recalibrate: what makes up for the negatives left out (see `BatchLoader`).

    Raises:
        ValueError: if one of them is out of range.

    Example:

    >>> Settings(replay=1.5)
    Traceback (most recent call last):
    ...
    ValueError: `replay` must be a share in [0, 1]. Received: replay=1.5.
    """

    batch_size: int = 4096
    epochs: int = 1
    replay: float = 0.0
    held_out: float = 0.05
    gate: tuple[GateRule, ...] = (GateRule(max_loss=1.0),)
    late_weight: float = 1.0
    user: str | None = None
    seed: int = 0
    negative_rate: float | Mapping[str, float] | None = None
    recalibrate: str | None = "loss"

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("epochs", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}.")
        for name, below in (("replay", 1.0), ("held_out", 0.5)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= below:
                raise ValueError(f"`{name}` must be a share in [0, {below:g}]. Received: {name}={value!r}.")
        if not self.late_weight > 0:
            raise ValueError(f"`late_weight` must be above 0. Received: late_weight={self.late_weight!r}.")

    def check_sampling(self, model: RankingModel) -> None:
        """Raise unless the negatives that are left out are made up for once.

        Args:
            model: the model to train.

        Raises:
            ValueError: on a rate out of range, an unknown task, or a model that corrects its logits for other rates.
        """
        row = np.zeros(1, "float32")
        targets = dict.fromkeys(model.schema.task_names, row)
        loader = BatchLoader(
            {"row": row}, targets, schema=model.schema, negative_rate=self.negative_rate, recalibrate=self.recalibrate
        )
        check_loader_rates(loader, getattr(model, "negative_rate", {}))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return dataclasses.asdict(self)
