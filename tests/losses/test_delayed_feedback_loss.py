"""Conversions of which some are still to come: likelihood, gradients, and the delays that it takes."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array
from support.gradients import gradients

import grouprank as gr

NAN, INF = float("nan"), float("inf")


def of_paper(delay, elapsed, logit, log_rate):
    """Chapelle 2014, in double precision."""
    p, rate = 1 / (1 + np.exp(-np.asarray(logit, "float64"))), np.exp(np.asarray(log_rate, "float64"))
    converted = -np.log(p) - np.log(rate) + rate * np.nan_to_num(delay)
    return np.where(np.isnan(delay), -np.log(1 - p + p * np.exp(-rate * elapsed)), converted)


def rows_of(rows=30):
    rng = np.random.default_rng(0)
    elapsed = rng.exponential(2.0, rows)
    delay = np.where(rng.random(rows) < 0.4, elapsed * rng.random(rows), NAN)
    elapsed[2], elapsed[4] = NAN, 0.0
    delay[2], delay[4] = NAN, NAN
    return np.stack([delay, elapsed], axis=1).astype("float32"), rng.normal(size=(rows, 2)).astype("float32")


def test_by_hand():
    """Of the clicks a half converts, with a rate of log 2 a day: half of these have done so after a day."""
    y_true = np.array([[1.0, 5.0], [NAN, 1.0], [NAN, INF]])
    y_pred = np.array([[0.0, np.log(np.log(2))]] * 3)
    rows = gr.losses.DelayedFeedbackLoss(reduction="none")(y_true, y_pred)
    density = 1 / 2 * np.log(2) * 1 / 2
    np.testing.assert_allclose(as_array(rows), -np.log([density, 3 / 4, 1 / 2]), rtol=1e-6)


def test_against_numpy():
    y_true, y_pred = rows_of()
    counts = ~np.isnan(y_true[:, 1])
    expected = of_paper(*y_true.T, *y_pred.T)
    loss = gr.losses.DelayedFeedbackLoss()
    np.testing.assert_allclose(as_array(loss(y_true, y_pred)), expected[counts].mean(), rtol=1e-5)
    weights = np.random.default_rng(1).random(len(y_true)).astype("float32")
    weighted = (weights * expected)[counts].sum() / weights[counts].sum()
    np.testing.assert_allclose(as_array(loss(y_true, y_pred, weights)), weighted, rtol=1e-5)
    rows = gr.losses.DelayedFeedbackLoss(reduction="none")(y_true, y_pred)
    np.testing.assert_allclose(as_array(rows), np.where(counts, expected, 0), rtol=1e-4, atol=1e-6)


def test_half_precision_of_the_predictions_is_computed_in_float32():
    y_true, y_pred = rows_of()
    half = keras.ops.cast(y_pred, "bfloat16")
    found = gr.losses.DelayedFeedbackLoss()(y_true, half)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    counts = ~np.isnan(y_true[:, 1])
    expected = of_paper(*y_true.T, *as_array(keras.ops.cast(half, "float32")).T)[counts].mean()
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-5)


def test_gradients_against_differences_and_without_nan():
    """Also where no conversion can come any more, the click is left out, or logits are far out."""
    y_true, y_pred = rows_of()
    y_true[5:8] = [NAN, INF], [NAN, NAN], [1.0, NAN]
    y_pred[8] = -100.0, 3.0
    y_pred[9] = 100.0, -3.0
    loss = gr.losses.DelayedFeedbackLoss(reduction="sum")
    _, (found,), _ = gradients(lambda predicted: loss(y_true, predicted), [y_pred])
    assert np.isfinite(found).all()
    assert not found[np.isnan(y_true[:, 1])].any()
    assert found[5, 1] == 0.0, "a settled click says nothing of delays"
    checked = [row for row in range(len(y_pred)) if row not in (6, 7, 8, 9, 2)]
    for column in range(2):
        step = np.zeros(2)
        step[column] = 1e-5
        higher, lower = (of_paper(*y_true.T, *(y_pred.astype("float64") + sign * step).T) for sign in (1, -1))
        expected = (higher - lower) / 2e-5
        np.testing.assert_allclose(found[checked, column], expected[checked], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (np.zeros((4, 3)), np.zeros((4, 2)), r"y_true \(delay, elapsed time\) of shape \(batch, 2\)"),
        (np.zeros((4, 2)), np.zeros((4, 1)), r"y_pred \(logit, log rate\) of shape \(batch, 2\)"),
        (np.array([[NAN, 1.0], [-3.0, 2.0]]), np.zeros((2, 2)), "must not be negative. Received -3 in row 1"),
    ],
)
def test_errors(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        gr.losses.DelayedFeedbackLoss()(y_true, y_pred)


def test_config():
    loss = gr.losses.DelayedFeedbackLoss(reduction="sum", name="delays")
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(twin, gr.losses.DelayedFeedbackLoss)
    assert (twin.reduction, twin.name) == ("sum", "delays")


@pytest.mark.any_backend
class TestConversionDelays:
    def test_what_was_known_at_the_time(self):
        """Seconds since 1970 in, days out; a conversion after the observation is not known yet."""
        day, start = 86_400.0, 1.7e9
        clicks = start + day * np.array([0.0, 1.0, 2.0])
        conversions = start + day * np.array([1.5, NAN, 4.0])
        found = gr.losses.conversion_delays(clicks, conversions, start + 3 * day, unit=day)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, [[1.5, 3.0], [NAN, 2.0], [NAN, 1.0]], rtol=1e-6)
        later = gr.losses.conversion_delays(clicks, conversions, start + day * np.array([1.0, 3.0, 4.0]), unit=day)
        np.testing.assert_allclose(later, [[NAN, 1.0], [NAN, 2.0], [2.0, 2.0]], rtol=1e-6)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([0.0, 5.0], [NAN, 4.0], 9.0), "`conversion_time` must not be before the click. Received in row 1"),
            (([0.0, 5.0], [NAN, NAN], 4.0), "`observed_at` must not be before the click. Received in row 1"),
            (([0.0], [NAN], 4.0, 0.0), "`unit` must be a positive number"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            gr.losses.conversion_delays(*arguments)
