"""A search for the slices in which a candidate is worst."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from scipy import stats

from .polars_frame import polars_frame
from .segmentation import Segmentation
from .slices import OBJECTIVES, Lattice, Slice, SliceReport, SliceSearch, literal_columns, one_sided, split_halves

MAX_DEPTH = 3


def discover_slices(
    frames: Any,
    tasks: Sequence[str],
    models: Sequence[str],
    user: str,
    columns: Sequence[str | Segmentation],
    objectives: Sequence[str] = OBJECTIVES,
    weight: str | None = None,
    max_depth: int = 2,
    bins: int = 4,
    min_rows: int | None = None,
    min_positives: float = 20.0,
    min_users: int = 30,
    min_effect: float = 0.0,
    most: int = 20,
    buckets: int = 200,
) -> SliceReport:
    """Find the slices in which a candidate is worst, and ask other users and other seeds whether it is so.

    A slice is a conjunction of literals `column=value`. A segment report covers segments that somebody thought of; this
    search finds the others. There are two objectives:

    - `"regression"`: where is the candidate worse than the baseline? The effect is
      `CE(candidate) / CE(baseline) - 1` on the slice's rows.
    - `"excess"`: what does the candidate know least about? The effect is the slice's NE,
      over the entropy of its own rate, less the NE that is expected of it. Never raw log
      loss, which is high where the rate is near one half. NE alone is not fair either: the
      same knowledge of the logits leaves a higher NE where the label is rare. So the NE
      expected of a slice is that of calibrated normal logits of one spread, at the slice's
      rate, and the spread is the one with which all values of the slice's columns together
      save what the candidate truly saves. A slice that is as well known as the others is not
      found, whatever its rate. Rows cannot say whether more could be known: a slice of
      users who are all alike is "known" badly by any model.

    **Search.** Users are cut into two halves by hash. So are seeds, since the luck of a model affects all users: the
    first half of the seeds, at least one, is searched, and three seeds are needed for a claim. In the first half every
    slice with the required support is measured. A slice is *clearly worse* than others where the difference is two
    standard errors or more, with users as clusters. It is a candidate if

    1. its effect is clearly above 0 and at least `min_effect`, and
    2. for each of its parents (one literal left out; that of a single literal is all rows),
       its effect is clearly above that of the parent's other rows. A slice that only
       inherits its parent's effect thus goes, as does one with the same rows as its parent.

    **Merging.** Candidates are ordered by how many standard errors they are worse than all
    other rows, and taken one after the other:

    3. If a candidate shares rows with slices taken before, other than its own ancestors, the rows
       of those slices are taken away. It is kept if it is still a candidate by 1. and 2. among
       the rows left, and explained otherwise. So a parent gives way to children that make all
       of its effect, and a mere companion of a bad slice to that slice. If at least 80 % of the
       rows in either of an explained slice and a kept one are in both, it is listed as another
       description: which of them comes first is then little more than chance.
    4. At last each kept slice, from the last to the first, is asked 3. again about all others
       that are left.

    **Confirmation.** The first `most` that are kept are measured in the second half, whose p-value is the
    largest of those of 1. and 2., one-sided. Benjamini and Hochberg's q-values are over what was
    carried over for one task and objective, and `"confirmed"` means a q-value of at most 0.05.

    Args:
        frames: predictions as `PredictionSums.update` takes them, one frame of polars or pandas per seed, with the same
            rows in the same order.
        tasks: names of the tasks.
        models: names of the baseline and the candidate.
        user: column of user ids.
        columns: names of columns, floats among them cut at quantiles, and missing is a value;
            or `Segmentation`s, to cut them otherwise.
        objectives: `"regression"`, `"excess"` or both. Defaults to both.
        weight: column of weights. Defaults to `None`.
        max_depth: most literals of a slice, up to 3. Defaults to `2`.
        bins: parts of a column of floats. Defaults to `4`.
        min_rows: least number of a slice's rows in the first half. `None` takes a thousandth of that
            half's, 200 at least. Defaults to `None`.
        min_positives: least sum of labels, and of what lacks to 1, in each half. Defaults to `20`.
        min_users: least number of users' buckets with rows in each half. Defaults to `30`.
        min_effect: least effect in the first half. Defaults to `0`.
        most: how many slices to carry over, for a task and an objective. Defaults to `20`.
        buckets: number of buckets of users in each half. Defaults to `200`.

    Raises:
        ValueError: on a missing column, a value out of range, frames of different rows, or an
            argument out of range.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> tab, hour = rng.integers(0, 4, 40_000), rng.integers(0, 6, 40_000)
    >>> click = (rng.random(40_000) < 0.3).astype(float)
    >>> bad = (tab == 1) & (hour == 2)
    >>> frame = {"user": rng.integers(0, 5000, 40_000), "tab": tab, "hour": hour, "click": click}
    >>> frame |= {"old:click": np.full(40_000, 0.3), "new:click": np.where(bad, 0.5, 0.28 + 0.05 * click)}
    >>> frames = [pl.DataFrame(frame)] * 3
    >>> report = discover_slices(frames, ["click"], ["old", "new"], "user", ["tab", "hour"], ["regression"])
    >>> [(found.description, found.verdict) for found in report.slices]
    [('tab=1 & hour=2', 'confirmed')]

    Reference: Chung et al. 2019, "Slice Finder", arXiv:1807.06068 (slices against their
    counterpart, with control of false discoveries); Sagadeeva and Boehm 2021, "SliceLine",
    doi:10.1145/3448016.3457323 (support on the lattice); Benjamini and Hochberg 1995.
    """
    alone = isinstance(frames, Mapping) or hasattr(frames, "columns")
    given = [polars_frame(frame) for frame in ([frames] if alone else frames)]
    _check_arguments(tasks, models, objectives, len(columns), max_depth, bins, most, buckets)
    _check_frames(given, user, tasks)
    literals = literal_columns(given[0], columns, bins)
    values = {name: numbers for name, (_, numbers) in literals.items()}
    sizes = {name: len(texts) for name, (texts, _) in literals.items()}
    slices, searched = [], {}
    for task in tasks:
        first, second = split_halves(given, task, models, user, values, weight, buckets)
        least = max(200, len(first) // 1000) if min_rows is None else min_rows
        search = SliceSearch(Lattice(first, sizes, least), min_positives, min_users, min_effect, most)
        candidates, searched[task] = search.candidates(tuple(objectives), max_depth)
        for objective in objectives:
            found = []
            for slice_ in search.merged(candidates[objective], objective):
                texts = [tuple(literals[c][0][v] for c, v in one.items()) for one in (slice_.literals, *slice_.also)]
                also = tuple(" & ".join(text) for text in texts[1:])
                here = search.figures(first, slice_.literals, objective)
                there = search.figures(second, slice_.literals, objective)
                if here is not None:
                    found.append(Slice(task, objective, texts[0], here, there, also=also))
            slices += _with_q_values(found)
    baseline, candidate = models
    return SliceReport(baseline, candidate, len(given), searched, tuple(slices))


def _with_q_values(slices: list[Slice]) -> list[Slice]:
    tested = [number for number, found in enumerate(slices) if found.confirmed is not None]
    chances = [max(one_sided(f.effect), one_sided(f.beyond)) for found in slices if (f := found.confirmed) is not None]
    if tested:
        for number, q_value in zip(tested, stats.false_discovery_control(chances), strict=True):
            slices[number] = dataclasses.replace(slices[number], q_value=float(q_value))
    return slices


def _check_arguments(
    tasks: Sequence[str],
    models: Sequence[str],
    objectives: Sequence[str],
    columns: int,
    max_depth: int,
    bins: int,
    most: int,
    buckets: int,
) -> None:
    if isinstance(tasks, str) or not tasks:
        raise ValueError(f'`tasks` must be a list of one task or several, e.g. ["click"]. Received: {tasks!r}.')
    if isinstance(models, str) or len(models) != 2 or models[0] == models[1]:
        raise ValueError(f"`models` must be two names, the baseline and the candidate. Received: {models!r}.")
    if isinstance(objectives, str) or not objectives or not set(objectives) <= set(OBJECTIVES):
        raise ValueError(f"`objectives` must be some of {list(OBJECTIVES)}, as a list. Received: {objectives!r}.")
    if not columns:
        raise ValueError("`columns` must name at least one column to make slices of. Received none.")
    if not (1 <= max_depth <= MAX_DEPTH and bins >= 2 and most >= 1 and buckets >= 2):
        raise ValueError(
            f"Expected max_depth from 1 to {MAX_DEPTH}, bins and buckets of at least 2, and most of at least 1. "
            f"Received: max_depth={max_depth}, bins={bins}, most={most}, buckets={buckets}."
        )


def _check_frames(frames: Sequence[pl.DataFrame], user: str, tasks: Sequence[str]) -> None:
    if not frames:
        raise ValueError("`frames` must hold at least one frame of predictions. Received none.")
    needed = [user, *tasks]
    for number, frame in enumerate(frames):
        missing = [name for name in needed if name not in frame.columns]
        if missing:
            raise ValueError(f"Frame {number} lacks the columns {missing}. Received: {frame.columns}.")
        for name in needed:
            if not frame[name].equals(frames[0][name]):
                raise ValueError(
                    f"Frames {number} and 0 differ in {name!r}. Each seed's frame must hold the same rows in the same "
                    "order, with that seed's predictions: sort all by the same row id."
                )
