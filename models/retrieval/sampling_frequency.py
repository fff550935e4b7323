"""How often each ad turns up among the candidates of a batch."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="grouprank")
class SamplingFrequency(keras.layers.Layer):
    """Estimates, while training, the share of candidates that each ad makes up.

    Candidates of a batch are drawn as ads are shown, so popular ads are negatives
    more often than others and would be pushed away for being popular. The correction
    needs their sampling probabilities, which a stream of batches does not contain.

    Every training call multiplies the counts of all ads by `decay` and adds the
    batch's; a probability is an ad's count over the total. The batch is counted
    before it is read, so no ad of it has probability 0. Outside of training
    nothing is counted, and an ad that was never seen counts as if it had been seen once.

    Yi et al. instead keep the number of steps between two sights of an ad. It cannot
    tell an ad that is in every batch once from one that is in it fifty times; a share
    can. A step reads and writes one number per ad.

    Args:
        vocabulary_size: number of ad ids. An id outside `[0, vocabulary_size)` is
            read as 0, as embedding tables do.
        decay: factor of the counts at each step; `1.0` never forgets. Defaults to `0.9999`.
        **kwargs: base layer keywords such as `name`.

    Call arguments:
        inputs: integer ids of the candidates.
        training: count the ids only if `True`.

    Input shape:
        `(batch,)` or `(batch, 1)`.

    Output shape:
        Float32 probabilities in `(0, 1]`, `(batch,)`.

    Raises:
        ValueError: on a size below 1, or a decay outside `(0, 1]`.

    Example:

    >>> import numpy as np
    >>> layer = SamplingFrequency(10)
    >>> ops.convert_to_numpy(layer(np.array([3, 3, 3, 7]), training=True)).tolist()
    [0.75, 0.75, 0.75, 0.25]

    Reference:
        Yi et al., *Sampling-bias-corrected neural modeling for large corpus item recommendations*, 2019.
    """

    def __init__(self, vocabulary_size: int, decay: float = 0.9999, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(vocabulary_size, int) or vocabulary_size < 1:
            raise ValueError(
                f"`vocabulary_size` must be a positive integer. Received: vocabulary_size={vocabulary_size!r}."
            )
        if not 0.0 < decay <= 1.0:
            raise ValueError(f"`decay` must lie in (0, 1]. Received: decay={decay}.")
        self.vocabulary_size = vocabulary_size
        self.decay = decay

    def build(self, input_shape: Any = None) -> None:
        """Create the counts."""
        for name, shape in (("counts", (self.vocabulary_size,)), ("total", ())):
            # Float32 under every dtype policy: half precision stops counting at 256.
            weight = self.add_weight(
                name=name, shape=shape, initializer="zeros", trainable=False, dtype="float32", autocast=False
            )
            setattr(self, name, weight)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Count the ids in training; return the probability of each."""
        ids = ops.reshape(inputs, (-1,))
        inside = ops.logical_and(ids >= 0, ids < self.vocabulary_size)
        ids = ops.cast(ops.where(inside, ids, ops.zeros_like(ids)), "int32")
        counts, total = ops.convert_to_tensor(self.counts), ops.convert_to_tensor(self.total)
        if training:
            ones = ops.ones_like(ids, dtype="float32")
            counts = self.decay * counts + ops.segment_sum(ones, ids, num_segments=self.vocabulary_size)
            total = self.decay * total + ops.sum(ones)
            self.counts.assign(counts)
            self.total.assign(total)
        return ops.maximum(ops.take(counts, ids), 1.0) / ops.maximum(total, 1.0)

    def forget(self, ids: np.ndarray) -> None:
        """Take the counts of ids that stand for other ads now from the total.

        Args:
            ids: the ids, each once.
        """
        counts = np.array(ops.convert_to_numpy(self.counts))
        forgotten = counts[ids].sum()
        counts[ids] = 0.0
        self.counts.assign(counts)
        self.total.assign(ops.convert_to_numpy(self.total) - forgotten)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        """Symbolic output."""
        return keras.KerasTensor((inputs.shape[0],), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size, "decay": self.decay}
