"""Rows of embedding tables that begin anew, or move into a larger table."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, wave

from grouprank.layers import EmbeddingCollection, FusedEmbeddingCollection, embedding_optimizers
from grouprank.layers.embedding.initial_rows import initial_rows
from grouprank.layers.embedding.move_rows import move_rows

SIZES = {"user": 9, "ad": 7}
INITIAL = {"sgd": {}, "adagrad": {"accumulator": 0.3}, "rowwise_adagrad": {"accumulator": 0.1}}
INITIAL["adam"] = {"momentum": 0.0, "velocity": 0.0}


def initializer(seed=None):
    return keras.initializers.RandomUniform(2.0, 3.0, seed=seed)


def filled(layer):
    """The layer with numbers that no initializer draws."""
    layer.build(None)
    for stack in layer.stacks:
        state = stack.layer.state if stack.layer is not None else {"embeddings": stack.variable}
        for number, variable in enumerate(state.values()):
            variable.assign(1.0 + wave(*variable.shape, start=number).astype("float64") / 4)
    return layer


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", INITIAL)
def test_a_fused_table_begins_anew(name, dtype):
    optimizer = embedding_optimizers.Adagrad(0.1, 0.3) if name == "adagrad" else name
    layer = filled(
        FusedEmbeddingCollection(SIZES, 4, optimizer, storage_dtype=dtype, embeddings_initializer=initializer())
    )
    before = {key: np.array(as_array(value)) for key, value in layer.table.state.items()}
    rows = layer.stacks[0].reset({"user": np.array([0, 8]), "ad": np.array([3])}, seed=1)
    assert rows.tolist() == [0, 8, 12]
    others = np.setdiff1d(np.arange(16), rows)
    for key, value in layer.table.state.items():
        found = as_array(value)
        if key not in ("embeddings", *INITIAL[name]):
            np.testing.assert_array_equal(found, before[key])
            continue
        np.testing.assert_array_equal(found[others], before[key][others])
        if key == "embeddings":
            assert 2.0 <= found[rows].min() <= found[rows].max() <= 3.0
            assert len(np.unique(found[rows])) > 4
        else:
            np.testing.assert_array_equal(found[rows], np.float32(INITIAL[name][key]))


def test_a_stock_table_begins_anew():
    layer = filled(EmbeddingCollection(SIZES, 4, embeddings_initializer=initializer()))
    before = np.array(as_array(layer.embeddings))
    layer.stacks[0].reset({"ad": np.array([0, 6])}, seed=1)
    found = as_array(layer.embeddings)
    assert np.flatnonzero((found != before).any(axis=1)).tolist() == [9, 15]
    assert found[[9, 15]].min() >= 2.0


def test_what_is_drawn():
    """The same in another process, where an initializer without a seed has another one; else it differs."""

    def drawn(table="ad", ids=(1, 4), seed=3, of=None):
        return as_array(initial_rows(of or initializer(), table, np.array(ids), 7, 4, "float32", seed))

    expected = drawn()
    assert expected.shape == (2, 4)
    np.testing.assert_array_equal(drawn(), expected)
    np.testing.assert_array_equal(drawn(of=initializer(seed=keras.random.SeedGenerator(5))), expected)
    for other in (drawn(table="user"), drawn(ids=(1, 5)), drawn(seed=4), expected[::-1]):
        assert (np.abs(other - expected) > 1e-3).all()
    np.testing.assert_array_equal(drawn(of=keras.initializers.Ones()), np.ones((2, 4)))


def test_scales_are_those_of_the_table():
    """Glorot's range is that of 500 rows, not of the three that begin anew."""
    glorot = keras.initializers.GlorotUniform()
    drawn = as_array(initial_rows(glorot, "ad", np.array([1, 2, 3]), 500, 4, "float32", 0))
    limit = np.sqrt(6 / 504)
    assert 0.5 * limit < np.abs(drawn).max() <= limit


def test_tables_of_more_rows_than_a_block(monkeypatch):
    monkeypatch.setattr("grouprank.layers.embedding.initial_rows.BLOCK_ROWS", 5)
    monkeypatch.setattr("grouprank.layers.embedding.blockwise_initializer.BLOCK_ROWS", 5)
    drawn = as_array(initial_rows(initializer(), "ad", np.arange(12), 20, 2, "float32", 0))
    assert drawn.shape == (12, 2)
    assert len(np.unique(drawn)) == 24


def test_rows_move_table_by_table():
    old = keras.Variable(wave(5, 2))
    new = keras.Variable(np.full((9, 2), 7.0, "float32"))
    move_rows(old, new, [((0, 2), (0, 3)), ((2, 3), (3, 6))])
    expected = np.full((9, 2), 7.0, "float32")
    expected[[0, 1, 3, 4, 5]] = wave(5, 2)
    np.testing.assert_array_equal(as_array(new), expected)
    with pytest.raises(ValueError, match=r"differ in shape, \(5, 2\) and \(9, 2\), and belong to no table"):
        move_rows(old, new)
