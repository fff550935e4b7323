"""A table keeps few files open, however many columns it has; too few handles are never taken for damage."""

import contextlib
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import CategoricalColumn, NumericColumn, PreparedTable, VectorColumn, prepare
from grouprank.schema import Task

resource = pytest.importorskip("resource", reason="Limits of open files are Unix'")
COLUMNS = 60
ROWS = 50


@pytest.fixture
def files_left():
    """A context in which this process may open only so many files more."""

    @contextlib.contextmanager
    def limit(count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        probe = os.open(os.devnull, os.O_RDONLY)  # the lowest free number
        os.close(probe)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe + count, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    return limit


@pytest.fixture
def wide(frame_dataset):
    """A dataset of many columns of three kinds."""
    random = np.random.default_rng(0)
    numbers, ids = [f"n{i}" for i in range(COLUMNS)], [f"c{i}" for i in range(COLUMNS)]
    frame = pl.DataFrame(
        {
            **{name: random.normal(size=ROWS).astype("float32") for name in numbers},
            **{name: random.integers(0, 5, ROWS).astype(str) for name in ids},
            "image": pl.Series(random.normal(size=(ROWS, 3)).astype("float32")),
            "click": (np.arange(ROWS) % 2).astype("float32"),
            "group": np.arange(ROWS, dtype="int64"),
            "flag": (np.arange(ROWS) % 3).astype("int8"),
            "split": ["train"] * (ROWS - 13) + ["validation"] * 6 + ["test"] * 7,
        }
    )
    dataset = frame_dataset(frame, {"flag": "int8", "group": "int64"})
    dataset.columns = (
        *(NumericColumn(name, "ad", function="identity") for name in numbers),
        *(CategoricalColumn(name, "user") for name in ids),
        VectorColumn("image", "ad", dim=3),
    )
    dataset.tasks = (Task("click"),)
    return dataset


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_a_wide_table_needs_few_files(tmp_path, wide, files_left):
    with files_left(16):
        table = prepare(wide, tmp_path / "out", chunk_rows=7, workers=2)
        again = PreparedTable(tmp_path / "out")
    for split, rows in (("train", slice(0, 37)), ("validation", slice(37, 43)), ("test", slice(43, ROWS))):
        frame = wide.frame[rows]
        for name, values in table.transforms(frame).items():
            np.testing.assert_array_equal(table.column(split, name), values)
            np.testing.assert_array_equal(again.column(split, name), values)
        for name in ("click", "group", "flag"):
            np.testing.assert_array_equal(again.column(split, name), frame[name].to_numpy())
    assert {str(again.column("test", name).dtype) for name in ("flag", "group", "click", "c0")} == {
        "int8",
        "int64",
        "float32",
        "int32",
    }


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the files of a process as Linux lists them")
def test_an_open_table_holds_at_most_a_file_a_split(tmp_path, wide):
    prepare(wide, tmp_path / "out")
    before = open_files()
    table = PreparedTable(tmp_path / "out")
    assert open_files() - before <= len(("train", "validation", "test"))
    assert table.column("train", "n0").flags.aligned


def test_columns_start_at_multiples_of_64_bytes(tmp_path, wide):
    table = prepare(wide, tmp_path / "out")
    for split in ("train", "validation", "test"):
        for name in [*table.schema.feature_names, "click", "group", "flag"]:
            assert table.column(split, name).ctypes.data % 64 == 0


def test_too_few_handles_are_not_damage(tmp_path, frame_dataset, small_frame, files_left):
    prepare(frame_dataset(small_frame), tmp_path / "out")
    for count in range(3):
        with files_left(count), pytest.raises(OSError, match="Too many open files") as error:
            PreparedTable(tmp_path / "out")
        assert not re.search("damage|delete", str(error.value), re.IGNORECASE)
    PreparedTable(tmp_path / "out")
