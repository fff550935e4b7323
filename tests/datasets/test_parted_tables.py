"""Tables whose rows lie in several files are read like tables of one."""

import json
import shutil

import numpy as np
import pytest

from grouprank.datasets import BatchLoader, PreparedTable, prepare
from grouprank.datasets.parted_column import PartedColumn
from grouprank.datasets.split_file import SplitWriter, part_folder, split_path

SPLITS = ("train", "validation", "test")


@pytest.fixture(params=[(4,), (1, 9), (3, 6, 7)])
def parted(request, tmp_path, frame_dataset, small_frame):
    """A table of one part, and the same rows cut at some rows; parts lack splits, and one cut is inside of one."""
    dataset = frame_dataset(small_frame, {"teacher": "float32", "group": "int32"})
    whole = prepare(dataset, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts" / "columns")
    names = [*whole.schema.feature_names, *whole.schema.task_names, *whole.extras]
    starts = {"train": 0, "validation": 6, "test": 8}
    rows = []
    for number, (start, stop) in enumerate(zip((0, *request.param), (*request.param, 10), strict=True)):
        folder = part_folder(tmp_path / "parts" / "columns", number)
        folder.mkdir(parents=True)
        rows.append({})
        for split, first in starts.items():
            part = slice(max(start - first, 0), max(stop - first, 0))
            arrays = {name: np.asarray(whole.column(split, name)[part]) for name in names}
            rows[-1][split] = len(arrays["click"])
            if rows[-1][split]:
                with SplitWriter(split_path(folder, split), rows[-1][split], arrays) as writer:
                    writer.append(arrays)
    report = tmp_path / "parts" / "report.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "parts": rows}))
    return whole, PreparedTable(tmp_path / "parts"), dataset


def test_columns_and_batches_are_those_of_one_part(parted):
    whole, parts, dataset = parted
    for split in SPLITS:
        for name in [*whole.schema.feature_names, *whole.schema.task_names, *whole.extras]:
            np.testing.assert_array_equal(parts.column(split, name), whole.column(split, name))
    for options in (
        {"batch_size": 4},
        {"batch_size": 4, "shuffle": True, "targets": ["teacher"], "sample_weight": "group"},
        {"batch_size": 2, "rows": slice(1, 5)},
        {"batch_size": 3, "negative_rate": {"click": 0.5}, "shuffle": True},
    ):
        expected, found = whole.batches("train", **options), parts.batches("train", **options)
        assert len(found) == len(expected)
        for index in range(len(expected)):
            for theirs, ours in zip(expected[index], found[index], strict=True):
                assert type(theirs) is type(ours)
                for name in theirs if isinstance(theirs, dict) else [...]:
                    assert ours[name].dtype == theirs[name].dtype
                    np.testing.assert_array_equal(ours[name], theirs[name])
    assert prepare(dataset, parts.folder).rows("train") == 6  # opened as it is


def test_a_missing_or_damaged_part_is_named(parted):
    _, table, _ = parted
    path = sorted(table.folder.glob("columns/part-*/test.npy"))[-1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"part-0000\d/test.npy is truncated or damaged"):
        PreparedTable(table.folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"part-0000\d/test.npy is missing"):
        PreparedTable(table.folder)


def test_rows_are_found_as_numpy_finds_them():
    whole = np.arange(30).reshape(10, 3)
    column = PartedColumn([whole[:2], whole[2:3], whole[3:]])
    assert (len(column), column.shape, column.ndim, column.dtype) == (10, (10, 3), 2, whole.dtype)
    mask = whole[:, 0] % 2 == 0
    for rows in (3, -1, [9, 0, 2, 2], np.array([[1, 2], [3, -4]]), mask, slice(1, 9, 3), slice(None, None, -1)):
        np.testing.assert_array_equal(column[rows], whole[rows])
    for start, stop in ((None, None), (1, 3), (2, 3), (5, 5), (-4, None), (0, 99)):
        part = column[start:stop]
        assert isinstance(part, PartedColumn)
        np.testing.assert_array_equal(part, whole[start:stop])
        assert len(part) == len(whole[start:stop])
    np.testing.assert_array_equal(column[1:4, 2], whole[1:4, 2])
    np.testing.assert_array_equal(np.take(column, [8, 99, 0], axis=0, mode="clip"), whole[[8, 9, 0]])
    np.testing.assert_array_equal((column == 4) | np.isnan(column), whole == 4)
    np.testing.assert_array_equal(np.asarray(column, "float32"), whole.astype("float32"))
    with pytest.raises(IndexError, match="has 10 rows. Received: rows 3 to 10"):
        column[[3, 10]]
    with pytest.raises(ValueError, match="one dtype and shape"):
        PartedColumn([whole, whole[:, :2]])


def test_a_loader_keeps_the_files_mapped():
    parts = [np.arange(5), np.arange(5, 9)]
    loader = BatchLoader({"x": PartedColumn(parts)}, {"y": PartedColumn(parts)}, batch_size=4)
    parts[1][0] = -1  # a copy would not see it
    assert loader[1][0]["x"].tolist() == [4, -1, 6, 7]
