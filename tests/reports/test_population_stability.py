"""The population stability index against cases by hand and SciPy's relative entropy."""

import math

import numpy as np
import pytest
from scipy.special import rel_entr

from grouprank.reports import population_stability_index


@pytest.mark.parametrize(
    ("reference", "current", "smoothing", "expected"),
    [
        # (0.75 - 0.5) ln(1.5) + (0.25 - 0.5) ln(0.5)
        ([50, 50], [75, 25], 0, 0.25 * math.log(1.5) + 0.25 * math.log(2.0)),
        # The smaller sample has 10 rows, so each share gains 0.05: (0.55, 0.55) and (0.85, 0.25), over 1.1.
        ([50, 50], [8, 2], 0.5, 0.3 / 1.1 * math.log(0.85 / 0.25)),
        # An empty bin has half a row: shares (1.05, 0.05) and (0.55, 0.55), over 1.1.
        ([10, 0], [5, 5], 0.5, 0.5 / 1.1 * (math.log(1.05 / 0.55) + math.log(0.55 / 0.05))),
        ([10, 0], [5, 5], 0, math.inf),
    ],
)
def test_cases_by_hand(reference, current, smoothing, expected):
    assert population_stability_index(reference, current, smoothing) == pytest.approx(expected, rel=1e-12)
    assert population_stability_index(current, reference, smoothing) == pytest.approx(expected, rel=1e-12)


def test_it_is_relative_entropy_both_ways():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 500, (2, 40)).astype(float)
    p, q = counts / counts.sum(axis=1, keepdims=True)
    assert population_stability_index(*counts, smoothing=0) == pytest.approx(np.sum(rel_entr(p, q) + rel_entr(q, p)))


def test_equal_shares_are_no_drift_whatever_the_numbers_of_rows():
    assert population_stability_index([900, 90, 10, 0], [90_000, 9000, 1000, 0]) == pytest.approx(0.0, abs=1e-15)


def test_bins_that_are_empty_on_both_sides_do_not_count():
    found = population_stability_index([5, 3, 0, 0, 0], [2, 6, 0, 0, 0])
    assert found == population_stability_index([5, 3], [2, 6])


def test_chance_alone_gives_what_its_distribution_says():
    """Without drift, PSI / (1 / n + 1 / m) is about chi-squared with bins - 1 degrees of freedom."""
    rng = np.random.default_rng(0)
    shares, rows = rng.dirichlet(np.full(20, 5.0)), (40_000, 10_000)
    found = [population_stability_index(*(rng.multinomial(n, shares) for n in rows)) for _ in range(400)]
    scaled = np.array(found) / (1 / rows[0] + 1 / rows[1])
    assert scaled.mean() == pytest.approx(19, abs=4 * math.sqrt(2 * 19 / 400))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2, 3]), r"the same bins, shape \(bins,\). Received shapes: \(2,\) and \(3,\)"),
        (([[1]], [[1]]), r"Received shapes: \(1, 1\)"),
        (([1, 2], [0, 0]), "`current` must be counts of at least 0 with at least one row"),
        (([1, -2], [1, 0]), "`reference` must be counts"),
        (([1, math.nan], [1, 0]), "`reference` must be counts"),
        (([1, 2], [1, 2], -1), "`smoothing` must be a number of at least 0. Received: smoothing=-1"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        population_stability_index(*arguments)
