"""Each vocabulary and each number's moments have a fingerprint, in the schema and in its files."""

import json

import numpy as np
import polars as pl
import pytest

from grouprank import Categorical, Numeric, Schema, Sequence, Task
from grouprank.datasets import CategoricalColumn, NumericColumn, NumericTransform, SequenceColumn, TableTransforms
from grouprank.datasets.transforms.transform_fitter import TransformFitter

COLUMNS = [
    CategoricalColumn("user", "user", dtype="int64"),
    CategoricalColumn("ad", "ad"),
    SequenceColumn("seen", "user", length=2, shares="ad"),
    NumericColumn("price", "ad"),
]


def fitted(users=(5, 5, 7), ads=("a", "a", "b"), prices=(1.0, 2.0, 3.0)):
    fitter = TransformFitter(COLUMNS, [Task("click")])
    fitter.update(pl.DataFrame({"user": users, "ad": ads, "seen": ["a,b"] * 3, "price": prices}))
    return fitter.finish()


def test_a_fit_is_told_by_its_tokens_in_order():
    schema = fitted().schema
    assert schema["ad"].vocabulary == schema["seen"].vocabulary is not None
    assert fitted().schema == schema
    fitted(users=(7, 5, 5), prices=(3.0, 1.0, 2.0)).schema.check_fitted(schema)  # another order of rows
    for change, names in [
        ({"users": (7, 7, 5)}, r"ids of \['user'\] stand for other tokens, so"),
        ({"ads": ("b", "b", "a")}, r"ids of \['ad', 'seen'\]"),
        ({"prices": (1.0, 2.0, 3.1)}, r"rows: the numbers of \['price'\] are standardised otherwise, so"),
    ]:
        with pytest.raises(ValueError, match=names):
            schema.check_fitted(fitted(**change).schema)


def test_the_last_bits_of_moments_do_not_count():
    prints = {
        NumericTransform("x", "identity", mean, std).fingerprint
        for mean, std in [(0.0, 2.0), (-1e-17, 2.0), (3e-16, np.nextafter(2.0, 3.0))]
    }
    assert len(prints) == 1
    assert NumericTransform("x", "identity", 1e-3, 2.0).fingerprint not in prints
    assert NumericTransform("x", "log1p", 0.0, 2.0).fingerprint not in prints


def test_what_is_not_known_agrees_with_anything():
    by_hand = Schema(
        [Categorical("user", 9, side="user"), Categorical("ad", 3), Numeric("price", side="ad")], [Task("click")]
    )
    by_hand.check_fitted(fitted().schema)
    fitted().schema.check_fitted(by_hand)
    assert not {"vocabulary", "moments"} & {key for entry in by_hand.to_dict()["features"] for key in entry}
    with pytest.raises(ValueError, match="shares the table of 'ad' but their ids stand for other tokens"):
        Schema([Categorical("ad", 3, vocabulary="1"), Sequence("s", 3, 2, shares="ad", vocabulary="2")], [Task("c")])
    with pytest.raises(ValueError, match="'ad': `vocabulary` must be a fingerprint"):
        Categorical("ad", 3, vocabulary=["a"])


def test_files_keep_fingerprints(tmp_path):
    transforms = fitted()
    transforms.save(tmp_path)
    assert TableTransforms.load(tmp_path).schema == transforms.schema
    assert Schema.from_yaml(transforms.schema.to_yaml()) == transforms.schema
    path = tmp_path / "vocabularies" / "ad.txt"
    path.write_text("b\na\n")
    with pytest.raises(ValueError, match="transforms.json: feature 'ad' was fitted with another vocabulary"):
        TableTransforms.load(tmp_path)


def test_files_of_earlier_versions_load(tmp_path):
    transforms = fitted()
    transforms.save(tmp_path)
    path = tmp_path / "transforms.json"
    config = json.loads(path.read_text())
    for feature in config["schema"]["features"]:
        assert feature.pop("vocabulary", None) or feature.pop("moments")
    assert not {"missing", "integers", "oov_share"} & {key for entry in config["columns"].values() for key in entry}
    path.write_text(json.dumps(config))
    loaded = TableTransforms.load(tmp_path)
    assert loaded.schema == transforms.schema  # found again from the tokens
    rows = {"user": np.array([7]), "ad": ["b"], "seen": ["b"], "price": np.array([2.5])}
    assert loaded(rows)["ad"].tolist() == [3]


def test_sequences_of_earlier_versions_keep_their_ids(tmp_path):
    """In files of version 1, an unknown item has the id of padding, and a shared vocabulary begins at 1."""
    transforms = fitted()
    transforms.save(tmp_path / "1")
    path = tmp_path / "1" / "transforms.json"
    config = json.loads(path.read_text()) | {"version": 1}
    for feature in config["schema"]["features"]:
        feature.pop("vocabulary", None)
        if feature["name"] in ("ad", "seen"):
            feature["vocabulary_size"] -= 1
    config["columns"]["ad"].pop("unknown_id")
    path.write_text(json.dumps(config))
    loaded = TableTransforms.load(tmp_path / "1")
    loaded.save(tmp_path / "2")
    rows = {"user": np.array([7]), "ad": ["b"], "seen": ["new,b"], "price": np.array([2.5])}
    for old in (loaded, TableTransforms.load(tmp_path / "2")):
        assert (old(rows)["ad"].tolist(), old(rows)["seen"].tolist()) == ([2], [[0, 2]])
    assert (transforms(rows)["ad"].tolist(), transforms(rows)["seen"].tolist()) == ([3], [[1, 3]])
    with pytest.raises(ValueError, match=r"the ids of \['ad', 'seen'\] stand for other tokens"):
        loaded.schema.check_fitted(transforms.schema)
    path.write_text(json.dumps(config | {"version": 3}))
    with pytest.raises(ValueError, match="expected version 1 or 2. Received: 3. Prepare the data again"):
        TableTransforms.load(tmp_path / "1")


@pytest.mark.parametrize("name", ["/etc/passwd", "../../secret.txt", "vocabularies/../../x", "C:\\x.txt", "..\\x.txt"])
def test_files_outside_of_the_folder_are_refused(tmp_path, name):
    fitted().save(tmp_path / "saved")
    path = tmp_path / "saved" / "transforms.json"
    config = json.loads(path.read_text())
    config["columns"]["ad"]["vocabulary"] = name
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"transforms.json names a file outside of its folder: "):
        TableTransforms.load(tmp_path / "saved")
