"""FuxiCTR's layout: three files with the same header, which say how the rows are split."""

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import FuxiCTR, prepare

HEADER = "label,user,item,price"


def write(folder, write_lines, suffix="", **files):
    rows = {"train": ["1,a,x,0.5", "0,b,y,1.5"], "valid": ["0,a,y,1"], "test": ["1,c,x,"], **files}
    for name, lines in rows.items():
        write_lines(folder / f"{name}.csv{suffix}", [HEADER, *lines])
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_say_how_rows_are_split(tmp_path, write_lines, suffix):
    log = FuxiCTR(write(tmp_path, write_lines, suffix), ["price"], sides={"user": "user", "item": "ad"})
    frame = pl.concat(log.chunks(1))
    assert frame["split"].to_list() == ["train", "train", "validation", "test"]
    assert frame["label"].to_list() == [1, 0, 0, 1]
    assert {column.name: column.side for column in log.columns} == {"price": "context", "user": "user", "item": "ad"}
    table = prepare(log, tmp_path / "prepared")
    assert [table.rows(split) for split in ("train", "validation", "test")] == [2, 1, 1]
    # The number is standardised by the training rows' mean of 1 and deviation of 0.5; one that is missing is the mean.
    np.testing.assert_allclose(table.column("train", "price"), [-1, 1])
    np.testing.assert_allclose(table.column("test", "price"), [0])
    # A token that no training row has is out of the vocabulary.
    assert np.asarray(table.column("test", "user")).tolist() == [0]
    assert table.schema["user"].vocabulary_size == 3


def test_parts_have_the_rows_in_order(tmp_path, write_lines):
    log = FuxiCTR(write(tmp_path, write_lines), ["price"])
    parts = log.parts(10, map)
    assert len(parts) > 3
    assert pl.concat(frame for part in parts for frame in part.chunks(10)).equals(pl.concat(log.chunks(10)))


def test_what_does_not_fit_is_named(tmp_path, write_lines):
    folder = write(tmp_path, write_lines, valid=["0,a,y,many"])
    with pytest.raises(ValueError, match=r"train.csv has no column \['cost'\]. Its header: \['label', 'user', 'item',"):
        FuxiCTR(folder, ["cost"])
    with pytest.raises(ValueError, match=r"or the label. Named more than once: \['price'\]"):
        FuxiCTR(folder, ["price"], ["price", "user"])
    with pytest.raises(ValueError, match="valid.csv, line 2: column 'price': expected a number or nothing"):
        pl.concat(FuxiCTR(folder, ["price"]).chunks(10))
    (folder / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"Found none of \['test.csv\[.gz\]'\].*https://huggingface.co/reczoo"):
        FuxiCTR(folder)
    with pytest.raises(FileNotFoundError, match="test.csv"):
        FuxiCTR.download(folder)
