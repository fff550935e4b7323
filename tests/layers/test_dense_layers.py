import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave

from grouprank.layers import MLP, NumericEmbedding, ParallelMLP, SharedBottom


class TestMLP:
    def test_against_numpy(self):
        layer = MLP((3, 2), activation="relu", output_units=1)
        x = wave(5, 4)
        layer.build((None, 4))
        set_fixed_weights(layer)
        k0, b0, k1, b1, k2, b2 = (as_array(weight) for weight in layer.weights)
        hidden = np.maximum(np.maximum(x @ k0 + b0, 0) @ k1 + b1, 0)
        np.testing.assert_allclose(as_array(layer(x)), hidden @ k2 + b2, rtol=1e-5, atol=1e-6)

    def test_no_units_are_the_identity(self):
        layer = MLP(())
        np.testing.assert_array_equal(as_array(layer(wave(2, 3))), wave(2, 3))
        assert layer.compute_output_shape((None, 3)) == (None, 3)

    def test_dropout_in_training_only(self):
        layer = MLP((50,), activation="linear", dropout=0.5)
        x = np.ones((4, 3), "float32")
        quiet = as_array(layer(x))
        np.testing.assert_array_equal(as_array(layer(x, training=False)), quiet)
        assert 0.2 < (as_array(layer(x, training=True)) == 0).mean() < 0.8

    @pytest.mark.parametrize(("normalization", "axis"), [("batch", 0), ("layer", 1)])
    def test_normalization_against_numpy(self, normalization, axis):
        layer = MLP((3,), activation="tanh", output_units=2, normalization=normalization)
        x = wave(6, 4)
        layer.build((None, 4))
        set_fixed_weights(layer)
        weights = {weight.path.split("/", 1)[1]: as_array(weight) for weight in layer.weights}
        part = f"{normalization}_normalization_0"
        dense = x @ weights["dense_0/kernel"] + weights["dense_0/bias"]
        normal = (dense - dense.mean(axis, keepdims=True)) / np.sqrt(dense.var(axis, keepdims=True) + 1e-3)
        hidden = np.tanh(normal * weights[f"{part}/gamma"] + weights[f"{part}/beta"])
        expected = hidden @ weights["output/kernel"] + weights["output/bias"]
        np.testing.assert_allclose(as_array(layer(x, training=True)), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("normalization", [None, "batch", "layer"])
    def test_in_two_steps_it_is_the_same_as_at_once(self, normalization):
        layer = MLP((3, 2), dropout=0.5, normalization=normalization)
        x = wave(6, 4)
        layer.build((None, 4))
        set_fixed_weights(layer)
        for weight in layer.non_trainable_weights:
            # The moving variance must not be negative.
            weight.assign(np.abs(as_array(weight)))
        at_once = as_array(layer(x, training=False))
        np.testing.assert_allclose(as_array(layer.after_first(layer.first(x))), at_once, rtol=1e-6)
        assert np.abs(as_array(layer(x, training=True)) - at_once).max() > 1e-3

    def test_regularizer_is_a_loss(self):
        layer = MLP((2,), kernel_regularizer=keras.regularizers.L2(0.5))
        layer(wave(2, 3))
        assert float(as_array(layer.losses[0])) == pytest.approx(
            0.5 * (as_array(layer.weights[0]) ** 2).sum(), rel=1e-5
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (((0,),), "`units` must hold positive integers"),
            (((2.5,),), "`units` must hold positive integers"),
            (((2,), "relu", 1.0), r"`dropout` must lie in \[0, 1\)"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            MLP(*arguments)

    def test_unknown_normalization(self):
        with pytest.raises(ValueError, match="`normalization` must be one of"):
            MLP((2,), normalization="group")


class TestParallelMLP:
    def test_equals_networks_of_their_own(self):
        layer = ParallelMLP(3, (4, 2), activation="tanh", output_units=1)
        x = wave(5, 6)
        layer.build((None, 6))
        set_fixed_weights(layer)
        kernels = [as_array(weight) for weight in layer.weights if weight.name.startswith("kernel")]
        biases = [as_array(weight) for weight in layer.weights if weight.name.startswith("bias")]
        out = as_array(layer(x))
        for network in range(3):
            hidden = np.tanh(x @ kernels[0][:, network] + biases[0][network])
            hidden = np.tanh(hidden @ kernels[1][network] + biases[1][network])
            np.testing.assert_allclose(
                out[:, network], hidden @ kernels[2][network] + biases[2][network], rtol=1e-5, atol=1e-6
            )

    @pytest.mark.parametrize("seed", [None, 7])
    def test_starts_as_networks_of_their_own(self, seed):
        layer = ParallelMLP(4, (300, 200), kernel_initializer=keras.initializers.GlorotUniform(seed))
        layer.build((None, 100))
        first, second = (as_array(weight) for weight in layer.weights if weight.name.startswith("kernel"))
        assert abs(first).max() == pytest.approx((6 / (100 + 300)) ** 0.5, rel=0.01)
        assert abs(second).max() == pytest.approx((6 / (300 + 200)) ** 0.5, rel=0.01)
        assert not np.array_equal(first[:, 0], first[:, 1])
        assert not np.array_equal(second[2], second[3])

    def test_dropout_in_training_only(self):
        layer = ParallelMLP(2, (50,), activation="linear", dropout=0.5)
        x = np.ones((4, 3), "float32")
        assert (as_array(layer(x)) != 0).all()
        assert 0.2 < (as_array(layer(x, training=True)) == 0).mean() < 0.8

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0, (2,)), "`num_networks` must be a positive integer"),
            ((2, (0,)), "`units` and `output_units` must be positive integers"),
            ((2, ()), "at least one in all"),
            ((2, (2,), "relu", -0.1), r"`dropout` must lie in \[0, 1\)"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ParallelMLP(*arguments)


class TestNumericEmbedding:
    def test_against_numpy(self):
        layer = NumericEmbedding(3)
        x = wave(4, 2)
        layer.build((None, 2))
        set_fixed_weights(layer)
        vectors, bias = (as_array(weight) for weight in layer.weights)
        np.testing.assert_allclose(as_array(layer(x)), x[..., None] * vectors + bias, rtol=1e-6)

    def test_error(self):
        with pytest.raises(ValueError, match="`embedding_dim` must be a positive integer"):
            NumericEmbedding(0)


def test_shared_bottom_is_shared():
    layer = SharedBottom(["click", "like"], units=(3,))
    out = layer(wave(2, 4))
    np.testing.assert_array_equal(as_array(out["click"]), as_array(out["like"]))
    assert len(layer.weights) == 2
