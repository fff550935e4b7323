"""The share of codes that are used at all."""

from typing import Any

import keras
from keras import ops

from .codebook_counts import USED_ABOVE, CodebookCounts


@keras.saving.register_keras_serializable(package="grouprank")
class CodebookUtilization(CodebookCounts):
    """Share of codes used more than 1 % as often as the mean code of their level, averaged over levels.

    The rest is the share of dead codes. `CodebookHealth` prints the same figure of the moving averages that a
    layer keeps. Below a hundred rows a code, one use is enough; there it grows with the number of rows seen.

    Args:
        codebook_size: number of codes per level.
        num_levels: number of levels.
        name: name of the metric. Defaults to `"codebook_utilization"`.
        dtype: dtype of the result. `None` takes `keras.config.floatx()`. Defaults to `None`.

    Call arguments:
        y_true: ignored, may be `None`.
        y_pred: integer codes of shape `(..., num_levels)`; codes outside `[0, codebook_size)`, such as -1, are ignored.
        sample_weight: `None` or one weight per row; a row of weight 0 uses no code.

    Example:

    >>> metric = CodebookUtilization(codebook_size=4, num_levels=2)
    >>> metric.update_state(None, [[0, 3], [1, 3], [2, 3], [2, -1]])
    >>> float(metric.result())  # levels: 3 of 4 and 1 of 4
    0.5
    """

    def __init__(
        self,
        codebook_size: int,
        num_levels: int,
        name: str = "codebook_utilization",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(codebook_size, num_levels, name=name, dtype=dtype)

    def result(self) -> Any:
        """The mean over levels of the share of codes seen since the last reset."""
        counts = self.counts
        used = counts > USED_ABOVE * ops.mean(counts, axis=-1, keepdims=True)
        return ops.cast(ops.mean(ops.cast(used, "float32")), self.dtype)
