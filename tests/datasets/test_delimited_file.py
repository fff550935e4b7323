import gzip

import pytest

from grouprank.datasets.raw_files.bad_rows import BadRows
from grouprank.datasets.raw_files.delimited_file import DelimitedFile
from grouprank.datasets.raw_files.line_parser import LineParser

KINDS = {"label": "label", "n": "int64", "x": "float32", "s": "string"}


def read(path, chunk_rows=100, limit=0, separator=",", columns=None, quoted=True):
    bad = BadRows(limit)
    rows, lines = [], []
    for frame, numbers in DelimitedFile(path, separator, columns, quoted).chunks(chunk_rows, KINDS, bad):
        assert 0 < len(frame) == len(numbers) <= chunk_rows
        rows += frame.rows()
        lines += numbers.tolist()
    return rows, lines, bad.count


GOOD = ["label,n,x,s", "0,5,1.5,é", '1,-3,,"a,""b"""', "1,7,nan,"]
EXPECTED = [(0.0, 5, 1.5, "é"), (1.0, -3, None, 'a,"b"')]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_reads_types_quotes_missing_values_and_line_numbers(tmp_path, write_lines, name, end, chunk_rows):
    rows, lines, bad = read(write_lines(tmp_path / name, GOOD, end), chunk_rows)
    assert rows[:2] == EXPECTED
    assert (rows[2][2] != rows[2][2], rows[2][3]) == (True, "")
    assert (lines, bad) == ([2, 3, 4], 0)


def test_last_line_without_a_break(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(GOOD))
    assert read(path)[1] == [2, 3, 4]
    assert DelimitedFile(path, ",").count_rows() == 3


def test_no_header_and_no_quotes(tmp_path, write_lines):
    path = write_lines(tmp_path / "t.txt", ['0\t1\t2\t"', "1\t1\t2\ta,b"])
    rows, lines, _ = read(path, separator="\t", columns=list(KINDS), quoted=False)
    assert rows == [(0.0, 1, 2.0, '"'), (1.0, 1, 2.0, "a,b")]
    assert lines == [1, 2]
    assert DelimitedFile(path, "\t", list(KINDS), quoted=False).count_rows() == 2


BAD = [
    ("0,1,2", r"expected 4 comma-separated fields. Received: 3"),
    ("0,1,2,a,b", r"expected 4 comma-separated fields. Received: 5"),
    ("", r"expected 4 comma-separated fields. Received: 0"),
    ("2,1,2,a", r"column 'label': expected 0 or 1. Received: '2'"),
    (",1,2,a", r"column 'label': expected 0 or 1. Received: ''"),
    ("nan,1,2,a", r"column 'label': expected 0 or 1"),
    ("0,1.5,2,a", r"column 'n': expected an integer. Received: '1.5'"),
    ("0,,2,a", r"column 'n': expected an integer. Received: ''"),
    ("0,1,two,a", r"column 'x': expected a number or nothing. Received: 'two'"),
    ('0,1,2,"a', r"malformed"),
    ("0,1,2,a\rb", r"carriage return"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_a_bad_row_is_named_with_its_line(tmp_path, write_lines, line, message, chunk_rows):
    path = write_lines(tmp_path / "t.csv", [*GOOD, line, "0,1,2,z"])
    with pytest.raises(ValueError, match=message) as error:
        read(path, chunk_rows)
    assert f"{path}, line 5: " in str(error.value)
    assert "--max-bad-rows" in str(error.value)
    rows, lines, bad = read(path, chunk_rows, limit=1)
    assert (lines, bad, rows[-1]) == ([2, 3, 4, 6], 1, (0.0, 1, 2.0, "z"))


def test_a_short_and_a_long_row_do_not_cancel(tmp_path, write_lines):
    path = write_lines(tmp_path / "t.csv", ["label,n,x,s", "0,1,2", "0,1,2,a,b", "0,1,2,z"])
    assert read(path, limit=2)[1] == [4]


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"label,n,x,s\n0,1,2,ok\n0,1,2,\xff\xfe\n1,1,2,ok\n")
    with pytest.raises(ValueError, match="line 3: the line is not UTF-8"):
        read(path)
    assert read(path, limit=1)[1] == [2, 4]


def test_the_limit_counts_over_chunks_and_names_the_row_beyond_it(tmp_path, write_lines):
    path = write_lines(tmp_path / "t.csv", ["label,n,x,s", *["0,1,2,a", "0,x,2,a"] * 5])
    assert read(path, chunk_rows=3, limit=5)[2] == 5
    with pytest.raises(ValueError, match=r"line 9: .*4 bad rows, and 3 may be skipped"):
        read(path, chunk_rows=3, limit=3)
    with pytest.raises(ValueError, match="max_bad_rows"):
        BadRows(-1)


def test_empty_files(tmp_path, write_lines):
    with pytest.raises(ValueError, match=r"a.csv is empty"):
        read(write_lines(tmp_path / "a.csv", []))
    with pytest.raises(ValueError, match=r"b.csv has no rows"):
        read(write_lines(tmp_path / "b.csv", GOOD[:1]))
    with pytest.raises(ValueError, match=r"c.txt has no rows"):
        read(write_lines(tmp_path / "c.txt", []), separator="\t", columns=list(KINDS))
    assert DelimitedFile(tmp_path / "b.csv", ",").count_rows() == 0


def test_header_problems(tmp_path, write_lines):
    with pytest.raises(ValueError, match=r"lacks \['x'\]"):
        read(write_lines(tmp_path / "a.csv", ["label,n,s", "0,1,a"]))
    with pytest.raises(ValueError, match="repeats a column"):
        read(write_lines(tmp_path / "b.csv", ["label,n,n,s", "0,1,1,a"]))
    with pytest.raises(ValueError, match="chunk_rows"):
        read(write_lines(tmp_path / "c.csv", GOOD), chunk_rows=0)
    reordered = write_lines(tmp_path / "d.csv", ["\ufeffs,more,x,n,label", "a,?,2,1,0"])
    with pytest.raises(ValueError, match="line 2"):
        read(write_lines(tmp_path / "e.csv", ["s,more,x,n,label", "a,?,2,1,7"]))
    assert read(reordered)[0] == [(0.0, 1, 2.0, "a")]


def test_gzip_that_is_not_whole(tmp_path, write_lines):
    path = write_lines(tmp_path / "t.csv.gz", ["label,n,x,s", *[f"0,{i * i},{i / 7},{i}" for i in range(2000)]])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"t.csv.gz is not a whole gzip file"):
        read(path)
    path.write_bytes(gzip.compress(b"label,n,x,s\n0,1,1,a\n") + b"more")
    with pytest.raises(ValueError, match=r"t.csv.gz is not a whole gzip file"):
        read(path)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_the_file_is_read_as_it_is_needed(tmp_path, write_lines, name, monkeypatch):
    monkeypatch.setattr("grouprank.datasets.raw_files.delimited_file._BLOCK_BYTES", 1000)
    path = write_lines(tmp_path / name, ["label,n,x,s", *[f"0,{i},1,abcdefgh" for i in range(5000)]])
    blocks = []
    original = DelimitedFile._blocks

    def counted(self, *within):
        for block in original(self, *within):
            blocks.append(len(block))
            yield block

    monkeypatch.setattr(DelimitedFile, "_blocks", counted)
    file = DelimitedFile(path, ",")
    blocks.clear()
    chunks = file.chunks(100, KINDS, BadRows(0))
    frame, lines = next(chunks)
    assert (len(frame), lines[0], lines[-1]) == (99, 2, 100)  # the header is a line of the first chunk
    assert sum(blocks) < 4000
    seen = frame["n"].to_list() + [n for frame, _ in chunks for n in frame["n"]]
    assert seen == list(range(5000))
    assert max(blocks) == 1000


def test_slow_path_agrees_with_the_fast_one(tmp_path, write_lines, monkeypatch):
    lines = ["label,n,x,s", *(f'{i % 2},{i},{i / 3},"q,{i}"' if i % 3 else f"{i % 2},{i},,é{i}" for i in range(50))]
    path = write_lines(tmp_path / "t.csv", lines)
    fast = read(path, 7)
    monkeypatch.setattr(LineParser, "_read_plain", lambda *arguments: None)
    assert read(path, 7) == fast


def test_gzip_members_are_joined(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"label,n,x,s\n0,1,1,a\n") + gzip.compress(b"1,2,2,b\n"))
    assert read(path)[1] == [2, 3]
