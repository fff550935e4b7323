"""The contract of a kind of feature, which every kind is held to (see `grouprank.datasets.kinds.Column`)."""

import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest

from grouprank import Schema, Task
from grouprank.datasets import (
    BucketizedColumn,
    CategoricalColumn,
    GrowingColumn,
    HashedColumn,
    HashedSequenceColumn,
    NumericColumn,
    SequenceColumn,
    TableDescription,
    TableTransforms,
    VectorColumn,
    WeightedColumn,
)
from grouprank.datasets.kinds import COLUMNS, TRANSFORMS, LabelColumn
from grouprank.datasets.transforms.raw_values import as_bytes
from grouprank.datasets.transforms.transform_fitter import TransformFitter
from grouprank.recipes.drafting import ColumnProfile

STRINGS = ["", "a", "b", "84", "84.0", "084", "NA", "-1", "a,b", "b,,a,NA,84.0,a", ",", "iös 9", "日本", " a", "a\x00b",
           "84.0\n", "\x1f<empty>\x1f", "a" * 300, b"\xff", b"a,\xff,b", b"84\xff.0", None]  # fmt: skip
WEIGHTED = [*STRINGS, "a:0.5", "b:-2,a", ":3", "a:", "a:x,b:1e5", "84.0:1.25,NA:9,84:0.1", "a:1:2", "a:00012.50",
            "a:+.5", "a:+5",
            "a:123456789012345.123456789012345,b:1234567890123456", "a: 1", "a:٣", b"a:\xff,b:1", b"\xff:0.7",
            "NA:1", "a:0.1,b:0.2,a:0.3,b:0.4", "a:-0", "a:nan", "a:1\n"]  # fmt: skip
NUMBERS = np.array(
    [0, -0.0, 1, -1, 1.5, 2.5, 3, 1e-30, 3e38, np.nan, np.inf, -np.inf, -999.9, 0.1, 16777217, 7], "float32"
)
INTEGERS = np.array([0, 1, -1, 7, 14, -8, 2**62, -(2**63), 2**63 - 1])
VECTORS = np.array([[0.5, 1], [np.nan, 2], [np.inf, -np.inf], [0, -0.0]], "float32")


@dataclasses.dataclass
class Case:
    """A column, chunks of its training rows, raw values of all sorts, and one that must be refused."""

    column: Any
    chunks: list
    values: Any
    refused: Any
    profile: pl.Series = dataclasses.field(default_factory=lambda: pl.Series(["a", "b"] * 60))

    @property
    def training(self) -> list:
        return [pl.Series("x", chunk) for chunk in self.chunks]

    def fit(self, parts: Any = None) -> Any:
        summary = self.column.empty()
        for part in [self.column.summarize(chunk) for chunk in self.training] if parts is None else parts:
            if summary is not None:
                summary.add(part)
        return self.column.fit(summary)


WORDS = [["a", "b", "a", ""], ["84.0", "iös 9", "a"], ["NA", "b", "84"]]
CODES = [["84.0", "7"], ["84", "NA", ""], ["-1", "120"]]
AMOUNTS = [[1.5, None, 3.0, 2.0], [-999.9, 7.0, 0.1, 0.1], [float("inf"), 2.5, 100.0]]
CASES = {
    "numeric": Case(NumericColumn("x", "ad"), AMOUNTS, NUMBERS, np.array(["1"])),
    "numeric, missing": Case(
        NumericColumn("x", "ad", function="identity", missing=("-1", "NA", "-999.9")), AMOUNTS, NUMBERS, np.ones((2, 2))
    ),
    "categorical": Case(CategoricalColumn("x", "ad", missing=("NA",)), WORDS, STRINGS, np.array([1.5])),
    "categorical of codes": Case(CategoricalColumn("x", "ad", missing=("NA", "-1")), CODES, STRINGS, [True]),
    "categorical of integers": Case(
        CategoricalColumn("x", "ad", dtype="int64", modulo=7, missing=("-1",)), [[1, 8, -1], [3]], INTEGERS, [1.0]
    ),
    "bucketized": Case(
        BucketizedColumn("x", "ad", buckets=4, missing=("-1", "-999.9")), AMOUNTS, NUMBERS, np.array(["1"])
    ),
    "growing": Case(GrowingColumn("x", "ad", capacity=50, missing=("NA",)), WORDS, STRINGS, np.array([1.5])),
    "growing integers": Case(
        GrowingColumn("x", "ad", dtype="int64", capacity=5, missing=("-1",)), [[1, 8, -1], [3]], INTEGERS, [1.0]
    ),
    "hashed": Case(HashedColumn("x", "ad", buckets=1000, missing=("NA", "-1")), WORDS, STRINGS, np.array([1.5])),
    "hashed integers": Case(
        HashedColumn("x", "ad", dtype="int64", buckets=2**31 - 2, missing=("-1",)), [[1, 8, -1], [3]], INTEGERS, [1.0]
    ),
    "hashed sequence": Case(
        HashedSequenceColumn("x", "ad", length=3, buckets=50, missing=("NA",), integers=False),
        WORDS,
        STRINGS,
        [1.5],
        pl.Series(["a|b", "b|c|d"] * 60),
    ),
    "sequence": Case(
        SequenceColumn("x", "ad", length=3, missing=("NA", "a,b")),
        [["a,b", "a,NA,c", ""], ["b"]],
        STRINGS,
        np.array([1.5]),
        pl.Series(["a|b", "b|c|d"] * 60),
    ),
    "weighted": Case(
        WeightedColumn("x", "ad", length=3, missing=("NA", "a,b")),
        [["a:0.5,b", "a,NA,c:2", ""], ["b:1"]],
        WEIGHTED,
        np.array([1.5]),
        pl.Series(["a:1|b:2", "b:1|c:0.5|d:1"] * 60),
    ),
    "vector": Case(
        VectorColumn("x", "ad", dim=2), [[[1.0, 2.0]]], VECTORS, np.ones((3, 4)), pl.Series([[0.5, 1.5]] * 120)
    ),
}


def graph_of(transform: Any, values: Any, folder: Any) -> np.ndarray:
    import tensorflow as tf

    table = transform.graph_table(folder / "vocabulary.txt")
    raw = as_bytes("x", values) if transform.dtype == "string" else np.asarray(values)
    specs = tf.TensorSpec([None, *transform.raw_shape], transform.dtype)
    return tf.function(lambda x: transform.graph(x, table), input_signature=[specs])(tf.constant(raw)).numpy()


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found.view("int32"), expected.view("int32"))


def test_every_kind_is_held_to_the_contract():
    assert {case.column.kind for case in CASES.values()} == set(COLUMNS)
    assert set(TRANSFORMS) == {*COLUMNS, "weights"}  # the other half of a weighted list


@pytest.mark.parametrize("name", CASES)
class TestEveryKind:
    def test_a_fit_to_merged_parts_is_the_fit_to_all_rows(self, name):
        case = CASES[name]
        whole = case.column.summarize(pl.concat(case.training))
        assert (whole is None) == (case.column.empty() is None)
        if whole is None:
            return
        parts = [pickle.loads(pickle.dumps(case.column.summarize(chunk))) for chunk in case.training]
        right = case.column.empty()
        for part in parts[1:]:
            right.add(part)
        once, ours, grouped = (case.fit(some) for some in ([whole], parts, [parts[0], right]))
        assert once.fingerprint == ours.fingerprint == grouped.fingerprint
        for other in (ours, grouped):
            np.testing.assert_allclose(other(case.values), once(case.values), rtol=1e-6, atol=1e-6)

    def test_the_graph_encodes_every_value_bit_for_bit(self, name, tmp_path):
        case = CASES[name]
        transform = case.fit()
        expected = transform(case.values)
        assert_same_bits(graph_of(transform, case.values, tmp_path), expected)
        empty = case.fit([])
        assert_same_bits(graph_of(empty, case.values, tmp_path), empty(case.values))
        assert_same_bits(graph_of(transform, case.values[:0], tmp_path), transform(case.values[:0]))

    def test_what_is_encoded_is_what_the_schema_says(self, name):
        case = CASES[name]
        transform = case.fit()
        feature = case.column.feature(transform.vocabulary_size or 1)
        encoded = transform.encode(case.values)
        Schema([feature], [Task("click")]).check({"x": encoded.array})
        assert encoded.array.dtype == feature.dtype
        assert 0 <= encoded.replaced <= encoded.total
        if transform.counts_unknown:
            assert (len(transform.unknown(case.values)) > 0) == (encoded.replaced > 0)

    def test_it_is_saved_and_loaded(self, name, tmp_path):
        case = CASES[name]
        transform = case.fit()
        schema = Schema([case.column.feature(transform.vocabulary_size or 1)], [Task("click")])
        TableTransforms(schema, {"x": transform}).save(tmp_path)
        json.loads((tmp_path / "transforms.json").read_text(encoding="utf-8"))
        loaded = TableTransforms.load(tmp_path)
        assert type(loaded.columns["x"]) is type(transform) is TRANSFORMS[case.column.kind]
        assert loaded.schema["x"] == TableTransforms(schema, {"x": transform}).schema["x"]
        assert_same_bits(loaded.columns["x"](case.values), transform(case.values))

    def test_a_later_period_moves_no_id_and_the_graph_follows(self, name, tmp_path):
        case = CASES[name]
        transform = case.fit()
        if not transform.grows:
            for changed in (transform.summarize, transform.extended, transform.with_capacity):
                with pytest.raises(NotImplementedError, match=f"A {transform.kind} feature does not grow"):
                    changed(case.values)
            return
        grown, growth = transform.extended(transform.summarize(case.values))
        before, after = transform.encode(case.values), grown.encode(case.values)
        known = before.array != transform.absent_id
        np.testing.assert_array_equal(after.array[known], before.array[known])
        assert len(growth.new)
        assert after.replaced < before.replaced
        assert grown.vocabulary_size == transform.vocabulary_size
        assert grown.fingerprint != transform.fingerprint
        assert_same_bits(graph_of(grown, case.values, tmp_path), after.array)

    def test_wrong_values_are_refused_by_name(self, name):
        with pytest.raises(ValueError, match="'x': expected"):
            CASES[name].fit()(CASES[name].refused)

    def test_a_sample_has_the_signatures_type_and_is_encoded_alike(self, name, tmp_path):
        transform = CASES[name].fit()
        drawn = transform.sample(200, np.random.default_rng(0))
        assert drawn.shape == (200, *transform.raw_shape)
        assert drawn.dtype == ("O" if transform.dtype == "string" else transform.dtype)
        expected = transform(drawn)
        assert len(np.unique(expected, axis=0)) > 1
        assert_same_bits(graph_of(transform, drawn, tmp_path), expected)

    def test_values_are_shown_or_refused_in_words(self, name):
        transform = CASES[name].fit()
        encoded = transform(CASES[name].values)
        if transform.is_readable(100):
            assert len(transform.readable(encoded)) == len(encoded)
            assert transform.is_readable(1) == (transform.vocabulary_size is None)
        else:
            with pytest.raises(ValueError, match=f"is a {transform.kind} feature and has no single value"):
                transform.readable(encoded)

    def test_a_description_drafts_and_reads_it(self, name):
        column = CASES[name].column
        drafted = type(column).draft(ColumnProfile("x", CASES[name].profile))
        entry = {"name": "x", "kind": column.kind, "side": "ad", **drafted}
        (read,) = TableDescription.from_dict({"features": [entry], "tasks": ["click"]}).columns
        assert type(read) is type(column)
        assert read.typed(CASES[name].training[0], lambda wrong, expected: None).len() == len(CASES[name].chunks[0])

    def test_lists_and_dates_are_refused_by_their_kind(self, name):
        column = CASES[name].column
        dates = pl.Series("x", [[pl.date(2020, 1, 1)]], dtype=pl.Object)
        with pytest.raises(ValueError, match=f"Column 'x', described as {column.kind}: expected"):
            column.typed(dates, lambda wrong, expected: None)


class TestHashes:
    def test_they_are_those_of_tensorflow(self, tmp_path):
        """Strings of 0 to 300 bytes: the hash has another branch for each range of lengths."""
        import tensorflow as tf

        rng = np.random.default_rng(0)
        letters = np.array(list("aZ09 _-é日\U0001f600"))
        texts = ["".join(rng.choice(letters, length)) for length in range(1, 301)]
        texts += ["x" * length for length in range(1, 301)]
        hashed = HashedColumn("x", "ad", buckets=2**31 - 2, integers=False).fit(None)
        np.testing.assert_array_equal(hashed(texts) - 1, tf.strings.to_hash_bucket_fast(texts, 2**31 - 2).numpy())
        noise = [rng.integers(0, 256, length, "uint8").tobytes().replace(b"\0", b"") for length in range(1, 301)]
        noise += [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"a\xe2\x82", b"\xef\xbb\xbfa", b"\n\n\xff\n"]
        assert_same_bits(graph_of(hashed, noise, tmp_path), hashed(noise))

    def test_a_token_has_one_id_in_every_type(self):
        strings = HashedColumn("x", "ad", buckets=10**6).fit(None)
        integers = HashedColumn("x", "ad", buckets=10**6, dtype="int64").fit(None)
        lists = HashedSequenceColumn("x", "ad", length=2, buckets=10**6).fit(None)
        ids = {*strings(["84", "84.0", b"84"]), *strings(pl.Series([84])), *integers([84]), *lists(["84,84.0"])[0]}
        assert len(ids) == 1
        assert strings(["", None, "x"]).tolist()[:2] == [0, 0]
        exact = HashedColumn("x", "ad", buckets=10**6, integers=False).fit(None)
        assert exact(["84"]) == strings(["84"]) != exact(["84.0"])

    def test_a_sequence_may_share_the_ids_of_a_category(self):
        columns = [HashedSequenceColumn("seen", "user", length=2, buckets=50, shares="ad")]
        fitter = TransformFitter([*columns, HashedColumn("ad", "ad", buckets=50)], [Task("click")])
        transforms = fitter.finish()  # of no rows
        ids = transforms({"ad": ["a", "b"], "seen": ["b", "b,a"]})
        assert ids["seen"].tolist() == [[ids["ad"][1], 0], ids["ad"][::-1].tolist()]
        assert transforms.schema["seen"].shares == "ad"
        for owner in (HashedColumn("ad", "ad", buckets=51), CategoricalColumn("ad", "ad")):
            with pytest.raises(ValueError, match="'seen' shares the ids of 'ad', which must be a HashedColumn with"):
                TransformFitter([*columns, owner], [Task("click")])
        with pytest.raises(ValueError, match="`buckets` must be at most 2,147,483,646"):
            HashedColumn("ad", "ad", buckets=2**31)


class TestWeights:
    COLUMN = WeightedColumn("x", "ad", length=3, missing=("NA",))

    def fit(self) -> dict:
        summary = self.COLUMN.summarize(pl.Series(["a:0.5,b:2,a", "NA:1,b"]))
        return self.COLUMN.transforms(summary)

    def test_they_stand_beside_their_ids(self):
        transforms = self.fit()
        assert transforms["x"].tokens.tolist() == ["a", "b"]
        values = ["b:0.25,NA:7,new:3,,a", "a:x,b:1", "", None, "NA"]
        assert transforms["x"](values).tolist() == [[3, 1, 2], [2, 3, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
        weights = transforms["x_weights"].encode(values)
        assert weights.array.tolist() == [[0.25, 3, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
        assert (weights.replaced, weights.total) == (1, 5)

    def test_the_graph_reads_them_bit_for_bit(self, tmp_path):
        transform = self.fit()["x_weights"]
        assert_same_bits(graph_of(transform, WEIGHTED, tmp_path), transform(WEIGHTED))
        drawn = transform.sample(100, np.random.default_rng(0))
        assert_same_bits(graph_of(transform, drawn, tmp_path), transform(drawn))

    def test_a_table_has_both_after_a_file(self, tmp_path):
        fitter = TransformFitter([self.COLUMN], [Task("click")])
        frame = pl.DataFrame({"x": ["a:0.5,b:2", "b"]})
        fitter.update(frame)
        fitter.finish().save(tmp_path)
        loaded = TableTransforms.load(tmp_path)
        assert loaded.schema.feature_names == ["x", "x_weights"]
        assert loaded.schema.field_names() == ["x"]
        assert loaded(frame)["x_weights"].tolist() == [[0.5, 2, 0], [1, 0, 0]]

    def test_rows_whose_weights_are_no_numbers_are_reported(self):
        found = []
        self.COLUMN.typed(
            pl.Series(["a:1,b", "a:x", "", None, "NA:y", "b:0.5,a:1e3"]), lambda *given: found.append(given)
        )
        assert found[-1][0].tolist() == [False, True, False, False, False, True]
        assert found[-1][1] == "tokens with decimal numbers, such as 'token:0.5'"


class TestBuckets:
    def test_they_hold_as_many_training_rows_each(self):
        values = np.random.default_rng(0).lognormal(2, 2, 10_000).astype("float32")
        column = BucketizedColumn("x", "ad", buckets=10)
        transform = column.fit(column.summarize(pl.Series(values)))
        assert np.bincount(transform(values)).tolist() == [0] + [1000] * 10
        np.testing.assert_array_equal(transform.boundaries, np.sort(values)[1000::1000])
        assert transform(np.array([np.inf, -1.0, 1e9, np.nan])).tolist() == [0, 1, 10, 0]

    def test_equal_numbers_share_one(self):
        column = BucketizedColumn("x", "ad", buckets=4)
        transform = column.fit(column.summarize(pl.Series([0.0, -0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0])))
        assert transform.boundaries == (1.0,)
        assert transform(np.array([-5.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [1, 1, 1, 2, 2]
        assert transform.readable(np.array([0, 1, 2])).to_list() == ["(missing)", "below 1", "from 1"]

    def test_many_numbers_are_counted_alike_in_any_order(self, monkeypatch):
        monkeypatch.setattr("grouprank.datasets.kinds.bucketized._MOST_NUMBERS", 200)
        values = np.random.default_rng(0).normal(0, 50, 4000)
        column = BucketizedColumn("x", "ad", buckets=8)
        found = set()
        for parts in (1, 7, 40):
            for order in (1, -1):
                summary = column.empty()
                for chunk in np.array_split(values, parts)[::order]:
                    summary.add(column.summarize(pl.Series(chunk)))
                found.add(column.fit(summary).boundaries)
        (boundaries,) = found
        np.testing.assert_allclose(boundaries, np.quantile(values, np.arange(1, 8) / 8), rtol=0.1, atol=1)


def test_labels():
    label = LabelColumn("click")
    assert label.encode(pl.Series([0.5, None])).tolist()[0] == 0.5
    label.check(pl.Series([1.0, None]), "log", 0)
    with pytest.raises(ValueError, match=r"log: task 'click', row 8: a label must lie in \[0, 1\].*Received: 2"):
        label.check(pl.Series([1.0, 2.0]), "log", 7)
