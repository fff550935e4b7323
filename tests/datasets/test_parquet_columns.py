"""Parquet columns of any type are read, or refused in words; lists stay as they are."""

import datetime
import decimal

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import TableDescription, Tabular

ROWS = 20
DAY = datetime.datetime(2022, 5, 1, 12, 30)
COLUMNS = {
    "int": pl.Series(range(ROWS)),
    "uint64": pl.Series([2**64 - 1 - i for i in range(ROWS)], dtype=pl.UInt64),
    "float": pl.Series([i / 7 for i in range(ROWS)]),
    "decimal": pl.Series([decimal.Decimal(f"{i}.25") for i in range(ROWS)]),
    "bool": pl.Series([i % 2 == 0 for i in range(ROWS)]),
    "string": pl.Series([f"s{i}" for i in range(ROWS)]),
    "digits": pl.Series([f"{i}" for i in range(ROWS)]),
    "null": pl.Series([None] * ROWS, dtype=pl.Null),
    "categorical": pl.Series([f"{i % 3}" for i in range(ROWS)], dtype=pl.Categorical),
    "enum": pl.Series(["7", "8"] * (ROWS // 2), dtype=pl.Enum(["8", "7"])),
    "binary": pl.Series([f"b{i}".encode() for i in range(ROWS)]),
    "binary_no_text": pl.Series([b"\xff\xfe", b"ok"] * (ROWS // 2)),
    "date": pl.Series([DAY.date() + datetime.timedelta(i) for i in range(ROWS)]),
    "datetime": pl.Series([DAY + datetime.timedelta(i) for i in range(ROWS)]),
    "zone": pl.Series([DAY + datetime.timedelta(i) for i in range(ROWS)]).dt.replace_time_zone("UTC"),
    "time": pl.Series([datetime.time(i) for i in range(ROWS)]),
    "duration": pl.Series([datetime.timedelta(hours=i) for i in range(ROWS)]),
    "struct": pl.Series([{"a": i, "b": "x"} for i in range(ROWS)]),
    "list": pl.Series([[i, 1] for i in range(ROWS)]),
    "array": pl.Series([[i, 1] for i in range(ROWS)], dtype=pl.Array(pl.Int64, 2)),
    "list_of_strings": pl.Series([["a", f"{i}"] for i in range(ROWS)]),
    "list_of_binary": pl.Series([[b"\xff", b"a"] for i in range(ROWS)]),
    "list_of_lists": pl.Series([[[i], [1]] for i in range(ROWS)]),
    "list_of_structs": pl.Series([[{"a": i}, {"a": 2}] for i in range(ROWS)]),
    "list_of_durations": pl.Series([[datetime.timedelta(hours=i)] * 2 for i in range(ROWS)]),
    "list_of_dates": pl.Series([[DAY.date()] * 2 for i in range(ROWS)]),
    "list_of_nulls": pl.Series([[None, None]] * ROWS, dtype=pl.List(pl.Null)),
    "empty_lists": pl.Series([[], None] * (ROWS // 2), dtype=pl.List(pl.String)),
}
PLACES = {
    "numeric": {"features": [{"name": "x", "kind": "numeric", "side": "ad"}]},
    "string": {"features": [{"name": "x", "kind": "categorical", "side": "ad"}]},
    "int64": {"features": [{"name": "x", "kind": "categorical", "side": "ad", "dtype": "int64"}]},
    "sequence": {"features": [{"name": "x", "kind": "sequence", "side": "ad", "length": 2}]},
    "vector": {"features": [{"name": "x", "kind": "vector", "side": "ad", "dim": 2}]},
    "label": {"features": [{"name": "n", "kind": "numeric", "side": "ad"}], "tasks": ["x"]},
    "time": {"features": [{"name": "n", "kind": "numeric", "side": "ad"}], "time": "x"},
    "split": {"features": [{"name": "n", "kind": "numeric", "side": "ad"}]},
}
WORKS = {
    "numeric": {"int", "uint64", "float", "decimal", "bool", "digits", "null", "categorical", "enum"},
    "string": set(COLUMNS) - {name for name in COLUMNS if "list" in name or name in ("array", "struct", "duration")},
    "int64": {"int", "digits", "bool", "categorical", "enum"},
    "sequence": {"list", "array", "list_of_strings", "list_of_dates", "list_of_nulls", "empty_lists"},
    "vector": {"list", "array", "list_of_nulls"},
    "label": {"bool", "null"},
    "time": {"int", "uint64", "float", "decimal", "digits", "bool", "categorical", "enum", "date", "datetime", "zone"}
    | {"time", "duration"},
    "split": set(),
}
WORKS["string"] -= {"binary_no_text"}
WORKS["sequence"] |= WORKS["string"]


@pytest.mark.parametrize("place", PLACES)
def test_every_type_in_every_place_is_read_or_refused(tmp_path, place):
    read, refusals = set(), []
    for name, values in COLUMNS.items():
        frame = pl.DataFrame({"x": values, "n": range(ROWS), "y": [0, 1] * (ROWS // 2)})
        frame.write_parquet(tmp_path / f"{name}.parquet")
        description = TableDescription.from_dict({"tasks": ["y"], **PLACES[place]})
        table = Tabular(tmp_path / f"{name}.parquet", description, "x" if place == "split" else 0.1)
        try:
            assert sum(map(len, table.chunks(7))) == ROWS
            read.add(name)
        except ValueError as error:
            refusals.append(str(error))
    assert read == WORKS[place]
    assert all("'x'" in message for message in refusals)


def test_what_text_becomes(tmp_path):
    frame = pl.DataFrame(
        {
            "c": pl.Series(["20", "3", None], dtype=pl.Categorical),
            "b": pl.Series([b"\xc3\xa9", None, b"\xff"]),
            "y": pl.Series([b"1", b"0", None]),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    features = [{"name": "c", "kind": "numeric", "side": "ad"}, {"name": "b", "kind": "categorical", "side": "ad"}]
    description = TableDescription.from_dict({"features": features, "tasks": ["y"]})
    with pytest.raises(ValueError, match=r"line 3: column 'b': expected text in UTF-8. Received: b'\\xff'"):
        list(Tabular(tmp_path / "t.parquet", description).chunks(10))
    read = pl.concat(Tabular(tmp_path / "t.parquet", description).chunks(10, 1))
    assert read.select("c", "b", "y").rows() == [(20.0, "é", 1.0), (3.0, "", 0.0)]


LISTS = [["Action|Comedy", "Drama"], ["Action", "Comedy"], [], None, ["a", "", None, "b"], ["", "|"], ["a|", "b"]]


@pytest.mark.parametrize(
    ("separator", "bad"), [("|", [1, 6, 7]), ("||", []), (";", []), ("on|C", [1])], ids=["one", "two", "other", "long"]
)
def test_a_list_item_stays_whole(tmp_path, separator, bad):
    if separator == "||":
        # "a|" and "b" joined by "||" would be read as "a" and "|b".
        bad = [7]
    frame = pl.DataFrame({"s": pl.Series(LISTS, dtype=pl.List(pl.String)), "y": np.arange(len(LISTS)) % 2})
    frame.write_parquet(tmp_path / "t.parquet")
    feature = {"name": "s", "kind": "sequence", "side": "ad", "length": 3, "separator": separator}
    description = TableDescription.from_dict({"features": [feature], "tasks": ["y"]})
    table = Tabular(tmp_path / "t.parquet", description)
    read = pl.concat(table.chunks(2, len(bad)))
    assert table.bad_rows == len(bad)
    pieces = [[piece for piece in text.split(separator) if piece] for text in read["s"]]
    expected = [[item for item in row or [] if item] for i, row in enumerate(LISTS, 1) if i not in bad]
    assert pieces == expected
    if bad:
        with pytest.raises(
            ValueError, match=rf"line {bad[0]}: column 's': expected items .*choose another `separator`"
        ):
            list(Tabular(tmp_path / "t.parquet", description).chunks(2))


def test_vectors_of_another_length_are_bad_rows(tmp_path):
    frame = pl.DataFrame({"v": [[1.0, 2.0], [1.0], None, [1.0, 2.0, 3.0], [3.0, 4.0]], "y": [0, 1, 0, 1, 0]})
    frame.write_parquet(tmp_path / "t.parquet")
    feature = {"name": "v", "kind": "vector", "side": "ad", "dim": 2}
    description = TableDescription.from_dict({"features": [feature], "tasks": ["y"]})
    with pytest.raises(ValueError, match=r"line 2: column 'v': expected 2 numbers. Received: \[1.0\]"):
        list(Tabular(tmp_path / "t.parquet", description).chunks(10))
    read = pl.concat(Tabular(tmp_path / "t.parquet", description).chunks(2, 2))
    assert read["v"].to_list() == [[1.0, 2.0], None, [3.0, 4.0]]


def test_damaged_pages_are_named(tmp_path):
    path = tmp_path / "t.parquet"
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"s": [f"{i:x}" for i in random.integers(0, 2**40, 3000)], "y": np.arange(3000) % 2})
    frame.write_parquet(path, row_group_size=1000)
    whole = path.read_bytes()
    feature = {"name": "s", "kind": "categorical", "side": "ad"}
    description = TableDescription.from_dict({"features": [feature], "tasks": ["y"]})
    refusals = []
    for start in range(4, len(whole) // 2, 400):
        path.write_bytes(whole[:start] + random.bytes(200) + whole[start + 200 :])
        try:
            table = Tabular(path, description)
            list(table.chunks(100_000, 3000))
        except ValueError as error:
            refusals.append(str(error))
    assert all(str(path) in message for message in refusals)
    assert sum("is damaged" in message for message in refusals) > 10


def test_received_values_are_shown_in_short(tmp_path):
    (tmp_path / "t.csv").write_text("n,y\n" + "x" * 100_000 + ",1\n")
    description = TableDescription.from_dict(
        {"features": [{"name": "n", "kind": "numeric", "side": "ad"}], "tasks": ["y"]}
    )
    with pytest.raises(ValueError, match=r"column 'n': expected a number or nothing. Received: 'xxx") as error:
        list(Tabular(tmp_path / "t.csv", description).chunks(10))
    assert len(str(error.value)) < 1000
