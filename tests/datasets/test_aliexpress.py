"""AliExpress in the processed release's layout: a header of search_id, 16 + 63 columns and two labels."""

import polars as pl
import pytest

from grouprank.datasets import AliExpress, prepare

HEADER = ",".join(
    [
        "search_id",
        *(f"categorical_{i}" for i in range(1, 17)),
        *(f"numerical_{i}" for i in range(1, 64)),
        "click",
        "conversion",
    ]
)


def row(search=3, click=0, conversion=0, category="8", number="0.10526300000000001"):
    categories = [category, "0", "0", "0", "8", "4", "31", "0", "3", "0", "0", "1", "0", "0", "1", "0"]
    numbers = [number, *["0.18492999999999998"] * 61, "1"]
    return ",".join([str(search), *categories, *numbers, str(click), str(conversion)])


def write(folder, write_lines, train, test, suffix=""):
    write_lines(folder / f"train.csv{suffix}", [HEADER, *train])
    write_lines(folder / f"test.csv{suffix}", [HEADER, *test])
    return folder


def read(dataset, chunk_rows=100, max_bad_rows=0):
    return pl.concat(dataset.chunks(chunk_rows, max_bad_rows))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_the_processed_release(tmp_path, write_lines, suffix):
    train = [row(i, click=i % 2, conversion=int(i % 4 == 3)) for i in range(10)]
    test = [row(10, category="", number=""), row(10, click=1)]
    frame = read(AliExpress(write(tmp_path, write_lines, train, test, suffix)), chunk_rows=4)
    assert frame["split"].to_list() == ["train"] * 9 + ["validation"] + ["test"] * 2
    assert frame["click"].to_list() == [0, 1] * 5 + [0, 1]
    assert frame["conversion"].to_list() == [None, 0, None, 1, None, 0, None, 1, None, 0, None, 0]
    assert frame["categorical_1"].to_list() == ["8"] * 10 + ["", "8"]
    assert frame["numerical_1"].null_count() == 1
    assert frame["numerical_63"].to_list() == [1.0] * 12


def test_sides_follow_the_script_that_joined_the_original_files():
    sides = {column.name: column.side for column in AliExpress.columns}
    assert len(sides) == 79
    assert [sides[f"categorical_{i}"] for i in (1, 9, 10, 16)] == ["user", "user", "ad", "ad"]
    assert [sides[f"numerical_{i}"] for i in (1, 23, 24, 63)] == ["user", "user", "ad", "ad"]
    assert not {"search_id", "click", "conversion"} & set(sides)


def test_bad_rows_are_named_and_counted(tmp_path, write_lines):
    folder = write(tmp_path, write_lines, [row(), row() + ",1", row(number="x"), row()], [row(conversion=2), row()])
    for skipped, message in [
        (0, r"train.csv, line 3: expected 82 comma-separated fields\. Received: 83"),
        (1, r"train.csv, line 4: column 'numerical_1': expected a number or nothing\. Received: 'x'"),
        (2, r"test.csv, line 2: column 'conversion': expected 0 or 1\. Received: '2'"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(AliExpress(folder), max_bad_rows=skipped)
    dataset = AliExpress(folder)
    assert len(read(dataset, max_bad_rows=3)) == 3
    assert dataset.bad_rows == 3


def test_prepare(tmp_path, write_lines):
    rows = [row(i, click=i % 2, number=str(i)) for i in range(100)]
    table = prepare(AliExpress(write(tmp_path / "in", write_lines, rows, rows[:20])), tmp_path / "out", chunk_rows=9)
    assert table.report["rows"] == {"train": 90, "validation": 10, "test": 20}
    assert table.transforms.columns["numerical_1"].mean == pytest.approx(44.5)
    assert table.report["label_means"]["conversion"] == {"train": 0.0, "validation": 0.0, "test": 0.0}
    assert table.schema.tasks[1].given == "click"


def test_folder_and_download(tmp_path, write_lines):
    with pytest.raises(PermissionError, match=r"Multitask-Recommendation-Library.*tianchi.aliyun.com/dataset/74690"):
        AliExpress.download(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train.csv\[.gz\].*folder of one country"):
        AliExpress(tmp_path)
    country = write(tmp_path / "AliExpress_NL", write_lines, [row()], [row()])
    with pytest.raises(FileNotFoundError, match=r"Pass one of them.*AliExpress_NL"):
        AliExpress(tmp_path)
    assert AliExpress.download(country) == country
    (country / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"test.csv"):
        AliExpress(country)
