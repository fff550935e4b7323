import json
import math

import keras
import numpy as np
import pytest
from keras import ops

from grouprank.metrics import Calibration, NormalizedEntropy
from grouprank.metrics.compensated_sum import CompensatedSum

BOTH = pytest.mark.parametrize("cls", [NormalizedEntropy, Calibration])


def entropy(rate):
    return -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)


def reference_ne(labels, probabilities, weights=None):
    labels, probabilities = np.asarray(labels, "float64").ravel(), np.asarray(probabilities, "float64").ravel()
    weights = np.ones_like(labels) if weights is None else np.asarray(weights, "float64").ravel()
    kept = ~np.isnan(labels)
    labels, probabilities, weights = labels[kept], probabilities[kept], weights[kept]
    ce = -(labels * np.log(probabilities) + (1 - labels) * np.log1p(-probabilities))
    return (weights * ce).sum() / weights.sum() / entropy((weights * labels).sum() / weights.sum())


def sample(rows=1000, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2, 1.5, rows).astype("float32")
    probabilities = 1 / (1 + np.exp(-logits.astype("float64")))
    labels = (rng.random(rows) < probabilities).astype("float32")
    return labels, logits, probabilities


def result(metric):
    return float(ops.convert_to_numpy(metric.result()))


class TestByHand:
    def test_ne_of_a_constant_rate_is_one(self):
        metric = NormalizedEntropy()
        metric.update_state([1.0, 0.0, 0.0, 0.0], [0.25] * 4)
        assert result(metric) == pytest.approx(1.0, abs=1e-6)

    def test_ne_from_two_rows(self):
        metric = NormalizedEntropy()
        metric.update_state([1.0, 0.0], [0.8, 0.4])
        assert result(metric) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2 / math.log(2), rel=1e-6)

    def test_calibration(self):
        metric = Calibration()
        metric.update_state([1.0, 0.0, 1.0], [0.9, 0.3, 0.6])
        assert result(metric) == pytest.approx(1.8 / 2, rel=1e-6)

    def test_calibration_from_logits(self):
        metric = Calibration(from_logits=True)
        metric.update_state([1.0, 0.0], [0.0, math.log(3.0)])
        assert result(metric) == pytest.approx(1.25, rel=1e-6)

    def test_soft_labels(self):
        metric = NormalizedEntropy()
        metric.update_state([0.3, 0.6], [0.2, 0.7])
        assert result(metric) == pytest.approx(reference_ne([0.3, 0.6], [0.2, 0.7]), rel=1e-6)

    def test_weights(self):
        labels, probabilities, weights = [1.0, 0.0, 0.0], [0.7, 0.2, 0.6], [2.0, 1.0, 0.5]
        ne, calibration = NormalizedEntropy(), Calibration()
        ne.update_state(labels, probabilities, sample_weight=weights)
        calibration.update_state(labels, probabilities, sample_weight=weights)
        assert result(ne) == pytest.approx(reference_ne(labels, probabilities, weights), rel=1e-6)
        assert result(calibration) == pytest.approx((1.4 + 0.2 + 0.3) / 2.0, rel=1e-6)

    def test_random_rows_both_forms(self):
        labels, logits, probabilities = sample()
        for metric, predictions in (
            (NormalizedEntropy(from_logits=True), logits),
            (NormalizedEntropy(), probabilities),
        ):
            metric.update_state(labels, predictions)
            assert result(metric) == pytest.approx(reference_ne(labels, probabilities), rel=2e-6)


class TestEdges:
    @BOTH
    def test_no_rows(self, cls):
        metric = cls()
        assert result(metric) == 0.0
        metric.update_state(np.zeros((0,), "float32"), np.zeros((0,), "float32"))
        metric.update_state([math.nan, 1.0], [0.5, 0.5], sample_weight=[1.0, 0.0])
        assert result(metric) == 0.0

    @BOTH
    def test_rows_that_do_not_count_may_hold_anything(self, cls):
        metric, expected = cls(), cls()
        metric.update_state([1.0, math.nan, 0.0, 0.0], [0.7, math.nan, 0.2, math.inf], sample_weight=[1, 1, 1, 0])
        expected.update_state([1.0, 0.0], [0.7, 0.2])
        assert result(metric) == pytest.approx(result(expected), rel=1e-7)

    @BOTH
    def test_a_nan_prediction_that_counts_is_not_hidden(self, cls):
        metric = cls(from_logits=True)
        metric.update_state([1.0, 0.0], [math.nan, 0.0])
        assert math.isnan(result(metric))

    @pytest.mark.parametrize("label", [0.0, 1.0])
    def test_one_class(self, label):
        epsilon = keras.config.epsilon()
        metric = NormalizedEntropy()
        metric.update_state([label] * 4, [0.1] * 4)
        cross_entropy = -math.log(0.1) if label else -math.log(0.9)
        assert result(metric) == pytest.approx(cross_entropy / entropy(epsilon), rel=2e-2)
        perfect = NormalizedEntropy()
        perfect.update_state([label] * 4, [label] * 4)
        assert 0 < result(perfect) < 0.1

    def test_no_positives_calibration(self):
        metric = Calibration()
        metric.update_state([0.0] * 4, [0.1] * 4)
        assert result(metric) == pytest.approx(0.1 / keras.config.epsilon(), rel=1e-5)

    def test_extreme_logits(self):
        metric = NormalizedEntropy(from_logits=True)
        metric.update_state([1.0, 0.0], [-1e4, 1e4])
        assert result(metric) == pytest.approx(1e4 / math.log(2), rel=1e-6)
        right = NormalizedEntropy(from_logits=True)
        right.update_state([1.0, 0.0], [1e4, -1e4])
        assert result(right) == 0.0

    def test_certain_probabilities(self):
        metric = NormalizedEntropy()
        metric.update_state([1.0, 0.0], [0.0, 1.0])
        assert result(metric) == pytest.approx(-math.log(1e-7) / math.log(2), rel=2e-2)

    @BOTH
    def test_half_precision(self, cls):
        labels, _, probabilities = sample(20000)
        metric = cls(dtype="float16")
        for batch in range(20):
            rows = slice(1000 * batch, 1000 * (batch + 1))
            metric.update_state(ops.cast(labels[rows], "float16"), ops.cast(probabilities[rows], "float16"))
        expected = (
            reference_ne(labels, probabilities) if cls is NormalizedEntropy else probabilities.sum() / labels.sum()
        )
        assert keras.backend.standardize_dtype(metric.result().dtype) == "float16"
        assert result(metric) == pytest.approx(expected, rel=2e-3)
        assert all(variable.dtype == "float32" for variable in metric.variables)


class TestShapes:
    @BOTH
    @pytest.mark.parametrize("true_shape", [(6,), (6, 1)])
    @pytest.mark.parametrize("pred_shape", [(6,), (6, 1)])
    @pytest.mark.parametrize("weight_shape", [None, (), (6,), (6, 1)])
    def test_vectors_and_columns(self, cls, true_shape, pred_shape, weight_shape):
        labels, _, probabilities = sample(6, seed=3)
        labels[2] = 1.0
        weights = np.arange(1.0, 7.0) if weight_shape else np.full(6, 2.0)
        metric, expected = cls(), cls()
        given = None if weight_shape is None else weights.reshape(weight_shape) if weight_shape else 2.0
        metric.update_state(labels.reshape(true_shape), probabilities.reshape(pred_shape), sample_weight=given)
        expected.update_state(labels, probabilities, sample_weight=weights)
        assert result(metric) == pytest.approx(result(expected), rel=1e-6)

    def test_row_weights_on_a_matrix(self):
        labels, _, probabilities = sample(6, seed=4)
        labels[1] = 1.0
        metric = NormalizedEntropy()
        metric.update_state(labels.reshape(3, 2), probabilities.reshape(3, 2), sample_weight=[1.0, 2.0, 3.0])
        assert result(metric) == pytest.approx(reference_ne(labels, probabilities, [1, 1, 2, 2, 3, 3]), rel=1e-6)

    @BOTH
    def test_no_silent_broadcast(self, cls):
        with pytest.raises(ValueError, match=r"\(4, 1\).*\(4, 3\)"):
            cls().update_state(np.zeros((4, 1)), np.full((4, 3), 0.5))
        with pytest.raises(ValueError, match="sample_weight"):
            cls().update_state(np.zeros((4,)), np.full((4,), 0.5), sample_weight=np.ones((3,)))


class TestMerging:
    @BOTH
    @pytest.mark.parametrize("size", [1, 7, 64, 999, 1000])
    def test_any_batch_split(self, cls, size):
        labels, logits, probabilities = sample()
        labels[::13] = math.nan
        weights = np.random.default_rng(1).uniform(0.1, 3, labels.size).astype("float32")
        metric = cls(from_logits=True)
        for start in range(0, labels.size, size):
            rows = slice(start, start + size)
            metric.update_state(labels[rows], logits[rows], sample_weight=weights[rows])
        if cls is NormalizedEntropy:
            expected = reference_ne(labels, probabilities, weights)
        else:
            expected = (weights * probabilities)[~np.isnan(labels)].sum() / np.nansum(weights * labels)
        assert result(metric) == pytest.approx(expected, rel=5e-7)

    def test_it_is_not_the_mean_of_batches(self):
        metric = NormalizedEntropy()
        batches = [([1.0, 0.0], [0.6, 0.5]), ([0.0, 0.0, 0.0, 1.0], [0.1, 0.2, 0.1, 0.3])]
        for batch in batches:
            metric.update_state(*batch)
        whole = reference_ne(*(np.concatenate(part) for part in zip(*batches, strict=True)))
        assert result(metric) == pytest.approx(whole, rel=1e-6)
        assert abs(result(metric) - np.mean([reference_ne(*batch) for batch in batches])) > 0.05

    @BOTH
    def test_merge_state(self, cls):
        labels, logits, _ = sample()
        whole, workers = cls(from_logits=True), [cls(from_logits=True) for _ in range(3)]
        whole.update_state(labels, logits)
        for number, worker in enumerate(workers):
            worker.update_state(labels[number::3], logits[number::3])
        before = result(workers[1])
        assert workers[0].merge_state(workers[1:]) is workers[0]
        assert result(workers[0]) == pytest.approx(result(whole), rel=3e-7)
        assert result(workers[1]) == before

    def test_merge_state_of_another_class(self):
        with pytest.raises(ValueError, match="own class"):
            NormalizedEntropy().merge_state([Calibration()])

    @BOTH
    def test_reset(self, cls):
        labels, _, probabilities = sample()
        metric = cls()
        metric.update_state(labels, probabilities)
        metric.reset_state()
        assert result(metric) == 0.0
        assert all(float(ops.sum(variable.value)) == 0.0 for variable in metric.variables)


class TestPrecision:
    """A small number added many times to a large sum: float32 alone would not move at all."""

    start, small, times = 2.0**27, 0.25, 4096

    def build(self):
        metric = keras.metrics.Metric(name="sums")
        running = CompensatedSum(metric, "rows")
        running.add(np.float32(self.start))
        return metric, running

    def test_eagerly(self):
        _, running = self.build()
        for _ in range(self.times):
            running.add(np.float32(self.small))
        assert float(ops.convert_to_numpy(running.value())) == self.start + self.small * self.times

    def test_compiled(self):
        metric, running = self.build()
        backend = keras.backend.backend()
        if backend == "jax":
            import jax

            @jax.jit
            def step(variables, value):
                def body(_, inner):
                    with keras.StatelessScope(state_mapping=list(zip(metric.variables, inner, strict=True))) as scope:
                        running.add(ops.sum(value * value))
                    return [scope.get_current_value(variable) for variable in metric.variables]

                return jax.lax.fori_loop(0, self.times, body, variables)

            updated = step([variable.value for variable in metric.variables], np.full((1,), 0.5, "float32"))
            for variable, value in zip(metric.variables, updated, strict=True):
                variable.assign(value)
        elif backend == "tensorflow":
            import tensorflow as tf

            for jit_compile in (True, False):

                @tf.function(jit_compile=jit_compile)
                def step(value):
                    for _ in tf.range(self.times // 2):
                        running.add(ops.sum(value * value))

                step(tf.constant([0.5]))
        else:
            for _ in range(self.times):
                running.add(ops.sum(ops.convert_to_tensor([self.small])))
        assert float(ops.convert_to_numpy(running.value())) == self.start + self.small * self.times

    def test_more_rows_than_float32_can_count(self):
        metric = NormalizedEntropy()
        metric.update_state([1.0, 0.0], [0.5, 0.5], sample_weight=[2.0**25, 3 * 2.0**25])
        for _ in range(100):
            metric.update_state([1.0], [0.5])
        parts = [ops.convert_to_numpy(ops.convert_to_tensor(v)) for v in (metric._weight.total, metric._weight.lost)]
        assert float(np.sum(parts, dtype="float64")) == 2**27 + 100


class TestInFit:
    @BOTH
    @pytest.mark.parametrize("policy", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.any_backend)])
    def test_fit_and_evaluate(self, cls, policy):
        keras.utils.set_random_seed(0)
        labels, logits, _ = sample(600)
        x = np.stack([logits, np.ones_like(logits)], axis=1)
        inputs = keras.Input((2,))
        model = keras.Model(inputs, keras.layers.Dense(1, name="click", dtype=policy)(inputs))
        model.compile(
            loss=keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[cls(from_logits=True, name="plain")],
            weighted_metrics=[cls(from_logits=True, name="weighted")],
        )
        weights = np.linspace(0.5, 2, labels.size).astype("float32")
        history = model.fit(x, labels, sample_weight=weights, batch_size=64, epochs=2, verbose=0)
        assert all(math.isfinite(value) for values in history.history.values() for value in values)
        scores = model.evaluate(x, labels, sample_weight=weights, batch_size=64, verbose=0, return_dict=True)
        z = np.asarray(model.predict(x, batch_size=64, verbose=0), "float64").ravel()
        p = 1 / (1 + np.exp(-z))
        for name, w in (("plain", np.ones_like(weights)), ("weighted", weights)):
            expected = reference_ne(labels, p, w) if cls is NormalizedEntropy else (w * p).sum() / (w * labels).sum()
            assert scores[name] == pytest.approx(expected, rel=1e-5 if policy == "float32" else 1e-2)

    @BOTH
    def test_saved_with_a_model(self, cls, tmp_path):
        inputs = keras.Input((1,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        model.compile(loss="mse", metrics=[cls(from_logits=True)])
        model.fit(np.ones((4, 1)), np.array([0.0, 1.0, 0.0, 0.0]), verbose=0)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        loaded.evaluate(np.ones((4, 1)), np.array([0.0, 1.0, 0.0, 0.0]), verbose=0)
        assert any(type(inner) is cls for metric in loaded.metrics for inner in getattr(metric, "metrics", [metric]))


@BOTH
def test_config(cls):
    metric = cls(from_logits=True, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is cls
    assert json.loads(json.dumps(again.get_config())) == {"name": "mine", "dtype": "float32", "from_logits": True}
    assert cls().name == ("normalized_entropy" if cls is NormalizedEntropy else "calibration")
