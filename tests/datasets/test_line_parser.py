"""What becomes of a line depends on the line alone: not on its neighbours, nor on where a chunk begins."""

import gzip
import random
import tracemalloc

import numpy as np
import pytest

from grouprank.datasets.raw_files.bad_rows import BadRows
from grouprank.datasets.raw_files.delimited_file import DelimitedFile
from grouprank.datasets.raw_files.line_parser import LineParser

LONG = "x" * 200_000
LINES = [
    "a,b,c",
    "a,b",
    "a,b,c,d",
    "",
    ",,",
    '"a","b","c"',
    '"a,b",c,d',
    '"a""b",c,d',
    '"","""",""""""',
    '"de" "fr",b,c',
    'a,"b"c,d',
    'a,b"c,d',
    'a,b",d',
    'a,"b,c',
    'a,b,c"',
    '"a,b,c',
    'a,"b,c,d"',
    ' "a",b,c',
    '"a" ,b,c',
    '""a,b,c',
    'a,""b"",c',
    'a,""",",c',
    '"a,"b",c",d,e',
    "a\rb,c,d",
    'a,"b\rc",d',
    f"{LONG},b,c",
    f'"{LONG}",b,c',
    f'"{LONG},"",",b,c',
    "\ufeffa,b,c",
    "\ufeff,b,c",
    '\ufeff"a",b,c',
    "é,ü,中文",
    '"é,ü",中文,""',
    "nul\0,b,c",
    " a , b, c ",
    "#a,b,c",
    "\u2028,\x0b,\x0c",
    "'a,b',c",
    b"a,\xff\xfe,c",
    b'a,"\xff",c',
    b"\xc3,b,c",
]
GOOD = {0: ("a", "b", "c"), 4: ("", "", ""), 6: ("a,b", "c", "d"), 7: ('a"b', "c", "d"), 8: ("", '"', '""')}
GOOD |= {11: ("a", 'b"c', "d"), 12: ("a", 'b"', "d"), 14: ("a", "b", 'c"'), 25: (LONG, "b", "c"), 26: (LONG, "b", "c")}
GOOD |= {27: (f'{LONG},",', "b", "c"), 28: ("\ufeffa", "b", "c"), 34: (" a ", " b", " c "), 17: (' "a"', "b", "c")}
COLUMNS = ["s", "t", "u"]


def as_bytes(line):
    return line if isinstance(line, bytes) else line.encode()


def fates(path, chunk_rows, workers=1):
    """Line number to its fields; lines that are not there are bad."""
    kinds = dict.fromkeys(COLUMNS, "string")
    file = DelimitedFile(path, ",", columns=COLUMNS)
    chunks = file.chunks(chunk_rows, kinds, BadRows(10**6), workers)
    return {int(n): row for frame, numbers in chunks for n, row in zip(numbers, frame.rows(), strict=True)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What becomes of each line in a file of its own, after a first line that is not marked as the file's start."""
    path = tmp_path_factory.mktemp("alone") / "t.csv"
    found = []
    for line in LINES:
        path.write_bytes(b"1,2,3\n" + as_bytes(line) + b"\n")
        found.append(fates(path, 1).get(2))
    return found


def test_lines_alone(alone):
    assert {number: alone[number] for number in GOOD} == GOOD
    bad = [1, 2, 3, 9, 10, 13, 15, 16, 18, 19, 20, 22, 23, 24, 38, 39, 40]
    assert [number for number, row in enumerate(alone) if row is None] == bad


@pytest.mark.parametrize("chunk_rows", [1, 2, 7, 1000])
def test_a_line_among_others_is_what_it_is_alone(tmp_path, alone, chunk_rows):
    choose = random.Random(chunk_rows)
    order = [number for number in range(len(LINES)) for _ in range(3)]
    choose.shuffle(order)
    (tmp_path / "t.csv").write_bytes(b"1,2,3\n" + b"".join(as_bytes(LINES[number]) + b"\n" for number in order))
    found = fates(tmp_path / "t.csv", chunk_rows)
    assert found.pop(1) == ("1", "2", "3")
    assert found == {place: alone[number] for place, number in enumerate(order, 2) if alone[number] is not None}


@pytest.mark.parametrize("seed", range(3))
def test_lines_of_any_characters_are_what_they_are_alone(tmp_path, seed):
    choose = random.Random(seed)
    lines = ["".join(choose.choices('"",,,ab \r\u00e9\t', k=choose.randrange(9))) for _ in range(400)]
    lines += [",".join(choose.choices(['""', '"a"', '","', "b", '"""a"', 'a"', "", '"'], k=3)) for _ in range(400)]
    path = tmp_path / "t.csv"
    path.write_bytes(b"1,2,3\n" + "".join(line + "\n" for line in lines).encode())
    whole = fates(path, 10_000)
    assert 300 < len(whole) < 700
    for chunk_rows in (1, 7):
        assert fates(path, chunk_rows, workers=2) == whole


def test_one_bad_line_leaves_the_others_to_the_fast_reader(tmp_path, monkeypatch):
    seen = []
    original = LineParser._fields
    monkeypatch.setattr(LineParser, "_fields", lambda self, line: seen.append(line) or original(self, line))
    lines = ["é,b,c", '"d,e",f,g'] * 200
    lines[77] = 'a,"b"c,d'
    (tmp_path / "t.csv").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    assert len(fates(tmp_path / "t.csv", 1000)) == 399
    assert seen == [lines[77].encode()]


@pytest.mark.parametrize(
    "line", ['"a,b",' + ",".join(["x" * 20] * 20), 'a"b,' + ",".join(["x" * 20] * 20)], ids=["fast", "slow"]
)
def test_quotes_cost_memory_in_proportion_to_the_chunk(tmp_path, line):
    columns = [f"c{i}" for i in range(21)]
    rows = 4000
    (tmp_path / "t.csv").write_text((line + "\n") * rows)
    chunks = DelimitedFile(tmp_path / "t.csv", ",", columns).chunks(rows, {"c0": "string"}, BadRows(0))
    tracemalloc.start()
    try:
        frame, _ = next(chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(frame) == rows
    assert peak < 6 * len(line) * rows


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.txt"])
@pytest.mark.parametrize("packed", [False, True])
def test_gzip_is_known_by_its_content(tmp_path, name, packed):
    text = b"a,b\n1,2\n3,4\n"
    (tmp_path / name).write_bytes(gzip.compress(text) if packed else text)
    file = DelimitedFile(tmp_path / name, ",")
    frame, _ = next(file.chunks(10, {"a": "string", "b": "int64"}, BadRows(0)))
    assert frame.rows() == [("1", 2), ("3", 4)]
    assert file.count_rows() == 2


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04", "a ZIP archive or an Excel file"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"PAR1", "a Parquet file"),
        ("\ufeffa,b\n".encode("utf-16-le"), "UTF-16 text"),
        ("\ufeffa,b\n".encode("utf-16-be"), "UTF-16 text"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path, start, kind):
    (tmp_path / "t.csv").write_bytes(start + b"\0\1\2")
    with pytest.raises(ValueError, match=rf"t\.csv is {kind}, not text in UTF-8\. "):
        DelimitedFile(tmp_path / "t.csv", ",")


@pytest.mark.parametrize("packed", [False, True])
def test_lines_that_end_in_a_carriage_return_alone(tmp_path, packed):
    text = b'a,b\r1,"x,y"\r3\r5,z'
    (tmp_path / "t.csv").write_bytes(gzip.compress(text) if packed else text)
    file = DelimitedFile(tmp_path / "t.csv", ",")
    assert file.columns == ["a", "b"]
    assert file.count_rows() == 3
    bad = BadRows(1)
    rows = [
        (int(n), *row) for f, ns in file.chunks(2, {"b": "string"}, bad) for n, row in zip(ns, f.rows(), strict=True)
    ]
    assert rows == [(2, "x,y"), (4, "z")]
    with pytest.raises(ValueError, match="line 3: expected 2 comma-separated fields. Received: 1"):
        list(file.chunks(2, {"b": "string"}, BadRows(0)))


@pytest.mark.parametrize("block", [1000, 4 << 20])
@pytest.mark.parametrize("quoted", [True, False])
def test_a_header_of_any_length(tmp_path, monkeypatch, block, quoted):
    monkeypatch.setattr("grouprank.datasets.raw_files.delimited_file._BLOCK_BYTES", block)
    names = [f"column_{i:06}" for i in range(12_000)] + [LONG]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n" + ",".join(map(str, range(12_001))) + "\n")
    file = DelimitedFile(tmp_path / "t.csv", ",", quoted=quoted)
    assert file.columns == names
    frame, _ = next(file.chunks(10, {"column_011999": "int64", LONG: "string"}, BadRows(0)))
    assert frame.rows() == [(11_999, "12000")]


def test_a_file_without_a_line_break_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("grouprank.datasets.raw_files.delimited_file._BLOCK_BYTES", 1000)
    monkeypatch.setattr("grouprank.datasets.raw_files.delimited_file._LONGEST_HEADER", 5000)
    (tmp_path / "t.csv").write_text("x" * 100_000)
    with pytest.raises(ValueError, match=r"t\.csv has no line break in its first 5,000 bytes"):
        DelimitedFile(tmp_path / "t.csv", ",")


def test_columns_without_a_name_get_one(tmp_path):
    (tmp_path / "t.csv").write_text(',column_2,,"  ",b\n0,1,2,3,4\n')
    file = DelimitedFile(tmp_path / "t.csv", ",")
    assert file.columns == ["column_1", "column_2", "column_3", "column_4", "b"]
    frame, _ = next(file.chunks(10, dict.fromkeys(file.columns, "int64"), BadRows(0)))
    assert frame.rows() == [(0, 1, 2, 3, 4)]


def test_a_header_that_cannot_be_read(tmp_path):
    (tmp_path / "t.csv").write_text('"a,b\n1,2\n')
    with pytest.raises(ValueError, match=r"t\.csv: the header is malformed"):
        DelimitedFile(tmp_path / "t.csv", ",")
    (tmp_path / "t.csv").write_text("a,b,a,c,b\n1,2,3,4,5\n")
    with pytest.raises(ValueError, match=r"the header repeats a column: \['a', 'b'\]"):
        DelimitedFile(tmp_path / "t.csv", ",")


def test_a_byte_order_mark_belongs_to_no_value(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufeffa,b\n".encode() * 2)
    for chunk_rows in (1, 2):
        found = list(DelimitedFile(tmp_path / "t.csv", ",", ["s", "t"]).chunks(chunk_rows, {"s": "string"}, BadRows(0)))
        assert np.concatenate([frame["s"].to_numpy() for frame, _ in found]).tolist() == ["a", "\ufeffa"]
