"""Tenrec's QK-video in its official layouts, with and without the ten columns of history."""

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import SequenceColumn, Tenrec, prepare

HEADER = "user_id,item_id,click,follow,like,share,video_category,watching_times,gender,age"
WITH_HISTORY = f"{HEADER},{','.join(f'hist_{i}' for i in range(1, 11))}"
HISTORY = (2, 3, 80936, 781, 111774, 1230, 26403, 991, 0, 0)


def row(user=1, item=4, click=0, follow=0, like=0, share=0, category="1", history=HISTORY):
    seen = f"{user},{item},{click},{follow},{like},{share},{category},{click},1,4"
    return seen + "".join(f",{old}" for old in history)


def read(dataset, chunk_rows=100, max_bad_rows=0):
    return pl.concat(dataset.chunks(chunk_rows, max_bad_rows))


@pytest.mark.parametrize("name", ["ctr_data_1M.csv", "Tenrec/ctr_data_1M.csv.gz"])
def test_reads_the_benchmark_file(tmp_path, write_lines, name):
    rows = [
        row(),
        row(1, 1201, click=1, like=1),
        row(2, 7, click=1, follow=1, share=1, category="\\N", history=[0] * 10),
    ]
    write_lines(tmp_path / name, [WITH_HISTORY, *rows])
    frame = read(Tenrec(tmp_path), chunk_rows=2)
    assert frame["user_id"].to_list() == [1, 1, 2]
    assert frame["item_id"].to_list() == ["4", "1201", "7"]
    assert frame["click"].to_list() == [0, 1, 1]
    assert frame["like"].to_list() == [0, 1, 0]
    assert frame["share"].to_list() == [0, 0, 1]
    assert frame["follow"].to_list() == [0, 0, 1]
    assert frame["video_category"].to_list() == ["1", "1", "\\N"]
    assert frame["clicked_items"].to_list() == [",".join(map(str, HISTORY))] * 2 + [",".join(["0"] * 10)]
    missing = {column.raw_name: getattr(column, "missing", ()) for column in Tenrec(tmp_path).columns}
    assert missing["video_category"] == ("\\N",)
    assert missing["clicked_items"] == ("\\N", "0")
    assert "watching_times" not in frame.columns


def test_reads_the_raw_log_without_history(tmp_path, write_lines):
    write_lines(tmp_path / "QK-video.csv", [HEADER, row(history=())])
    dataset = Tenrec(tmp_path)
    assert not any(isinstance(column, SequenceColumn) for column in dataset.columns)
    assert read(dataset)["item_id"].to_list() == ["4"]
    write_lines(tmp_path / "ctr_data_1M.csv", [WITH_HISTORY, row()])
    assert any(column.name == "clicked_items" for column in Tenrec(tmp_path).columns)


@pytest.mark.parametrize("chunk_rows", [1, 7, 100])
def test_splits_each_user_in_order(tmp_path, write_lines, chunk_rows):
    rng = np.random.default_rng(0)
    users = np.concatenate([np.repeat([5, 9], [20, 1]), rng.permutation(np.repeat([1, 2, 7], [10, 6, 2]))])
    write_lines(tmp_path / "QK-video.csv", [HEADER, *(row(user, i, history=()) for i, user in enumerate(users))])
    frame = read(Tenrec(tmp_path), chunk_rows)
    splits = {user: "".join(s[0] for s in frame.filter(pl.col("user_id") == user)["split"]) for user in set(users)}
    assert splits == {5: "t" * 16 + "vv" + "tt", 9: "t", 1: "t" * 8 + "vt", 2: "tttttt", 7: "tt"}
    held = {user: frame.filter(pl.col("user_id") == user)["split"].to_list()[-2:] for user in (5, 1, 2)}
    assert held == {5: ["test"] * 2, 1: ["validation", "test"], 2: ["train", "test"]}


def test_what_follows_the_impression_is_no_feature(tmp_path, write_lines):
    write_lines(tmp_path / "ctr_data_1M.csv", [WITH_HISTORY, row()])
    raw = {column.raw_name for column in Tenrec(tmp_path).columns}
    assert raw == {"user_id", "gender", "age", "item_id", "video_category", "clicked_items"}


def test_bad_rows_are_named_and_do_not_count_for_their_user(tmp_path, write_lines):
    rows = [row(1, i) for i in range(12)]
    rows[2] = rows[2].rsplit(",", 1)[0]
    rows[5] = rows[5].replace("1,5,0", "1,5,7", 1)
    write_lines(tmp_path / "ctr_data_1M.csv", [WITH_HISTORY, *rows])
    with pytest.raises(ValueError, match=r"line 4: expected 20 comma-separated fields\. Received: 19"):
        read(Tenrec(tmp_path))
    with pytest.raises(ValueError, match=r"line 7: column 'click': expected 0 or 1\. Received: '7'"):
        read(Tenrec(tmp_path), max_bad_rows=1)
    dataset = Tenrec(tmp_path)
    assert read(dataset, max_bad_rows=2)["split"].to_list() == ["train"] * 8 + ["validation", "test"]
    assert dataset.bad_rows == 2


def test_prepare(tmp_path, write_lines):
    history = (2, 0, 781, *HISTORY[3:])  # a missing item takes no place
    rows = [row(user, 778 + (user + i) % 5, click=i % 2, history=history) for user in range(5) for i in range(20)]
    write_lines(tmp_path / "ctr_data_1M.csv", [WITH_HISTORY, *rows])
    table = prepare(Tenrec(tmp_path), tmp_path / "out", chunk_rows=7)
    assert table.report["rows"] == {"train": 80, "validation": 10, "test": 10}
    assert table.schema.task_names == ["click", "like", "share", "follow"]
    # Of the history, only 781 was an item of the training rows.
    items = table.transforms.columns["item_id"].tokens.tolist()
    assert table.transforms.columns["clicked_items"].tokens.tolist() == items
    assert table.column("train", "clicked_items")[0].tolist()[:3] == [1, *[items.index("781") + 2] * 2]
    assert table.schema["clicked_items"].shares == "item_id"


def test_download_says_where_the_file_is(tmp_path, write_lines):
    with pytest.raises(PermissionError, match=r"program.*static.qblv.qq.com"):
        Tenrec.download(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'ctr_data_1M.csv\[.gz\]', 'QK-video.csv\[.gz\]'.*licence"):
        Tenrec(tmp_path)
    write_lines(tmp_path / "QK-video.csv", [HEADER])
    assert Tenrec.download(tmp_path) == tmp_path
