"""The draws that round rows: equal to the mixer in unsigned NumPy, uniform, and one row's own."""

import keras
import numpy as np

from grouprank.layers.embedding.row_noise import row_noise


def mix(x):
    x = x.astype("uint32")
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def test_draws_are_those_of_the_unsigned_mixer_on_every_backend():
    rows = np.array([0, 1, 7, 2**31 - 1], "int32")
    with np.errstate(over="ignore"):
        columns = np.arange(1, 6, dtype="uint32") * np.uint32(0x9E3779B9)
        step = mix(mix(np.array([2**31 - 1])) ^ np.uint32(3))
        expected = mix(mix(step ^ rows.view("uint32"))[:, None] ^ columns)
    found = keras.ops.convert_to_numpy(row_noise(rows, 5, 2**31 - 1, keras.ops.convert_to_tensor(3.0)))
    np.testing.assert_array_equal(found, (expected >> np.uint32(8)).astype("float32") * 2.0**-24)


def test_draws_are_uniform_and_independent_of_rows_columns_and_steps():
    draws = np.stack([keras.ops.convert_to_numpy(row_noise(np.arange(4_000), 8, 5, float(t))) for t in (1, 2)])
    other_seed = keras.ops.convert_to_numpy(row_noise(np.arange(4_000), 8, 6, 1.0))
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts = np.histogram(draws, 16, (0, 1))[0]
    # 4,000 expected in each of 16 bins, with a standard deviation of 61.
    assert abs(counts - 4_000).max() < 250
    flat = draws.reshape(2, -1)
    for one, other in (
        (draws[0, :-1], draws[0, 1:]),
        (draws[0, :, :-1], draws[0, :, 1:]),
        (flat[0], flat[1]),
        (draws[1], other_seed),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03
