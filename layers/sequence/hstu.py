"""Pointwise aggregated attention over a history."""

from typing import Any

import keras
from keras import ops

from ..check_arguments import check_positive, check_rate
from .hstu_block import HSTUBlock
from .sequence_encoder import SequenceEncoder


@keras.saving.register_keras_serializable(package="grouprank")
class HSTU(SequenceEncoder):
    """Reads a history in order with attention that keeps its strength.

    Softmax makes the weights of a history add up to one, so that it hides how often a user did something. Here weights
    are pointwise. A block is, with `SiLU` for `φ` and the distances' biases `b`:

        [u, v, q, k] = φ(layer_norm(x) W)
        aᵢ = (1 / N) Σ_{j ≤ i} φ(qᵢ · kⱼ + b_{i−j}) vⱼ
        y = x + (layer_norm(a) ⊙ u) W' + c

    `N` is the length of the sequences. Each head has its own biases.

    What is ranked is read as the newest position, where `append_target` is set and the model gives it: it attends to
    the history, and the history does not attend to it. So `CTRModel.rank` reads the history once for all ads of a
    request, as the paper's M-FALCON. Otherwise the state of the history's newest position is the output.

    The biases of the paper that depend on times are left out, since a sequence has no times of its own.

    Args:
        num_blocks: number of blocks. Defaults to `2`.
        num_heads: number of attention heads; must divide the vectors' width. Defaults to `1`.
        dropout: dropout rate of the blocks' outputs. Defaults to `0.0`.
        max_length: number of distances with biases of their own; longer ones share the last. `None` takes the length
            of the sequences. Defaults to `None`.
        append_target: whether what is ranked is the newest position. Defaults to `True`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        sequence: vectors of the history, oldest first, newest last.
        target: vector of what is ranked. Defaults to `None`.
        mask: boolean `(batch, length)`, `False` where a position does not count; `None` if all do. Defaults to `None`.
        training: dropout is active only if `True`.

    Input shape:
        `(batch, length, dim)`, the target `(batch, dim)`.

    Output shape:
        `(batch, dim)`; zeros for a row in which no position counts.

    Raises:
        ValueError: on a number below 1, a dropout rate outside `[0, 1)`, a width that `num_heads` does not divide, or
            sequences of unknown length.

    Example:

    >>> import numpy as np
    >>> history, ad = np.ones((4, 10, 8), "float32"), np.ones((4, 8), "float32")
    >>> tuple(HSTU(num_blocks=1)(history, target=ad).shape)
    (4, 8)

    Reference:
        Zhai et al., *Actions Speak Louder than Words*, [arXiv:2402.17152](https://arxiv.org/abs/2402.17152), eq. 1 to
        3. Normalization before a block and the division by `N` are as in the paper's code.
    """

    def __init__(
        self,
        num_blocks: int = 2,
        num_heads: int = 1,
        dropout: float = 0.0,
        *,
        max_length: int | None = None,
        append_target: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_blocks=num_blocks, num_heads=num_heads, max_length=1 if max_length is None else max_length)
        check_rate(dropout=dropout)
        self.num_blocks, self.num_heads, self.dropout = num_blocks, num_heads, dropout
        self.max_length, self.append_target = max_length, append_target
        self.reads_target = append_target

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the blocks."""
        _, length, dim = input_shape
        if length is None:
            raise ValueError(f"The length of the sequences must be known. Received: input_shape={input_shape}.")
        if dim is None or dim % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the vectors' width. Received: num_heads={self.num_heads}, width={dim}."
            )
        # What is ranked stands one further from each position than the newest one does.
        distances = self.max_length or length + int(self.append_target)
        self._blocks = [
            HSTUBlock(
                dim, self.num_heads, length, distances, self.dropout, dtype=self.dtype_policy, name=f"block_{index}"
            )
            for index in range(self.num_blocks)
        ]
        for block in self._blocks:
            block.build(input_shape)
        self.built = True

    def call(self, sequence: Any, target: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        """The state of what is ranked, or of the newest position."""
        states, memory, mask = self.read_history(sequence, mask, training)
        if target is None or not self.append_target:
            return self.newest(states, mask)
        return self.read_target(target, memory, mask, training)

    def read_history(
        self, sequence: Any, mask: Any = None, training: bool | None = None
    ) -> tuple[Any, list[tuple[Any, Any]], Any]:
        """The states of all positions, each block's keys and values, and what counts.

        Args:
            sequence: as in a call.
            mask: as in a call. Defaults to `None`.
            training: as in a call. Defaults to `None`.
        """
        x, mask = self.counted(ops.convert_to_tensor(sequence), mask)
        index = ops.arange(x.shape[1])
        distance = ops.expand_dims(index, 1) - ops.expand_dims(index, 0)
        allowed = ops.logical_and(ops.expand_dims(mask, 1), ops.expand_dims(ops.greater_equal(distance, 0), 0))
        memory = []
        for block in self._blocks:
            x, keys, values = block(x, distance=distance, allowed=allowed, training=training)
            memory.append((keys, values))
        return x, memory, mask

    def read_target(self, target: Any, memory: list[tuple[Any, Any]], mask: Any, training: bool | None = None) -> Any:
        """The state of what is ranked, after it has attended to a history and to itself.

        Args:
            target: as in a call.
            memory: keys and values of the history, from `read_history`.
            mask: what counts of it, likewise.
            training: as in a call. Defaults to `None`.
        """
        x = ops.expand_dims(ops.cast(ops.convert_to_tensor(target), self.compute_dtype), 1)
        itself = ops.zeros_like(self.newer(mask)[:, :1])
        distance = ops.expand_dims(ops.concatenate([self.newer(mask) + 1, itself], axis=1), 1)
        allowed = ops.expand_dims(ops.concatenate([mask, ops.equal(itself, 0)], axis=1), 1)
        for block, of_history in zip(self._blocks, memory, strict=True):
            x, _, _ = block(x, memory=of_history, distance=distance, allowed=allowed, training=training)
        some = ops.any(mask, axis=1, keepdims=True)
        return ops.where(some, x[:, 0], ops.zeros_like(x[:, 0]))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "max_length": self.max_length,
            "append_target": self.append_target,
        }
