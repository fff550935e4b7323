"""What `GroupConcat` appends, what it learns from, and what it lets through."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.gradients import gradients

from grouprank.layers import GroupConcat

ROWS, DIM, WIDTH, LEVELS, SIZE = 8, 4, 3, 2, 4
X = wave(ROWS, DIM)


def group_concat(**kwargs):
    layer = GroupConcat(LEVELS, SIZE, **{"code_dim": WIDTH, "seed": 0, "reset_dead_codes": False, **kwargs})
    layer.build((None, DIM))
    set_fixed_weights(layer)
    return layer


def weights_of(layer, part):
    return {weight.path.split(part, 1)[1]: as_array(weight) for weight in layer.weights if part in weight.path}


def encoded(layer, x=X):
    """The encoder by NumPy: tanh between layers, linear at the end."""
    names = sorted({weight.path.split("/")[-2] for weight in layer.weights if "encoder_" in weight.path})
    for name in names:
        weights = weights_of(layer, f"{name}/")
        x = x @ weights["kernel"] + weights["bias"]
        x = x if name == names[-1] else np.tanh(x)
    return x


def codes_of(layer, x=X):
    """Nearest codes, level by level, and their vectors `(rows, levels, width)`, without offsets."""
    books = as_array(layer.quantizer.codebooks)
    residual, vectors, codes = encoded(layer, x), [], []
    for book in books:
        code = ((residual[:, None] - book) ** 2).sum(axis=-1).argmin(axis=1)
        codes.append(code)
        vectors.append(book[code])
        residual = residual - book[code]
    return np.stack(codes, axis=1), np.stack(vectors, axis=1)


class TestOutput:
    @pytest.mark.parametrize("aggregate", ["sum", "mean", "concat"])
    def test_aggregates(self, aggregate):
        layer = group_concat(aggregate=aggregate, output_gradient="none")
        codes, vectors = codes_of(layer)
        expected = {
            "sum": vectors.sum(axis=1),
            "mean": vectors.mean(axis=1),
            "concat": vectors.reshape(ROWS, LEVELS * WIDTH),
        }[aggregate]
        out = as_array(layer(X))
        np.testing.assert_array_equal(out[:, :DIM], X)
        np.testing.assert_allclose(out[:, DIM:], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(as_array(layer.encode(X)), codes)
        assert layer.compute_output_shape((None, 7, DIM)) == (None, 7, DIM + expected.shape[1])

    def test_offsets_are_added_to_each_code(self):
        layer = group_concat()
        codes, vectors = codes_of(layer)
        (offsets,) = weights_of(layer, "group_embedding_offsets").values()
        expected = vectors.sum(axis=1) + offsets[codes[:, 0]] + offsets[SIZE + codes[:, 1]]
        np.testing.assert_allclose(as_array(layer(X))[:, DIM:], expected, rtol=1e-5, atol=1e-6)

    def test_offsets_start_at_zero(self):
        layer = GroupConcat(LEVELS, SIZE, code_dim=WIDTH)
        layer.build((None, DIM))
        (offsets,) = weights_of(layer, "group_embedding_offsets").values()
        np.testing.assert_array_equal(offsets, np.zeros((LEVELS * SIZE, WIDTH)))

    def test_without_an_encoder_codes_live_in_the_input_space(self):
        layer = group_concat(code_dim=None, output_gradient="none")
        assert not [weight for weight in layer.weights if "coder" in weight.path]
        np.testing.assert_allclose(as_array(layer(X))[:, DIM:], codes_of(layer)[1].sum(axis=1), rtol=1e-5, atol=1e-6)

    def test_encoder_and_decoder_widths(self):
        layer = group_concat(encoder_units=(6, 5), decoder_units=(7,), activation="tanh")
        shapes = [weight.shape for weight in layer.weights if weight.path.endswith("kernel")]
        assert shapes == [(4, 6), (6, 5), (5, 3), (3, 7), (7, 4)]
        np.testing.assert_array_equal(as_array(layer.encode(X)), codes_of(layer)[0])

    def test_encoder_units_alone_keep_the_width(self):
        layer = group_concat(code_dim=None, encoder_units=(6,))
        assert layer.compute_output_shape((None, DIM)) == (None, 2 * DIM)
        assert layer(X).shape == (ROWS, 2 * DIM)

    @pytest.mark.parametrize("aggregate", ["sum", "concat"])
    def test_zero_init_projection_starts_as_the_baseline(self, aggregate):
        layer = GroupConcat(LEVELS, SIZE, code_dim=WIDTH, aggregate=aggregate, zero_init_projection=True)
        out = as_array(layer(X, training=True))
        np.testing.assert_array_equal(out[:, :DIM], X)
        np.testing.assert_array_equal(out[:, DIM:], np.zeros_like(out[:, DIM:]))

    def test_leading_axes(self):
        layer = group_concat()
        cube = X.reshape(2, 4, DIM)
        np.testing.assert_allclose(as_array(layer(cube)).reshape(ROWS, -1), as_array(layer(X)), rtol=1e-6)
        assert tuple(layer.encode(cube).shape) == (2, 4, LEVELS)


def appended(layer, factor):
    """A task loss that reads the appended part alone."""
    return lambda x: ops.sum(ops.multiply(layer(x)[..., DIM:], factor))


class TestOutputGradient:
    FACTOR = wave(ROWS, WIDTH, start=4.0)

    def run(self, layer, factor=None):
        factor = self.FACTOR if factor is None else factor
        _, (by_input,), found = gradients(appended(layer, factor), [X], layer.trainable_weights)
        reached = {w.path.split("/", 1)[-1]: g for w, g in zip(layer.trainable_weights, found, strict=True)}
        return by_input, {name: gradient for name, gradient in reached.items() if np.abs(gradient).max() > 0}

    def test_codebook_with_averages_trains_the_offsets_alone(self):
        layer = group_concat()
        by_input, reached = self.run(layer)
        assert list(reached) == ["group_embedding_offsets"]
        codes, _ = codes_of(layer)
        expected = np.zeros((LEVELS * SIZE, WIDTH))
        for level in range(LEVELS):
            np.add.at(expected, level * SIZE + codes[:, level], self.FACTOR)
        np.testing.assert_allclose(reached["group_embedding_offsets"], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(by_input, 0 * X)

    def test_codebook_with_gradients_trains_the_codes_alone(self):
        layer = group_concat(codebook_update="gradient", aggregate="mean")
        by_input, reached = self.run(layer)
        ((name, found),) = reached.items()
        assert name.endswith("codebooks")
        codes, _ = codes_of(layer)
        expected = np.zeros((LEVELS, SIZE, WIDTH))
        for level in range(LEVELS):
            np.add.at(expected[level], codes[:, level], self.FACTOR / LEVELS)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(by_input, 0 * X)

    @pytest.mark.parametrize("update", ["ema", "gradient"])
    @pytest.mark.parametrize("aggregate", ["sum", "mean"])
    def test_straight_through_trains_the_encoder_alone(self, aggregate, update):
        layer = group_concat(output_gradient="straight_through", aggregate=aggregate, codebook_update=update)
        by_input, reached = self.run(layer)
        share = 1.0 if aggregate == "sum" else 1.0 / LEVELS
        assert {name.split("/")[-1] for name in reached} == {"kernel", "bias"}
        assert all("encoder_0" in name for name in reached)
        by_code = share * self.FACTOR
        (kernel,) = (found for name, found in reached.items() if name.endswith("kernel"))
        (bias,) = (found for name, found in reached.items() if name.endswith("bias"))
        np.testing.assert_allclose(bias, by_code.sum(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(kernel, X.T @ by_code, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(by_input, 0 * X)

    def test_straight_through_reaches_the_input_only_if_asked(self):
        layer = group_concat(output_gradient="straight_through", input_gradient=True)
        by_input, _ = self.run(layer)
        (kernel,) = (weight for name, weight in weights_of(layer, "encoder_0/").items() if name == "kernel")
        np.testing.assert_allclose(by_input, self.FACTOR @ kernel.T, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("update", ["ema", "gradient"])
    def test_none(self, update):
        by_input, reached = self.run(group_concat(output_gradient="none", codebook_update=update, input_gradient=True))
        assert reached == {}
        np.testing.assert_array_equal(by_input, 0 * X)

    def test_the_input_itself_passes_unhindered(self):
        layer = group_concat()
        factor = wave(ROWS, DIM, start=2.0)
        _, (found,), _ = gradients(lambda x: ops.sum(ops.multiply(layer(x)[:, :DIM], factor)), [X])
        np.testing.assert_allclose(found, factor, rtol=1e-6)


def self_supervised(layer, **given):
    def loss(x):
        layer(x, training=True, **given)
        return sum(layer.losses)

    return loss


def variance(vectors, weight):
    """Weighted mean squared distance from the weighted mean."""
    weight = weight / weight.sum()
    return (weight * ((vectors - weight @ vectors) ** 2).sum(axis=1)).sum()


class TestSelfSupervision:
    @pytest.mark.parametrize("loss_scale", ["absolute", "relative"])
    @pytest.mark.parametrize("weighting", ["none", "weight", "mask"])
    def test_reconstruction_and_commitment(self, weighting, loss_scale):
        given = {
            "none": {},
            "weight": {"sample_weight": np.abs(wave(ROWS, start=1.0))},
            "mask": {"mask": np.arange(ROWS) < 5},
        }[weighting]
        weight = np.asarray(next(iter(given.values()), np.ones(ROWS)), "float64")
        layer = group_concat(
            decoder_units=(5,),
            activation="tanh",
            reconstruction_weight=0.5,
            commitment_weight=0.25,
            loss_scale=loss_scale,
        )
        z, (_, vectors) = encoded(layer), codes_of(layer)
        hidden, last = weights_of(layer, "decoder_0/"), weights_of(layer, "decoder_1/")
        decoded = np.tanh(vectors.sum(axis=1) @ hidden["kernel"] + hidden["bias"]) @ last["kernel"] + last["bias"]
        reconstruction = ((X - decoded) ** 2).sum(axis=1)
        commitment = ((z - vectors[:, 0]) ** 2 + (z - vectors[:, 0] - vectors[:, 1]) ** 2).sum(axis=1)
        if loss_scale == "relative":
            # Each in units of the variance of what it approximates.
            reconstruction /= variance(X, weight)
            commitment /= LEVELS * variance(z, weight)
        expected = (weight * (0.5 * reconstruction + 0.25 * commitment)).sum() / weight.sum()
        layer(X, training=True, **given)
        assert float(as_array(sum(layer.losses))) == pytest.approx(expected, rel=1e-5)

    def test_none_outside_training_and_without_an_encoder(self):
        layer = group_concat()
        layer(X)
        assert layer.losses == []
        layer = group_concat(code_dim=None)
        layer(X, training=True)
        assert layer.losses == []

    def test_commitment_of_the_input_itself_if_asked(self):
        layer = group_concat(code_dim=None, input_gradient=True, loss_scale="absolute")
        _, (by_input,), _ = gradients(self_supervised(layer), [X])
        _, vectors = codes_of(layer)
        expected = 2.0 * ((X - vectors[:, 0]) + (X - vectors.sum(axis=1))) / ROWS
        np.testing.assert_allclose(by_input, expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("update", ["ema", "gradient"])
    def test_grouping_does_not_pull_the_trunk(self, update):
        layer = group_concat(codebook_update=update)
        _, (by_input,), found = gradients(self_supervised(layer), [X], layer.trainable_weights)
        np.testing.assert_array_equal(by_input, 0 * X)
        by_name = {w.path: np.abs(g).max() for w, g in zip(layer.trainable_weights, found, strict=True)}
        for name, largest in by_name.items():
            assert (largest > 0) == ("offsets" not in name), name

    def test_input_gradient_lets_it(self):
        _, (by_input,), _ = gradients(self_supervised(group_concat(input_gradient=True)), [X])
        assert np.abs(by_input).max(axis=1).min() > 0

    def test_reconstruction_reaches_the_encoder_straight_through(self):
        layer = group_concat(commitment_weight=0.0)
        encoder = [weight for weight in layer.trainable_weights if "encoder_0" in weight.path]
        _, _, found = gradients(self_supervised(layer), [X], encoder)
        assert all(np.abs(gradient).max() > 0 for gradient in found)

    @pytest.mark.parametrize("junk", [50.0, np.nan])
    def test_rows_that_do_not_count_teach_nothing(self, junk):
        few, many = group_concat(ema_decay=0.5), group_concat(ema_decay=0.5)
        padded = np.concatenate([X, np.full((3, DIM), junk, "float32")])
        counted = np.arange(len(padded)) < ROWS
        expected, _, few_gradients = gradients(self_supervised(few), [X], few.trainable_weights)
        found, _, many_gradients = gradients(self_supervised(many, mask=counted), [padded], many.trainable_weights)
        assert found == pytest.approx(expected, rel=1e-5)
        for ours, theirs in zip(few_gradients, many_gradients, strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)
        few(X, training=True)
        many(padded, training=True, sample_weight=counted.astype("float32"))
        np.testing.assert_allclose(
            as_array(many.quantizer.codebooks), as_array(few.quantizer.codebooks), rtol=1e-5, atol=1e-7
        )


class TestAdapt:
    @pytest.mark.parametrize("encoder", [{}, {"encoder_units": (6,)}, {"code_dim": None}])
    def test_lowers_the_distance_in_code_space(self, encoder):
        data = np.random.default_rng(0).normal(size=(150, DIM)).astype("float32")
        layer = GroupConcat(2, 8, **{"code_dim": WIDTH, "seed": 0, **encoder})
        layer.build((None, DIM))

        def distance():
            _, vectors = codes_of(layer, data) if not layer.encoder_units else (None, None)
            z = as_array(layer._encode(ops.convert_to_tensor(data)))
            quantized = as_array(layer.quantizer.decode(layer.encode(data)))
            assert vectors is None or np.allclose(vectors.sum(axis=1), quantized, atol=1e-5)
            return float(((z - quantized) ** 2).mean())

        before = distance()
        layer.adapt(data)
        assert distance() < 0.3 * before

    def test_builds(self):
        layer = GroupConcat(1, 2, code_dim=2, seed=0)
        layer.adapt(iter([X, X]))
        assert layer.built
        assert tuple(layer(X).shape) == (ROWS, DIM + 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"aggregate": "max"}, "`aggregate` must be one of .*aggregate='max'"),
        ({"output_gradient": "all"}, "`output_gradient` must be one of .*output_gradient='all'"),
        ({"code_dim": 0}, "`code_dim` must be a positive integer or None"),
        ({"codebook_update": "sgd"}, "`codebook_update` must be one of"),
        ({"num_levels": 0}, "`num_levels` must be a positive integer"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupConcat(**arguments)


def test_unknown_width():
    for method in ("build", "compute_output_shape"):
        with pytest.raises(ValueError, match="last axis of the inputs must be known"):
            getattr(GroupConcat(), method)((None, None))


def test_another_width_is_refused():
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 4"):
        group_concat()(wave(2, 5))


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_a_frozen_layer_keeps_its_groups(update):
    layer = group_concat(codebook_update=update, reset_dead_codes=True)
    layer.trainable = False
    before = [as_array(weight).copy() for weight in layer.weights]
    layer(X, training=True)
    assert layer.losses == []
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(as_array(new), old)


def test_in_a_plain_keras_model():
    """The README's user: one more layer in a functional model, trained by `fit`."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(256, 8)).astype("float32")
    labels = (data[:, :1] * data[:, 1:2] > 0).astype("float32")
    inputs = keras.Input((8,))
    h = keras.layers.Dense(8, activation="relu")(inputs)
    h = GroupConcat(2, 8, code_dim=4, seed=0, name="groups")(h)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dense(16, "relu")(h)))
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    history = model.fit(data, labels, batch_size=64, epochs=10, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    assert int(as_array(model.get_layer("groups").quantizer.steps)) == 40


def test_in_training_a_row_gets_the_codes_it_was_matched_with():
    # A decay of 0 and a reset at every step move the codebooks as far as they can go in one batch.
    layer = GroupConcat(num_levels=1, codebook_size=4, ema_decay=0.0, output_gradient="none", seed=0)
    layer.quantizer.reset_interval = 1
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    layer.build(x.shape)
    before = np.asarray(keras.ops.convert_to_numpy(layer.quantizer.codebooks))[0].copy()
    nearest = np.argmin(((x[:, None] - before) ** 2).sum(axis=-1), axis=1)
    appended = keras.ops.convert_to_numpy(layer(x, training=True))[:, 3:]
    after = keras.ops.convert_to_numpy(layer.quantizer.codebooks)[0]
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(appended, before[nearest], rtol=1e-6)


@pytest.mark.parametrize("aggregate", ["sum", "mean", "concat"])
def test_codes_alone(aggregate):
    layer = GroupConcat(2, 4, code_dim=3, aggregate=aggregate, seed=0)
    x = wave(6, 5)
    both, alone = as_array(layer(x)), as_array(layer(x, concatenate=False))
    np.testing.assert_array_equal(alone, both[:, 5:])
    symbolic = layer(keras.Input((5,)), concatenate=False)
    assert symbolic.shape == (None, alone.shape[1])


def test_rows_of_one_code_train_its_offset_as_one():
    """Adagrad's first step is the learning rate, whatever the gradient; rows added one by one would step further."""
    x = keras.Input((2,))
    layer = GroupConcat(1, 1, reset_dead_codes=False, seed=0)
    model = keras.Model(x, layer(x, concatenate=False))
    model.compile(keras.optimizers.Adagrad(0.5, initial_accumulator_value=0.0, epsilon=1e-9), "mse")
    rows = wave(8, 2)
    model.fit(rows, np.ones((8, 2), "float32"), batch_size=8, verbose=0)
    np.testing.assert_allclose(as_array(layer.trainable_weights[0]), [[0.5, 0.5]], rtol=1e-4)


def test_the_factors_of_the_losses_add_up():
    # What the sum of the losses is divided by, so that 1.0 is no better than the mean.
    assert GroupConcat(code_dim=4, commitment_weight=0.25).loss_weight == 1.25
    assert GroupConcat(code_dim=4, codebook_update="gradient", codebook_weight=2.0).loss_weight == 4.0
    assert GroupConcat().loss_weight == 0.0
