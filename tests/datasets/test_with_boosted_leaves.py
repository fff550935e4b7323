"""A prepared table with the leaves of boosted trees: what the trees saw, and what stands in the table."""

import json
import pickle

import lightgbm
import numpy as np
import polars as pl
import pytest

from grouprank import extras
from grouprank.datasets import (
    CategoricalColumn,
    GrowingColumn,
    NumericColumn,
    PreparedTable,
    SequenceColumn,
    TableTransforms,
    prepare,
    with_boosted_leaves,
)
from grouprank.datasets.boosting.train_trees import train_trees
from grouprank.datasets.parted_column import PartedColumn
from grouprank.datasets.transforms.boosted_leaves import BoostedLeaves
from grouprank.schema import Task

SPLITS = {"train": 600, "validation": 80, "test": 70}
SMALL = {"task": "click", "num_trees": 4, "num_leaves": 5, "min_rows": 5, "max_ids": 20, "workers": 1}


def frame_of(seed=0):
    rng = np.random.default_rng(seed)
    rows = sum(SPLITS.values())
    age, os = rng.normal(40, 12, rows).astype("float32"), rng.integers(0, 6, rows)
    click = (rng.random(rows) < np.where((age > 45) == (os % 2 == 0), 0.8, 0.1)).astype("float32")
    return pl.DataFrame(
        {
            "age": pl.Series(np.where(rng.random(rows) < 0.1, np.nan, age)),
            "os": pl.Series(np.where(rng.random(rows) < 0.05, None, np.array([*"abcde", "rare"], object)[os])),
            "user": rng.integers(0, 40, rows).astype(str),
            "tags": ["x|y"] * rows,
            "grows": ["g"] * rows,
            "click": pl.Series(np.where(rng.random(rows) < 0.1, np.nan, click), dtype=pl.Float32),
            "group": np.arange(rows, dtype="int64"),
            "split": [split for split, count in SPLITS.items() for _ in range(count)],
        }
    )


class Log:
    name = "log"
    columns = (
        NumericColumn("age", "user", function="identity"),
        CategoricalColumn("os", "context", min_count=2),
        CategoricalColumn("user", "user"),
        SequenceColumn("tags", "ad", separator="|", length=2),
        GrowingColumn("grows", "ad", capacity=5),
    )
    tasks = (Task("click"),)
    extras = {"group": "int64"}

    def __init__(self, frame, version=1):
        self.settings = {"version": version}
        self._frame = frame

    def chunks(self, chunk_rows, max_bad_rows=0):
        yield from self._frame.iter_slices(chunk_rows)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return prepare(Log(frame_of()), tmp_path_factory.mktemp("log") / "table")


def columns_of(table, split):
    names = (*table.schema.feature_names, *table.schema.task_names, *table.extras)
    return {name: np.asarray(table.column(split, name)) for name in names}


def test_leaves_are_those_of_lightgbm_in_every_row(table, tmp_path, monkeypatch):
    trained = []
    train = lightgbm.train
    monkeypatch.setattr(lightgbm, "train", lambda *rest, **more: trained.append(train(*rest, **more)) or trained[-1])
    found = with_boosted_leaves(table, tmp_path / "out", **SMALL, chunk_rows=64)
    names = [f"leaf_{tree}" for tree in range(4)]
    assert found.schema.feature_names == [*table.schema.feature_names, *names]
    said = found.report["boosted_leaves"]
    assert (said["features"], said["rows"], said["held_out"], said["trees"]) == (["age", "os"], 300, 30, 4)
    for split in SPLITS:
        columns = columns_of(found, split)
        matrix = np.stack([columns["age"], columns["os"]], axis=1)
        expected = trained[0].predict(matrix, pred_leaf=True) + 1
        np.testing.assert_array_equal(np.stack([columns[name] for name in names], axis=1), expected)
        for name, values in columns_of(table, split).items():
            np.testing.assert_array_equal(columns[name], values)
    assert {found.schema[name].side for name in names} == {"context"}
    # The trees found what the labels are made of, which neither column says alone.
    nodes = found.transforms.leaves.nodes.filter(leaf=0)
    assert set(nodes["feature"]) == {0, 1}


def test_raw_rows_get_the_leaves_of_the_table(table, tmp_path):
    found = with_boosted_leaves(table, tmp_path / "out", **SMALL)
    frame = frame_of()
    for transforms in (
        found.transforms,
        PreparedTable(found.folder).transforms,
        pickle.loads(pickle.dumps(found.transforms)),
    ):
        encoded = transforms(frame.filter(split="test"))
        assert list(encoded) == found.schema.feature_names
        for name, values in encoded.items():
            np.testing.assert_array_equal(values, found.column("test", name))
        assert transforms.schema == found.schema
    assert found.schema["leaf_0"].vocabulary == found.transforms.leaves.fingerprint
    assert found.transforms.vocabulary_sizes["leaf_0"] == found.schema["leaf_0"].vocabulary_size == 6
    # A missing age is the mean one, and a token that was never seen is id 0.
    rows = {name: frame[name][:2].to_list() for name in frame.columns}
    missing = found.transforms(rows | {"age": np.array([np.nan, np.inf]), "os": [None, "new"]})
    inputs = {"age": np.zeros(2, "float32"), "os": missing["os"]}
    assert missing["leaf_0"].tolist() == found.transforms.leaves.encode(inputs)["leaf_0"].array.tolist()


def test_a_period_of_growing_ids_leaves_the_leaves(table, tmp_path):
    transforms = with_boosted_leaves(table, tmp_path / "out", **SMALL).transforms
    extended, growth = transforms.extended({"grows": ["new"]})
    assert len(growth["grows"].new) == 1
    assert extended.leaves is transforms.leaves
    rows = frame_of(seed=1)
    np.testing.assert_array_equal(extended(rows)["leaf_3"], transforms(rows)["leaf_3"])
    assert extended.with_capacity({"grows": 9}).schema["leaf_0"] == transforms.schema["leaf_0"]


SETTINGS = {"num_leaves": 5, "learning_rate": 0.1, "min_data_in_leaf": 5, "seed": 0}


def trees_of(columns, labels, chunk_rows=1000, workers=1):
    return train_trees(columns, labels, 60, ["os"], 4, SETTINGS, chunk_rows, workers)


def test_what_trains_the_trees(table):
    columns = {name: np.asarray(table.column("train", name)) for name in ("age", "os")}
    labels = np.asarray(table.column("train", "click"))
    assert np.isnan(labels[:540]).any()
    expected = trees_of(columns, labels)
    # Neither chunks, nor threads, nor files, nor rows without a label change anything.
    known = ~np.isnan(labels)
    parted = {name: PartedColumn([values[:100], values[100:]]) for name, values in columns.items()}
    assert trees_of(columns, labels, chunk_rows=7, workers=2).equals(expected)
    assert trees_of(parted, labels).equals(expected)
    cut = {name: values[known] for name, values in columns.items()}
    held_out = int(known[540:].sum())
    assert train_trees(cut, labels[known], held_out, ["os"], 4, SETTINGS, 1000, 1).equals(expected)
    # The rows that are held out do not train, they only stop the training; the others train.
    other = labels.copy()
    other[-60:] = 0.5
    fewer = trees_of(columns, other)
    assert fewer.equals(expected.head(len(fewer)))
    other = labels.copy()
    other[:200] = 1 - other[:200]
    assert not trees_of(columns, other).head(len(fewer)).equals(fewer)
    # Where they say that trees do not help, there are few.
    noise = np.random.default_rng(0).integers(0, 2, 600).astype("float32")
    assert train_trees(columns, noise, 200, ["os"], 200, SETTINGS, 1000, 1)["tree"].n_unique() < 100


def test_share_is_of_the_first_rows(table, tmp_path):
    found = with_boosted_leaves(table, tmp_path / "out", **SMALL, share=0.75)
    assert found.report["boosted_leaves"]["rows"] == 450
    assert found.rows("train") == 600
    columns = {name: table.column("train", name)[:450] for name in ("age", "os")}
    labels = np.asarray(table.column("train", "click")[:450])
    expected = train_trees(columns, labels, 45, ["os"], 4, SETTINGS, 1000, 1)
    assert found.transforms.leaves.nodes.equals(expected)


def test_chosen_features_and_their_side(table, tmp_path):
    found = with_boosted_leaves(table, tmp_path / "out", **SMALL, features=["user", "age"], name="rule")
    assert found.transforms.leaves.reads == ("user", "age")
    assert found.schema["rule_0"].side == "user"


def test_a_table_that_is_there(table, tmp_path):
    written = with_boosted_leaves(table, tmp_path / "out", **SMALL)
    before = (tmp_path / "out" / "columns" / "train.npy").stat().st_mtime_ns
    again = with_boosted_leaves(table, tmp_path / "out", **SMALL | {"workers": 2})
    assert again.transforms.schema == written.transforms.schema
    assert (tmp_path / "out" / "columns" / "train.npy").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"they differ in \['boosted_leaves'\]. Choose another destination"):
        with_boosted_leaves(table, tmp_path / "out", **SMALL | {"num_trees": 5})
    with pytest.raises(ValueError, match=r"they differ in \['boosted_leaves'\]"):
        prepare(Log(frame_of()), tmp_path / "out")
    with pytest.raises(ValueError, match=r"they differ in \['boosted_leaves'\]"):
        with_boosted_leaves(table, table.folder, **SMALL)
    with pytest.raises(ValueError, match=r"out has leaves already. Pass the table that it was made from"):
        with_boosted_leaves(written, tmp_path / "more", **SMALL)


def test_files_that_were_changed(table, tmp_path):
    folder = with_boosted_leaves(table, tmp_path / "out", **SMALL).folder / "transforms"
    trees = folder / "boosted_trees.parquet"
    nodes = pl.read_parquet(trees)
    nodes.with_columns(threshold=pl.col("threshold") + 1).write_parquet(trees)
    with pytest.raises(ValueError, match="feature 'leaf_0' was fitted with another vocabulary than this folder holds"):
        TableTransforms.load(folder)
    trees.write_bytes(trees.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"boosted_trees.parquet is damaged"):
        TableTransforms.load(folder)
    trees.unlink()
    with pytest.raises(ValueError, match=r"boosted_trees.parquet is missing"):
        TableTransforms.load(folder)


def test_what_fails_leaves_nothing(table, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"No tree has a split: the features \['age', 'os'\] .* 1000 rows a leaf"):
        with_boosted_leaves(table, tmp_path / "out", **SMALL | {"min_rows": 1000})
    with pytest.raises(ValueError, match=r"Of 1 rows that train trees 1 .*, and of 0 that say when to stop 0\. "):
        with_boosted_leaves(table, tmp_path / "out", **SMALL, share=0.001)
    renamed = type("Renamed", (Log,), {"extras": {"age_0": "int64"}})(frame_of().rename({"group": "age_0"}))
    renamed = prepare(renamed, tmp_path / "renamed")
    with pytest.raises(ValueError, match=r"the table has the columns \['age_0'\]. Pass another `name`"):
        with_boosted_leaves(renamed, tmp_path / "out", **SMALL, name="age")
    encode, calls = BoostedLeaves.encode, []

    def full_disk(self, inputs):
        calls.append(inputs)
        if len(calls) == 3:
            raise OSError("No space left on device")
        return encode(self, inputs)

    monkeypatch.setattr(BoostedLeaves, "encode", full_disk)
    with pytest.raises(OSError, match="No space left"):
        with_boosted_leaves(table, tmp_path / "out", **SMALL, chunk_rows=300)
    assert [path.name for path in tmp_path.iterdir()] == ["renamed"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "clicks"}, r"`task` must be one of \['click'\]. Received: task='clicks'"),
        ({"max_ids": 1, "features": None}, None),
        (
            {"features": ["tags"]},
            r"`features` must name numeric .* Received: \['tags'\]. Such .*\['age', 'os', 'user'\]",
        ),
        ({"features": ["grows"]}, r"whose ids do not grow. Received: \['grows'\]"),
        ({"features": []}, r"Received: \[\]"),
        ({"num_leaves": 1}, r"`num_leaves` must be an integer of at least 2. Received: num_leaves=1"),
        ({"share": 0}, r"`share` must be in \(0, 1\]. Received: share=0"),
        ({"learning_rate": 2.0}, r"`learning_rate` must be in \(0, 1\]. Received: learning_rate=2.0"),
    ],
)
def test_errors(table, tmp_path, wrong, message):
    if message is None:
        # Without its only number the table has nothing that a tree could read.
        frame = frame_of()
        ids = type("Ids", (Log,), {"columns": tuple(c for c in Log.columns if c.name != "age")})(frame)
        table = prepare(ids, tmp_path / "ids")
        message = r"no numeric feature, and no categorical one of at most 1 ids. Categorical features: \['os', 'user'\]"
    with pytest.raises(ValueError, match=message):
        with_boosted_leaves(table, tmp_path / "out", **SMALL | wrong)
    assert not (tmp_path / "out").exists()


def test_lightgbm_is_missing(table, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "_found", lambda name: name != "lightgbm")
    with pytest.raises(ModuleNotFoundError, match=r"need.* lightgbm, which is not .* pip install 'grouprank\[trees\]'"):
        with_boosted_leaves(table, tmp_path / "out", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_leaves_need_what_they_are_made_of(table, tmp_path):
    transforms = with_boosted_leaves(table, tmp_path / "out", **SMALL).transforms
    rest = [feature for feature in transforms.schema.features if feature.name != "age"]
    columns = {name: column for name, column in transforms.columns.items() if name != "age"}
    with pytest.raises(ValueError, match=r"made of features that the schema lacks: \['age'\]"):
        TableTransforms(type(transforms.schema)(rest, transforms.schema.tasks), columns, None, transforms.leaves)
    with pytest.raises(ValueError, match="A schema and its transforms must have the same features"):
        TableTransforms(transforms.schema, transforms.columns)
    assert "leaves" not in json.loads((table.folder / "transforms" / "transforms.json").read_text())
