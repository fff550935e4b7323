"""Elapsed-time samples: importance weights, gradients, and samples made of times."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array
from support.gradients import gradients

import grouprank as gr

NAN = float("nan")


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, "float64")))


def of_paper(y_true, y_pred):
    """ES-DFM's weighted cross entropy and those of its two auxiliary predictions, in double precision."""
    p, late, real = sigmoid(y_pred).T
    label, is_late, is_real = y_true.astype("float64").T
    of_label = -label * (1 + late) * np.log(p) - (1 - label) * (1 + late) * real * np.log(1 - p)
    of_late = -is_late * np.log(late) - (1 - is_late) * np.log(1 - late)
    of_real = -is_real * np.log(real) - (1 - is_real) * np.log(1 - real)
    return np.nan_to_num(of_label) + np.nan_to_num(of_late) + np.nan_to_num(of_real)


def rows_of(rows=30):
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 2, (rows, 3)).astype("float32")
    y_true[rng.random((rows, 3)) < 0.4] = NAN
    y_true[3] = NAN
    return y_true, rng.normal(size=(rows, 3)).astype("float32")


def test_by_hand():
    """One click in four converts late, and two in three that are labelled 0 are real negatives."""
    y_pred = np.log([[1.0, 1 / 3, 2.0]] * 2)
    y_true = np.array([[1.0, NAN, NAN], [0.0, NAN, NAN]])
    rows = gr.losses.ElapsedTimeLoss(reduction="none")(y_true, y_pred)
    np.testing.assert_allclose(as_array(rows), np.array([5 / 4, 5 / 6]) * np.log(2), rtol=1e-6)


def test_the_weights_make_the_loss_that_of_known_outcomes():
    """In exact numbers: shares of the stream, times weights, are in the proportion of the conversion rate."""
    rate, late = 0.3, 0.1
    p = np.array([late, (1 - rate) / (1 - rate + late)])
    y_pred = np.array([[0.4, *np.log(p / (1 - p))]] * 2)
    y_true = np.array([[1.0, NAN, NAN], [0.0, NAN, NAN]])
    share = np.array([rate, 1 - rate + late]) / (1 + late)
    rows = as_array(gr.losses.ElapsedTimeLoss(reduction="none")(y_true, y_pred))
    expected = -rate * np.log(sigmoid(0.4)) - (1 - rate) * np.log(1 - sigmoid(0.4))
    assert share @ rows == pytest.approx(expected, rel=1e-5)


def test_against_numpy():
    y_true, y_pred = rows_of()
    counts = ~np.isnan(y_true).all(axis=1)
    expected = of_paper(y_true, y_pred)
    loss = gr.losses.ElapsedTimeLoss()
    np.testing.assert_allclose(as_array(loss(y_true, y_pred)), expected[counts].mean(), rtol=1e-5)
    weights = np.random.default_rng(1).random(len(y_true)).astype("float32")
    weighted = (weights * expected)[counts].sum() / weights[counts].sum()
    np.testing.assert_allclose(as_array(loss(y_true, y_pred, weights)), weighted, rtol=1e-5)
    half = keras.ops.cast(y_pred, "bfloat16")
    of_half = of_paper(y_true, as_array(keras.ops.cast(half, "float32")))[counts].mean()
    found = loss(y_true, half)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(as_array(found), of_half, rtol=1e-5)


def test_no_gradient_through_the_weights():
    y_true, y_pred = rows_of()
    loss = gr.losses.ElapsedTimeLoss(reduction="sum")
    _, (found,), _ = gradients(lambda predicted: loss(y_true, predicted), [y_pred])
    _, late, real = sigmoid(y_pred).T
    weight = (1 + late) * np.where(y_true[:, 0] == 1, 1, real)
    factors = np.stack([weight, np.ones_like(weight), np.ones_like(weight)], axis=1)
    expected = np.where(np.isnan(y_true), 0, factors * (sigmoid(y_pred) - np.nan_to_num(y_true)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (np.zeros((4, 1)), np.zeros((4, 3)), r"y_true .* of shape \(batch, 3\)"),
        (np.zeros((4, 3)), np.zeros((4, 1)), r"y_pred .* of shape \(batch, 3\)"),
        (np.full((4, 3), 2.0), np.zeros((4, 3)), r"targets must lie in \[0, 1\]"),
    ],
)
def test_errors(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        gr.losses.ElapsedTimeLoss()(y_true, y_pred)


def test_config():
    twin = keras.losses.deserialize(keras.losses.serialize(gr.losses.ElapsedTimeLoss(reduction="sum", name="late")))
    assert isinstance(twin, gr.losses.ElapsedTimeLoss)
    assert (twin.reduction, twin.name) == ("sum", "late")


@pytest.mark.any_backend
class TestElapsedTimeSamples:
    clicks = np.array([0.0, 1.0, 2.0, 8.0, 9.0, 9.8])
    #                 early, late, none, late but young, none yet, not labelled yet
    conversions = np.array([0.5, 5.0, NAN, 9.5, 11.0, NAN])

    def test_by_hand(self):
        samples = gr.losses.elapsed_time_samples(self.clicks, self.conversions, observed_at=10.0, wait=1.0, window=6.0)
        assert samples.rows.tolist() == [0, 1, 2, 1, 3, 3, 4]
        np.testing.assert_allclose(samples.arrived_at, [1, 2, 3, 5, 9, 9.5, 10])
        expected = [
            [1, 0, NAN],  # converted early
            [0, 1, 0],  # labelled 0, but no real negative
            [0, 0, 1],
            [1, NAN, NAN],  # the late conversion itself
            [0, NAN, NAN],  # too young to know
            [1, NAN, NAN],
            [0, NAN, NAN],
        ]
        np.testing.assert_array_equal(samples.targets, np.array(expected, "float32"))
        assert samples.targets.dtype == "float32"

    def test_a_conversion_after_the_window_does_not_count(self):
        samples = gr.losses.elapsed_time_samples([0.0], [7.0], observed_at=10.0, wait=1.0, window=6.0)
        np.testing.assert_array_equal(samples.targets, [[0, 0, 1]])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([0.0], [NAN], 4.0, 2.0, 2.0), r"`wait` must lie in \[0, window\)"),
            (([0.0, 5.0], [NAN, 4.0], 9.0, 1.0, 3.0), "`conversion_time` must not be before the click.*row 1"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            gr.losses.elapsed_time_samples(*arguments)
