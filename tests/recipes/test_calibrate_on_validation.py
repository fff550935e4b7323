"""Outputs that meet the rates of the validation rows, but not their chance."""

import keras
import numpy as np
import pytest
from scipy.special import expit

import grouprank as gr
from grouprank.recipes.calibrate_on_validation import calibrate_on_validation, calibration_shift

TASKS = ("click", "link_click")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    log = gr.datasets.SyntheticAds(rows=4000, num_users=100, num_ads=50, tasks=TASKS)
    return gr.datasets.prepare(log, tmp_path_factory.mktemp("log") / "prepared")


def means(model, table, task):
    """Mean probability and mean label of the validation rows."""
    probabilities = model.predict_proba(table.batches("validation"))[task]
    return float(np.mean(probabilities)), float(np.mean(table.column("validation", task)))


def test_the_shift_makes_the_mean_probability_the_rate():
    rng = np.random.default_rng(0)
    logits = rng.normal(-6.0, 2.0, 5000)
    labels = (rng.random(5000) < expit(logits + 1.5)).astype(float)
    labels[:100] = np.nan
    shift, error = calibration_shift(logits, labels)
    known = labels[100:]
    assert expit(logits[100:] + shift).mean() == pytest.approx(known.mean(), rel=1e-9)
    assert abs(shift - 1.5) < 3 * error
    # The error is what the shift varies by over logs of the same kind.
    drawn = [
        calibration_shift(logits[100:], (rng.random(4900) < expit(logits[100:] + 1.5)).astype(float))[0]
        for _ in range(200)
    ]
    assert np.std(drawn) == pytest.approx(error, rel=0.2)


@pytest.mark.parametrize("logit", [-60.0, 60.0])
def test_logits_far_from_the_rate_are_brought_back(logit):
    labels = np.repeat([1.0, 0.0], [10, 90])
    shift, _ = calibration_shift(np.full(100, logit), labels)
    assert expit(logit + shift) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("labels", [np.zeros(5), np.ones(5), np.full(5, np.nan)])
def test_labels_that_are_all_alike_move_nothing(labels):
    assert calibration_shift(np.zeros(5), labels) == (0.0, float("inf"))


def test_a_task_is_calibrated_where_it_is_off_by_more_than_chance(table):
    keras.utils.set_random_seed(0)
    model = gr.models.CTRModel(table.schema, "mlp", group_structure=(), residual_learning=False, embedding_dim=4)
    model.compile()
    rates = {task: np.clip(np.mean(table.column("validation", task)), 0.01, 0.99) for task in TASKS}
    # The kernels of an untrained model are small: click is off by a half, link_click by next to nothing.
    model.shift_logits({task: float(np.log(rate / (1 - rate))) for task, rate in rates.items()})
    model.shift_logits({"click": 0.5})
    before = means(model, table, "link_click")
    shifts = calibrate_on_validation(model, table)
    assert list(shifts) == ["click"]
    mean, rate = means(model, table, "click")
    assert mean == pytest.approx(rate, rel=1e-4)
    assert means(model, table, "link_click") == before


def test_an_unknown_task_is_named(table):
    model = gr.models.CTRModel(table.schema, "mlp", group_structure=(), residual_learning=False, embedding_dim=4)
    with pytest.raises(KeyError, match="buy"):
        model.shift_logits({"buy": 1.0})
