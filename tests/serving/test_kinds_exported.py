"""A SavedModel of a model whose columns are of every newer kind, boosted leaves too, answers raw rows as Keras does."""

import keras
import numpy as np
import polars as pl
import pytest

import grouprank as gr
from grouprank.datasets import TableTransforms
from grouprank.datasets.transforms.boosted_leaves import NODES, BoostedLeaves
from grouprank.datasets.transforms.transform_fitter import TransformFitter
from grouprank.serving.c_session import CSession
from grouprank.serving.row_columns import row_columns

COLUMNS = [
    gr.datasets.HashedColumn("user_id", "user", dtype="int64", missing=("-1",), buckets=50),
    gr.datasets.HashedSequenceColumn("last_ads", "user", separator="|", shares="ad_id", length=3, buckets=40),
    gr.datasets.WeightedColumn("interests", "user", missing=("NA",), length=3),
    gr.datasets.BucketizedColumn("age", "user", buckets=4, missing=("-1",)),
    gr.datasets.NumericColumn("visits", "user"),
    gr.datasets.HashedColumn("ad_id", "ad", missing=("NA",), buckets=40),
    gr.datasets.GrowingColumn("advertiser", "ad", missing=("NA",), capacity=6, min_count=3, eviction="lfu"),
    gr.datasets.SequenceColumn("last_advertisers", "user", shares="advertiser", length=3),
    gr.datasets.WeightedColumn("topics", "ad", separator=" ", weight_separator="=", combiner="sum", length=2),
    gr.datasets.BucketizedColumn("price", "ad", buckets=8),
]
USER = ("user_id", "last_ads", "interests", "age", "visits", "last_advertisers")
# Ages of bucket 0 or 2 go by the visits, and others by the price: a tree over a user and an ad.
LEAVES = BoostedLeaves(
    ("leaf_0",),
    ("age", "price", "visits"),
    pl.DataFrame(
        {
            "tree": [0] * 7,
            "feature": [0, 2, 0, 0, 1, 0, 0],
            "threshold": [0, 0.25, 0, 0, 0, 0, 0],
            "ids": [[0, 2], None, None, None, [1, 3, 4], None, None],
            "left": [1, 2, 2, 3, 5, 5, 6],
            "right": [4, 3, 2, 3, 6, 5, 6],
            "leaf": [0, 0, 1, 2, 0, 3, 4],
        },
        schema=NODES,
    ),
)
# What training rows hold, and beside it what only served rows do.
VALUES = {
    "user_id": ([3, -1, 10**12, 7, -(2**63)], [11, 2**63 - 1]),
    "last_ads": (["a7", "", "84|a7", "|", "日本|84.0|a7|x", "NA|b"], ["never seen|a7|a7|a7", "84.00"]),
    "interests": (["sport:0.5,news:2", "news", "", "NA", "größe:-1.25,sport:0", "sport,NA,news:0.1,x:3"],
                  ["never seen:4", "news:not a number", ",,news:1"]),
    "age": ([18.0, 25.0, 31.0, 64.0, -1.0, None], [float("inf"), 17.99, 200.0]),
    "visits": ([0.0, 1.0, 3.0, 40.0, None], [float("-inf"), 1e30]),
    "ad_id": (["a7", "a8", "NA", "", "84", "84.0", "日本"], ["never seen", "a7\n"]),
    "advertiser": (["acme", "größe", "NA", "84.0", "acme 2"], ["new", "84", "newer"]),
    "last_advertisers": (["acme,größe", "", "84,acme 2,acme,x", "NA", "new"], ["84.0,84", "newer,new"]),
    "topics": (["art=1.5 war=2", "art", "", "war=0.25 art=-3 war=1", "é=1"], ["never seen=9", "art=1e3", "=2"]),
    "price": ([0.0, 0.99, 1.5, 1.5, 20.0, 1e6, None], [-4.0, float("-inf"), 3.4e38]),
}  # fmt: skip


def raw_rows(rows, seed, served=True):
    """Rows in which each column's values are drawn on their own."""
    rng = np.random.default_rng(seed)
    drawn = {name: [*known, *(new if served else [])] for name, (known, new) in VALUES.items()}
    frame = pl.DataFrame({n: [values[i] for i in rng.integers(0, len(values), rows)] for n, values in drawn.items()})
    return frame.with_columns(pl.col("age", "visits", "price").cast(pl.Float32))


@pytest.fixture(scope="module")
def trained():
    """A model whose weights are drawn large, so that a wrong id, weight or bucket changes its answers."""
    fitter = TransformFitter(COLUMNS, [gr.Task("click"), gr.Task("like")])
    fitter.update(raw_rows(400, seed=0, served=False))
    transforms, growth = fitter.finish().extended([raw_rows(300, seed=3), raw_rows(100, seed=4)])
    assert len(growth["advertiser"].new)
    transforms = transforms.with_leaves(LEAVES, "ad")
    keras.utils.set_random_seed(0)
    model = gr.models.CTRModel(
        transforms.schema, "deepfm", group_structure=(), residual_learning=False, embedding_dim=4, tower_units=()
    )
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.25, variable.shape))
    return model, transforms


@pytest.fixture(scope="module")
def version(trained, tmp_path_factory):
    model, transforms = trained
    path = tmp_path_factory.mktemp("kinds") / "model" / "1"
    # Explanations, too, are compared with the model.
    gr.serving.export(model, path, transforms=transforms, explanations=True)
    return path


@pytest.fixture(scope="module")
def session(version):
    return CSession(version)


@pytest.mark.long
def test_raw_rows_get_the_keras_models_probabilities(trained, session):
    model, transforms = trained
    rows = raw_rows(300, seed=1)
    expected = model.predict_proba(transforms(rows))
    served = session.run("serving_default", row_columns(rows, transforms.raw_columns))
    for task, probabilities in expected.items():
        assert np.ptp(probabilities) > 0.5
        np.testing.assert_allclose(served[task], probabilities, rtol=0, atol=1e-6)


def test_ranked_ads_get_the_keras_models_probabilities(trained, session):
    model, transforms = trained
    users, ads = 5, 40
    raw = row_columns(raw_rows(users * ads, seed=2), transforms.raw_columns)
    request = {name: raw[name][:users] for name in USER}
    candidates = {name: values for name, values in raw.items() if name not in USER}
    flat = {name: np.repeat(values, ads, axis=0) for name, values in request.items()} | candidates
    ranked = session.run("rank", request | {name: values.reshape(users, ads) for name, values in candidates.items()})
    for task, probabilities in model.predict_proba(transforms(flat)).items():
        assert ranked[task].shape == (users, ads)
        np.testing.assert_allclose(ranked[task].reshape(-1), probabilities, rtol=0, atol=1e-6)


def test_every_column_changes_the_answer(trained, session):
    """Otherwise the tests above would not see it ignored."""
    _, transforms = trained
    rows = row_columns(raw_rows(300, seed=1), transforms.raw_columns)
    before = session.run("serving_default", rows)["click"]
    for name in VALUES:
        after = session.run("serving_default", rows | {name: np.roll(rows[name], 1, axis=0)})["click"]
        assert np.mean(np.abs(after - before) > 1e-4) > 0.5, name


def test_files_bring_back_the_same_answers(trained, tmp_path):
    model, transforms = trained
    model.save(tmp_path / "model.keras")
    transforms.save(tmp_path / "transforms")
    loaded, again = keras.models.load_model(tmp_path / "model.keras"), TableTransforms.load(tmp_path / "transforms")
    loaded.schema.check_fitted(again.schema, "the model", "the transforms")
    rows = raw_rows(300, seed=1)
    encoded = transforms(rows)
    for name, values in again(rows).items():
        np.testing.assert_array_equal(values, encoded[name], err_msg=name)
    for task, probabilities in model.predict_proba(encoded).items():
        np.testing.assert_array_equal(loaded.predict_proba(again(rows))[task], probabilities)


def test_leaves_that_differ_are_told(trained, version):
    _, transforms = trained
    rows = raw_rows(300, seed=1)
    prepared = {name: values.copy() for name, values in transforms(rows).items()}
    assert set(prepared["leaf_0"]) == {1, 2, 3, 4}
    prepared["leaf_0"][7] = 0
    report = gr.serving.check_skew(version, transforms, rows, prepared)
    assert report.differing == {"leaf_0": 1}
    assert (report.first["column"], report.first["row"], report.first["prepared"]) == ("age", 7, 0)


def test_explanations_show_the_id_of_a_leaf(trained):
    model, transforms = trained
    rows = raw_rows(20, seed=1)
    explained = gr.serving.explain(model, rows, transforms)
    np.testing.assert_array_equal(explained.values["leaf_0"], transforms(rows)["leaf_0"])
    without = transforms(rows) | {"leaf_0": np.zeros(20, "int32")}
    expected = model.predict_proba(without)["click"]
    np.testing.assert_allclose(explained.without["click"][:, explained.fields.index("leaf_0")], expected, atol=1e-6)
