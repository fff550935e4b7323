"""Raw files and prepared tables by address: `file://` is the path itself, other stores are copied once."""

import os

import fsspec
import numpy as np
import pytest

from grouprank.datasets import CriteoDAC, PreparedTable, TableDescription, Tabular, prepare
from grouprank.datasets.chunk_reader import ChunkReader
from grouprank.datasets.remote_files import local_path, put
from grouprank.datasets.spark_engine import _encode, _Reading


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store in memory, and a cache of this test alone."""
    monkeypatch.setenv("GROUPRANK_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    memory.rm("/", recursive=True) if memory.ls("/") else None
    return memory


@pytest.fixture
def criteo(tmp_path, write_lines, criteo_row):
    write_lines(tmp_path / "raw" / "train.txt", [criteo_row(i % 2, tokens=(f"{i % 7:x}",) * 26) for i in range(50)])
    return tmp_path / "raw"


def assert_equal(found, expected):
    for split in ("train", "validation", "test"):
        for name in (*expected.schema.feature_names, *expected.schema.task_names):
            np.testing.assert_array_equal(found.column(split, name), expected.column(split, name))


def test_raw_files_and_tables_of_a_store(store, tmp_path, criteo):
    expected = prepare(CriteoDAC(criteo), tmp_path / "local")
    put(criteo, "memory://logs/criteo")
    dataset = CriteoDAC("memory://logs/criteo")
    table = prepare(dataset, "memory://tables/criteo")
    assert_equal(table, expected)
    assert store.exists("/tables/criteo/columns/train.npy")
    assert table.folder.is_relative_to(tmp_path / "cache")
    assert isinstance(table.column("train", "I1"), np.memmap)
    times = (tmp_path / "cache").stat().st_mtime_ns
    assert_equal(PreparedTable("memory://tables/criteo/"), expected)
    assert prepare(dataset, "memory://tables/criteo").folder == table.folder  # opened as it is
    assert (tmp_path / "cache").stat().st_mtime_ns == times  # and not fetched again
    put(criteo, "memory://logs/other")
    store.pipe("/logs/other/train.txt", (criteo / "train.txt").read_bytes() * 2)
    with pytest.raises(ValueError, match=r"memory://tables/criteo holds a table .* differ in \['files'\]"):
        prepare(CriteoDAC("memory://logs/other"), "memory://tables/criteo")
    with pytest.raises(FileNotFoundError, match="memory://nothing does not exist"):
        PreparedTable("memory://nothing")


def test_file_addresses_are_paths(tmp_path, criteo):
    expected = prepare(CriteoDAC(criteo), tmp_path / "local")
    table = prepare(CriteoDAC(f"file://{criteo}"), f"file://{tmp_path}/other")
    assert_equal(table, expected)
    assert table.folder == tmp_path / "other"
    assert_equal(PreparedTable(f"file://{tmp_path}/other"), expected)


def test_a_file_is_fetched_again_when_it_has_changed(store, tmp_path):
    store.pipe("/logs/t.csv", b"x,click\n1,0\n")
    first = local_path("memory://logs/t.csv")
    assert first.read_bytes() == b"x,click\n1,0\n"
    assert local_path("memory://logs/t.csv") == first
    assert first.stat().st_mtime == pytest.approx(store.modified("/logs/t.csv").timestamp())
    store.pipe("/logs/t.csv", b"x,click\n1,0\n2,1\n")
    assert local_path("memory://logs/t.csv").read_bytes() == b"x,click\n1,0\n2,1\n"
    description = {"features": [{"name": "x", "kind": "categorical", "side": "ad"}], "tasks": ["click"]}
    table = Tabular("memory://logs/t.csv", TableDescription.from_dict(description))
    assert (table.name, sum(map(len, table.chunks(10)))) == ("t", 2)
    assert len(os.listdir(tmp_path / "cache")) == 2


def test_a_task_writes_its_part_into_a_store(store, tmp_path, criteo, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    expected = prepare(CriteoDAC(criteo), tmp_path / "local")
    reading = _Reading([CriteoDAC(criteo)], 9, 0, of_frame=False)
    assert isinstance(reading.reader(0, ()), ChunkReader)

    class Shared:
        value = expected.transforms

    rows = [{split: expected.rows(split) for split in ("train", "validation", "test")}]
    [(_, (number, sums))] = _encode(0, (), reading, Shared, rows, "memory://tables/parts/columns")
    assert (number, sums.report(expected.transforms)["imputed"]) == (0, expected.report["imputed"])
    for split in rows[0]:
        whole = (expected.folder / "columns" / f"{split}.npy").read_bytes()
        assert store.cat(f"/tables/parts/columns/part-00000/{split}.npy") == whole
    assert not os.listdir(tmp_path / "scratch")
