import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array
from support.gradients import gradients

from grouprank.losses import ObservedBinaryCrossentropy, ObservedLoss

Y = np.array([1.0, np.nan, 0.0, 0.25], "float32")
Z = np.array([np.log(3.0), 5.0, np.log(3.0), 0.0], "float32")
# Sigmoid 3/4, missing, 3/4, 1/2.
ROWS = np.array([-np.log(0.75), 0.0, -np.log(0.25), np.log(2.0)])


def value(y_true, y_pred, sample_weight=None, **kwargs):
    return as_array(ObservedBinaryCrossentropy(**kwargs)(y_true, y_pred, sample_weight))


@pytest.mark.parametrize("as_column", [lambda a: a, lambda a: a[:, np.newaxis]])
def test_by_hand(as_column):
    y, z = as_column(Y), as_column(Z)
    np.testing.assert_allclose(value(y, z, reduction="none"), ROWS, rtol=1e-5)
    assert value(y, z) == pytest.approx(ROWS.sum() / 3, rel=1e-5)
    assert value(y, z, reduction="sum") == pytest.approx(ROWS.sum(), rel=1e-5)
    weight = as_column(np.array([2.0, 100.0, 0.0, 1.0], "float32"))
    assert value(y, z, weight) == pytest.approx((2 * ROWS[0] + ROWS[3]) / 3, rel=1e-5)


def test_agrees_with_keras_where_all_is_observed():
    y = np.array([1, 0, 1, 0, 1], "float32")[:, None]
    z = np.array([-40.0, -2.0, 0.5, 3.0, 40.0], "float32")[:, None]
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True)
    assert value(y, z) == pytest.approx(float(as_array(keras_loss(y, z))), rel=1e-5)


def test_nothing_observed_is_zero():
    assert value(np.full(3, np.nan, "float32"), np.ones(3, "float32")) == 0.0
    assert value(Y, Z, np.zeros(4)) == 0.0


def test_gradient_is_the_error_over_the_observed():
    loss = ObservedBinaryCrossentropy()
    _, (found,), _ = gradients(lambda z: loss(Y, z), [Z])
    np.testing.assert_allclose(found, np.array([0.75 - 1, 0, 0.75, 0.5 - 0.25]) / 3, rtol=1e-5)


def test_huge_logits_stay_finite():
    np.testing.assert_allclose(value([0.0, 1.0], np.array([1e4, -1e4], "float32")), 1e4)
    np.testing.assert_allclose(value([1.0, 0.0], np.array([1e4, -1e4], "float32")), 0.0)


def test_half_precision_logits_are_widened():
    z = ops.cast(np.array([0.5, -3.0]), "bfloat16")
    loss = ObservedBinaryCrossentropy()([1.0, 0.0], z)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"


def test_labels_outside_raise():
    with pytest.raises(ValueError, match=r"ObservedBinaryCrossentropy: targets .*Received 2 in row 1; 1 of 2"):
        value(np.array([0.0, 2.0]), np.zeros(2))


def test_in_a_plain_keras_model():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="zeros")(inputs))
    model.compile(keras.optimizers.SGD(0.0), ObservedBinaryCrossentropy())
    history = model.fit(np.ones((4, 1)), Y, batch_size=4, verbose=0)
    assert history.history["loss"][0] == pytest.approx(np.log(2.0), rel=1e-5)


def test_config_round_trip():
    loss = ObservedBinaryCrossentropy(reduction="sum", name="ce")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert twin.get_config() == loss.get_config()


def test_the_base_class_asks_for_row_loss():
    with pytest.raises(NotImplementedError, match="must implement `row_loss`"):
        ObservedLoss()(np.zeros(2), np.zeros(2))


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean"])
def test_a_batch_counts_its_observed_rows_alone_and_the_reduction_says_so(reduction):
    loss = ObservedBinaryCrossentropy.from_config({**ObservedBinaryCrossentropy().get_config(), "reduction": reduction})
    assert loss.reduction == ObservedBinaryCrossentropy().reduction == "mean_with_sample_weight"
