"""How every model of a study is trained."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Training:
    """What baseline and candidates share: network, regularization and schedule.

    Args:
        backbone: name of the backbone.
        embedding_dim: width of embeddings.
        tower_units: width of each task's tower.
        dropout: dropout rate.
        embedding_l2: L2 factor of the embedding table.
        learning_rate: of Adam, at the start.
        decay: whether the learning rate falls to 0 along a cosine; the last steps' noise then does not decide between
            seeds.
        batch_size: rows per step.
        epochs: passes over the training rows.

    Example:

    >>> Training(dropout=0.1).steps(rows=10_000)
    20
    """

    backbone: str = "mlp"
    embedding_dim: int = 8
    tower_units: int = 64
    dropout: float = 0.3
    embedding_l2: float = 1e-3
    learning_rate: float = 1e-3
    decay: bool = False
    batch_size: int = 1024
    epochs: int = 2

    def steps(self, rows: int) -> int:
        """Training steps over a number of rows."""
        return self.epochs * -(-rows // self.batch_size)
