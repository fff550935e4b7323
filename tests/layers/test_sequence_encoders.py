"""Encoders of histories against NumPy; the layer contract itself is checked in test_layer_contract.py."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.gradients import gradients

from grouprank.layers import HSTU, CausalTransformer, Dice, MeanPooling, SequenceEncoder, TargetAttention
from grouprank.layers.sequence import SEQUENCE_ENCODERS, get

ROWS, LENGTH, DIM = 4, 5, 4
SEQUENCE = wave(ROWS, LENGTH, DIM)
TARGET = wave(ROWS, DIM, start=0.7)
# Padding at the end, at the start, in the middle, and nothing else.
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
ENCODERS = {
    "mean": lambda: MeanPooling(),
    "target_attention": lambda: TargetAttention((3,)),
    "target_attention_softmax": lambda: TargetAttention((3, 2), activation="tanh", normalize=True),
    "causal_transformer": lambda: CausalTransformer(num_heads=2),
    "hstu": lambda: HSTU(num_heads=2),
    "hstu_of_the_newest": lambda: HSTU(num_blocks=1, append_target=False),
}
EVERY = pytest.mark.parametrize("name", ENCODERS)


def built(encoder, length=LENGTH):
    encoder.build((None, length, DIM))
    set_fixed_weights(encoder)
    for weight in encoder.weights:
        if weight.name == "moving_variance":
            weight.assign(0.5 + ops.abs(weight))
    return encoder


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def weights_of(layer):
    return [as_array(weight).astype("float64") for weight in layer.weights]


class TestEveryEncoder:
    @EVERY
    def test_padding_is_never_read(self, name):
        """Neither a number nor a NaN in it matters, forward or backward, and it gets no gradient."""
        encoder = built(ENCODERS[name]())
        junk = np.where(MASK[..., None], SEQUENCE, np.nan).astype("float32")
        clean = np.where(MASK[..., None], SEQUENCE, 7.0).astype("float32")
        np.testing.assert_array_equal(as_array(encoder(junk, TARGET, MASK)), as_array(encoder(clean, TARGET, MASK)))
        for training in (False, True):
            value, (by_sequence,), by_weights = gradients(
                lambda x, training=training: ops.sum(ops.square(encoder(x, TARGET, MASK, training=training))),
                [junk],
                encoder.trainable_weights,
            )
            assert np.isfinite(value)
            assert all(np.isfinite(gradient).all() for gradient in by_weights)
            assert (by_sequence[~MASK] == 0).all()
            assert (by_sequence[MASK] != 0).any()
            assert np.isfinite(by_sequence).all()

    @EVERY
    def test_nothing_counts(self, name):
        encoder = built(ENCODERS[name]())
        np.testing.assert_array_equal(as_array(encoder(SEQUENCE, TARGET, MASK))[3], np.zeros(DIM))

    @EVERY
    def test_no_mask_is_a_mask_of_true(self, name):
        encoder = built(ENCODERS[name]())
        expected = as_array(encoder(SEQUENCE, TARGET, np.ones((ROWS, LENGTH), bool)))
        np.testing.assert_allclose(as_array(encoder(SEQUENCE, TARGET)), expected, rtol=1e-6)

    @pytest.mark.any_backend
    @EVERY
    def test_padding_may_stand_at_either_end(self, name):
        encoder = built(ENCODERS[name]())
        kept, padding = SEQUENCE[:, :3], np.zeros((ROWS, 2, DIM), "float32")
        counts, none = np.ones((ROWS, 3), bool), np.zeros((ROWS, 2), bool)
        at_end = encoder(np.concatenate([kept, padding], 1), TARGET, np.concatenate([counts, none], 1))
        at_start = encoder(np.concatenate([padding, kept], 1), TARGET, np.concatenate([none, counts], 1))
        np.testing.assert_allclose(as_array(at_end), as_array(at_start), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(as_array(at_end), as_array(encoder(kept, TARGET)), rtol=1e-5, atol=1e-6)

    @EVERY
    def test_mask_of_keras(self, name):
        """An implicit mask goes no further than the encoder."""
        encoder = built(ENCODERS[name]())
        assert encoder.compute_mask(SEQUENCE, MASK) is None

    @pytest.mark.any_backend
    @EVERY
    def test_half_precision(self, name):
        for policy in ("mixed_float16", "mixed_bfloat16"):
            encoder = type(ENCODERS[name]()).from_config({**ENCODERS[name]().get_config(), "dtype": policy})
            output = encoder(SEQUENCE, target=TARGET, mask=MASK)
            assert keras.backend.standardize_dtype(output.dtype) == policy.removeprefix("mixed_")
            assert np.isfinite(as_array(output)).all()


def test_mean_pooling():
    output = as_array(MeanPooling()(SEQUENCE, mask=MASK))
    for row in range(3):
        np.testing.assert_allclose(output[row], SEQUENCE[row][MASK[row]].mean(axis=0), rtol=1e-6)


class TestHSTU:
    def silu(self, x):
        return x * sigmoid(x)

    def normalized(self, x, layer):
        gamma, beta = (as_array(weight).astype("float64") for weight in layer.weights)
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta

    def block(self, block, x, counts, distances, heads):
        """Each position of `x` attends to those that count and are not newer, one head at a time."""
        kernel = as_array(block._projections.kernel).astype("float64")
        u, v, q, k = np.split(self.silu(self.normalized(x, block._input_norm) @ kernel), 4, axis=-1)
        width, biases = DIM // heads, as_array(block.biases).astype("float64")
        attended = np.zeros_like(x)
        for head in range(heads):
            of = slice(head * width, (head + 1) * width)
            for i in range(len(x)):
                for j in range(len(x)):
                    if counts[j] and distances[i, j] >= 0:
                        distance = min(distances[i, j], len(biases) - 1)
                        score = q[i, of] @ k[j, of] + biases[distance, head]
                        attended[i, of] += self.silu(score) / LENGTH * v[j, of]
        kernel, bias = (as_array(weight).astype("float64") for weight in block._output.weights)
        return x + (self.normalized(attended, block._attention_norm) * u) @ kernel + bias

    @pytest.mark.parametrize("max_length", [None, 2])
    @pytest.mark.parametrize("append_target", [True, False])
    def test_against_numpy(self, append_target, max_length):
        encoder = built(HSTU(2, 2, append_target=append_target, max_length=max_length))
        assert len(as_array(encoder._blocks[0].biases)) == (max_length or LENGTH + append_target)
        output = as_array(encoder(SEQUENCE, target=TARGET, mask=MASK))
        for row in range(3):
            x = np.where(MASK[row][:, None], SEQUENCE[row], 0).astype("float64")
            distances = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
            counts = MASK[row]
            newest = np.flatnonzero(counts)[-1]
            if append_target:
                x, newest = np.concatenate([x, TARGET[row : row + 1]]), LENGTH
                of_target = [counts[place:].sum() for place in range(LENGTH)]
                distances = np.pad(distances, [(0, 1), (0, 1)], constant_values=-1)
                distances[LENGTH] = [*of_target, 0]
                counts = np.append(counts, True)
            for block in encoder._blocks:
                x = self.block(block, x, counts, distances, 2)
            np.testing.assert_allclose(output[row], x[newest], rtol=1e-4, atol=1e-5)

    def test_what_is_ranked_is_not_read_by_the_history(self):
        encoder = built(HSTU())
        states, memory, mask = encoder.read_history(SEQUENCE, MASK)
        expected = as_array(encoder(SEQUENCE, TARGET, MASK))
        np.testing.assert_allclose(as_array(encoder.read_target(TARGET, memory, mask)), expected, rtol=1e-5, atol=1e-6)
        assert states.shape == SEQUENCE.shape

    def test_errors(self):
        with pytest.raises(ValueError, match="`num_heads` must divide the vectors' width. Received: num_heads=3"):
            HSTU(num_heads=3).build((None, LENGTH, DIM))
        with pytest.raises(ValueError, match="length of the sequences must be known"):
            HSTU().build((None, None, DIM))


class TestDice:
    def test_against_numpy(self):
        layer = Dice(epsilon=0.1)
        layer.build((None, DIM))
        alpha, mean, variance = (wave(DIM, start=start) for start in (1.0, 2.0, 3.0))
        variance = np.abs(variance)
        for weight, values in zip(layer.weights, (alpha, mean, variance), strict=True):
            weight.assign(values)
        s = wave(ROWS, DIM)
        p = sigmoid((s - mean) / np.sqrt(variance + 0.1))
        np.testing.assert_allclose(as_array(layer(s)), p * s + (1 - p) * alpha * s, rtol=1e-5, atol=1e-7)
        p = sigmoid((s - s.mean(axis=0)) / np.sqrt(s.var(axis=0) + 0.1))
        np.testing.assert_allclose(as_array(layer(s, training=True)), p * s + (1 - p) * alpha * s, rtol=1e-5, atol=1e-6)

    def test_averages_follow_what_counts_in_training(self):
        layer = Dice(momentum=0.9)
        layer(SEQUENCE)
        counted = SEQUENCE[MASK]
        junk = np.where(MASK[..., None], SEQUENCE, 1e6).astype("float32")
        layer(junk, mask=MASK)
        np.testing.assert_array_equal(weights_of(layer)[1:], [np.zeros(DIM), np.ones(DIM)])
        layer(junk, mask=MASK, training=True)
        _, mean, variance = weights_of(layer)
        np.testing.assert_allclose(mean, 0.1 * counted.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(variance, 0.9 + 0.1 * counted.var(axis=0), rtol=1e-5)

    def test_averages_move_in_a_compiled_fit(self):
        inputs = keras.Input((DIM,))
        layer = Dice()
        model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
        model.compile("sgd", "mse", jit_compile=keras.backend.backend() != "torch")
        model.fit(SEQUENCE[:, 0], np.ones((ROWS, 1)), batch_size=ROWS, verbose=0)
        alpha, mean, _ = weights_of(layer)
        np.testing.assert_allclose(mean, 0.01 * SEQUENCE[:, 0].mean(axis=0), rtol=1e-4)
        assert (alpha != 0).any()


class TestTargetAttention:
    def weigh(self, encoder, row, weights):
        """The activation unit of each position that counts."""
        q, found = TARGET[row].astype("float64"), []
        for k in SEQUENCE[row][MASK[row]].astype("float64"):
            x = np.concatenate([q, k, q - k, q * k])
            for layer in range(len(encoder.units)):
                x = weights["activation"](layer, x @ weights["kernels"][layer] + weights["biases"][layer])
            found.append((x @ weights["kernels"][-1] + weights["biases"][-1])[0])
        return np.array(found)

    def expect(self, encoder, activation, normalize=lambda scores: scores):
        arrays = {"kernel": [], "bias": []}
        for weight in encoder.weights:
            if weight.name in arrays:
                arrays[weight.name].append(as_array(weight).astype("float64"))
        weights = {"kernels": arrays["kernel"], "biases": arrays["bias"], "activation": activation}
        output = as_array(encoder(SEQUENCE, target=TARGET, mask=MASK))
        for row in range(3):
            scores = normalize(self.weigh(encoder, row, weights))
            np.testing.assert_allclose(output[row], scores @ SEQUENCE[row][MASK[row]], rtol=1e-4, atol=1e-5)

    def test_dice_against_numpy(self):
        encoder = built(TargetAttention((3, 2)))
        state = {
            name: [as_array(w).astype("float64") for w in encoder.weights if w.name == name]
            for name in ("alpha", "moving_mean", "moving_variance")
        }

        def dice(layer, s):
            p = sigmoid((s - state["moving_mean"][layer]) / np.sqrt(state["moving_variance"][layer] + 1e-8))
            return p * s + (1 - p) * state["alpha"][layer] * s

        self.expect(encoder, dice)

    def test_softmax_against_numpy(self):
        encoder = built(TargetAttention((3,), activation="tanh", normalize=True))
        self.expect(encoder, lambda layer, s: np.tanh(s), softmax)

    def test_no_hidden_layer(self):
        self.expect(built(TargetAttention(())), None)

    def test_weights_depend_on_the_target(self):
        encoder = built(TargetAttention((3,)))
        one, other = (as_array(encoder(SEQUENCE, target=target)) for target in (TARGET, -TARGET))
        assert np.abs(one - other).max() > 0.01

    def test_dice_in_a_model(self, tmp_path):
        """Averages ignore padding in a compiled fit, and survive a file."""
        inputs = {"sequence": keras.Input((LENGTH, DIM)), "target": keras.Input((DIM,))}
        mask = keras.Input((LENGTH,), dtype="bool")
        layer = TargetAttention((3,), name="attention")
        output = layer(inputs["sequence"], target=inputs["target"], mask=mask)
        model = keras.Model([*inputs.values(), mask], keras.layers.Dense(1)(output))
        model.compile("sgd", "mse", jit_compile=keras.backend.backend() != "torch")
        data = [np.where(MASK[..., None], SEQUENCE, 1e6).astype("float32"), TARGET, MASK]
        model.fit(data, np.ones((ROWS, 1)), batch_size=ROWS, epochs=2, verbose=0)
        assert all(np.abs(weight).max() < 10 for weight in weights_of(layer))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(as_array(loaded(data)), as_array(model(data)))

    @pytest.mark.parametrize("target", [None, wave(ROWS, DIM + 1)])
    def test_target_of_the_sequences_width(self, target):
        with pytest.raises(ValueError, match=r"`target` must be a tensor of the sequence's width.*Received: target of"):
            TargetAttention()(SEQUENCE, target=target)

    def test_unknown_width(self):
        with pytest.raises(ValueError, match="`units` must hold positive integers"):
            TargetAttention((0,))


def layer_norm(x, gamma, beta):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-8) * gamma + beta


def causal_block(x, named):
    """§III.B of the paper on the positions that count, oldest first, with an output projection."""
    normed = layer_norm(x, named["attention_norm/gamma"], named["attention_norm/beta"])
    q, k, v = (
        np.einsum("ld,dhe->lhe", normed, named[f"attention/{part}/kernel"]) for part in ("query", "key", "value")
    )
    attended = np.zeros_like(v)
    for head in range(q.shape[1]):
        for position in range(len(x)):
            scores = k[: position + 1, head] @ q[position, head] / np.sqrt(q.shape[2])
            attended[position, head] = softmax(scores) @ v[: position + 1, head]
    x = x + np.einsum("lhe,hed->ld", attended, named["attention/attention_output/kernel"])
    normed = layer_norm(x, named["feed_forward_norm/gamma"], named["feed_forward_norm/beta"])
    hidden = np.maximum(normed @ named["hidden/kernel"] + named["hidden/bias"], 0)
    return x + hidden @ named["output/kernel"] + named["output/bias"]


class TestCausalTransformer:
    @pytest.mark.parametrize("num_heads", [1, 2])
    def test_against_numpy(self, num_heads):
        encoder = built(CausalTransformer(num_blocks=2, num_heads=num_heads))
        named = {w.path.split(encoder.name + "/", 1)[1]: as_array(w).astype("float64") for w in encoder.weights}
        output = as_array(encoder(SEQUENCE, mask=MASK))
        for row in range(3):
            x = SEQUENCE[row][MASK[row]].astype("float64")
            x = x + named["places/embeddings"][: len(x)][::-1]
            for block in ("block_0/", "block_1/"):
                x = causal_block(x, {n.removeprefix(block): w for n, w in named.items() if n.startswith(block)})
            np.testing.assert_allclose(output[row], x[-1], rtol=1e-4, atol=1e-5)

    def test_the_future_does_not_change_the_past(self):
        encoder = built(CausalTransformer())
        before = as_array(encoder.encode_positions(SEQUENCE))
        changed = SEQUENCE.copy()
        # A constant would not do: layer normalisation takes it out.
        changed[:, 3] *= -1.0
        after = as_array(encoder.encode_positions(changed))
        np.testing.assert_allclose(after[:, :3], before[:, :3], rtol=1e-6, atol=1e-6)
        assert (np.abs(after[:, 3:] - before[:, 3:]).max(axis=(0, 2)) > 1e-3).all()

    def test_the_newest_position_sees_all_others(self):
        encoder = built(CausalTransformer(num_blocks=1))
        _, (by_sequence,), _ = gradients(lambda x: ops.sum(encoder(x) * ops.convert_to_tensor(TARGET)), [SEQUENCE])
        assert (np.abs(by_sequence).max(axis=(0, 2)) > 1e-5).all()

    def test_order_matters(self):
        encoder = built(CausalTransformer())
        assert np.abs(as_array(encoder(SEQUENCE)) - as_array(encoder(SEQUENCE[:, ::-1].copy()))).max() > 0.01
        # Also among the older ones, which only their places tell apart.
        swapped = SEQUENCE[:, [1, 0, 2, 3, 4]]
        assert np.abs(as_array(encoder(SEQUENCE)) - as_array(encoder(swapped))).max() > 1e-4

    def test_older_positions_share_the_last_place(self):
        encoder = built(CausalTransformer(num_blocks=1, max_length=2))
        places = next(weight for weight in encoder.weights if weight.path.endswith("places/embeddings"))
        assert places.shape == (2, DIM)
        as_written = SEQUENCE + as_array(places)[[1, 1, 1, 1, 0]]
        silent = built(CausalTransformer(num_blocks=1, max_length=2))
        for theirs, ours in zip(silent.weights, encoder.weights, strict=True):
            theirs.assign(as_array(ours) * (not ours.path.endswith("places/embeddings")))
        np.testing.assert_allclose(as_array(encoder(SEQUENCE)), as_array(silent(as_written)), rtol=1e-5, atol=1e-6)

    @pytest.mark.any_backend
    def test_any_length(self):
        inputs = keras.Input((None, DIM))
        encoder = CausalTransformer(num_blocks=1, max_length=3)
        model = keras.Model(inputs, encoder(inputs))
        for length in (2, 5):
            assert tuple(model(wave(2, length, DIM)).shape) == (2, DIM)

    def test_dropout_in_training_only(self):
        encoder = built(CausalTransformer(dropout=0.5))
        quiet = as_array(encoder(SEQUENCE))
        np.testing.assert_array_equal(as_array(encoder(SEQUENCE, training=False)), quiet)
        assert np.abs(as_array(encoder(SEQUENCE, training=True)) - quiet).max() > 0.01

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"num_blocks": 0}, "`num_blocks` must be a positive integer. Received: num_blocks=0"),
            ({"num_heads": 1.5}, "`num_heads` must be a positive integer"),
            ({"max_length": 0}, "`max_length` must be a positive integer"),
            ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\)"),
            ({"num_heads": 3}, "`num_heads` must divide the vectors' width. Received: num_heads=3, width=4"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            CausalTransformer(**arguments)(SEQUENCE)

    def test_unknown_length(self):
        with pytest.raises(ValueError, match="The length of the sequences must be known, or `max_length` given"):
            CausalTransformer()(keras.Input((None, DIM)))


class TestRegistry:
    @pytest.mark.parametrize("name", SEQUENCE_ENCODERS)
    def test_names_and_configs(self, name):
        encoder = get(name)
        assert type(encoder) is SEQUENCE_ENCODERS[name]
        assert get(encoder) is encoder
        twin = get(keras.saving.serialize_keras_object(encoder))
        assert twin.get_config() == encoder.get_config()

    def test_arguments(self):
        assert get("causal_transformer", num_blocks=3).num_blocks == 3

    @pytest.mark.parametrize("wrong", ["gru", None, MeanPooling, keras.layers.Dense(2)])
    def test_unknown(self, wrong):
        with pytest.raises(ValueError, match=r"must be one of \['causal_transformer', 'hstu', 'mean', .*Received"):
            get(wrong)

    def test_an_encoder_without_call(self):
        with pytest.raises(NotImplementedError, match="SequenceEncoder must implement `call`"):
            SequenceEncoder()(SEQUENCE)
