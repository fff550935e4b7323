import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights
from support.gradients import gradients

from grouprank.layers import EmbeddingCollection, FusedEmbeddingCollection

STOCK_AND_FUSED = pytest.mark.parametrize("collection_class", [EmbeddingCollection, FusedEmbeddingCollection])


def collection(collection_class=EmbeddingCollection, **kwargs):
    layer = collection_class(
        {"user": 4, "ad": 3, "seen": 4, "tags": 5}, 2, sequences=("seen", "tags"), shares={"seen": "user"}, **kwargs
    )
    layer.build(None)
    set_fixed_weights(layer)
    return layer, as_array(layer.embeddings)


def look_up(layer, **columns):
    empty = {"user": [0], "ad": [0], "seen": [[0]], "tags": [[0]]}
    rows = len(next(iter(columns.values())))
    inputs = {name: np.array(columns.get(name, values * rows), "int32") for name, values in empty.items()}
    return {name: as_array(values) for name, values in layer(inputs).items()}


def test_one_table_with_rows_of_its_own_for_each_owner():
    layer, table = collection()
    assert table.shape == (4 + 3 + 5, 2)
    out = look_up(layer, user=[0, 3], ad=[1, 2])
    np.testing.assert_array_equal(out["user"], table[[0, 3]])
    np.testing.assert_array_equal(out["ad"], table[[4 + 1, 4 + 2]])
    assert list(out) == ["user", "ad", "seen", "tags"]


def test_sequences_are_means_over_known_ids():
    layer, table = collection()
    out = look_up(layer, seen=[[1, 3, 0], [0, 0, 0], [2, 2, 0]], tags=[[4, 0, 0]] * 3)
    np.testing.assert_allclose(out["seen"], [(table[1] + table[3]) / 2, [0, 0], table[2]], rtol=1e-6)
    np.testing.assert_allclose(out["tags"], [table[7 + 4]] * 3, rtol=1e-6)


class TestUnpooled:
    @STOCK_AND_FUSED
    def test_a_vector_for_each_id_that_counts(self, collection_class):
        layer, table = collection(collection_class, unpooled=["seen"])
        out = look_up(layer, user=[2, 0], ad=[1, 2], seen=[[1, 3, 0], [0, 2, 9]], tags=[[4, 0, 0]] * 2)
        expected = [[table[1], table[3], [0, 0]], [[0, 0], table[2], [0, 0]]]
        np.testing.assert_array_equal(out["seen"], expected)
        # The others are what they are without it.
        np.testing.assert_array_equal(out["user"], table[[2, 0]])
        np.testing.assert_array_equal(out["ad"], table[[4 + 1, 4 + 2]])
        np.testing.assert_allclose(out["tags"], [table[7 + 4]] * 2, rtol=1e-6)
        assert list(out) == ["user", "ad", "seen", "tags"]

    @STOCK_AND_FUSED
    def test_masks(self, collection_class):
        layer, table = collection(collection_class, unpooled=["seen", "tags"], padding_id=None)
        ids = {"user": [1, 2], "ad": [1, 2], "seen": [[1, 0], [2, 3]], "tags": [[0, 1, 4], [7, 2, 2]]}
        ids = {name: np.array(column, "int32") for name, column in ids.items()}
        masks = {"seen": np.array([[True, True], [False, True]])}
        out = layer(ids, masks=masks)
        np.testing.assert_array_equal(as_array(out["seen"]), [[table[1], table[0]], [[0, 0], table[3]]])
        np.testing.assert_array_equal(as_array(out["tags"]), table[[[7, 8, 11], [7, 9, 9]]])
        found = layer.sequence_masks(ids, masks)
        np.testing.assert_array_equal(as_array(found["seen"]), masks["seen"])
        np.testing.assert_array_equal(as_array(found["tags"]), np.ones((2, 3), bool))

    @STOCK_AND_FUSED
    def test_one_lookup(self, collection_class, monkeypatch):
        layer, _ = collection(collection_class, unpooled=["seen"])
        lookups = []
        (stack,) = layer.stacks
        lookup = stack.lookup
        monkeypatch.setattr(stack, "lookup", lambda rows, *rest: (lookups.append(rows.shape), lookup(rows, *rest))[1])
        look_up(layer, user=[2, 0], ad=[1, 2], seen=[[1, 3, 0], [0, 2, 9]], tags=[[4, 0, 0]] * 2)
        assert lookups == [(2 * 2 + 6 + 6,)]

    def test_masks_of_ids(self):
        """Padding and what is read as padding, also for symbolic inputs."""
        layer, _ = collection(unpooled=["seen"])
        seen = np.array([[1, 3, 0], [0, 2, 9]], "int32")
        expected = [[True, True, False], [False, True, False]]
        assert as_array(layer.sequence_masks({"seen": seen})["seen"]).tolist() == expected
        inputs = keras.Input((3,), dtype="int32")
        model = keras.Model(inputs, layer.sequence_masks({"seen": inputs})["seen"])
        assert as_array(model(seen)).tolist() == expected

    def test_ids_that_do_not_count_get_no_gradient(self):
        layer, _ = collection(unpooled=["seen"])
        ids = {"user": np.array([0]), "ad": np.array([0]), "seen": np.array([[1, 0, 1, 9]]), "tags": np.array([[0]])}
        _, _, (found,) = gradients(lambda: ops.sum(layer(ids)["seen"]), [], layer.weights)
        expected = np.zeros((12, 2))
        expected[1] = 2
        np.testing.assert_allclose(found, expected)

    @STOCK_AND_FUSED
    def test_only_sequences(self, collection_class):
        with pytest.raises(ValueError, match=r"`unpooled` names \['user'\]. Expected names among \['seen', 'tags'\]"):
            collection(collection_class, unpooled=["user", "seen"])


@pytest.mark.parametrize("wrong", [-1, 4, 11, 2**31 - 1])
def test_ids_out_of_range_are_out_of_vocabulary(wrong):
    """Never a neighbour's row, never NaN (JAX) and never an error in the middle of a step."""
    layer, table = collection()
    out = look_up(layer, user=[wrong], seen=[[wrong, 1]])
    np.testing.assert_array_equal(out["user"], table[[0]])
    np.testing.assert_array_equal(out["seen"], table[[1]])


def test_column_shaped_ids():
    layer, table = collection()
    inputs = {"user": np.array([[1], [2]]), "ad": np.array([[1], [2]]), "seen": np.zeros((2, 1), "int32")}
    out = layer({**inputs, "tags": inputs["seen"]})
    np.testing.assert_array_equal(as_array(out["user"]), table[[1, 2]])


def test_repeated_ids_add_up_their_gradients():
    layer, _ = collection()
    ids = {"user": np.array([1, 1, 2]), "ad": np.array([0, 0, 0])}
    ids |= {"seen": np.zeros((3, 1), "int32"), "tags": np.zeros((3, 1), "int32")}
    _, _, (found,) = gradients(lambda: ops.sum(layer(ids)["user"]), [], layer.weights)
    np.testing.assert_allclose(found[:4], [[0, 0], [2, 2], [1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_sizes": {"a": 0}}, "Feature 'a': the vocabulary size must be at least 1. Received: 0"),
        ({"vocabulary_sizes": {"a": 2}, "shares": {"a": "b"}}, "Received: 'a' -> 'b'. Owners"),
        ({"vocabulary_sizes": {"a": 2}, "shares": {"b": "a"}}, "Received: 'b' -> 'a'"),
        ({"vocabulary_sizes": {"a": 2, "b": 2}, "shares": {"a": "b", "b": "a"}}, "Owners: \\[\\]"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingCollection(**arguments)
