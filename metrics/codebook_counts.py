"""What the codebook metrics share: how often each code of each level was used."""

from collections.abc import Iterable
from typing import Any, Self

import keras
from keras import ops

from .compensated_sum import CompensatedSum

# A code is in use above this share of the mean usage of its level's codes.
USED_ABOVE = 0.01


class CodebookCounts(keras.metrics.Metric):
    """Base of the metrics that are a function of code counts, kept as `(num_levels, codebook_size)`.

    Args:
        codebook_size: number of codes per level.
        num_levels: number of levels.
        name: name of the metric. `None` makes one from the class name. Defaults to `None`.
        dtype: dtype of the result. `None` takes `keras.config.floatx()`. Defaults to `None`. Counts are float32 in a
            compensated sum.
    """

    def __init__(
        self, codebook_size: int, num_levels: int, name: str | None = None, dtype: str | keras.DTypePolicy | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        for argument, value in (("codebook_size", codebook_size), ("num_levels", num_levels)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise ValueError(
                    f"{type(self).__name__}: `{argument}` must be a positive integer. Received: {argument}={value!r}."
                )
        self.codebook_size = int(codebook_size)
        self.num_levels = int(num_levels)
        self._counts = CompensatedSum(self, "counts", shape=(self.num_levels, self.codebook_size))

    @property
    def counts(self) -> Any:
        """Weighted uses of each code, shape `(num_levels, codebook_size)`."""
        return self._counts.value()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of codes; `y_true` is ignored and may be `None`."""
        codes = ops.convert_to_tensor(y_pred)
        if len(codes.shape) < 1 or codes.shape[-1] != self.num_levels:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: expected integer codes of shape (..., {self.num_levels}), one "
                f"per level. Received: y_pred of shape {tuple(codes.shape)}. Pass what a quantizer's `encode` gives."
            )
        codes = ops.cast(codes, "int32")
        if sample_weight is None:
            weights = ops.ones_like(codes, dtype="float32")
        else:
            weights = self._weights_like(codes, ops.convert_to_tensor(sample_weight, dtype="float32"))
        known = ops.logical_and(codes >= 0, codes < self.codebook_size)
        offsets = ops.arange(self.num_levels, dtype="int32") * self.codebook_size
        slots = self.num_levels * self.codebook_size
        ids = ops.where(known, codes + offsets, slots)  # one more slot takes what is ignored
        totals = ops.segment_sum(ops.reshape(weights, (-1,)), ops.reshape(ids, (-1,)), num_segments=slots + 1)
        self._counts.add(ops.reshape(totals[:slots], (self.num_levels, self.codebook_size)))

    def _weights_like(self, codes: Any, weights: Any) -> Any:
        rows = tuple(codes.shape[:-1])
        if len(weights.shape) == len(rows) + 1 and weights.shape[-1] == 1:
            weights = ops.squeeze(weights, axis=-1)
        if len(weights.shape) > len(rows):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `sample_weight` must have one weight per row. Received: "
                f"sample_weight of shape {tuple(weights.shape)} for codes of shape {tuple(codes.shape)}."
            )
        while 0 < len(weights.shape) < len(rows):
            weights = ops.expand_dims(weights, axis=-1)
        return ops.broadcast_to(ops.expand_dims(weights, axis=-1), ops.shape(codes))

    def merge_state(self, metrics: Iterable["CodebookCounts"]) -> Self:
        """Add the counts of other metrics of the same sizes to this one."""
        for other in metrics:
            if (other.num_levels, other.codebook_size) != (self.num_levels, self.codebook_size):
                raise ValueError(
                    f"{type(self).__name__} {self.name!r} counts {self.num_levels} x {self.codebook_size} codes. "
                    f"Received one of {other.num_levels} x {other.codebook_size}: {other!r}."
                )
            self._counts.merge(other._counts)
        return self

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "codebook_size": self.codebook_size, "num_levels": self.num_levels}
