"""From times of clicks and conversions to what `DelayedFeedbackLoss` learns of."""

from typing import Any

import numpy as np


def conversion_delays(click_time: Any, conversion_time: Any, observed_at: Any, unit: float = 1.0) -> np.ndarray:
    """Delay and elapsed time of each click, as they were known at a time of observation.

    The differences are taken in double precision. Times such as seconds since 1970 would lose minutes in float32.

    Args:
        click_time: times of the clicks, `(rows,)`, numbers of one unit.
        conversion_time: times of their conversions, NaN where there is none. A conversion after `observed_at` is not
            known yet and counts as none, so that a log of the past gives what was known on any day of it.
        observed_at: the time up to which conversions are known; one for all rows, or `(rows,)`.
        unit: length of the unit of the result, in units of the times: `86_400` makes days of seconds. Defaults to
            `1.0`.

    Returns:
        Float32 `(rows, 2)`: the delay, NaN without a conversion, and the elapsed time.

    Raises:
        ValueError: if a click is later than its observation or its conversion, or a `unit` is not positive.

    Example:

    >>> conversion_delays([0.0, 1.0, 2.0], [3.0, np.nan, 9.0], observed_at=4.0).tolist()
    [[3.0, 4.0], [nan, 3.0], [nan, 2.0]]
    """
    if not unit > 0:
        raise ValueError(f"`unit` must be a positive number. Received: unit={unit!r}.")
    clicks, conversions, now = np.broadcast_arrays(
        *(np.asarray(times, "float64") for times in (click_time, conversion_time, observed_at))
    )
    for argument, later in (("observed_at", now), ("conversion_time", conversions)):
        wrong = np.flatnonzero(later < clicks)
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"`{argument}` must not be before the click. Received in row {row}: {argument}={later[row]:g}, "
                f"click_time={clicks[row]:g}; {len(wrong)} of {len(clicks)} rows are wrong."
            )
    delay = np.where(conversions <= now, conversions - clicks, np.nan)
    return (np.stack([delay, now - clicks], axis=1) / unit).astype("float32")
