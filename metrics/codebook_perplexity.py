"""How many codes are used, effectively."""

from typing import Any

import keras
from keras import ops

from .codebook_counts import CodebookCounts


@keras.saving.register_keras_serializable(package="grouprank")
class CodebookPerplexity(CodebookCounts):
    """Exponential of the entropy of code usage, averaged over levels: the effective number of codes.

    It is `codebook_size` if all codes are used equally often, and 1 if every row gets the same code. A level without
    any code counts as 0. Without any row the result is 0.

    Source: van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937, whose public code
    reports it.

    Args:
        codebook_size: number of codes per level.
        num_levels: number of levels.
        name: name of the metric. Defaults to `"codebook_perplexity"`.
        dtype: dtype of the result. `None` takes `keras.config.floatx()`. Defaults to `None`.

    Call arguments:
        y_true: ignored, may be `None`.
        y_pred: integer codes of shape `(..., num_levels)`; codes outside `[0, codebook_size)`, such as -1, are ignored.
        sample_weight: `None` or one weight per row.

    Example:

    >>> metric = CodebookPerplexity(codebook_size=4, num_levels=2)
    >>> metric.update_state(None, [[0, 3], [1, 3], [2, 3], [3, -1]])
    >>> round(float(metric.result()), 4)  # levels: 4 and 1
    2.5
    """

    def __init__(
        self,
        codebook_size: int,
        num_levels: int,
        name: str = "codebook_perplexity",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(codebook_size, num_levels, name=name, dtype=dtype)

    def result(self) -> Any:
        """The mean over levels of the perplexity of the codes seen since the last reset."""
        counts = self.counts
        totals = ops.sum(counts, axis=-1, keepdims=True)
        shares = ops.divide_no_nan(counts, totals)
        logarithms = ops.log(ops.where(shares > 0.0, shares, 1.0))
        perplexity = ops.exp(-ops.sum(shares * logarithms, axis=-1))
        return ops.cast(ops.mean(ops.where(totals[:, 0] > 0.0, perplexity, 0.0)), self.dtype)
