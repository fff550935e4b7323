"""Outputs that meet the rates of the validation rows."""

import keras
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from ..datasets import PreparedTable
from ..models import CTRModel

LEAST_STANDARD_ERRORS = 2.0


def calibrate_on_validation(model: CTRModel, table: PreparedTable) -> dict[str, float]:
    """Shift each task's logit so that the mean prediction on the validation rows is their rate.

    Training stops after some step, and the last steps' noise is left in the bias of a rare task. A log also drifts,
    and the validation rows are the latest that training may see. A task is shifted only where the shift exceeds two
    standard errors: thirty positives tell a rate within 18 %, and a model should not follow their chance.

    Args:
        model: the trained model; its output biases change.
        table: the prepared table.

    Returns:
        What was added to the logit of each task that was shifted.
    """
    logits = model.predict(table.batches("validation", 8192), verbose=0)
    columns = {task: np.asarray(table.column("validation", task), "float32") for task in table.schema.task_names}
    labels = {name: keras.ops.convert_to_numpy(label) for name, label in model.labels(columns).items()}
    shifts = {}
    for task in table.schema.task_names:
        shift, error = calibration_shift(np.asarray(logits[task]).reshape(-1), labels[task])
        if abs(shift) > LEAST_STANDARD_ERRORS * error:
            shifts[task] = shift
    model.shift_logits(shifts)
    return shifts


def calibration_shift(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The number to add to logits so that their mean probability is the mean label, and its standard error.

    It maximizes the likelihood of a logistic regression that has the logits as an offset and one constant.

    Args:
        logits: predictions, `(rows,)`.
        labels: 0, 1 or NaN where unknown, `(rows,)`.

    Returns:
        The shift and its error, `0` and infinity where all labels are alike.

    Example:

    >>> shift, error = calibration_shift(np.zeros(100), np.repeat([1.0, 0.0], [20, 80]))
    >>> print(f"{shift:.3f} {error:.3f}")  # ln(20 / 80), and one over the root of 100 * 0.2 * 0.8
    -1.386 0.250
    """
    known = np.isfinite(labels)
    z, y = logits[known].astype("float64"), labels[known].astype("float64")
    if not len(y) or y.min() == y.max():
        return 0.0, float("inf")
    # With one logit for all rows the shift is the rate's logit less that one, so it lies between those of the extremes.
    rate = y.mean()
    bounds = logit(rate) - z.max() - 1.0, logit(rate) - z.min() + 1.0
    shift = float(brentq(lambda value: expit(z + value).mean() - rate, *bounds))
    p = expit(z + shift)
    return shift, float(1.0 / np.sqrt((p * (1.0 - p)).sum()))
