import collections
import gc
import json
import math
import pickle
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import (
    CategoricalColumn,
    NumericColumn,
    NumericTransform,
    SequenceColumn,
    SequenceTransform,
    TableTransforms,
    VectorColumn,
    VectorTransform,
    VocabularyTransform,
)
from grouprank.datasets.transforms.running_moments import RunningMoments
from grouprank.datasets.transforms.token_counts import TokenCounts
from grouprank.datasets.transforms.token_lookup import TokenLookup
from grouprank.datasets.transforms.token_spelling import TokenSpelling
from grouprank.datasets.transforms.transform_fitter import TransformFitter
from grouprank.schema import Task


def strings(*items):
    return np.array(items, dtype=object)


def test_numeric_by_hand():
    transform = NumericTransform("x", "log1p", mean=1.0, std=2.0)
    raw = [0.0, math.e - 1, -(math.e - 1), np.nan, np.inf, -np.inf, 1e300]
    expected = np.array([-0.5, 0.0, -1.0, 0, 0, 0, 0], "float32")
    encoded = transform.encode(np.array(raw))
    np.testing.assert_allclose(encoded.array, expected, atol=1e-7)
    assert encoded.array.dtype == np.float32
    assert (encoded.array[3:] == 0).all()
    assert (encoded.replaced, encoded.total) == (4, 7)


def test_numeric_casts_to_float32_first_and_works_in_float64():
    raw = np.array([0.1, 16777217.0, 3.7])
    transform = NumericTransform("x", "log1p", mean=0.123456789, std=1.7)
    x = raw.astype("float32").astype("float64")
    np.testing.assert_array_equal(transform(raw), ((np.log1p(x) - 0.123456789) / 1.7).astype("float32"))
    np.testing.assert_array_equal(transform(pl.Series(raw)), transform(raw))


def test_numeric_accepts_columns_integers_and_nulls():
    transform = NumericTransform("x", "identity", mean=2.0, std=1.0)
    assert transform(np.array([[1], [2]])).tolist() == [-1.0, 0.0]
    assert transform(pl.Series([1, None, 4])).tolist() == [-1.0, 0.0, 2.0]
    with pytest.raises(ValueError, match="expected numbers"):
        transform(np.array(["1"]))
    with pytest.raises(ValueError, match="'x': expected shape"):
        transform(np.ones((2, 2)))


def test_moments_agree_with_numpy_and_to_the_last_bit_however_rows_are_parted():
    random = np.random.default_rng(0)
    wide = random.normal(size=1000).astype("float32") * np.float32(10) ** random.integers(-30, 30, 1000)
    for values in (1e9 + random.normal(size=1000), np.log1p(random.exponential(9, 1000)), wide):
        found = set()
        for size in (1, 7, 1000):
            moments = RunningMoments()
            for start in random.permutation(np.arange(0, 1000, size)):
                moments.add(RunningMoments.of(values[start : start + size]))
            assert moments.count == 1000
            found.add((moments.mean, moments.std))
        assert len(found) == 1
        exact = [Fraction(float(value)) for value in values]
        mean = sum(exact) / 1000
        std = float(sum((value - mean) ** 2 for value in exact) / 1000) ** 0.5
        np.testing.assert_allclose(moments.mean, float(mean), rtol=1e-15)
        np.testing.assert_allclose(moments.std, std, rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.3])
def test_moments_of_a_constant_or_empty_column(value):
    moments = RunningMoments()
    assert (moments.mean, moments.std) == (0.0, 1.0)
    moments.update(np.array([np.nan, np.inf]))
    assert (moments.count, moments.std) == (0, 1.0)
    for size in (3, 7, 1):
        moments.update(np.full(size, value))
    assert (moments.mean, moments.std) == (value, 1.0)


def test_tokens_are_sorted_by_count_then_token():
    counts = TokenCounts()
    counts.update(pl.Series(["b", "a", "é", "a"]))
    counts.update(pl.Series(["b", "", "", "z"]))
    assert counts.tokens(1, None).tolist() == ["", "a", "b", "z", "é"]
    assert counts.tokens(2, None).tolist() == ["", "a", "b"]
    assert counts.tokens(1, 2).tolist() == ["", "a"]


def test_tokens_do_not_depend_on_merging(monkeypatch):
    monkeypatch.setattr("grouprank.datasets.transforms.token_counts._MERGE_ROWS", 3)
    values = np.random.default_rng(0).integers(0, 40, 500)
    counts = TokenCounts()
    for start in range(0, 500, 11):
        counts.update(pl.Series(values[start : start + 11]))
    number, count = np.unique(values, return_counts=True)
    expected = [int(n) for n, _ in sorted(zip(number, count, strict=True), key=lambda pair: (-pair[1], pair[0]))]
    assert counts.tokens(1, None).tolist() == expected


@pytest.mark.parametrize("most", [0, 7, 20])
def test_tokens_do_not_depend_on_how_many_are_on_disk(monkeypatch, tmp_path, most):
    monkeypatch.setattr("grouprank.datasets.transforms.token_counts._MERGE_ROWS", 3)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("grouprank.datasets.transforms.token_counts.GROUPS", 4)
    monkeypatch.setattr("grouprank.datasets.transforms.token_run.GROUPS", 4)
    monkeypatch.setattr("grouprank.datasets.transforms.token_counts.PIECES", 2)
    monkeypatch.setattr("grouprank.datasets.transforms.token_counts._SENT_TOKENS", most)
    random = np.random.default_rng(0)
    integers = [f"{number}{random.choice(['', '.0'])}" for number in random.integers(0, 30, 400)]
    words = random.choice(
        ["", "a", "a.0", "a word of more than twelve bytes", "é\n", *"bcdefghijklmnopqrst"], 400
    ).tolist()
    for values in (pl.Series(integers), pl.Series(words), pl.Series(random.integers(-20, 20, 400))):
        text = values.dtype == pl.String
        whole, parts, sent, thin = TokenCounts.of(values), TokenCounts(), TokenCounts(), TokenCounts()
        with monkeypatch.context() as patch:
            patch.setattr("grouprank.datasets.transforms.token_counts._MOST_TOKENS", most)
            for start in range(0, 400, 80):
                part = TokenCounts()
                for first in range(start, start + 80, 11):
                    part.update(values[first : min(first + 11, start + 80)])
                parts.add(part)
            on_disk = len(list(tmp_path.iterdir()))
            assert on_disk > 0 or most > 7
            pieces = collections.defaultdict(TokenCounts)
            for number, piece in pickle.loads(pickle.dumps(parts)).pieces():
                pieces[number].add(pickle.loads(pickle.dumps(piece)))
            assert set(pieces) == {0, 1}
            for piece in pieces.values():
                for _, part in piece.thinned(14, ("a", "3.0", "b.0") if text else ()).pieces():
                    thin.add(pickle.loads(pickle.dumps(part)))
                for _, part in piece.pieces():
                    sent.add(part)
        assert len(thin.frame()) < len(sent.frame())
        for counts in (parts, sent, thin):
            assert counts.are_integers() == whole.are_integers()
            for spelling in (None, TokenSpelling(("a", "3.0", "b.0"), integers=True)):
                for min_count, max_size in ((14, None), (1, None), (5, 6))[: 1 if counts is thin else 3]:
                    expected = whole.tokens(min_count, max_size, spelling if text else None)
                    found = counts.tokens(min_count, max_size, spelling if text else None)
                    assert (found.tolist(), found.dtype) == (expected.tolist(), expected.dtype)
        if text:  # counted in one dict, by hand
            by_hand = collections.Counter("" if v in ("a", "3", "3.0", "b", "b.0") else v for v in values.to_list())
            if values[0] in integers:
                by_hand = collections.Counter(k.removesuffix(".0") for k in by_hand.elements())
                frame = parts.frame(TokenSpelling(("3.0",), integers=True))
                assert dict(frame.iter_rows()) == by_hand
        del part, parts, sent, thin, counts, piece, pieces
        gc.collect()
        assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of the process from /proc")
def test_counts_do_not_keep_the_text_they_were_counted_in():
    def own_megabytes():
        return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000

    text = "".join(f"a token of more than twelve bytes {i % 3}\n" for i in range(50_000)).encode()
    counts = TokenCounts()
    before = 0.0
    for chunk in range(220):
        if chunk == 20:
            before = own_megabytes()
        counts.update(pl.read_csv(text, has_header=False, schema={"token": pl.String})["token"])
    assert own_megabytes() - before < 0.25 * 200 * len(text) / 1e6
    assert len(counts.tokens(200 * 16_666, None)) == 3


def test_tokens_with_line_breaks_never_enter_a_vocabulary():
    counts = TokenCounts()
    counts.update(pl.Series(["a\nb", "a\rb", "ok", "u\u2028v"]))
    assert counts.tokens(1, None).tolist() == ["ok", "u\u2028v"]


def test_lookup_of_many_tokens():
    tokens = np.array([f"token{i}" for i in range(5000)], dtype=object)
    ids = TokenLookup(tokens).ids(pl.Series([f"token{i}" for i in range(6000)]))
    np.testing.assert_array_equal(ids, np.where(np.arange(6000) < 5000, np.arange(6000) + 1, 0))
    assert ids.dtype == np.int32
    with pytest.raises(ValueError, match="distinct"):
        TokenLookup(strings("a", "a"))
    assert TokenLookup(strings()).ids(pl.Series(["a"])).tolist() == [0]


def test_vocabulary_of_strings():
    transform = VocabularyTransform("os", "string", strings("", "ios", "Ünïcode"))
    for values in (
        ["ios", None, "Ünïcode", "x"],
        np.array(["ios", "", "Ünïcode", "x"]),
        np.array([b"ios", b"", "Ünïcode".encode(), b"\xff"]),
        strings("ios", None, "Ünïcode".encode(), b"\xff\xfe"),
        pl.Series(["ios", None, "Ünïcode", "a\nb"]),
        pl.Series(["ios", None, "Ünïcode", "x"], dtype=pl.Categorical),
        np.array([["ios"], [""], ["Ünïcode"], ["x"]]),
    ):
        encoded = transform.encode(values)
        assert encoded.array.tolist() == [2, 1, 3, 0]
        assert (encoded.replaced, encoded.total) == (1, 4)
    assert transform.vocabulary_size == 4
    for wrong in (np.array([1.5, 2]), pl.Series([1.0]), strings("a", 3.0), strings("a", True)):
        with pytest.raises(ValueError, match="'os': expected strings"):
            transform(wrong)


def test_vocabulary_of_integers_divides_and_wraps():
    transform = VocabularyTransform("hour", "int64", np.array([23, 0, 5]), divisor=1, modulo=100)
    assert transform(np.array([14102123, 14102100, 14103105, 14103106])).tolist() == [1, 2, 3, 0]
    transform = VocabularyTransform("hourmin", "int64", np.array([14, -1]), divisor=100)
    assert transform(pl.Series([1430, -30, 99])).tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="row 1: an integer is missing"):
        transform(pl.Series([1, None]))
    with pytest.raises(ValueError, match="expected integers"):
        transform(np.array([1.0]))


def test_sequence_drops_empty_pieces_cuts_and_pads():
    transform = SequenceTransform("tag", strings("7", "62", "é"), ",", length=3)
    values = ["62,7", "", None, ",,7,,é,", "9,62", "7,7,7,62", ","]
    encoded = transform.encode(values)
    assert encoded.array.tolist() == [[3, 2, 0], [0, 0, 0], [0, 0, 0], [2, 4, 0], [1, 3, 0], [2, 2, 2], [0, 0, 0]]
    assert encoded.array.dtype == np.int32
    assert (encoded.replaced, encoded.total) == (1, 9)
    assert transform(np.array([], dtype=object)).shape == (0, 3)
    assert transform(["", ""]).tolist() == [[0, 0, 0]] * 2


def test_vector_replaces_what_is_not_finite():
    transform = VectorTransform("image", dim=2)
    expected = [[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]
    for values in (
        np.array([[1, np.nan], [np.inf, 2], [np.nan, np.nan]]),
        pl.Series([[1.0, None], [float("inf"), 2.0], None], dtype=pl.List(pl.Float64)),
        pl.Series([[1.0, float("nan")], [float("inf"), 2.0], None], dtype=pl.Array(pl.Float32, 2)),
    ):
        encoded = transform.encode(values)
        assert encoded.array.tolist() == expected
        assert (encoded.replaced, encoded.array.dtype) == (4, np.float32)
    with pytest.raises(ValueError, match="row 1: expected 2 components"):
        transform(pl.Series([[1.0, 2.0], [1.0]]))
    with pytest.raises(ValueError, match=r"shape \(rows, 2\)"):
        transform(np.ones((3, 4)))


@pytest.fixture
def fitted():
    columns = [
        NumericColumn("price", "ad", raw="Price"),
        CategoricalColumn("city", "user"),
        CategoricalColumn("city_again", "user", raw="city", min_count=3),
        CategoricalColumn("hour", "context", raw="time", dtype="int64", modulo=24),
        SequenceColumn("tags", "ad", separator="|", length=2),
        VectorColumn("image", "ad", dim=2),
    ]
    frame = pl.DataFrame(
        {
            "Price": pl.Series([0.1, 5.7, None], dtype=pl.Float32),
            "city": ["Zürich", "", ""],
            "time": [1, 25, 2],
            "tags": ["a b|\u2028", "a b", "\x0b|x\ny"],
            "image": [[1.0, 2.0]] * 3,
        }
    )
    fitter = TransformFitter(columns, [Task("click")])
    fitter.update(frame)
    return fitter.finish(), frame


def test_table_raw_columns_are_listed_once(fitted):
    transforms, _ = fitted
    assert transforms.raw_columns == {
        "Price": "float32",
        "city": "string",
        "time": "int64",
        "tags": "string",
        "image": "float32",
    }
    assert transforms.columns["city_again"].tokens.tolist() == []
    assert transforms.columns["hour"].tokens.tolist() == [1, 2]
    assert [f.name for f in transforms.schema.on_side("ad")] == ["price", "tags", "image"]
    assert transforms.schema["city"].vocabulary_size == 3


def test_table_encodes_frames_and_arrays_alike(fitted):
    transforms, frame = fitted
    encoded = transforms(frame)
    transforms.schema.check(encoded)
    arrays = {
        "Price": np.array([0.1, 5.7, np.nan]),
        "city": np.array(["Zürich".encode(), b"", b""]),
        "time": np.array([1, 25, 2], "int32"),
        "tags": np.array(frame["tags"].to_list()),
        "image": np.array(frame["image"].to_list()),
        "ignored": np.zeros(7),
    }
    for name, values in transforms(arrays).items():
        np.testing.assert_array_equal(values, encoded[name])
    assert encoded["city"].tolist() == [2, 1, 1]
    assert encoded["tags"].tolist() == [[2, 4], [2, 0], [3, 1]]


def test_table_round_trip(fitted, tmp_path):
    transforms, frame = fitted
    transforms.save(tmp_path)
    loaded = TableTransforms.load(tmp_path)
    assert loaded.schema == transforms.schema
    assert loaded.raw_columns == transforms.raw_columns
    for name, column in transforms.columns.items():
        assert type(loaded.columns[name]) is type(column)
        for field in ("raw", "dtype", "divisor", "modulo", "separator", "length", "function", "mean", "std", "dim"):
            assert getattr(loaded.columns[name], field, None) == getattr(column, field, None)
        if hasattr(column, "tokens"):
            np.testing.assert_array_equal(loaded.columns[name].tokens, column.tokens)
            assert loaded.columns[name].tokens.dtype == column.tokens.dtype or not len(column.tokens)
    for name, values in loaded(frame).items():
        np.testing.assert_array_equal(values, transforms(frame)[name])
    assert (tmp_path / "vocabularies" / "city.txt").read_bytes() == "\nZürich\n".encode()
    assert json.loads((tmp_path / "transforms.json").read_text())["columns"]["hour"]["modulo"] == 24


def test_table_load_names_what_is_wrong(fitted, tmp_path):
    with pytest.raises(ValueError, match=r"transforms.json does not exist"):
        TableTransforms.load(tmp_path)
    fitted[0].save(tmp_path)
    path = tmp_path / "vocabularies" / "city.txt"
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"city.txt must have 2 lines. Received: 1"):
        TableTransforms.load(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=r"city.txt is missing"):
        TableTransforms.load(tmp_path)


def test_table_names_missing_columns_and_unequal_rows(fitted):
    transforms, frame = fitted
    with pytest.raises(ValueError, match=r"missing: \['city'\]"):
        transforms(frame.drop("city"))
    arrays = {name: frame[name] for name in frame.columns} | {"time": np.array([1])}
    with pytest.raises(ValueError, match="same number of rows"):
        transforms(arrays)


def test_one_raw_column_has_one_type():
    columns = [NumericColumn("price", "ad", raw="p"), CategoricalColumn("price_token", "ad", raw="p")]
    with pytest.raises(
        ValueError, match="'price_token' reads the raw column 'p' as string, and an earlier feature reads it as float32"
    ):
        TransformFitter(columns, [Task("click")])
    with pytest.raises(ValueError, match="more than once"):
        TransformFitter([NumericColumn("a", "ad"), NumericColumn("a", "ad")], [Task("click")])


def test_a_sequence_may_share_the_vocabulary_of_a_category():
    columns = [
        SequenceColumn("seen", "user", length=2, shares="item", min_count=9),
        CategoricalColumn("item", "ad", min_count=2),
    ]
    fitter = TransformFitter(columns, [Task("click")])
    fitter.update(pl.DataFrame({"item": ["a", "b", "b", "c", "c"], "seen": ["a,b", "b", "", "d", "c,b"]}))
    transforms = fitter.finish()
    assert transforms.columns["item"].tokens.tolist() == transforms.columns["seen"].tokens.tolist() == ["b", "c"]
    assert transforms.schema["seen"].shares == "item"
    assert transforms.columns["seen"](["a,b", "c,b,b"]).tolist() == [[1, 2], [3, 2]]
    assert transforms.columns["item"](["a", "b", "c"]).tolist() == [1, 2, 3]  # id 0 is padding
    for owner in (CategoricalColumn("item", "ad", dtype="int64"), SequenceColumn("item", "ad", length=1)):
        with pytest.raises(ValueError, match=r"'seen' shares the vocabulary of 'item'.*dtype=\"string\""):
            TransformFitter([columns[0], owner], [Task("click")])
    with pytest.raises(ValueError, match="`shares` must name"):
        TransformFitter(columns[:1], [Task("click")])
