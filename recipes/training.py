"""How the models of a study are made and trained."""

import dataclasses
from typing import Any, ClassVar, Self

import keras

from ..datasets import PreparedTable
from ..models.make_embedder import FUSED_FROM_ROWS
from ..schema import Categorical, Sequence
from .choose_batch_size import choose_batch_size

SMALL_TABLE_L2 = 1e-3


@dataclasses.dataclass(frozen=True)
class Training:
    """What the baseline and its candidates share: network, regularization and schedule.

    Args:
        backbone: name of the backbone. Defaults to `"dcn_v2"`.
        embedding_dim: width of embeddings. Defaults to `16`.
        tower_units: width of each task's tower. Defaults to `64`.
        dropout: dropout rate. Defaults to `0.0`.
        embedding_l2: L2 factor of the embedding table. `None` takes 0.001 for a table of fewer than 100,000 ids, which
            a small log learns by heart otherwise, and 0 for a larger one, which would be read whole at every step.
            Defaults to `None`.
        learning_rate: of Adam, at the start. Defaults to `0.001`.
        decay: whether the learning rate falls to 0 along a cosine; the last steps' noise then does not decide between
            seeds. Defaults to `False`.
        batch_size: rows per step, or `None` to follow the table's size, see `choose_batch_size`. Defaults to `None`.
        epochs: most passes over the training rows. Defaults to `20`.
        multi_task: name of the multi-task structure. Defaults to `"shared_bottom"`.
        sequence_encoder: name of the encoder of histories, the sequences that list what is ranked, or of all sequences
            where there are none of these. Defaults to `"mean"`.

    Example:

    >>> Training(batch_size=1000, epochs=2).steps(rows=10_000)
    20
    """

    backbone: str = "dcn_v2"
    embedding_dim: int = 16
    tower_units: int = 64
    dropout: float = 0.0
    embedding_l2: float | None = None
    learning_rate: float = 1e-3
    decay: bool = False
    batch_size: int | None = None
    epochs: int = 20
    multi_task: str = "shared_bottom"
    sequence_encoder: str = "mean"

    # Fields that `record` leaves out at their defaults.
    _UNRECORDED: ClassVar[tuple[str, ...]] = ("multi_task", "sequence_encoder")

    def for_table(self, table: PreparedTable) -> Self:
        """These settings, with what follows the table's size filled in."""
        batch_size, embedding_l2 = self.rows_per_step(table.rows("train")), self.embedding_l2
        if embedding_l2 is None:
            owners = (f for f in table.schema.features if isinstance(f, Categorical | Sequence))
            ids = sum(f.vocabulary_size for f in owners if isinstance(f, Categorical) or not f.shares)
            embedding_l2 = SMALL_TABLE_L2 if ids < FUSED_FROM_ROWS else 0.0
        return dataclasses.replace(self, batch_size=batch_size, embedding_l2=embedding_l2)

    def rows_per_step(self, rows: int) -> int:
        """The batch size for a number of training rows."""
        return choose_batch_size(rows) if self.batch_size is None else self.batch_size

    def steps(self, rows: int) -> int:
        """Training steps over a number of rows."""
        return self.epochs * -(-rows // self.rows_per_step(rows))

    def rate(self, rows: int) -> Any:
        """Adam's learning rate, or its schedule, when a number of rows is trained on."""
        if not self.decay:
            return self.learning_rate
        return keras.optimizers.schedules.CosineDecay(self.learning_rate, self.steps(rows))

    def record(self) -> dict[str, Any]:
        """The settings by name, as run folders keep them.

        Settings that the folders of earlier runs lack are left out while they have their defaults, so that such a run
        can be resumed.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        settings = dataclasses.asdict(self).items()
        return {name: value for name, value in settings if name not in self._UNRECORDED or value != defaults[name]}
