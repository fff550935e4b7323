import itertools
import json
import math

import numpy as np
import pytest

from grouprank.reports import task_metrics


def brute_force_auc(labels, probabilities, weights):
    """Every pair of a positive and a negative part of two rows."""
    right = pairs = 0.0
    for (y1, p1, w1), (y0, p0, w0) in itertools.product(zip(labels, probabilities, weights, strict=True), repeat=2):
        pair = w1 * y1 * w0 * (1 - y0)
        pairs += pair
        right += pair * (1.0 if p1 > p0 else 0.5 if p1 == p0 else 0.0)
    return right / pairs


def test_by_hand():
    found = task_metrics([1, 0, 1, 0], [0.8, 0.3, 0.3, 0.1])
    assert found.rows == 4
    assert found.rate == 0.5
    assert found.auc == pytest.approx(3.5 / 4)
    assert found.calibration == pytest.approx(0.75)
    cross_entropy = -(math.log(0.8) + math.log(0.7) + math.log(0.3) + math.log(0.9)) / 4
    assert found.cross_entropy == pytest.approx(cross_entropy, rel=1e-12)
    assert found.normalized_entropy == pytest.approx(cross_entropy / math.log(2), rel=1e-12)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_against_brute_force(soft, weighted, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(1, 20, 80) / 20  # many ties
    labels = rng.random(80) if soft else (rng.random(80) < probabilities).astype(float)
    weights = rng.uniform(0.1, 3, 80) if weighted else np.ones(80)
    found = task_metrics(labels, probabilities, weights if weighted else None)
    assert found.auc == pytest.approx(brute_force_auc(labels, probabilities, weights), rel=1e-12)
    rate = np.average(labels, weights=weights)
    ce = np.average(-labels * np.log(probabilities) - (1 - labels) * np.log(1 - probabilities), weights=weights)
    assert found.rate == pytest.approx(rate, rel=1e-12)
    assert found.normalized_entropy == pytest.approx(ce / (-rate * np.log(rate) - (1 - rate) * np.log(1 - rate)))
    assert found.calibration == pytest.approx((weights * probabilities).sum() / (weights * labels).sum())


def test_a_weight_is_a_repetition():
    labels, probabilities, weights = np.array([1, 0, 0, 1]), np.array([0.6, 0.5, 0.6, 0.2]), np.array([3, 1, 2, 4])
    weighted = task_metrics(labels, probabilities, weights)
    repeated = task_metrics(np.repeat(labels, weights), np.repeat(probabilities, weights))
    for name in ("rate", "cross_entropy", "normalized_entropy", "auc", "calibration", "weight"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-12)
    assert (weighted.rows, repeated.rows) == (4, 10)


def test_rows_that_do_not_count():
    nan = math.nan
    found = task_metrics([[1.0], [nan], [0.0], [1.0]], [[0.8], [nan], [0.3], [7.0]], [1, 1, 1, 0])
    assert found == task_metrics([1, 0], [0.8, 0.3])


def test_undefined_is_none():
    for labels in ([0, 0], [1, 1]):
        found = task_metrics(labels, [0.2, 0.4])
        assert found.auc is None
        assert found.normalized_entropy is None
        assert found.cross_entropy > 0
    assert task_metrics([0, 0], [0.2, 0.4]).calibration is None
    assert task_metrics([1, 1], [0.2, 0.4]).calibration == pytest.approx(0.3)
    empty = task_metrics([math.nan], [0.5])
    assert (empty.rows, empty.rate, empty.cross_entropy, empty.calibration) == (0, None, None, None)
    assert json.loads(json.dumps(empty.to_dict()))["auc"] is None


def test_certain_predictions_stay_finite():
    assert math.isfinite(task_metrics([1, 0, 1], [0.0, 1.0, 1.0]).cross_entropy)


def test_many_tied_rows_in_time():
    rng = np.random.default_rng(0)
    labels = (rng.random(500_000) < 0.1).astype("float32")
    assert task_metrics(labels, np.full(500_000, 0.1)).auc == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0.5]), "2 labels, 1 probabilities"),
        (([0, 2], [0.5, 0.5]), "row 1"),
        (([0, 1], [0.5, -3.0]), "sigmoid"),
        (([0, 1], [0.5, math.nan]), "row 1"),
        (([0, 1], [0.5, 0.5], [1.0, -1.0]), "sample_weight"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        task_metrics(*arguments)
