"""The five readings of eq. 7 against numbers by hand and independent NumPy."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, wave
from support.gradients import gradients

from grouprank.losses import ResidualLabelLoss

READINGS = ("magnitude", "signed", "affine", "offset", "literal")
LN2 = float(np.log(2.0))


def make(reading, **kwargs):
    """The loss, without the warning that the literal reading gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ResidualLabelLoss(reading, **kwargs)


def value(loss, y_true, y_pred, sample_weight=None):
    return as_array(loss(np.asarray(y_true, "float32"), np.asarray(y_pred, "float32"), sample_weight))


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def cross_entropy(z, target):
    """From probabilities, in float64: not how the loss computes it."""
    p = sigmoid(np.asarray(z, "float64"))
    return -(target * np.log(p) + (1.0 - target) * np.log(1.0 - p))


def reference(reading, y, p, f0, f1):
    """Loss of one row, label 0 or 1, straight from the equations."""
    residual = y - p
    if reading == "offset":
        probability = sigmoid(np.log(p / (1 - p)) + f0 + f1)
        return -np.log(probability if y else 1 - probability)
    f = f1 if y else f0
    if reading == "magnitude":
        return cross_entropy(f, abs(residual))
    if reading == "signed":
        return (np.tanh(f) - residual) ** 2
    if reading == "affine":
        return cross_entropy(f, (1 + residual) / 2)
    return cross_entropy(10 * np.tanh(f / 10), residual)


@pytest.mark.parametrize(
    ("reading", "negative", "positive"),
    # Logits 0: CE is ln 2 whatever the target, tanh is 0, and the offset leaves the teacher's own CE.
    [
        ("magnitude", LN2, LN2),
        ("signed", 0.25**2, 0.75**2),
        ("affine", LN2, LN2),
        ("offset", -np.log(0.75), -np.log(0.25)),
        ("literal", LN2, LN2),
    ],
)
def test_by_hand_at_zero_logits(reading, negative, positive):
    loss = make(reading, reduction="none")
    np.testing.assert_allclose(value(loss, [[0, 0.25], [1, 0.25]], np.zeros((2, 2))), [negative, positive], rtol=1e-5)


@pytest.mark.parametrize(
    ("reading", "negative", "positive"),
    # Both logits ln 3, so the sigmoid is 3/4, tanh is 4/5, softplus is ln 4; p = 1/4.
    [
        ("magnitude", np.log(4) - 0.25 * np.log(3), np.log(4) - 0.75 * np.log(3)),
        ("signed", (0.8 + 0.25) ** 2, (0.8 - 0.75) ** 2),
        ("affine", np.log(4) - 0.375 * np.log(3), np.log(4) - 0.875 * np.log(3)),
        # logit(1/4) + 2 ln 3 = ln 3
        ("offset", np.log(4), np.log(4) - np.log(3)),
    ],
)
def test_by_hand_at_logits_of_three_quarters(reading, negative, positive):
    loss = make(reading, reduction="none")
    found = value(loss, [[0, 0.25], [1, 0.25]], np.full((2, 2), np.log(3.0)))
    np.testing.assert_allclose(found, [negative, positive], rtol=1e-5)


@pytest.mark.parametrize("reading", READINGS)
def test_against_numpy(reading):
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 40), rng.uniform(0.02, 0.98, 40)
    f = rng.normal(0, 2, (40, 2))
    expected = [reference(reading, *row) for row in zip(y, p, f[:, 0], f[:, 1], strict=True)]
    found = value(make(reading, reduction="none"), np.stack([y, p], axis=1), f)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reading", READINGS)
def test_soft_labels_mix_the_two_terms(reading):
    loss = make(reading, reduction="none")
    f = [[0.7, -1.2]] * 3
    zero, one, soft = value(loss, [[0, 0.3], [1, 0.3], [0.25, 0.3]], f)
    assert soft == pytest.approx(0.75 * zero + 0.25 * one, rel=1e-5)


@pytest.mark.parametrize("reading", READINGS[:3])
def test_each_head_sees_its_class_alone(reading):
    loss = make(reading)
    y_true = np.array([[0, 0.3], [1, 0.6]], "float32")
    _, (found,), _ = gradients(lambda f: loss(y_true, f), [wave(2, 2)])
    assert found[0, 1] == 0.0
    assert found[1, 0] == 0.0
    assert np.abs(found[[0, 1], [0, 1]]).min() > 0


class TestMinimum:
    """Where the gradient vanishes is what the head learns."""

    P = np.array([0.1, 0.3, 0.5, 0.8])

    @pytest.mark.parametrize(
        ("reading", "negative", "positive"),
        [
            ("magnitude", np.log(P / (1 - P)), np.log((1 - P) / P)),
            ("signed", np.arctanh(-P), np.arctanh(1 - P)),
            ("affine", np.log((1 - P) / (1 + P)), np.log((2 - P) / P)),
        ],
    )
    def test_of_each_class(self, reading, negative, positive):
        loss = make(reading)
        for label, optimum in ((0, negative), (1, positive)):
            y_true = np.stack([np.full(4, label), self.P], axis=1).astype("float32")
            f = np.stack([optimum, optimum], axis=1)
            _, (at,), _ = gradients(lambda logits, y=y_true: loss(y, logits), [f])
            np.testing.assert_allclose(at[:, label], np.zeros(4), atol=1e-6)
            best = value(loss, y_true, f)
            for step in (-0.1, 0.1):
                assert value(loss, y_true, f + step) > best

    def test_offset_corrects_the_teacher_to_the_rate(self):
        """Teacher says 1/4, three of four rows are clicks: the correction is logit(3/4) − logit(1/4)."""
        loss = make("offset")
        y_true = np.array([[1, 0.25], [1, 0.25], [1, 0.25], [0, 0.25]], "float32")
        correction = 2 * np.log(3.0)
        _, _, (by_head,) = _head_gradient(loss, y_true, correction)
        np.testing.assert_allclose(by_head, [0.0, 0.0], atol=1e-6)

    def test_eq_7_as_printed_has_none(self):
        """softplus(z) + p·z falls by p for each step to the left, for ever; the bound stops our reading."""
        z, p = np.array([-1e1, -1e2, -1e3, -1e4]), 0.3
        printed = np.logaddexp(0.0, z) + p * z
        np.testing.assert_allclose(np.diff(printed), p * np.diff(z), rtol=1e-3)
        loss = make("literal", reduction="none")
        found = value(loss, [[0, p]] * 4, np.stack([z, z], axis=1))
        assert (found > -10 * p - 1e-4).all()
        assert found[-1] == pytest.approx(-10 * p, abs=1e-3)
        assert value(make("literal", logit_bound=2.0), [[0, p]], [[-1e4, 0]]) == pytest.approx(
            np.logaddexp(0, -2) - 2 * p, rel=1e-5
        )

    def test_literal_warns(self):
        with pytest.warns(UserWarning, match=r"no minimum on negatives.*±10.*reading='magnitude'"):
            ResidualLabelLoss("literal")

    @pytest.mark.parametrize("reading", READINGS)
    def test_finite_at_the_ends(self, reading):
        y_true = [[y, p] for y in (0, 1) for p in (0, 1)]
        for logit in (-1e4, 0.0, 1e4):
            assert np.isfinite(value(make(reading), y_true, np.full((4, 2), logit)))


def _head_gradient(loss, y_true, correction):
    head = keras.Variable(np.array([correction, 0.0], "float32"))
    return gradients(lambda: loss(y_true, ops.broadcast_to(ops.convert_to_tensor(head), (4, 2))), [], [head])


@pytest.mark.parametrize("reading", READINGS)
def test_pseudo_label_gets_no_gradient(reading):
    loss = make(reading)
    labels = np.array([[0.0], [1.0], [1.0]], "float32")

    def of_teacher(teacher_logits, f):
        y_true = ops.concatenate([ops.convert_to_tensor(labels), ops.sigmoid(teacher_logits)], axis=-1)
        return loss(y_true, f)

    _, (by_teacher, by_heads), _ = gradients(of_teacher, [wave(3, 1), wave(3, 2)])
    np.testing.assert_array_equal(by_teacher, np.zeros((3, 1)))
    assert np.abs(by_heads).max() > 0


class TestRowsThatCount:
    Y = np.array([[0, 0.2], [1, 0.7], [np.nan, 0.5], [1, np.nan], [0, 0.9]], "float32")
    F = wave(5, 2)
    KEPT = [0, 1, 4]

    @pytest.mark.parametrize("reading", READINGS)
    def test_missing_labels_and_pseudo_labels(self, reading):
        rows = value(make(reading, reduction="none"), self.Y, self.F)
        np.testing.assert_array_equal(rows[[2, 3]], [0.0, 0.0])
        np.testing.assert_allclose(value(make(reading), self.Y, self.F), rows[self.KEPT].mean(), rtol=1e-5)
        _, (found,), _ = gradients(lambda f: make(reading)(self.Y, f), [self.F])
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[[2, 3]], np.zeros((2, 2)))

    @pytest.mark.parametrize("column", [False, True])
    def test_weights(self, column):
        weight = np.array([2.0, 0.5, 7.0, 7.0, 0.0], "float32")
        rows = value(make("magnitude", reduction="none"), self.Y, self.F)
        given = weight[:, None] if column else weight
        found = value(make("magnitude"), self.Y, self.F, given)
        assert found == pytest.approx((2.0 * rows[0] + 0.5 * rows[1]) / 2.5, rel=1e-5)
        found = value(make("magnitude", reduction="sum"), self.Y, self.F, given)
        assert found == pytest.approx(2.0 * rows[0] + 0.5 * rows[1], rel=1e-5)
        np.testing.assert_allclose(
            value(make("magnitude", reduction="none"), self.Y, self.F, given), rows * weight, rtol=1e-5
        )

    def test_none_is_zero_and_not_nan(self):
        missing = np.full((3, 2), np.nan, "float32")
        assert value(make("magnitude"), missing, wave(3, 2)) == 0.0
        assert value(make("magnitude"), self.Y, self.F, np.zeros(5)) == 0.0

    def test_reductions(self):
        rows = value(make("magnitude", reduction="none"), self.Y, self.F)
        assert rows.shape == (5,)
        assert value(make("magnitude", reduction="sum"), self.Y, self.F) == pytest.approx(rows.sum(), rel=1e-5)
        mean = rows[self.KEPT].mean()
        for reduction in ("mean", "sum_over_batch_size"):
            assert value(make("magnitude", reduction=reduction), self.Y, self.F) == pytest.approx(mean, rel=1e-5)


class TestBadInput:
    @pytest.mark.parametrize("wrong", [-0.25, 1.5])
    @pytest.mark.parametrize("kind", [np.asarray, list])
    def test_on_the_host_it_raises(self, wrong, kind):
        y_true = kind([[0.0, 0.5], [1.0, wrong]])
        with pytest.raises(ValueError, match=rf"targets must lie in \[0, 1\].*Received {wrong:g} in row 1; 1 of 4"):
            ResidualLabelLoss()(y_true, np.zeros((2, 2)))

    @pytest.mark.parametrize("reading", READINGS)
    @pytest.mark.parametrize("row", [[0.0, 1.5], [0.0, -0.1], [2.0, 0.5]])
    def test_as_tensors_the_loss_is_nan(self, reading, row):
        y_true = ops.convert_to_tensor(np.array([[0.0, 0.5], row], "float32"))
        assert np.isnan(as_array(make(reading)(y_true, ops.zeros((2, 2)))))

    def test_inside_a_compiled_fit_the_loss_is_nan(self):
        inputs = keras.Input((2,))
        model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        model.compile("sgd", ResidualLabelLoss())
        y_true = np.tile(np.array([[0.0, 0.5], [1.0, 1.25]], "float32"), (4, 1))
        history = model.fit(wave(8, 2), y_true, batch_size=8, verbose=0)
        assert np.isnan(history.history["loss"][0])

    @pytest.mark.parametrize(
        ("shape_true", "shape_pred", "named"),
        [((3,), (3, 2), "y_true"), ((3, 1), (3, 2), "y_true"), ((3, 2), (3, 1), "y_pred"), ((3, 2), (3,), "y_pred")],
    )
    def test_shapes(self, shape_true, shape_pred, named):
        with pytest.raises(ValueError, match=rf"expects {named} .* of shape \(batch, 2\)"):
            ResidualLabelLoss()(np.zeros(shape_true), np.zeros(shape_pred))

    def test_unknown_reading(self):
        with pytest.raises(ValueError, match="`reading` must be one of .*Received: reading='absolute'"):
            ResidualLabelLoss("absolute")


def test_config_round_trip():
    loss = make("signed", logit_bound=3.0, reduction="sum", name="mine")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(twin) is ResidualLabelLoss
    assert twin.get_config() == loss.get_config()
    assert (twin.reading, twin.logit_bound, twin.reduction, twin.name) == ("signed", 3.0, "sum", "mine")
