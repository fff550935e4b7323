import csv
import math

import keras
import numpy as np
import pytest
from keras import ops

from grouprank.layers import ResidualQuantizer
from grouprank.metrics import CodebookHealth, CodebookPerplexity, CodebookUtilization

BOTH = pytest.mark.parametrize("cls", [CodebookPerplexity, CodebookUtilization])


def result(metric):
    return float(ops.convert_to_numpy(metric.result()))


def reference(codes, size, weights=None):
    """Counts, perplexity and utilization by a plain loop."""
    codes = np.asarray(codes).reshape(-1, np.asarray(codes).shape[-1])
    weights = np.ones(len(codes)) if weights is None else weights
    counts = np.zeros((codes.shape[1], size))
    for row, weight in zip(codes, weights, strict=True):
        for level, code in enumerate(row):
            if 0 <= code < size:
                counts[level, code] += weight
    perplexities = []
    for level in counts:
        shares = [count / level.sum() for count in level if count]
        perplexities.append(math.exp(-sum(share * math.log(share) for share in shares)) if shares else 0.0)
    return counts, float(np.mean(perplexities)), float((counts > 0).mean())


def test_by_hand():
    codes = [[0, 1], [0, 1], [1, 1], [1, -1]]
    perplexity, utilization = CodebookPerplexity(4, 2), CodebookUtilization(4, 2)
    for metric in (perplexity, utilization):
        metric.update_state(None, codes)
        np.testing.assert_array_equal(ops.convert_to_numpy(metric.counts), [[2, 2, 0, 0], [0, 3, 0, 0]])
    assert result(perplexity) == pytest.approx((2 + 1) / 2, rel=1e-6)
    assert result(utilization) == pytest.approx(3 / 8)


@pytest.mark.parametrize("shape", [(50, 3), (10, 5, 3)])
def test_against_a_loop_over_batches(shape):
    rng = np.random.default_rng(0)
    batches = [rng.integers(-1, 9, shape) for _ in range(3)]  # 8 is out of range
    weights = [rng.uniform(0, 2, shape[:-1]).astype("float32") for _ in batches]
    counts, perplexity, utilization = reference(np.concatenate(batches), 8, np.concatenate(weights).ravel())
    for metric, expected in ((CodebookPerplexity(8, 3), perplexity), (CodebookUtilization(8, 3), utilization)):
        for codes, weight in zip(batches, weights, strict=True):
            metric.update_state(None, codes, sample_weight=weight)
        np.testing.assert_allclose(ops.convert_to_numpy(metric.counts), counts, rtol=1e-5)
        assert result(metric) == pytest.approx(expected, rel=1e-5)


@BOTH
def test_row_weights_reach_every_position(cls):
    codes = np.array([[[0], [1]], [[2], [3]]])
    metric = cls(4, 1)
    metric.update_state(None, codes, sample_weight=[1.0, 0.0])
    np.testing.assert_array_equal(ops.convert_to_numpy(metric.counts), [[1, 1, 0, 0]])


@BOTH
def test_no_rows_merge_and_reset(cls):
    first, second, whole = cls(5, 2), cls(5, 2), cls(5, 2)
    assert result(first) == 0.0
    codes = np.random.default_rng(1).integers(0, 5, (20, 2))
    first.update_state(None, codes[:7])
    second.update_state(None, codes[7:])
    whole.update_state(None, codes)
    first.merge_state([second])
    assert result(first) == pytest.approx(result(whole), rel=1e-6)
    first.reset_state()
    assert result(first) == 0.0
    with pytest.raises(ValueError, match="5 x"):
        cls(4, 5).merge_state([cls(5, 5)])


@BOTH
def test_errors_say_what_was_expected(cls):
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3\)"):
        cls(4, 3).update_state(None, np.zeros((5, 2), "int32"))
    with pytest.raises(ValueError, match="codebook_size"):
        cls(0, 3)
    with pytest.raises(ValueError, match="sample_weight"):
        cls(4, 2).update_state(None, np.zeros((5, 2), "int32"), sample_weight=np.ones((5, 2)))


@BOTH
def test_config_and_float_codes(cls):
    metric = cls(codebook_size=4, num_levels=2, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is cls
    assert again.get_config() == {"name": "mine", "dtype": "float32", "codebook_size": 4, "num_levels": 2}
    again.update_state(None, np.array([[0.0, 3.0]], "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(again.counts), [[1, 0, 0, 0], [0, 0, 0, 1]])


@BOTH
def test_as_a_compiled_metric_of_a_code_output(cls):
    inputs = keras.Input((2,))
    codes = keras.layers.Lambda(lambda x: ops.cast(x, "int32"), name="codes", output_shape=(2,))(inputs)
    logit = keras.layers.Dense(1, name="click")(inputs)
    model = keras.Model(inputs, {"click": logit, "codes": codes})
    model.compile(loss={"click": "mse", "codes": None}, metrics={"codes": [cls(4, 2, name="health")]})
    x = np.random.default_rng(0).integers(0, 4, (32, 2)).astype("float32")
    y = {"click": np.zeros((32, 1), "float32"), "codes": np.zeros((32, 2), "float32")}
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    _, perplexity, utilization = reference(x.astype(int), 4)
    expected = perplexity if cls is CodebookPerplexity else utilization
    found = [values for key, values in history.history.items() if "health" in key]
    assert found[0] == pytest.approx([expected] * 2, rel=1e-5)


class Quantizer(keras.layers.Layer):
    def __init__(self, usage, **kwargs):
        super().__init__(**kwargs)
        self.usage = np.asarray(usage, "float32")

    def build(self, input_shape):
        self.codebook_usage = self.add_weight(
            shape=self.usage.shape, initializer="zeros", trainable=False, name="codebook_usage"
        )

    def call(self, x, training=False):
        if training:
            self.codebook_usage.assign(ops.convert_to_tensor(self.usage))
        return x


class Outer(keras.layers.Layer):
    def __init__(self, usage, **kwargs):
        super().__init__(**kwargs)
        self.quantizer = Quantizer(usage, name="quantizer")

    def build(self, input_shape):
        self.quantizer.build(input_shape)

    @property
    def codebook_usage(self):
        return self.quantizer.codebook_usage

    def call(self, x, training=False):
        return self.quantizer(x, training=training)


def health_model(*layers):
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile(loss="mse")
    return model


def test_codebook_health_is_printed_kept_and_written(capsys, tmp_path):
    # Mean usage of level 1 is 2.5, so a code counts as used above 0.025.
    model = health_model(
        Quantizer([[5, 5, 0.02, 0], [1, 1, 1, 1]], name="user_groups"), Outer([[3, 0, 0, 0]], name="ad_groups")
    )
    path = tmp_path / "history.csv"
    history = model.fit(
        np.ones((16, 2)),
        np.ones((16, 1)),
        batch_size=4,
        epochs=2,
        verbose=2,
        validation_data=(np.ones((4, 2)), np.ones((4, 1))),
        callbacks=[CodebookHealth(), keras.callbacks.CSVLogger(path)],
    )
    shares = np.array([5, 5, 0.02]) / 10.02
    expected = (math.exp(-(shares * np.log(shares)).sum()) + 4) / 2
    assert history.history["user_groups_perplexity"] == pytest.approx([expected] * 2, rel=1e-5)
    assert history.history["user_groups_utilization"] == pytest.approx([(2 / 4 + 1) / 2] * 2)
    assert history.history["ad_groups_perplexity"] == pytest.approx([1.0] * 2)
    assert history.history["ad_groups_utilization"] == pytest.approx([0.25] * 2)
    assert not any(name.startswith("quantizer") for name in history.history)
    printed = capsys.readouterr().out
    assert printed.count("user_groups_perplexity: ") == 2
    assert printed.count("ad_groups_utilization: 0.2500") == 2
    with open(path) as file:
        rows = list(csv.DictReader(file))
    assert [float(row["user_groups_utilization"]) for row in rows] == pytest.approx([0.75, 0.75])


def test_codebook_health_in_the_progress_bar(capsys):
    model = health_model(Quantizer([[1, 1]], name="groups"))
    model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=1, verbose=1, callbacks=[CodebookHealth()])
    assert "groups_perplexity: 2.0000" in capsys.readouterr().out


def test_codebook_health_before_any_use():
    model = health_model(Quantizer([[0, 0, 0]], name="groups"))
    history = model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0, callbacks=[CodebookHealth()])
    assert history.history["groups_perplexity"] == [0.0]
    assert history.history["groups_utilization"] == [0.0]


def test_codebook_health_of_two_layers_of_one_name():
    inner = keras.Sequential([keras.Input((2,)), Quantizer([[1, 0]], name="groups")], name="tower")
    model = health_model(Quantizer([[1, 1]], name="groups"), inner)
    history = model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0, callbacks=[CodebookHealth()]).history
    assert sorted([history["groups_perplexity"][0], history["groups_1_perplexity"][0]]) == pytest.approx([1.0, 2.0])


def test_codebook_health_without_a_quantizer():
    with pytest.raises(ValueError, match="codebook_usage"):
        health_model().fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0, callbacks=[CodebookHealth()])


def test_health_leaves_frozen_quantizers_out():
    moving, frozen = ResidualQuantizer(1, 4, name="moving"), ResidualQuantizer(1, 4, name="frozen")
    frozen.trainable = False
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(moving(inputs) + frozen(inputs)))
    model.compile("sgd", "mse", run_eagerly=keras.backend.backend() == "tensorflow")
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    history = model.fit(x, x[:, :1], callbacks=[CodebookHealth()], verbose=0).history
    assert set(history) == {"loss", "moving_perplexity", "moving_utilization"}
