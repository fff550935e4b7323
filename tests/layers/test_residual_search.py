"""The cascade of nearest codes and its two steps, against loops."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, wave

from grouprank.layers.code_primitives import first_largest, sum_by_code
from grouprank.layers.residual_search import residual_search


@pytest.mark.parametrize("codes", [1, 5, 8, 24, 32, 100, 256])
def test_first_largest(codes):
    scores = np.random.default_rng(codes).normal(size=(50, codes)).astype("float32")
    found = first_largest(ops.convert_to_tensor(scores))
    assert keras.backend.standardize_dtype(found.dtype) == "int32"
    np.testing.assert_array_equal(as_array(found), scores.argmax(axis=-1))


@pytest.mark.parametrize("codes", [7, 64])
def test_the_first_of_equals_wins(codes):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (200, codes)).astype("float32")
    np.testing.assert_array_equal(as_array(first_largest(ops.convert_to_tensor(scores))), scores.argmax(axis=-1))
    signed = np.where(rng.random((200, codes)) < 0.5, -0.0, 0.0).astype("float32")
    assert (as_array(first_largest(ops.convert_to_tensor(signed))) < codes).all()


def test_not_a_number_gives_a_code_all_the_same():
    scores = np.full((3, 64), np.nan, "float32")
    found = as_array(first_largest(ops.convert_to_tensor(scores)))
    assert ((found >= 0) & (found < 64)).all()


def test_sum_by_code():
    rows, codes = wave(20, 3), np.arange(20) ** 2 % 7
    expected = np.zeros((9, 3))
    for row, code in zip(rows, codes, strict=True):
        expected[code] += row
    found = sum_by_code(ops.convert_to_tensor(rows), ops.convert_to_tensor(codes.astype("int32")), 9)
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [12, 256])
def test_cascade(size):
    rng = np.random.default_rng(size)
    rows = rng.normal(size=(300, 6)).astype("float32")
    books = (rng.normal(size=(3, size, 6)) / np.array([1, 2, 4])[:, None, None]).astype("float32")
    codes, residuals = residual_search(ops.convert_to_tensor(rows), ops.convert_to_tensor(books))
    assert (len(codes), len(residuals)) == (3, 4)
    left = rows.astype("float64")
    for level, book in enumerate(books.astype("float64")):
        np.testing.assert_allclose(as_array(residuals[level])[:, :-1], left, atol=1e-5)
        distance = ((left[:, None] - book) ** 2).sum(axis=-1)
        np.testing.assert_array_equal(as_array(codes[level]), distance.argmin(axis=-1))
        left = left - book[as_array(codes[level])]
    np.testing.assert_allclose(as_array(residuals[3])[:, :-1], left, atol=1e-5)
    for residual in residuals:
        np.testing.assert_array_equal(as_array(residual)[:, -1], np.ones(300))
