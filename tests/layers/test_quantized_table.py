"""Tables in 8 and 4 bits: what the bytes mean, how far a value is off, and the search for a row's range."""

import numpy as np
import pytest
from support.fixed_weights import as_array

from grouprank.layers import EmbeddingCollection, FusedEmbeddingCollection
from grouprank.layers.embedding.quantized_table import QuantizedTable, quantized

BITS = pytest.mark.parametrize("bits", [8, 4])


def vectors(rows=200, width=7):
    return np.random.default_rng(0).standard_t(3, (rows, width)).astype("float32") / 20


def read(packed, width, bits):
    """A value after the other, from what the docstring says of the bytes."""
    found = np.zeros((len(packed), width))
    for number, (scale, offset, *codes) in enumerate(packed.tolist()):
        step = 2.0 ** (scale / 8 - 24)
        if bits == 4:
            codes = [code // 16 for code in codes] + [code % 16 for code in codes]
        found[number] = [step * code + (offset - 128) * step * 2**bits / 128 for code in codes[:width]]
    return found


def table_of(rows, dtype):
    table = QuantizedTable(len(rows), rows.shape[1], dtype)
    table.fill([rows[:150], rows[150:]])
    return table


@BITS
@pytest.mark.parametrize("width", [1, 7, 16])
def test_rows_are_read_as_their_bytes_say(bits, width):
    rows = vectors(width=width)
    table = table_of(rows, f"int{bits}")
    packed = as_array(table.rows)
    assert packed.shape == (200, 2 + -(-width * bits // 8))
    numbers = np.array([[3, 199], [3, 0]])
    np.testing.assert_allclose(as_array(table(numbers)), read(packed, width, bits)[numbers], rtol=1e-6, atol=1e-9)


def test_eight_bits_are_off_by_half_a_step():
    rows = vectors()
    low, high = rows.min(axis=1), rows.max(axis=1)
    off = np.abs(read(quantized(rows, 8), 7, 8) - rows).max(axis=1)
    # 253 steps cover the range, 254 reach the lowest value from zero, and a scale is at most an eighth of an octave
    # larger than it need be.
    step = 2 ** (1 / 8) * np.maximum((high - low) / 253, np.abs(low) / 254)
    assert (off <= 0.5001 * step).all()


def test_four_bits_choose_the_range_with_the_least_error():
    # One value lies far from the others: a range from end to end would have twice their steps.
    rows = np.linspace(-0.01, 0.01, 64, dtype="float32")[None].repeat(2, axis=0)
    rows[1, 0] = 0.03
    least = np.full(2, np.inf)
    for scale in 2.0 ** (np.arange(256) / 8 - 24):
        for offset in np.arange(-128, 128) * scale / 8:
            codes = np.clip(np.rint((rows - offset) / scale), 0, 15)
            least = np.minimum(least, np.square(offset + scale * codes - rows).sum(axis=1))
    found = np.square(read(quantized(rows, 4), 64, 4) - rows).sum(axis=1)
    assert (found <= 1.3 * least).all()
    end_to_end = np.rint((rows[1] - rows[1].min()) / (0.04 / 15)) * (0.04 / 15) + rows[1].min()
    assert found[1] < 0.95 * np.square(end_to_end - rows[1]).sum()


@BITS
@pytest.mark.parametrize("value", [0.0, 3.0, -1e-3, 100.0])
def test_rows_of_one_value_are_kept(bits, value):
    rows = np.full((2, 5), value, "float32")
    np.testing.assert_allclose(read(quantized(rows, bits), 5, bits), rows, rtol=0.01)


@BITS
@pytest.mark.parametrize("collection_class", [EmbeddingCollection, FusedEmbeddingCollection])
def test_a_collection_looks_up_what_it_keeps_in_fewer_bits(bits, collection_class):
    layer = collection_class({"user": 40, "tags": 30}, 8, sequences=["tags"])
    inputs = {"user": np.array([0, 39, 7]), "tags": np.array([[1, 29, 0], [0, 0, 0], [5, 5, 1]])}
    before = {name: as_array(value) for name, value in layer(inputs, training=False).items()}
    for stack in layer.stacks:
        stack.quantize(f"int{bits}")
    for name, value in layer(inputs, training=False).items():
        off = np.abs(as_array(value) - before[name]).max()
        assert 0 < off < {8: 5e-4, 4: 5e-3}[bits]
    np.testing.assert_array_equal(as_array(layer(inputs)["tags"])[1], 0.0)


def test_too_few_rows_and_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="has 3 rows. Received: 2"):
        QuantizedTable(3, 4, "int8").fill([np.zeros((2, 4))])
    with pytest.raises(ValueError, match=r"must be one of \['int8', 'int4'\]. Received: 'int2'"):
        QuantizedTable(3, 4, "int2")
