import keras
import numpy as np
import pytest

from grouprank.layers.codebook_adaptation import collect_rows, fit_codebooks, k_means


def test_by_hand():
    """Two pairs a long way apart: whatever the start, the centers are the pairs' means."""
    rows = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]], "float32")
    for seed in range(5):
        centers, codes = k_means(rows, 2, np.random.default_rng(seed))
        order = np.argsort(centers[:, 0])
        np.testing.assert_array_equal(centers[order], [[0.0, 1.0], [10.0, 1.0]])
        np.testing.assert_array_equal(order[[0, 0, 1, 1]], codes)


def test_fixed_point():
    rows = np.random.default_rng(0).normal(size=(300, 3)).astype("float32")
    centers, codes = k_means(rows, 6, np.random.default_rng(0), iterations=200)
    distances = ((rows[:, None] - centers) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(distances.argmin(axis=1), codes)
    means = np.stack([rows[codes == code].mean(axis=0) for code in range(6)])
    np.testing.assert_allclose(centers, means, rtol=1e-5, atol=1e-6)


def test_fewer_rows_than_clusters():
    rows = np.array([[1.0], [5.0]], "float32")
    centers, codes = k_means(rows, 4, np.random.default_rng(0))
    assert centers.shape == (4, 1)
    np.testing.assert_array_equal(centers[codes], rows)
    assert set(centers.ravel()) == {1.0, 5.0}


def test_one_repeated_row():
    centers, codes = k_means(np.ones((3, 2), "float32"), 2, np.random.default_rng(0))
    np.testing.assert_array_equal(centers, np.ones((2, 2)))
    assert codes.tolist() == [0, 0, 0]


def test_levels_fit_what_is_left_over():
    rows = np.array([[0.0], [1.0], [10.0], [11.0]], "float32")
    books, usage = fit_codebooks(rows, 2, 2, seed=0)
    assert sorted(books[0].ravel().tolist()) == [0.5, 10.5]
    assert sorted(books[1].ravel().tolist()) == [-0.5, 0.5]
    np.testing.assert_array_equal(usage, np.full((2, 2), 0.5))


@pytest.mark.parametrize("batch", [7, 100])
def test_sample_is_uniform_over_rows_and_repeats_with_the_seed(batch):
    data = np.arange(1000, dtype="float32")[:, np.newaxis]
    batches = [data[start : start + batch] for start in range(0, 1000, batch)]
    kept = collect_rows(iter(batches), 100, seed=1)
    np.testing.assert_array_equal(kept, collect_rows(iter(batches), 100, seed=1))
    assert kept.shape == (100, 1)
    assert len(np.unique(kept)) == 100
    assert 400 < kept.mean() < 600


def test_without_a_seed_adapt_follows_keras_global_seed():
    rows = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        found.append(fit_codebooks(rows, 1, 8, None)[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], fit_codebooks(rows, 1, 8, None)[0])
