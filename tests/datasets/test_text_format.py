"""Text files that are no table yet: what is read all the same, and what the user is told of the rest."""

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import TableDescription, Tabular
from grouprank.datasets.raw_files.bad_rows import BadRows
from grouprank.datasets.raw_files.table_file import TableFile


def read(path):
    file = TableFile(path)
    return pl.concat(frame for frame, _ in file.chunks(100, file.columns, BadRows(0)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "a,b,c\n1,x y,2\n3,z,4\n"),
        ("t.csv", "a, b, c\n1, x y, 2\n3, z, 4\n"),
        ("t.csv", "a,b,c\r\n1, x y, 2\r\n3, z, 4\r\n"),
        ("t.tsv", "a\tb\tc\n1\tx y\t2\n3\tz\t4\n"),
        ("t.txt", "a\x01b\x01c\n1\x01x y\x012\n3\x01z\x014\n"),
        ("t.csv", "a;b;c\n1;x y;2\n3;z;4"),
        ("t.txt", "a b c\n1 x 2\n3 z 4\n"),
        ("t.csv", '"a","b","c"\n1,x y,2\n3,"z",4\n'),
    ],
)
def test_separators_are_found(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    frame = read(tmp_path / name)
    assert frame.columns == ["a", "b", "c"]
    assert frame["a"].to_list() == ["1", "3"]
    assert [value.split()[0] for value in frame["b"]] == ["x", "z"]
    assert frame["c"].to_list() == ["2", "4"]


def test_the_header_does_not_outvote_the_rows(tmp_path):
    (tmp_path / "t.csv").write_text('"price, EUR, net";click\n1;0\n2;1\n')
    assert read(tmp_path / "t.csv").columns == ["price, EUR, net", "click"]


def test_a_blank_after_commas_belongs_to_no_value(tmp_path):
    rows = [f"{i}, Private, {i % 2}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["age, workclass, rich", *rows]))
    features = [
        {"name": "age", "kind": "numeric", "side": "user"},
        {"name": "workclass", "kind": "categorical", "side": "user"},
    ]
    description = TableDescription.from_dict({"features": features, "tasks": ["rich"]})
    frame = pl.concat(Tabular(tmp_path / "t.csv", description).chunks(7))
    assert frame["age"].to_list() == list(range(20))
    assert set(frame["workclass"]) == {"Private"}
    # Where not every comma has one, blanks are part of the values.
    (tmp_path / "t.csv").write_text("a,b\n1, x\n2,y\n")
    assert read(tmp_path / "t.csv")["b"].to_list() == [" x", "y"]


@pytest.mark.parametrize("header", ["0,1,2", "user,0,1,2,3", "user,2019,2020,2021", ",user,click", "a", "my column"])
def test_headers_that_are_odd_but_names(tmp_path, header):
    row = ",".join(["7"] * (header.count(",") + 1))
    (tmp_path / "t.csv").write_text(f"{header}\n{row}\n{row}\n")
    assert TableFile(tmp_path / "t.csv").columns == [name or "column_1" for name in header.split(",")]


CRITEO = "\t".join(["0", "224", "", "1", "1", *["05db9164", "0eb070fa"] * 4])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (f"{CRITEO}\n{CRITEO}\n".encode(), r"has no header: its first line looks like a row.*names of its 13 columns"),
        (b"39,State-gov,77516,Male,<=50K\n50,Self,83311,Male,>50K\n", "has no header.*'39,State-gov,…'"),
        (b"712,5239,1650812741436\n13414,6831,1650812934945\n", r"cat t.csv\) > with_header.csv"),
        (b"u1,a3,0.5,x\nu2,a4,0.25,y\n", "has no header"),
        (b"1 3:0.5 10:1\n0 2:0.25\n1 7:1\n", "looks like libsvm.*load_svmlight_file"),
        (b"-1 qid:3 1:0.5\n+1 qid:3 2:0.5\n", "looks like libsvm"),
        (b"user::item::click\n1::7::0\n", "separated by '::'.*sed"),
        (b"user    item  click\n1       7     0\n22      8     1\n", "runs of blanks.*sed"),
        ("user,name,y\n1,café,0\n2,zoé,1\n".encode("latin-1"), r"line 2 holds b'1,caf\\xe9,0', in Latin-1 '1,café,0'"),
        ("user,prénom,click\n1,a,0\n".encode("latin-1"), "not UTF-8 text: line 1.*iconv -f LATIN1"),
        ("user,click\n1,0\n".encode("utf-16"), "is UTF-16 text.*Save the table as CSV in UTF-8"),
        (bytes(range(256)) * 4, "UTF-16, or it is not text|not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_told_with_the_way_out(tmp_path, content, what):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s){what}"):
        TableFile(tmp_path / "t.csv")


def test_a_broken_line_among_good_ones_is_a_bad_row(tmp_path):
    good = "\n".join(f"{i},é" for i in range(9))
    (tmp_path / "t.csv").write_bytes(f"a,b\n{good}\n".encode() + b"9,\xe9\n")
    file = TableFile(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="line 11: the line is not UTF-8"):
        next(file.chunks(100, file.columns, BadRows(0)))


def test_long_headers_and_fields(tmp_path):
    names = [f"column_number_{i}" for i in range(30_000)]
    (tmp_path / "t.csv").write_text("\n".join([",".join(names), ",".join(["1"] * 30_000)]))
    assert TableFile(tmp_path / "t.csv").columns == names
    (tmp_path / "t.csv").write_text(f"a;b\n{'x' * 200_000};1\n2;3\n")
    assert TableFile(tmp_path / "t.csv").columns == ["a", "b"]
    assert np.array_equal(TableFile(tmp_path / "t.csv").count_rows(), 2)
