"""The calibration layer: its map, its inverse and what is fitted."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize import minimize
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.layers.logit_shift import fit_logit_shift

Z = np.linspace(-9.0, 5.0, 57)[:, None].astype("float32")


def layer_of(knots, shifts, **arguments):
    layer = gr.layers.LogitCalibration(len(knots), **arguments)
    layer.build()
    layer.knots.assign(knots)
    layer.shifts.assign(shifts)
    return layer


def outcomes(logits, seed=0):
    return (np.random.default_rng(seed).random(len(logits)) < 1 / (1 + np.exp(-logits))).astype("float32")


def test_the_map_by_hand():
    layer = layer_of([0.0, 2.0], [1.0, 0.0])
    z = np.array([-5.0, 0.0, 1.0, 2.0, 7.0], "float32")
    np.testing.assert_allclose(as_array(layer(z)), [-4.0, 1.0, 1.5, 2.0, 7.0], rtol=1e-6)


def test_the_map_is_numpys_interpolation():
    rng = np.random.default_rng(0)
    knots, shifts = np.cumsum(rng.uniform(0.2, 1.0, 12)) - 7.0, rng.uniform(-0.1, 0.1, 12)
    layer = layer_of(knots, shifts, negative_rate=0.1)
    moved = Z.astype("float64") + np.log(0.1)
    expected = moved + np.interp(moved, knots, shifts)
    np.testing.assert_allclose(as_array(layer(Z)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(as_array(layer.inverse(layer(Z))), Z, rtol=1e-5, atol=1e-5)
    assert (np.diff(as_array(layer(Z))[:, 0]) > 0).all()


def test_identity_until_fitted():
    z = np.array([-1e30, -88.0, -0.1, 0.0, 1e-30, 3.3333, 1e30], "float32")
    np.testing.assert_array_equal(as_array(gr.layers.LogitCalibration()(z)), z)
    np.testing.assert_array_equal(as_array(gr.layers.LogitCalibration().inverse(z)), z)


def test_the_negative_rate_multiplies_the_odds():
    p = np.array([0.5, 0.01, 0.9])
    layer = gr.layers.LogitCalibration(negative_rate=0.2)
    z = as_array(layer(np.log(p / (1 - p)).astype("float32"))).astype("float64")
    # He et al. 2014, section 6.3 has p / (p + (1 - p) / w).
    np.testing.assert_allclose(1 / (1 + np.exp(-z)), p / (p + (1 - p) / 0.2), rtol=1e-5)


def test_what_is_fitted_minimizes_the_printed_equation():
    rng = np.random.default_rng(0)
    z, weights = rng.normal(-1.0, 1.5, 400), rng.integers(0, 3, 400).astype("float64")
    y = outcomes(1.5 * z + 1.0)
    knots, shifts = fit_logit_shift(z, y, weights, num_knots=5, strength=2.0)

    def loss(s):
        calibrated = z + np.interp(z, knots, s)
        walk = np.sum(np.diff(s) ** 2 / np.diff(knots)) / (2 * 0.2**2)
        prior = np.sqrt(1 + (s.mean() / 0.2) ** 2) - 1 + walk
        return weights @ (np.log1p(np.exp(calibrated)) - y * calibrated) + 2.0 * prior

    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(shifts, best, atol=1e-4)
    assert loss(shifts) < loss(np.zeros(5)) - 1.0


def test_a_distorted_model_is_calibrated_at_every_size_of_its_predictions():
    truth = np.random.default_rng(0).normal(-3.0, 1.2, 200_000)
    layer = gr.layers.LogitCalibration()
    layer.fit((0.7 * truth + 0.4), outcomes(truth))
    z = as_array(layer((0.7 * truth + 0.4).astype("float32")))
    for part in np.array_split(np.argsort(truth), 10)[2:]:
        observed = np.mean(1 / (1 + np.exp(-truth[part])))
        assert np.mean(1 / (1 + np.exp(-z[part]))) == pytest.approx(observed, rel=0.05)
    y = outcomes(truth)
    assert np.mean(1 / (1 + np.exp(-z))) == pytest.approx(y.mean(), rel=0.002)


@pytest.mark.parametrize(
    ("positives", "strength", "expected"),
    # By the rates alone these would be minus infinity, 0.06, 0.06 and 2.15.
    [(0, 1.0, -0.70), (10, 1.0, 0.015), (10, 100.0, 0.0), (60, 1.0, 2.03)],
)
def test_few_positives_move_it_little_and_as_a_whole(positives, strength, expected):
    _, shifts = fit_logit_shift(np.full(200, -3.0), np.arange(200) < positives, np.ones(200), 8, strength)
    np.testing.assert_allclose(shifts, expected, atol=0.01)


def test_a_large_shift_of_many_rows_is_not_held_back():
    truth = np.random.default_rng(0).normal(-4.0, 1.0, 100_000)
    y = outcomes(truth)
    layer = gr.layers.LogitCalibration()
    layer.fit(truth + np.log(10.0), y)
    z = as_array(layer((truth + np.log(10.0)).astype("float32")))
    assert np.mean(1 / (1 + np.exp(-z))) == pytest.approx(y.mean(), rel=0.005)


@pytest.mark.parametrize("alike", [False, True])
def test_strictly_increasing_where_the_labels_fall(alike):
    z = np.full(3000, 0.3) if alike else np.random.default_rng(0).normal(0.0, 2.0, 3000)
    layer = gr.layers.LogitCalibration()
    layer.fit(z, outcomes(-2.0 * z))
    mapped = as_array(layer(Z)).astype("float64")
    assert (np.diff(mapped[:, 0]) >= 0.0999 * np.diff(Z[:, 0])).all()
    np.testing.assert_allclose(as_array(layer.inverse(layer(Z))), Z, rtol=1e-4, atol=1e-4)
    assert (np.diff(as_array(layer.knots)) > 0.009).all()


def test_rows_that_do_not_count_and_rows_that_count_twice():
    rng = np.random.default_rng(0)
    z = rng.normal(-1.0, 1.0, 300)
    y, weight = outcomes(z + 0.5), rng.integers(0, 3, 300)
    y[:50] = np.nan
    weighted, repeated = gr.layers.LogitCalibration(4), gr.layers.LogitCalibration(4)
    weighted.fit(z[:, None], y, sample_weight=weight)
    rows = np.repeat(np.arange(300), np.where(np.isnan(y), 0, weight))
    repeated.fit(z[rows], y[rows])
    np.testing.assert_allclose(as_array(weighted(Z)), as_array(repeated(Z)), atol=0.02)
    assert abs(as_array(weighted.shifts)).max() > 0.1


def test_fitting_again_replaces_the_map():
    truth = np.random.default_rng(0).normal(-2.0, 1.0, 20_000)
    y, once = outcomes(truth), gr.layers.LogitCalibration(negative_rate=0.5)
    once.fit(truth + 1.0, y)
    first = as_array(once(Z))
    served = once((truth + 1.0).astype("float32"))
    once.fit(once.inverse(served), y)
    np.testing.assert_allclose(as_array(once(Z)), first, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0.0, 1.0]}, "same number of rows"),
        ({"labels": [0.0, 2.0, 1.0]}, r"`labels` must be numbers in \[0, 1\].*row 1"),
        ({"logits": [0.0, np.inf, 1.0]}, "`logits` must be finite.*row 1"),
        ({"sample_weight": [1.0, -1.0, 1.0]}, "not negative.*row 1"),
        ({"labels": [np.nan] * 3}, "leave no row"),
        ({"strength": 0.0}, "positive number"),
    ],
)
def test_wrong_rows(arguments, message):
    layer = gr.layers.LogitCalibration()
    with pytest.raises(ValueError, match=message):
        layer.fit(**{"logits": [0.0, 1.0, 2.0], "labels": [0.0, 1.0, 1.0], **arguments})
    np.testing.assert_array_equal(as_array(layer(Z)), Z)


@pytest.mark.parametrize("arguments", [{"num_knots": 1}, {"negative_rate": 0.0}, {"negative_rate": 1.5}])
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        gr.layers.LogitCalibration(**arguments)


def test_in_a_model(tmp_path):
    """Training sees the model's own logits; a file, mixed precision and compiled predictions have the map."""
    inputs = keras.Input((1,))
    layer = gr.layers.LogitCalibration(4, negative_rate=0.5, dtype="mixed_bfloat16")
    model = keras.Model(inputs, layer(keras.layers.Dense(1, use_bias=False)(inputs)))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.BinaryCrossentropy(from_logits=True))
    kernel = model.layers[1].kernel
    layer.knots.assign([-1.0, 0.0, 1.0, 2.0])
    layer.shifts.assign([0.5, 0.0, -0.5, 0.0])
    kernel.assign([[0.3]])
    x, y = np.array([[1.0], [2.0]], "float32"), np.array([[1.0], [0.0]], "float32")
    history = model.fit(x, y, batch_size=2, verbose=0)
    own = x[:, 0] * 0.3
    assert history.history["loss"][0] == pytest.approx(np.mean(np.log1p(np.exp(own)) - y[:, 0] * own), rel=1e-5)
    p = 1 / (1 + np.exp(-own))
    assert float(as_array(kernel)[0, 0]) == pytest.approx(0.3 - 0.1 * np.mean((p - y[:, 0]) * x[:, 0]), rel=1e-5)
    z = x[:, 0] * as_array(kernel)[0, 0] + np.log(0.5)
    expected = z + np.interp(z, [-1.0, 0.0, 1.0, 2.0], [0.5, 0.0, -0.5, 0.0])
    predicted = model.predict(x, verbose=0)
    np.testing.assert_allclose(predicted[:, 0], expected, rtol=1e-5)
    assert predicted.dtype == "float32"
    assert keras.backend.standardize_dtype(layer(ops.cast(x, "bfloat16")).dtype) == "float32"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), predicted)
    assert loaded.layers[-1].get_config() == layer.get_config()
