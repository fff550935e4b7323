"""What decides the results of the variants of daily training."""

import dataclasses
from typing import Any

import keras

from ..datasets import TableTransforms
from ..models import CTRModel


@dataclasses.dataclass(frozen=True)
class DailySettings:
    """What decides the results of the variants; all of them train the same model.

    Args:
        preset: preset of the model. Defaults to `"dcn_v2"`.
        embedding_dim: width of its embeddings. Defaults to 8.
        learning_rate: of Adam. Defaults to 0.001.
        batch_size: rows per step. Defaults to 512.
        epochs: passes over the rows of a day. Defaults to 1.
        first_days: days that all variants begin with. Defaults to 4.
        capacity: number of tokens of a growing id column, and of buckets of a hashed one. Defaults to 32,768.
        seed: of weights and shuffling. Defaults to 0.
    """

    preset: str = "dcn_v2"
    embedding_dim: int = 8
    learning_rate: float = 1e-3
    batch_size: int = 512
    epochs: int = 1
    first_days: int = 4
    capacity: int = 32_768
    seed: int = 0

    def model(self, transforms: TableTransforms, **arguments: Any) -> CTRModel:
        """A new model.

        Args:
            transforms: of the table.
            **arguments: of the model, that take precedence over the preset's.
        """
        keras.utils.set_random_seed(self.seed)
        chosen = {"embedding_dim": self.embedding_dim, **arguments}
        model = CTRModel.from_preset(self.preset, transforms.schema, **chosen)
        model.compile(keras.optimizers.Adam(self.learning_rate))
        return model
