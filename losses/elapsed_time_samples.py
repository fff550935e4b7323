"""The samples that `ElapsedTimeLoss` learns of, from times of clicks and conversions."""

from typing import Any, NamedTuple

import numpy as np


class ElapsedTimeSamples(NamedTuple):
    """Samples of clicks, each `(samples,)` or `(samples, 3)`, in the order in which they arrive.

    Args:
        rows: number of the click that each sample is of; a click that converts late has two.
        arrived_at: when the sample could be labelled.
        targets: float32 labels of the sample, of the late conversion and of the real negative, NaN where unknown.

    Example:

    See `elapsed_time_samples`.
    """

    rows: np.ndarray
    arrived_at: np.ndarray
    targets: np.ndarray


def elapsed_time_samples(
    click_time: Any, conversion_time: Any, observed_at: float, wait: float, window: float
) -> ElapsedTimeSamples:
    """Label each click a while after it, and once more if it converts later.

    A log gives what had arrived by `observed_at`. For a model of today, train on what arrived lately: old clicks then
    bring their late conversions as new ones will. Labels of late conversions and of real negatives are known for the
    first samples of clicks that are older than `window`.

    Args:
        click_time: times of the clicks, `(rows,)`, numbers of one unit.
        conversion_time: times of their conversions, NaN where there is none.
        observed_at: the time up to which conversions are known.
        wait: how long after the click it is labelled.
        window: how long after the click a conversion counts. Longer than `wait`.

    Raises:
        ValueError: if `wait` is negative or not below `window`, or a conversion comes before its click.

    Example:

    >>> samples = elapsed_time_samples([0.0, 1.0, 2.0], [0.5, 5.0, np.nan], observed_at=12.0, wait=1.0, window=10.0)
    >>> samples.rows.tolist(), samples.arrived_at.tolist(), samples.targets[:, 0].tolist()
    ([0, 1, 2, 1], [1.0, 2.0, 3.0, 5.0], [1.0, 0.0, 0.0, 1.0])
    """
    if not 0.0 <= wait < window:
        raise ValueError(f"`wait` must lie in [0, window). Received: wait={wait!r}, window={window!r}.")
    clicks, conversions = (np.asarray(times, "float64") for times in (click_time, conversion_time))
    wrong = np.flatnonzero(conversions < clicks)
    if len(wrong):
        raise ValueError(
            f"`conversion_time` must not be before the click. Received in row {wrong[0]}: "
            f"conversion_time={conversions[wrong[0]]:g}, click_time={clicks[wrong[0]]:g}; {len(wrong)} of "
            f"{len(clicks)} rows are wrong."
        )
    known = conversions <= observed_at
    delay = np.where(known & (conversions - clicks <= window), conversions - clicks, np.inf)
    early, late = delay <= wait, (wait < delay) & np.isfinite(delay)
    settled = clicks + window <= observed_at
    first = np.flatnonzero(clicks + wait <= observed_at)
    again = np.flatnonzero(late)
    of_first = [
        early,
        np.where(settled, late, np.nan),
        np.where(settled & ~early, ~late, np.nan),
    ]
    of_again = [np.ones(len(again)), np.full(len(again), np.nan), np.full(len(again), np.nan)]
    targets = np.concatenate([np.stack(of_first, axis=1)[first], np.stack(of_again, axis=1)]).astype("float32")
    arrived_at = np.concatenate([clicks[first] + wait, conversions[again]])
    order = np.argsort(arrived_at, kind="stable")
    return ElapsedTimeSamples(np.concatenate([first, again])[order], arrived_at[order], targets[order])
