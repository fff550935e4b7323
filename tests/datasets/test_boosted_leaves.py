"""Trees whose leaves are features: walked as LightGBM walks them, in NumPy and in TensorFlow."""

import json

import lightgbm
import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from grouprank.datasets.boosting.tree_nodes import tree_nodes
from grouprank.datasets.transforms.boosted_leaves import NODES, BoostedLeaves

# x0 <= 1: leaf 1; otherwise an id of 0 or 3: leaf 2; otherwise leaf 3. The second tree has one split.
BY_HAND = pl.DataFrame(
    {
        "tree": [0, 0, 0, 0, 0, 1, 1, 1],
        "feature": [0, 0, 1, 0, 0, 0, 0, 0],
        "threshold": [1.0, 0, 0, 0, 0, -2.0, 0, 0],
        "ids": [None, None, [0, 3], None, None, None, None, None],
        "left": [1, 1, 3, 3, 4, 6, 6, 7],
        "right": [2, 1, 4, 3, 4, 7, 6, 7],
        "leaf": [0, 1, 0, 2, 3, 0, 1, 2],
    },
    schema=NODES,
)


def graph_of(leaves, inputs):
    found = tf.function(leaves.graph)({name: tf.constant(values) for name, values in inputs.items()})
    return {name: values.numpy() for name, values in found.items()}


def arrays_of(leaves, inputs):
    return {name: found.array for name, found in leaves.encode(inputs).items()}


def test_trees_walked_by_hand():
    leaves = BoostedLeaves(("a", "b"), ("bid", "os"), BY_HAND)
    # 1e30 is no int32, and ids above 3 are ids of no node.
    bid = np.array([1.0, np.nextafter(np.float32(1), np.float32(2)), 7.0, 7.0, 1e30, -3.0, 2.0], "float32")
    inputs = {"bid": bid, "os": np.array([0, 0, 1, 3, 4, 0, 900], "int32"), "other": np.zeros(7)}
    expected = {"a": [1, 2, 3, 2, 3, 1, 3], "b": [2, 2, 2, 2, 2, 1, 2]}
    for found in (arrays_of(leaves, inputs), graph_of(leaves, inputs)):
        assert {name: values.tolist() for name, values in found.items()} == expected
        assert {values.dtype for values in found.values()} == {np.dtype("int32")}
    assert leaves.vocabulary_sizes == {"a": 4, "b": 3}


def test_leaves_are_those_of_lightgbm():
    rng = np.random.default_rng(0)
    rows = 3000
    # Numbers beside each other, so that thresholds fall between neighbours of float32, also around 0.
    near = np.float32(0.1) * (1 + np.arange(8, dtype="float32") * np.finfo("float32").eps)
    x = {
        "normal": rng.normal(size=rows).astype("float32"),
        "near": rng.choice(near, rows),
        "mostly_zero": np.where(rng.random(rows) < 0.7, 0, rng.normal(size=rows)).astype("float32"),
        "few": rng.integers(0, 5, rows).astype("int32"),
        # LightGBM keeps the rarest hundredth of ids apart.
        "many": np.minimum(rng.geometric(0.06, rows), 90).astype("int32"),
    }
    z = x["normal"] + (x["near"] > near[3]) * 2 + (x["few"] % 2) + (x["many"] % 7 == 1) * 2 + (x["mostly_zero"] > 0)
    y = rng.random(rows) < 1 / (1 + np.exp(2 - z))
    matrix = np.column_stack(list(x.values())).astype("float64")
    settings = {"objective": "binary", "use_missing": False, "num_leaves": 12, "verbosity": -1, "num_threads": 1}
    data = lightgbm.Dataset(matrix, y, categorical_feature=[3, 4], params={"max_cat_to_onehot": 2})
    booster = lightgbm.train(settings, data, 30)
    nodes = tree_nodes(booster.dump_model()["tree_info"])
    assert nodes["ids"].is_not_null().sum() > 20
    assert '"missing_type": "NaN"' in json.dumps(booster.dump_model())
    assert (nodes.filter(leaf=0, feature=1)["ids"].is_null()).sum() > 5
    leaves = BoostedLeaves(tuple(f"leaf_{i}" for i in range(30)), tuple(x), nodes)
    # Later rows have ids that no training row had, and numbers on the thresholds themselves.
    x["many"][::5] = rng.integers(60, 120, len(x["many"][::5]))
    thresholds = nodes.filter(pl.col("ids").is_null(), leaf=0, feature=0)["threshold"].to_numpy()
    x["normal"][::3] = rng.choice([*thresholds, *np.nextafter(thresholds, np.float32(9))], len(x["normal"][::3]))
    expected = booster.predict(np.column_stack(list(x.values())).astype("float64"), pred_leaf=True)
    found = arrays_of(leaves, x)
    np.testing.assert_array_equal(np.stack(list(found.values()), axis=1), expected + 1)
    for name, values in graph_of(leaves, x).items():
        np.testing.assert_array_equal(values, found[name])


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.1, np.nextafter(np.float32(0.1), np.float32(-1))),  # the nearest float32 is above 0.1
        (np.float64(np.float32(0.3)), np.float32(0.3)),
        (-0.1, np.float32(-0.1)),  # the nearest float32 is below -0.1
        (1e300, np.finfo("float32").max),
        (1.0000000180025095e-35, np.float32(1e-35)),
    ],
)
def test_thresholds_part_float32_numbers_alike(threshold, expected):
    split = {"split_feature": 0, "decision_type": "<=", "threshold": threshold, "missing_type": "None"}
    leaf = {"leaf_index": 0}
    [found] = tree_nodes([{"tree_structure": {**split, "left_child": leaf, "right_child": leaf}}])["threshold"][:1]
    assert np.float32(found) == expected
    with np.errstate(over="ignore"):
        assert float(expected) <= threshold < float(np.nextafter(expected, np.float32(np.inf)))


def test_trees_that_treat_missing_numbers_otherwise():
    split = {"split_feature": 0, "decision_type": "<=", "threshold": 0.0, "missing_type": "NaN"}
    with pytest.raises(ValueError, match=r"must be trained with use_missing=False. Received: .* missing_type='NaN'"):
        tree_nodes([{"tree_structure": {**split, "left_child": {}, "right_child": {}}}])


@pytest.mark.parametrize(
    "wrong",
    [
        BY_HAND.drop("leaf"),
        BY_HAND.with_columns(right=pl.when(leaf=0).then(0).otherwise("right").cast(pl.Int32)),  # a circle
        BY_HAND.with_columns(left=pl.col("left") + 5),
        BY_HAND.with_columns(feature=pl.lit(2, pl.Int32)),
        BY_HAND.filter(tree=0),
        BY_HAND.clear(),
    ],
)
def test_damaged_nodes(wrong):
    with pytest.raises(ValueError, match=r"need a frame of nodes of 2 trees over 2 features.* Received: \d nodes"):
        BoostedLeaves(("a", "b"), ("bid", "os"), wrong)


def test_fingerprint_follows_the_trees():
    leaves = BoostedLeaves(("a", "b"), ("bid", "os"), BY_HAND)
    other = BY_HAND.with_columns(threshold=pl.col("threshold") + 1)
    assert leaves.fingerprint == BoostedLeaves(("c", "d"), ("bid", "os"), BY_HAND.clone()).fingerprint
    assert leaves.fingerprint != BoostedLeaves(("a", "b"), ("bid", "os"), other).fingerprint
    assert leaves.fingerprint != BoostedLeaves(("a", "b"), ("bid", "model"), BY_HAND).fingerprint
