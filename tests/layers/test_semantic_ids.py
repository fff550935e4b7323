"""Semantic ids: codes of items, their prefixes, and embeddings of them."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.gradients import gradients

from grouprank.layers import SemanticIdEmbedding, SemanticIds, fit_semantic_ids

CODES = [[-1, -1, -1], [2, 0, 1], [2, 0, 1], [2, 0, 3], [2, 1, 1], [0, 1, 1], [-1, -1, -1], [0, 1, 1], [0, 1, 1]]
PREFIXES = [[0, 0, 0], [2, 2, 2], [2, 2, 2], [2, 2, 3], [2, 3, 4], [1, 1, 1], [0, 0, 0], [1, 1, 1], [1, 1, 1]]
SIZES = (3, 4, 5)


class TestSemanticIds:
    def test_by_hand(self):
        ids = SemanticIds(CODES, codebook_size=4)
        assert (ids.num_items, ids.num_levels) == (9, 3)
        # Seven items with codes: two share a tuple, three another, two are alone.
        assert ids.distinct == 4
        assert ids.collision_rate == pytest.approx(5 / 7)
        prefixes, sizes = ids.prefix_ids()
        assert prefixes.tolist() == PREFIXES
        assert (sizes, prefixes.dtype) == (SIZES, np.int32)

    def test_no_item_has_codes(self):
        ids = SemanticIds([[-1, -1]], codebook_size=4)
        assert (ids.distinct, ids.collision_rate) == (0, 0.0)
        assert ids.prefix_ids()[1] == (1, 1)

    def test_numbers_of_prefixes_do_not_overflow(self):
        """Ten levels of 256 codes are 2⁸⁰ tuples."""
        generator = np.random.default_rng(0)
        codes = np.concatenate([np.full((1, 10), -1), generator.integers(0, 256, (500, 10))])
        codes[2] = codes[1]
        codes[3, :9] = codes[1, :9]
        ids = SemanticIds(codes, codebook_size=256)
        assert ids.distinct == 499
        prefixes, sizes = ids.prefix_ids()
        assert sizes == tuple(1 + len(set(map(tuple, codes[1:, : level + 1].tolist()))) for level in range(10))
        assert (prefixes[1] == prefixes[2]).all()
        assert (prefixes[1] == prefixes[3]).tolist() == [True] * 9 + [False]

    def test_without_collisions(self):
        ids = SemanticIds(CODES, codebook_size=4).without_collisions()
        # In the order of ids: items 1 and 2 share a tuple, and items 5, 7 and 8.
        assert ids.codes[:, 3].tolist() == [-1, 0, 1, 0, 0, 0, -1, 1, 2]
        assert ids.codes[:, :3].tolist() == CODES
        assert (ids.codebook_size, ids.collision_rate) == (4, 0.0)
        assert ids.without_collisions() is ids
        # More items of one tuple than a level has codes.
        assert SemanticIds(CODES[:1] + CODES[1:2] * 6, codebook_size=4).without_collisions().codebook_size == 6

    def test_file(self, tmp_path):
        ids = SemanticIds(CODES, codebook_size=4)
        ids.save(tmp_path / "ids")
        loaded = SemanticIds.load(tmp_path / "ids")
        np.testing.assert_array_equal(loaded.codes, ids.codes)
        assert (loaded.codebook_size, loaded.codes.dtype) == (4, np.int32)

    def test_frozen(self):
        given = np.array(CODES)
        ids = SemanticIds(given, codebook_size=4)
        given[1] = 0
        assert ids.codes[1].tolist() == CODES[1]
        with pytest.raises(ValueError, match="read-only"):
            ids.codes[1] = 0
        with pytest.raises(AttributeError):
            ids.codebook_size = 5

    @pytest.mark.parametrize(
        ("codes", "message"),
        [
            ([-1, 2], r"`codes` must be integers of shape \(items, num_levels\). Received: shape \(2,\)"),
            ([[0.5]], "`codes` must be integers"),
            ([[-1], [4]], r"`codes` must lie in \[0, 4\).*Received codes from -1 to 4"),
            ([[-1], [-2]], "Received codes from -2 to -1"),
            ([[-1, -1], [3, -1]], "An item must have codes on every level or on none. Item 1"),
            ([[1, 1], [3, 1]], r"Row 0 belongs to the out-of-vocabulary id.*Received: \[1, 1\]"),
        ],
    )
    def test_errors(self, codes, message):
        with pytest.raises(ValueError, match=message):
            SemanticIds(codes, codebook_size=4)


# One set of sizes: each other one is compiled anew on JAX.
FIT = {"num_levels": 2, "codebook_size": 4, "batch_size": 64, "seed": 0}


def groups_of_items(rows=600, dim=8, seed=0):
    """Four far groups of three near groups each; the group and sub-group of each row."""
    generator = np.random.default_rng(seed)
    coarse, fine = generator.integers(0, 4, rows), generator.integers(0, 3, rows)
    centers, offsets = 10 * generator.normal(size=(4, dim)), 1.5 * generator.normal(size=(4, 3, dim))
    vectors = centers[coarse] + offsets[coarse, fine] + 0.02 * generator.normal(size=(rows, dim))
    vectors[0] = np.nan
    return vectors, coarse, fine


def spread_within(vectors, tuples):
    """Mean squared distance of the items from the mean of those with the same tuple."""
    _, groups = np.unique(tuples, axis=0, return_inverse=True)
    sums = np.zeros((groups.max() + 1, vectors.shape[1]))
    np.add.at(sums, groups, vectors)
    return ((vectors - (sums / np.bincount(groups)[:, None])[groups]) ** 2).sum(axis=1).mean()


class TestFit:
    def test_near_vectors_share_prefixes(self):
        vectors, coarse, fine = groups_of_items()
        ids = fit_semantic_ids(vectors, epochs=5, **FIT)
        codes = ids.codes[1:]
        for group in range(4):
            of_group = codes[coarse[1:] == group]
            assert len(set(of_group[:, 0])) == 1
        assert len(set(codes[:, 0])) == 4
        assert len(set(map(tuple, codes))) > 4
        # Items of one sub-group, as good as equal, share the whole tuple.
        for sub_group in set(zip(coarse[1:], fine[1:], strict=True)):
            chosen = (coarse[1:] == sub_group[0]) & (fine[1:] == sub_group[1])
            assert len(set(map(tuple, codes[chosen]))) == 1

    def test_better_than_random_codes(self):
        vectors = np.random.default_rng(1).normal(size=(600, 8))
        ids = fit_semantic_ids(vectors, epochs=5, **FIT)
        random_codes = np.random.default_rng(2).permutation(ids.codes[1:])
        fitted, by_chance = (spread_within(vectors[1:], codes) for codes in (ids.codes[1:], random_codes))
        assert fitted < 0.7 * by_chance
        assert spread_within(vectors[1:], ids.codes[1:, :1]) > fitted

    def test_items_without_vectors(self):
        vectors, _, _ = groups_of_items(65)
        vectors[[7, 9]] = np.nan
        ids = fit_semantic_ids(vectors, epochs=1, **FIT)
        assert np.flatnonzero((ids.codes < 0).any(axis=1)).tolist() == [0, 7, 9]
        assert ids.codes.shape == (65, 2)
        # Row 0 is not read, whatever it holds.
        vectors[0] = 1e6
        np.testing.assert_array_equal(fit_semantic_ids(vectors, epochs=1, **FIT).codes, ids.codes)

    def test_scales_of_columns_do_not_matter(self):
        vectors, _, _ = groups_of_items(600)
        stretched = vectors * np.float32([1, 64, 1, 1 / 32, 1, 1, 1, 1])
        constant = np.concatenate([vectors, np.full((600, 1), 3.3)], axis=1)
        expected = fit_semantic_ids(vectors, epochs=2, **FIT).codes
        np.testing.assert_array_equal(fit_semantic_ids(stretched, epochs=2, **FIT).codes, expected)
        np.testing.assert_array_equal(fit_semantic_ids(constant, epochs=2, **FIT).codes, expected)

    def test_a_seed_repeats(self):
        vectors = np.random.default_rng(1).normal(size=(600, 8))
        first, second = (fit_semantic_ids(vectors, epochs=2, **FIT).codes for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_fewer_items_than_codes(self):
        ids = fit_semantic_ids(wave(4, 8), epochs=2, **FIT)
        assert ids.collision_rate == 0.0

    @pytest.mark.parametrize(
        ("vectors", "message"),
        [
            (np.ones(3), r"`vectors` must be of shape \(items, dim\). Received: shape \(3,\)"),
            (np.array([[0, 0], [1, np.nan], [np.inf, 1]]), "Received: 2 rows .* the first is row 1"),
            (np.full((3, 2), np.nan), "`vectors` holds no vector"),
            (np.ones((1, 2)), "items start at row 1"),
        ],
    )
    def test_errors(self, vectors, message):
        with pytest.raises(ValueError, match=message):
            fit_semantic_ids(vectors)


class TestEmbedding:
    def built(self, semantic_ids=CODES, **arguments):
        layer = SemanticIdEmbedding(semantic_ids, 2, **arguments)
        layer.build()
        set_fixed_weights(layer)
        return layer, as_array(layer.embeddings)

    @pytest.mark.parametrize("given", [CODES, np.array(CODES), SemanticIds(CODES, codebook_size=9)])
    def test_sum_of_prefixes(self, given):
        layer, table = self.built(given)
        assert table.shape == (3 + 4 + 5, 2)
        found = as_array(layer(np.arange(9)))
        expected = [table[first] + table[3 + second] + table[7 + third] for first, second, third in PREFIXES]
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_concatenation_of_prefixes(self):
        layer, table = self.built(aggregate="concat")
        found = as_array(layer(np.array([[3], [4]])))
        expected = [[np.concatenate([table[2], table[3 + 2], table[7 + 3]])]]
        expected += [[np.concatenate([table[2], table[3 + 3], table[7 + 4]])]]
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("wrong", [-1, 9, 10**6, 2**31 - 1])
    def test_ids_out_of_range_are_out_of_vocabulary(self, wrong):
        layer, table = self.built()
        np.testing.assert_allclose(as_array(layer(np.array([wrong])))[0], table[0] + table[3] + table[7], rtol=1e-6)

    def test_items_teach_those_that_share_their_prefixes(self):
        layer, _ = self.built()
        _, _, (by_row,) = gradients(lambda: ops.sum(layer(np.array([3, 3, 4]))), [], [layer.embeddings])
        expected = np.zeros((12, 2))
        expected[[2, 3 + 2, 7 + 3]] += 2
        expected[[2, 3 + 3, 7 + 4]] += 1
        np.testing.assert_allclose(by_row, expected)

    def test_file_holds_the_prefixes(self, tmp_path):
        layer, _ = self.built()
        inputs = keras.Input((), dtype="int32")
        model = keras.Model(inputs, layer(inputs))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        ids = np.arange(-1, 10)
        np.testing.assert_array_equal(as_array(loaded(ids)), as_array(model(ids)))
        assert layer.get_config()["semantic_ids"] == {"num_items": 9, "level_sizes": [3, 4, 5]}
        np.testing.assert_array_equal(as_array(loaded.layers[-1].prefixes), PREFIXES)

    def test_training_leaves_the_prefixes(self):
        layer, before = self.built()
        inputs = keras.Input((), dtype="int32")
        model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
        model.compile("adam", "mse", jit_compile=keras.backend.backend() != "torch")
        model.fit(np.arange(1, 9), np.ones((8, 1)), batch_size=8, verbose=0)
        np.testing.assert_array_equal(as_array(layer.prefixes), PREFIXES)
        moved = (as_array(layer.embeddings) != before).any(axis=1)
        assert moved.tolist() == [True] * 12

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"embedding_dim": 0}, "`embedding_dim` must be a positive integer"),
            ({"aggregate": "mean"}, r"`aggregate` must be one of \('sum', 'concat'\). Received: aggregate='mean'"),
            ({"semantic_ids": [[1], [2]]}, "Row 0 belongs to the out-of-vocabulary id"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            SemanticIdEmbedding(**{"semantic_ids": CODES, **arguments})
