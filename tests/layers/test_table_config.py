"""What a config says of a table holds for that table alone."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.row_reference import RowReference

from grouprank.layers import EmbeddingCollection, FusedEmbeddingCollection, TableConfig, embedding_optimizers
from grouprank.layers.embedding.pool import pool

SIZES = {"user": 6, "ad": 4, "seen": 4}
IDS = {
    "user": np.array([1, 1, 2, 5], "int32"),
    "ad": np.array([3, 0, 3, 3], "int32"),
    "seen": np.array([[1, 1, 3], [2, 0, 0], [0, 0, 0], [3, 1, 2]], "int32"),
}


def collection(kind=FusedEmbeddingCollection, **arguments):
    layer = kind(SIZES, 2, **{"sequences": ("seen",), "shares": {"seen": "ad"}, **arguments})
    layer.build(None)
    set_fixed_weights(layer)
    return layer


def rows_of(layer, feature):
    stack, first, last = layer.rows_of(feature)
    return as_array(ops.cast(stack, "float32"))[first:last]


def test_each_table_is_trained_by_its_own_optimizer():
    """One is wider and has Adagrad, one has SGD, and the third is trained by `compile`."""
    layer = EmbeddingCollection(
        {**SIZES, "hour": 3},
        2,
        sequences=("seen",),
        tables=[
            TableConfig("ad", width=3, optimizer=embedding_optimizers.Adagrad(0.1), combiner="sum"),
            TableConfig("user", optimizer=embedding_optimizers.SGD(0.1)),
        ],
        feature_tables={"seen": "ad"},
    )
    inputs = {name: keras.Input(ids.shape[1:], dtype="int32", name=name) for name, ids in IDS.items()}
    inputs["hour"] = keras.Input((), dtype="int32", name="hour")
    fields = layer(inputs)
    assert {name: field.shape[-1] for name, field in fields.items()} == {"user": 2, "ad": 3, "seen": 3, "hour": 2}
    dense = keras.layers.Dense(1, use_bias=False, trainable=False)
    model = keras.Model(inputs, dense(keras.layers.Concatenate()([fields[name] for name in inputs])))
    for stack in layer.stacks:
        stack.embeddings.assign(wave(*stack.embeddings.shape))
    kernel, labels, hour = wave(10, 1, start=1.0), wave(4, 1, start=4.0), np.array([2, 2, 1, 0])
    dense.kernel.assign(kernel)
    tables = {name: rows_of(layer, name).astype("float64") for name in ("user", "ad", "hour")}
    counted = IDS["seen"] != 0
    seen = (tables["ad"][IDS["seen"]] * counted[..., None]).sum(axis=1)
    found = np.concatenate([tables["user"][IDS["user"]], tables["ad"][IDS["ad"]], seen, tables["hour"][hour]], axis=1)
    by_field = 2 * (found @ kernel - labels) / 4 @ kernel.T
    ads, users, hours = (
        RowReference(tables[name], how) for name, how in (("ad", "adagrad"), ("user", "sgd"), ("hour", "sgd"))
    )
    by_seen = np.broadcast_to(by_field[:, None, 5:8], (4, 3, 3))[counted]
    ads.train(np.concatenate([IDS["ad"], IDS["seen"][counted]]), np.concatenate([by_field[:, 2:5], by_seen]))
    users.train(IDS["user"], by_field[:, :2])
    hours.train(hour, by_field[:, 8:])

    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch({**IDS, "hour": hour}, labels)
    for name, reference in (("ad", ads), ("user", users), ("hour", hours)):
        assert np.abs(reference.table - tables[name]).max() > 1e-3
        np.testing.assert_allclose(rows_of(layer, name), reference.table, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", [EmbeddingCollection, FusedEmbeddingCollection])
def test_tables_that_are_alike_are_one_stack(kind):
    """What does not change how rows are kept and trained splits no stack; a name is another way to share."""
    layer = collection(
        kind, shares=None, feature_tables={"seen": "ad"}, tables=[TableConfig("ad", rows=9, combiner="sum", width=2)]
    )
    assert layer.embeddings.shape == (6 + 9, 2)
    assert layer.rows_of("seen")[1:] == layer.rows_of("ad")[1:] == (6, 15)
    table = as_array(layer.embeddings)
    # Ids beyond the vocabulary have rows in a table with room for them, and none beyond it.
    out = layer({**IDS, "ad": np.array([8, 9, 4, 0], "int32")})
    np.testing.assert_array_equal(as_array(out["ad"]), table[[6 + 8, 6, 6 + 4, 6]])
    np.testing.assert_allclose(as_array(out["seen"])[0], 2 * table[7] + table[9], rtol=1e-6)


def test_a_table_starts_and_is_kept_as_it_says():
    layer = FusedEmbeddingCollection(
        SIZES, 2, tables=[TableConfig("ad", initializer="ones", storage_dtype="bfloat16"), TableConfig("user", width=1)]
    )
    layer.build(None)
    np.testing.assert_array_equal(rows_of(layer, "ad"), np.ones((4, 2)))
    dtypes = [keras.backend.standardize_dtype(layer.rows_of(name)[0].dtype) for name in SIZES]
    assert dtypes == ["float32", "bfloat16", "float32"]
    with pytest.raises(ValueError, match="has 3. Use `rows_of`"):
        _ = layer.embeddings


@pytest.mark.parametrize("kind", [EmbeddingCollection, FusedEmbeddingCollection])
@pytest.mark.parametrize("combiner", ["mean", "sum"])
def test_weights_of_ids(kind, combiner):
    layer = collection(kind, combiner=combiner)
    weights = np.array([[0.5, 1.5, 2.0], [3.0, np.nan, 7.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], "float32")
    out = as_array(layer(IDS, weights={"seen": weights})["seen"])
    rows = rows_of(layer, "seen")
    total = [2 * rows[1] + 2 * rows[3], 3 * rows[2], [0, 0], [0, 0]]
    divisor = np.array([4.0, 3.0, 1.0, 1.0] if combiner == "mean" else [1.0] * 4)
    np.testing.assert_allclose(out, np.array(total) / divisor[:, None], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`weights` names \['user'\]. Expected names among \['seen'\]"):
        layer(IDS, weights={"user": weights})


def test_pool_over_any_axis():
    vectors, weights = wave(3, 5, 2), np.abs(wave(3, 5, start=1.0))
    expected = np.einsum("abc,ab->bc", vectors, weights) / weights.sum(axis=0)[:, None]
    found = pool(ops.convert_to_tensor(vectors), ops.convert_to_tensor(weights), "mean", axis=0)
    np.testing.assert_allclose(as_array(found), expected, rtol=1e-5)


def test_a_config_comes_back():
    tables = [
        TableConfig("ad", np.int64(9), 3, "sum", keras.initializers.RandomNormal(stddev=0.1), "adagrad", "float16"),
        TableConfig("user", optimizer=embedding_optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10))),
    ]
    layer = collection(tables=tables)
    twin = FusedEmbeddingCollection.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    assert [(s.num_rows, s.config.width) for s in twin.stacks] == [(s.num_rows, s.config.width) for s in layer.stacks]
    twin.build(None)
    assert twin.rows_of("seen")[1:] == layer.rows_of("seen")[1:] == (0, 9)


def test_a_config_of_a_version_without_tables_gives_the_weights_of_that_version():
    """As files of earlier versions hold it."""
    config = {
        "name": "embedding",
        "trainable": True,
        "dtype": "float32",
        "vocabulary_sizes": SIZES,
        "embedding_dim": 2,
        "sequences": ["seen"],
        "combiner": "mean",
        "padding_id": 0,
        "shares": {"seen": "ad"},
        "embeddings_initializer": keras.initializers.serialize(keras.initializers.RandomNormal(stddev=0.01)),
        "unpooled": [],
    }
    stock = EmbeddingCollection.from_config({**config, "embeddings_regularizer": None})
    stock.build(None)
    assert [(weight.path, weight.shape) for weight in stock.weights] == [("embedding/embeddings", (10, 2))]
    fused = FusedEmbeddingCollection.from_config(
        {**config, "optimizer": "adagrad", "storage_dtype": "float32", "seed": None}
    )
    fused.build(None)
    # The attribute by which a file finds the table.
    assert sorted(fused.table.state) == ["accumulator", "embeddings", "iterations", "learning_rate"]
    assert fused.embeddings.shape == (10, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "A table's `name` must be a string that is not empty"),
        ({"rows": 0}, "Table 'a': `rows` must be a positive integer or None. Received: rows=0"),
        ({"width": 2.0}, "`width` must be a positive integer or None. Received: width=2.0"),
        ({"combiner": "max"}, "`combiner` must be one of .*Received: combiner='max'"),
        ({"storage_dtype": "int8"}, "`storage_dtype` must be one of .*Received: storage_dtype='int8'"),
        ({"optimizer": "lion"}, "Received: 'lion'"),
    ],
)
def test_errors_of_a_config(arguments, message):
    with pytest.raises(ValueError, match=message):
        TableConfig(**{"name": "a", **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tables": [TableConfig("city")]}, r"`tables` configures 'city', which no feature uses. Tables: \['ad', 'us"),
        ({"tables": [TableConfig("ad"), TableConfig("ad")]}, "configures 'ad' more than once"),
        ({"tables": [TableConfig("ad", rows=3)]}, "Table 'ad' has fewer rows than ids: rows=3"),
        ({"tables": [TableConfig("ad", storage_dtype="bfloat16")]}, "give the table 'ad' an `optimizer`"),
        ({"feature_tables": {"city": "ad"}}, r"`feature_tables` names \['city'\]"),
    ],
)
def test_errors_of_a_collection(arguments, message):
    with pytest.raises(ValueError, match=message):
        collection(EmbeddingCollection, **arguments)


def test_a_placement_is_for_the_fused_tables_alone():
    sizes, ads = {"user": 4, "ad": 6}, TableConfig("ad", optimizer="sgd")
    placed = {
        name: stack.config.placement
        for stack in EmbeddingCollection(sizes, 2, tables=[ads], placement="rows").stacks
        for name in stack.tables
    }
    assert placed == {"user": None, "ad": "rows"}
    with pytest.raises(ValueError, match="Only a fused table is dealt over devices.*'user' an `optimizer`"):
        EmbeddingCollection(sizes, 2, tables=[TableConfig("user", placement="rows")])
