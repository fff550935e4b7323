"""The quantizer against NumPy written from eq. 2 and 3."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, wave
from support.gradients import gradients

from grouprank.layers import ResidualQuantizer

LEVELS, SIZE, DIM, ROWS = 3, 5, 4, 12
BOOKS = 0.6 * wave(LEVELS, SIZE, DIM, start=0.3)
Z = wave(ROWS, DIM)
GOLDEN_CODES = [
    *([0, 4, 3], [0, 0, 2], [1, 0, 2], [3, 0, 2], [3, 0, 3], [4, 0, 2]),
    *([4, 2, 4], [4, 3, 0], [4, 3, 0], [0, 3, 0], [0, 3, 0], [0, 4, 0]),
]
BOTH = pytest.mark.parametrize("update", ["ema", "gradient"])


def cascade(z, books):
    """Eq. 3 by loops: codes, residual before each level, picked code of each level."""
    codes = np.zeros((len(z), len(books)), int)
    residuals = np.zeros((len(books), *z.shape))
    picked = np.zeros((len(books), *z.shape))
    for row, vector in enumerate(z.astype("float64")):
        residual = vector
        for level, book in enumerate(books.astype("float64")):
            codes[row, level] = min(range(len(book)), key=lambda n: ((residual - book[n]) ** 2).sum())
            residuals[level, row], picked[level, row] = residual, book[codes[row, level]]
            residual = residual - picked[level, row]
    return codes, residuals, picked


def quantizer(books=BOOKS, **kwargs):
    layer = ResidualQuantizer(
        len(books),
        books.shape[1],
        codebook_initializer=lambda shape, dtype=None: ops.convert_to_tensor(books),
        **{"seed": 0, "reset_dead_codes": False, "loss_scale": "absolute", **kwargs},
    )
    layer.build((None, books.shape[2]))
    return layer


def total_loss(layer):
    return float(as_array(sum(layer.losses)))


def state(layer):
    return [as_array(weight).copy() for weight in layer.weights if weight.name != "steps"]


class TestSearch:
    @BOTH
    def test_codes_residuals_and_sum(self, update):
        layer = quantizer(codebook_update=update)
        codes, _, picked = cascade(Z, BOOKS)
        np.testing.assert_array_equal(as_array(layer.encode(Z)), codes)
        outputs, found = layer(Z, return_codes=True)
        np.testing.assert_array_equal(as_array(found), codes)
        np.testing.assert_allclose(as_array(outputs), picked.sum(axis=0), rtol=1e-5, atol=1e-6)
        assert keras.backend.standardize_dtype(found.dtype) == "int32"

    def test_by_hand(self):
        books = np.array([[[0, 0], [10, 0]], [[1, 1], [0, -2]]], "float32")
        layer = quantizer(books)
        # (9, -1): code 1 leaves (-1, -1), as far from (1, 1) as 8 and from (0, -2) as 2.
        assert as_array(layer.encode(np.array([[9.0, -1.0], [1.0, 1.0]], "float32"))).tolist() == [[1, 1], [0, 0]]
        np.testing.assert_allclose(as_array(layer(np.array([[9.0, -1.0]], "float32"))), [[10.0, -2.0]])

    def test_decode_and_code_vectors(self):
        layer = quantizer()
        codes, _, picked = cascade(Z, BOOKS)
        np.testing.assert_allclose(as_array(layer.decode(codes)), picked.sum(axis=0), rtol=1e-6)
        np.testing.assert_allclose(as_array(layer.code_vectors(codes)), np.moveaxis(picked, 0, 1), rtol=1e-6)
        np.testing.assert_allclose(as_array(layer.decode(layer.encode(Z))), as_array(layer(Z)), rtol=1e-5, atol=1e-6)

    def test_any_leading_axes(self):
        layer = quantizer()
        cube = Z.reshape(2, 3, 2, DIM)
        outputs, codes = layer(cube, return_codes=True)
        assert (tuple(outputs.shape), tuple(codes.shape)) == ((2, 3, 2, DIM), (2, 3, 2, LEVELS))
        np.testing.assert_array_equal(as_array(codes).reshape(ROWS, LEVELS), as_array(layer.encode(Z)))
        np.testing.assert_array_equal(as_array(layer.encode(cube)), as_array(codes))
        assert layer.decode(codes).shape == outputs.shape
        vector = layer(Z[0])
        np.testing.assert_allclose(as_array(vector), as_array(layer(Z))[0], rtol=1e-6)

    def test_symbolic_codes(self):
        layer = quantizer()
        inputs = keras.Input((DIM,))
        outputs, codes = layer(inputs, return_codes=True)
        assert (outputs.shape, outputs.dtype) == ((None, DIM), "float32")
        assert (codes.shape, codes.dtype) == ((None, LEVELS), "int32")
        model = keras.Model(inputs, {"z": outputs, "codes": codes})
        np.testing.assert_array_equal(as_array(model(Z)["codes"]), as_array(layer.encode(Z)))

    def test_golden_codes(self):
        assert as_array(quantizer().encode(Z)).tolist() == GOLDEN_CODES

    def test_residual_norms_are_of_what_is_left(self):
        layer = ResidualQuantizer(num_levels=3, codebook_size=8, seed=0)
        rows = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")
        found = keras.ops.convert_to_numpy(layer.residual_norms(rows))
        codes = keras.ops.convert_to_numpy(layer.encode(rows)).reshape(20, 3)
        books, left, expected = keras.ops.convert_to_numpy(layer.codebooks), rows.reshape(20, 6), []
        for level in range(3):
            left = left - books[level][codes[:, level]]
            expected.append(np.linalg.norm(left, axis=-1).mean())
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_encode_builds(self):
        layer = ResidualQuantizer(2, 4, seed=3)
        assert tuple(layer.encode(Z).shape) == (ROWS, 2)
        assert tuple(layer.codebooks.shape) == (2, 4, DIM)

    def test_search_runs_in_float32_under_mixed_precision(self):
        # Two codes that bfloat16 (8 bits of mantissa) cannot tell apart.
        books = np.array([[[1.0, 1.0], [1.001, 1.001]]], "float32")
        layer = quantizer(books, dtype="mixed_bfloat16")
        assert as_array(layer.encode(np.array([[1.0, 1.0], [1.001, 1.001]], "float32"))).tolist() == [[0], [1]]
        outputs = layer(np.ones((2, 2), "float32"), training=True)
        assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
        assert keras.backend.standardize_dtype(layer.codebooks.dtype) == "float32"
        assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"


class TestLosses:
    @pytest.mark.parametrize("weighting", ["none", "weight", "mask", "both"])
    def test_both_terms(self, weighting):
        weight = np.abs(wave(ROWS, start=2.0)) if weighting in ("weight", "both") else np.ones(ROWS, "float32")
        mask = np.arange(ROWS) % 3 > 0 if weighting in ("mask", "both") else np.ones(ROWS, bool)
        _, residuals, picked = cascade(Z, BOOKS)
        distance = ((residuals - picked) ** 2).sum(axis=(0, 2))
        mean = (distance * weight * mask).sum() / (weight * mask).sum()
        given = {
            "none": {},
            "weight": {"sample_weight": weight},
            "mask": {"mask": mask},
            "both": {"sample_weight": weight[:, None], "mask": mask},
        }[weighting]
        layer = quantizer(codebook_update="gradient", commitment_weight=0.25, codebook_weight=2.0)
        layer(Z, training=True, **given)
        assert total_loss(layer) == pytest.approx(2.25 * mean, rel=1e-5)
        layer = quantizer(codebook_update="ema", commitment_weight=0.25, codebook_weight=2.0)
        layer(Z, training=True, **given)
        assert total_loss(layer) == pytest.approx(0.25 * mean, rel=1e-5)

    def test_none_where_nothing_is_weighted(self):
        layer = quantizer(commitment_weight=0.0)
        layer(Z, training=True)
        assert layer.losses == []

    @pytest.mark.parametrize("training", [False, None])
    @BOTH
    def test_inference_moves_nothing(self, update, training):
        layer = quantizer(codebook_update=update, reset_dead_codes=True, reset_interval=1)
        before, steps = state(layer), int(as_array(layer.steps))
        layer(Z, training=training)
        layer.encode(Z)
        assert layer.losses == []
        assert int(as_array(layer.steps)) == steps
        for old, new in zip(before, state(layer), strict=True):
            np.testing.assert_array_equal(old, new)


class Averages:
    """Mean and variance over batches, with the same average of ones below both: 1 after one batch."""

    def __init__(self, decay, dim):
        self.decay, self.ones, self.mean, self.squares = decay, 0.0, np.zeros(dim), 0.0

    def variance(self, z, weight):
        d, weight = self.decay, weight / weight.sum()
        self.ones = d * self.ones + (1 - d)
        self.mean = d * self.mean + (1 - d) * (weight[:, None] * z).sum(axis=0)
        distance = ((z - self.mean / self.ones) ** 2).sum(axis=1)
        self.squares = d * self.squares + (1 - d) * (weight * distance).sum()
        return self.squares / self.ones


class TestRelativeLosses:
    def test_no_better_than_the_mean_is_1(self):
        # By hand: two rows 2 from their mean (1, 1); every level's one code leaves them where they are.
        books = np.array([[[1.0, 1.0]], [[0.0, 0.0]]], "float32")
        layer = quantizer(books, loss_scale="relative")
        layer(np.array([[1.0, 3.0], [1.0, -1.0]], "float32"), training=True)
        assert total_loss(layer) == pytest.approx(1.0, rel=1e-6)

    @pytest.mark.parametrize("width", [8, 256])
    @pytest.mark.parametrize("scale", [0.01, 10.0])
    def test_width_and_scale_do_not_matter(self, width, scale):
        z = 5.0 * scale + scale * np.random.default_rng(0).normal(size=(512, width)).astype("float32")
        layer = quantizer(z.mean(axis=0)[None, None], loss_scale="relative")
        layer(z, training=True)
        assert total_loss(layer) == pytest.approx(1.0, rel=1e-4)

    @pytest.mark.parametrize("weighting", ["none", "weight", "mask"])
    @BOTH
    def test_against_numpy_over_batches(self, update, weighting):
        weight, mask = np.abs(wave(ROWS, start=2.0)), np.arange(ROWS) % 3 > 0
        given, counted = {
            "none": ({}, np.ones(ROWS)),
            "weight": ({"sample_weight": weight}, weight),
            "mask": ({"mask": mask}, mask.astype("float64")),
        }[weighting]
        layer = quantizer(codebook_update=update, ema_decay=0.6, loss_scale="relative", commitment_weight=0.5)
        averages = Averages(0.6, DIM)
        for batch in range(3):
            z = Z * (1 + batch) + batch
            _, residuals, picked = cascade(z, as_array(layer.codebooks))
            error = (counted * ((residuals - picked) ** 2).sum(axis=2)).sum(axis=1) / counted.sum()
            expected = error.mean() / averages.variance(z, counted) * (0.5 if update == "ema" else 1.5)
            z[counted == 0] = np.nan
            layer(z, training=True, **given)
            assert total_loss(layer) == pytest.approx(expected, rel=1e-4)

    def test_gradients_are_those_of_eq_2(self):
        def loss(layer):
            def of_rows(z):
                layer(z, training=True)
                return sum(layer.losses)

            return of_rows

        _, (printed,), _ = gradients(loss(quantizer()), [Z])
        _, (found,), _ = gradients(loss(quantizer(loss_scale="relative")), [Z])
        np.testing.assert_allclose(found, printed, rtol=1e-6, atol=1e-7)
        assert np.abs(printed).max() > 1e-3

    @pytest.mark.parametrize("rows", [Z[:1], np.ones((4, DIM), "float32")], ids=["one row", "rows alike"])
    def test_without_any_variance_there_is_no_loss(self, rows):
        layer = quantizer(loss_scale="relative")
        layer(rows, training=True)
        assert total_loss(layer) == 0.0
        layer(Z, training=True)
        assert total_loss(layer) > 0.0

    def test_a_batch_in_which_no_row_counts_moves_nothing(self):
        layer = quantizer(loss_scale="relative")
        layer(Z, training=True)
        before = state(layer)
        layer(np.full_like(Z, np.nan), training=True, mask=np.zeros(ROWS, bool))
        for old, new in zip(before, state(layer), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_the_variance_is_saved_and_old_files_start_it_anew(self, tmp_path):
        def model(loss_scale="relative"):
            inputs = keras.Input((DIM,))
            return keras.Model(inputs, quantizer(loss_scale=loss_scale, name="quantizer")(inputs))

        def loss(found):
            found(3.0 * Z, training=True)
            return float(as_array(sum(found.losses)))

        trained, resumed = model(), model()
        trained(Z, training=True)
        trained.save_weights(tmp_path / "new.weights.h5")
        resumed.load_weights(tmp_path / "new.weights.h5")
        assert loss(resumed) == loss(trained)
        # Files of before have the quantizer's own weights, and no variance beside them.
        old, fresh = model("absolute"), model()
        old.save_weights(tmp_path / "old.weights.h5")
        resumed.load_weights(tmp_path / "old.weights.h5")
        fresh.load_weights(tmp_path / "old.weights.h5")
        assert loss(resumed) == loss(fresh) > 0.0

    def test_errors(self):
        with pytest.raises(ValueError, match="`loss_scale` must be one of .* Received: loss_scale='percent'"):
            ResidualQuantizer(loss_scale="percent")


class TestGradients:
    @pytest.mark.parametrize("levels", [1, 2, 3])
    def test_commitment_reaches_the_input_through_every_level(self, levels):
        """Subtracting straight-through codes would leave 2·(r − e) of level 1 alone."""
        layer = quantizer(BOOKS[:levels])

        def loss(z):
            layer(z, training=True)
            return sum(layer.losses)

        _, residuals, picked = cascade(Z, BOOKS[:levels])
        by_level = 2.0 * (residuals - picked) / ROWS
        assert np.abs(by_level).max(axis=(1, 2)).min() > 1e-3
        _, (found,), _ = gradients(loss, [Z])
        np.testing.assert_allclose(found, by_level.sum(axis=0), rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("training", [False, True])
    def test_straight_through_once(self, training):
        layer = quantizer(commitment_weight=0.0)
        factor = wave(ROWS, DIM, start=5.0)
        _, (found,), _ = gradients(lambda z: ops.sum(ops.multiply(layer(z, training=training), factor)), [Z])
        np.testing.assert_allclose(found, factor, rtol=1e-6)

    def test_codebook_term_reaches_the_codes_and_nothing_else(self):
        layer = quantizer(codebook_update="gradient", commitment_weight=0.0, codebook_weight=0.5)

        def loss(z):
            layer(z, training=True)
            return sum(layer.losses)

        codes, residuals, picked = cascade(Z, BOOKS)
        expected = np.zeros_like(BOOKS)
        for level in range(LEVELS):
            np.add.at(expected[level], codes[:, level], 0.5 * 2.0 * (picked - residuals)[level] / ROWS)
        (books,) = layer.trainable_weights
        _, (by_input,), (by_books,) = gradients(loss, [Z], [books])
        np.testing.assert_allclose(by_books, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(by_input, np.zeros_like(Z))

    def test_averaged_codebooks_are_not_trained(self):
        assert quantizer().trainable_weights == []

    def test_rows_that_do_not_count_send_nothing_back(self):
        layer = quantizer(codebook_update="gradient")
        z = Z.copy()
        z[4:] = np.nan

        def loss(rows):
            layer(rows, training=True, mask=np.arange(ROWS) < 4)
            return sum(layer.losses)

        value, (by_input,), (by_books,) = gradients(loss, [z], layer.trainable_weights)
        assert np.isfinite(value)
        np.testing.assert_array_equal(by_input[4:], np.zeros_like(Z[4:]))
        assert np.isfinite(by_books).all()
        assert np.abs(by_books).max() > 0


def averaged(books, batches, decay, weights=None):
    """Exponential moving averages of usage and assigned residuals, by loops."""
    levels, size, _ = books.shape
    books, usage = books.astype("float64"), np.full((levels, size), 1.0 / size)
    sums = books / size
    for index, z in enumerate(batches):
        weight = np.ones(len(z)) if weights is None else weights[index].astype("float64")
        codes, residuals, _ = cascade(z[weight > 0], books)
        weight = weight[weight > 0] / weight.sum()
        for level in range(levels):
            for code in range(size):
                chosen = codes[:, level] == code
                usage[level, code] = decay * usage[level, code] + (1 - decay) * weight[chosen].sum()
                moved = (weight[chosen, None] * residuals[level, chosen]).sum(axis=0)
                sums[level, code] = decay * sums[level, code] + (1 - decay) * moved
        books = sums / usage[..., None]
    return books, usage


class TestMovingAverages:
    @pytest.mark.parametrize("batches", [1, 4])
    def test_against_loops(self, batches):
        data = [wave(ROWS, DIM, start=float(index)) for index in range(batches)]
        layer = quantizer(ema_decay=0.8)
        for batch in data:
            layer(batch, training=True)
        books, usage = averaged(BOOKS, data, 0.8)
        np.testing.assert_allclose(as_array(layer.codebooks), books, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(as_array(layer.codebook_usage), usage, rtol=1e-5)
        assert int(as_array(layer.steps)) == batches

    def test_weights(self):
        data = [wave(ROWS, DIM, start=float(index)) for index in range(3)]
        weights = [np.maximum(wave(ROWS, start=index + 0.5), 0.0) for index in range(3)]
        layer = quantizer(ema_decay=0.8)
        for batch, weight in zip(data, weights, strict=True):
            layer(batch, training=True, sample_weight=weight)
        books, usage = averaged(BOOKS, data, 0.8, weights)
        np.testing.assert_allclose(as_array(layer.codebooks), books, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(as_array(layer.codebook_usage), usage, rtol=1e-5)

    @pytest.mark.parametrize("junk", [100.0, np.nan, np.inf])
    @pytest.mark.parametrize("by", ["mask", "weight"])
    def test_rows_that_do_not_count_move_nothing(self, by, junk):
        few, many = quantizer(ema_decay=0.5), quantizer(ema_decay=0.5)
        few(Z, training=True)
        padded = np.concatenate([Z, np.full((5, DIM), junk, "float32")])
        counted = np.arange(len(padded)) < ROWS
        given = {"mask": counted} if by == "mask" else {"sample_weight": 3.0 * counted.astype("float32")}
        many(padded, training=True, **given)
        for expected, found in zip(state(few), state(many), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        assert total_loss(many) == pytest.approx(total_loss(few), rel=1e-5)

    @BOTH
    def test_a_batch_of_zero_weight_moves_nothing(self, update):
        layer = quantizer(codebook_update=update, reset_dead_codes=True, reset_interval=1, ema_decay=0.5)
        before = state(layer)
        layer(np.full((ROWS, DIM), np.nan, "float32"), training=True, sample_weight=np.zeros(ROWS, "float32"))
        for old, new in zip(before, state(layer), strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-6)
        assert total_loss(layer) == 0.0

    def test_unused_code_stays_where_it_is(self):
        layer = quantizer(ema_decay=0.0)
        codes, _, _ = cascade(Z, BOOKS)
        layer(Z, training=True)
        unused = [(level, code) for level in range(LEVELS) for code in set(range(SIZE)) - set(codes[:, level])]
        assert unused
        for level, code in unused:
            np.testing.assert_allclose(as_array(layer.codebooks)[level, code], BOOKS[level, code], rtol=1e-6)

    def test_mask_of_an_embedding_is_used(self):
        tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
        embedding = keras.layers.Embedding(4, DIM, mask_zero=True)
        layer = quantizer(ema_decay=0.5)
        inputs = keras.Input((4,), dtype="int32")
        model = keras.Model(inputs, layer(embedding(inputs)))
        model(tokens, training=True)
        found = as_array(layer.codebook_usage).copy()
        alone = quantizer(ema_decay=0.5)
        alone(as_array(embedding(np.array([1, 2, 3]))), training=True)
        np.testing.assert_allclose(found, as_array(alone.codebook_usage), rtol=1e-5)


class TestDeadCodes:
    """A batch of 16 rows: 13 near code 0, 2 near code 1, one near code 2, none near code 3."""

    CENTERS = np.array([[0, 0], [20, 0], [0, 20], [-40, -40]], "float32")
    BATCH = np.repeat(CENTERS, [13, 2, 1, 0], axis=0) + 0.1 * wave(16, 2)

    def layer(self, **kwargs):
        return quantizer(
            self.CENTERS[np.newaxis],
            **{
                "ema_decay": 0.0,
                "reset_dead_codes": True,
                "reset_threshold": 0.4,  # dead below 0.4 · 16 / 4 = 1.6 rows
                "reset_interval": 2,
                **kwargs,
            },
        )

    def is_row(self, vector, rows):
        return bool((np.abs(rows - vector).max(axis=1) < 1e-5).any())

    @BOTH
    def test_at_the_interval_below_the_threshold_onto_rows(self, update):
        layer = self.layer(codebook_update=update)
        layer(self.BATCH, training=True)
        first = as_array(layer.codebooks)[0]
        kept = first if update == "ema" else self.CENTERS
        np.testing.assert_allclose(first[3], self.CENTERS[3])
        layer(self.BATCH, training=True)
        second = as_array(layer.codebooks)[0]
        np.testing.assert_allclose(second[:2], kept[:2], rtol=1e-5)
        for code in (2, 3):
            assert self.is_row(second[code], self.BATCH)
        usage = as_array(layer.codebook_usage)[0]
        np.testing.assert_allclose(usage, [13 / 16, 2 / 16, 0.2, 0.2], rtol=1e-5)

    @BOTH
    def test_off(self, update):
        layer = self.layer(codebook_update=update, reset_dead_codes=False)
        for _ in range(4):
            layer(self.BATCH, training=True)
        np.testing.assert_allclose(as_array(layer.codebooks)[0, 3], self.CENTERS[3])

    @BOTH
    def test_only_onto_rows_that_count(self, update):
        junk = np.full((48, 2), 1000.0, "float32")
        batch = np.concatenate([junk, self.BATCH, junk])
        weight = np.zeros(len(batch), "float32")
        weight[48:64] = 1.0
        for seed in range(5):
            layer = self.layer(codebook_update=update, seed=seed)
            for _ in range(2):
                layer(batch, training=True, sample_weight=weight)
            for code in (2, 3):
                assert self.is_row(as_array(layer.codebooks)[0, code], self.BATCH)

    def test_draws_in_proportion_to_the_weights(self):
        batch = np.concatenate([self.BATCH, [[70.0, 70.0]]]).astype("float32")
        weight = np.append(np.ones(16), 16e4).astype("float32")
        layer = self.layer(reset_interval=1, reset_threshold=0.9)
        layer(batch, training=True, sample_weight=weight)
        np.testing.assert_allclose(as_array(layer.codebooks)[0], np.full((4, 2), 70.0), rtol=1e-4)

    def test_the_second_level_moves_onto_residuals(self):
        books = np.stack([self.CENTERS, self.CENTERS + 500.0])
        layer = quantizer(
            books, ema_decay=0.0, reset_dead_codes=True, reset_threshold=0.4, reset_interval=1, commitment_weight=0.0
        )
        layer(self.BATCH, training=True)
        _, residuals, _ = cascade(self.BATCH, books)
        moved = as_array(layer.codebooks)[1]
        assert sum(self.is_row(code, residuals[1]) for code in moved) == 3

    @pytest.mark.any_backend
    def test_every_code_of_a_long_tail_is_used_only_with_resets(self):
        rng = np.random.default_rng(0)
        shares = 1.0 / np.arange(1, 33) ** 1.3
        # As behind a ReLU: the data lie to one side of the first codes, of which the nearest few win everything.
        coarse, fine = 3.0 + rng.normal(size=(32, 4)), 0.3 * rng.normal(size=(8, 4))

        def batch():
            which = rng.choice(32, 128, p=shares / shares.sum())
            noise = 0.05 * rng.normal(size=(128, 4))
            return (coarse[which] + fine[rng.integers(0, 8, 128)] + noise).astype("float32")

        data = [batch() for _ in range(80)]
        used = {}
        for reset in (True, False):
            layer = ResidualQuantizer(2, 16, ema_decay=0.9, reset_dead_codes=reset, reset_interval=5, seed=0)
            for rows in data:
                layer(rows, training=True)
            codes = as_array(layer.encode(np.concatenate(data)))
            used[reset] = [len(np.unique(codes[:, level])) for level in range(2)]
        assert used[True] == [16, 16]
        assert used[False][0] <= 4

    def test_a_saved_layer_goes_on_with_the_same_draws(self, tmp_path):
        def fresh():
            layer = self.layer(reset_interval=1)
            return keras.Sequential([keras.Input((2,)), layer]), layer

        model, layer = fresh()
        model(self.BATCH, training=True)
        model.save_weights(tmp_path / "half.weights.h5")
        resumed, other = fresh()
        resumed.load_weights(tmp_path / "half.weights.h5")
        for _ in range(2):
            model(self.BATCH, training=True)
            resumed(self.BATCH, training=True)
        np.testing.assert_array_equal(as_array(layer.codebooks), as_array(other.codebooks))


class Batches(keras.utils.PyDataset):
    def __init__(self, data, size, with_labels):
        super().__init__()
        self.data, self.size, self.with_labels = data, size, with_labels

    def __len__(self):
        return -(-len(self.data) // self.size)

    def __getitem__(self, index):
        rows = self.data[index * self.size : (index + 1) * self.size]
        return (rows, np.zeros(len(rows))) if self.with_labels else rows


def data_kinds():
    kinds = ["array", "generator", "labelled generator", "loader", "labelled loader", "cube"]
    return [*kinds, "tf.data", "labelled tf.data"] if keras.backend.backend() == "tensorflow" else kinds


def as_kind(kind, data):
    batches = [data[start : start + 50] for start in range(0, len(data), 50)]
    if kind == "array":
        return data
    if kind == "cube":
        return data.reshape(4, -1, data.shape[1])
    if kind == "generator":
        return iter(batches)
    if kind == "labelled generator":
        return ((batch, np.zeros(len(batch))) for batch in batches)
    if "loader" in kind:
        return Batches(data, 50, kind.startswith("labelled"))
    import tensorflow as tf

    parts = (data, np.zeros(len(data))) if kind.startswith("labelled") else data
    return tf.data.Dataset.from_tensor_slices(parts).batch(50)


class TestAdapt:
    DATA = np.random.default_rng(0).normal(size=(200, DIM)).astype("float32")

    def error(self, layer):
        return float(((as_array(layer.decode(layer.encode(self.DATA))) - self.DATA) ** 2).mean())

    @BOTH
    def test_lowers_the_error(self, update):
        layer = ResidualQuantizer(2, 8, codebook_update=update, seed=0)
        layer.build((None, DIM))
        before = self.error(layer)
        layer.adapt(self.DATA)
        assert self.error(layer) < 0.3 * before

    def test_usage_and_averages_start_from_the_clusters(self):
        layer = ResidualQuantizer(2, 8, seed=0, reset_dead_codes=False)
        # So few rows that Lloyd's iterations end at a fixed point: the mean of the rows of a code is the code.
        data = self.DATA[:60]
        layer.adapt(data)
        codes = as_array(layer.encode(data))
        shares = np.stack([np.bincount(codes[:, level], minlength=8) for level in range(2)]) / len(data)
        np.testing.assert_allclose(as_array(layer.codebook_usage), shares, atol=1e-6)
        before = as_array(layer.codebooks).copy()
        layer(data, training=True)
        np.testing.assert_allclose(as_array(layer.codebooks), before, atol=1e-5)

    @pytest.mark.parametrize("kind", data_kinds())
    def test_kinds_of_data(self, kind):
        expected, layer = ResidualQuantizer(2, 8, seed=0), ResidualQuantizer(2, 8, seed=0)
        expected.adapt(self.DATA)
        layer.adapt(as_kind(kind, self.DATA))
        np.testing.assert_array_equal(as_array(layer.codebooks), as_array(expected.codebooks))

    def test_a_sample_is_drawn_over_all_the_data(self):
        far = np.concatenate([np.zeros((500, 2)), np.full((500, 2), 9.0)]).astype("float32")
        layer = ResidualQuantizer(1, 2, seed=0)
        layer.adapt((far[start : start + 100] for start in range(0, 1000, 100)), max_rows=50)
        assert sorted(as_array(layer.codebooks)[0, :, 0].tolist()) == [0.0, 9.0]
        assert 0.25 < float(as_array(layer.codebook_usage).min()) <= 0.5

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (np.zeros(3, "float32"), r"shape \(\.\.\., dim\).*\(3,\)"),
            (np.array([[0.0, 1.0], [np.nan, 0.0]]), "finite vectors; row 1"),
            (iter([]), "no rows"),
            (np.zeros((4, 3)), "2 components.*Received: 3"),
        ],
    )
    def test_errors(self, data, message):
        layer = ResidualQuantizer(1, 2)
        layer.build((None, 2))
        with pytest.raises(ValueError, match=message):
            layer.adapt(data)


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"num_levels": 0}, "`num_levels` must be a positive integer. Received: num_levels=0"),
            ({"codebook_size": 2.0}, "`codebook_size` must be a positive integer. Received: codebook_size=2.0"),
            ({"reset_interval": 0}, "`reset_interval` must be a positive integer"),
            ({"codebook_update": "sgd"}, "one of .*'ema', 'gradient'.*codebook_update='sgd'"),
            ({"ema_decay": 1.0}, r"`ema_decay` must lie in \[0, 1\)"),
            ({"reset_threshold": -0.1}, r"`reset_threshold` must lie in \[0, 1\)"),
            ({"commitment_weight": -1.0}, "`commitment_weight` must not be negative"),
            ({"codebook_weight": -1.0}, "`codebook_weight` must not be negative"),
        ],
    )
    def test_out_of_range(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ResidualQuantizer(**arguments)

    def test_unknown_width(self):
        with pytest.raises(ValueError, match="last axis of the inputs must be known"):
            ResidualQuantizer().build((None, None))

    def test_weights_of_one_update_do_not_load_into_the_other(self, tmp_path):
        ema, gradient = (
            keras.Sequential([keras.Input((DIM,)), ResidualQuantizer(1, 2, codebook_update=update)])
            for update in ("ema", "gradient")
        )
        ema.save_weights(tmp_path / "ema.weights.h5")
        with pytest.raises(ValueError, match="codebook_update='gradient'.*codebook_shift.*codebook_sums"):
            gradient.load_weights(tmp_path / "ema.weights.h5")


def test_gradient_codebooks_train_and_reset_in_a_compiled_fit():
    data = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    layer = ResidualQuantizer(
        1, 8, codebook_update="gradient", ema_decay=0.5, reset_interval=2, seed=0, loss_scale="absolute"
    )
    inputs = keras.Input((4,))
    weight = keras.Input((1,))
    model = keras.Model([inputs, weight], layer(inputs, sample_weight=weight))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    counted = (np.arange(256) % 2).astype("float32")[:, np.newaxis]
    losses = model.fit([data, counted], data, batch_size=64, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert (as_array(layer.codebook_usage) > 0).all()
    assert np.abs(as_array(layer.codebooks)).max() > 0.3
