import json
import math
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import Avazu, CriteoDAC, PreparedTable, prepare


def test_by_hand(tmp_path, frame_dataset, small_frame):
    table = prepare(
        frame_dataset(small_frame, {"teacher": "float32", "group": "int32"}), tmp_path / "out", chunk_rows=4
    )
    assert [table.rows(split) for split in ("train", "validation", "test")] == [6, 2, 2]
    # price: training values 1, 3, 1, 3 -> mean 2, deviation 1; missing, NaN and infinity -> 0
    assert table.column("train", "price").tolist() == [-1, 1, -1, 1, 0, 0]
    assert table.column("validation", "price").tolist() == [98, 0]
    assert table.column("test", "price").tolist() == [3, 0]
    # city: "" three times and "a" twice in training; "b" once there, below min_count; "zz" only outside
    assert table.transforms.columns["city"].tokens.tolist() == ["", "a"]
    assert table.column("train", "city").tolist() == [2, 2, 0, 1, 1, 1]
    assert table.column("test", "city").tolist() == [0, 1]
    # hour: (time // 100) % 24 is 0, 0, 1, 0, 1, 2 in training; 23 only in validation
    assert table.transforms.columns["hour"].tokens.tolist() == [0, 1, 2]
    assert table.column("train", "hour").tolist() == [1, 1, 2, 1, 2, 3]
    assert table.column("validation", "hour").tolist() == [0, 1]
    # tags: y four times, x twice, z once
    assert table.transforms.columns["tags"].tokens.tolist() == ["y", "x", "z"]
    assert table.column("train", "tags").tolist() == [[3, 2], [0, 0], [2, 0], [2, 0], [0, 0], [2, 3]]
    assert table.column("validation", "tags").tolist() == [[1, 3], [3, 0]]
    assert table.column("test", "image").tolist() == [[1, 2], [0, 4]]
    assert table.column("train", "click").tolist() == [1, 0, 0, 1, 0, 0]
    np.testing.assert_array_equal(
        table.column("train", "buy"), np.array([1, np.nan, np.nan, 0, np.nan, np.nan], "float32")
    )
    np.testing.assert_array_equal(table.column("test", "teacher"), small_frame["teacher"].to_numpy()[8:])
    assert table.column("validation", "group").tolist() == [6, 7]
    dtypes = {
        name: str(table.column("train", name).dtype) for name in ("price", "city", "tags", "image", "click", "group")
    }
    assert dtypes == {
        "price": "float32",
        "city": "int32",
        "tags": "int32",
        "image": "float32",
        "click": "float32",
        "group": "int32",
    }
    x = {name: table.column("train", name) for name in table.schema.feature_names}
    table.schema.check(x, {name: table.column("train", name) for name in table.schema.task_names})


def test_report(tmp_path, frame_dataset, small_frame):
    report = prepare(frame_dataset(small_frame), tmp_path / "out").report
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["rows"] == {"train": 6, "validation": 2, "test": 2}
    assert report["bad_rows"] == 0
    assert report["vocabulary_sizes"] == {"city": 3, "hour": 4, "tags": 5}
    assert report["imputed"] == {
        "price": {"train": 2, "validation": 1, "test": 0},
        "image": {"train": 0, "validation": 0, "test": 1},
    }
    assert report["oov_share"]["city"] == {"train": 1 / 6, "validation": 0.5, "test": 0.5}
    assert report["oov_share"]["hour"] == {"train": 0, "validation": 0.5, "test": 0.5}
    assert report["oov_share"]["tags"] == {"train": 0, "validation": 1 / 3, "test": 0}
    assert report["label_means"]["click"] == {"train": 1 / 3, "validation": 0.5, "test": 0.5}
    assert report["label_means"]["buy"] == {"train": 0.5, "validation": 1, "test": 0}


def test_chunks_do_not_change_the_result_and_are_no_larger_than_asked(tmp_path, frame_dataset, small_frame):
    whole = prepare(frame_dataset(small_frame), tmp_path / "whole")
    dataset = frame_dataset(small_frame)
    parts = prepare(dataset, tmp_path / "parts", chunk_rows=1)
    assert dataset.chunk_sizes == [1] * 20  # two passes
    for split in ("train", "validation", "test"):
        for name in [*whole.schema.feature_names, *whole.schema.task_names]:
            np.testing.assert_array_equal(whole.column(split, name), parts.column(split, name))


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("workers", [2, 3, 16])
def test_workers_do_not_change_a_byte(tmp_path, criteo, workers):
    results = {}
    for name, count in (("one", 1), ("many", workers)):
        calls = []
        prepare(CriteoDAC(criteo), tmp_path / name, 32, 4, lambda *call, to=calls: to.append(call), count)
        results[name] = (files_of(tmp_path / name), calls)
    assert results["one"] == results["many"]
    with pytest.raises(
        ValueError, match=r"line 641: expected 40 tab-separated fields. Received: 39. .*4 bad rows, and 3 "
    ):
        prepare(CriteoDAC(criteo), tmp_path / "out", 32, 3, workers=workers)
    assert not (tmp_path / "out").exists()


def test_an_error_names_the_first_row_whatever_the_threads(tmp_path, frame_dataset, small_frame):
    wrong = small_frame.with_columns(click=pl.when(pl.col("time") >= 2300).then(2.0))
    with pytest.raises(ValueError, match="'click', row 3: a label"):
        prepare(frame_dataset(wrong), tmp_path / "out", chunk_rows=1, workers=8)
    with pytest.raises(ValueError, match="`workers` must be an integer of at least 1 or None"):
        prepare(frame_dataset(small_frame), tmp_path / "out", workers=0)


def test_transforms_are_saved_and_encode_raw_rows_alike(tmp_path, frame_dataset, small_frame):
    prepare(frame_dataset(small_frame), tmp_path / "out")
    table = PreparedTable(tmp_path / "out")
    test = table.transforms(small_frame[8:])
    for name, values in test.items():
        np.testing.assert_array_equal(values, table.column("test", name))


def test_reuse(tmp_path, frame_dataset, small_frame):
    prepare(frame_dataset(small_frame), tmp_path / "out")
    dataset = frame_dataset(small_frame)
    prepare(dataset, tmp_path / "out")
    assert dataset.chunk_sizes == []
    with pytest.raises(ValueError, match=r"differ in \['settings'\]. Choose another destination"):
        prepare(frame_dataset(small_frame, settings={"version": 2}), tmp_path / "out")
    report = tmp_path / "out" / "report.json"
    whole = report.read_text()
    report.write_text(whole.replace('"format": 2', '"format": 1'))
    with pytest.raises(ValueError, match=r"another version of grouprank \(format 1; this one reads 2\)"):
        prepare(dataset, tmp_path / "out")
    report.write_text(whole)
    with pytest.raises(ValueError, match=r"differ in \['extras'\]"):
        prepare(frame_dataset(small_frame, {"teacher": "float32"}), tmp_path / "out")
    dataset.settings = {}
    prepare(dataset, tmp_path / "anonymous")
    with pytest.raises(ValueError, match="states no files or settings"):
        prepare(dataset, tmp_path / "anonymous")
    (tmp_path / "notes").mkdir()
    prepare(dataset, tmp_path / "notes")  # an empty folder is taken
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="is not a prepared table"):
        prepare(dataset, tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "precious"


def test_files_are_part_of_the_fingerprint(tmp_path, write_lines, avazu_header, avazu_row):
    path = write_lines(tmp_path / "train", [avazu_header, *(avazu_row(i, i % 2) for i in range(20)), "short"])
    with pytest.raises(ValueError, match="line 22"):
        prepare(Avazu(tmp_path), tmp_path / "out")
    table = prepare(Avazu(tmp_path), tmp_path / "out", max_bad_rows=1)
    assert table.report["bad_rows"] == 1
    prepare(Avazu(tmp_path), tmp_path / "out", max_bad_rows=1)
    with pytest.raises(ValueError, match=r"1 bad rows skipped, and 0 are allowed now"):
        prepare(Avazu(tmp_path), tmp_path / "out")
    path.write_text(path.read_text().replace("short", avazu_row()))
    with pytest.raises(ValueError, match=r"differ in \['files'\]"):
        prepare(Avazu(tmp_path), tmp_path / "out")


def test_a_failure_leaves_nothing_behind(tmp_path, frame_dataset, small_frame):
    class Failing(frame_dataset):
        passes = 0

        def chunks(self, chunk_rows, max_bad_rows=0):
            Failing.passes += 1
            for i, chunk in enumerate(super().chunks(chunk_rows, max_bad_rows)):
                if Failing.passes == 2 and i == 1:
                    raise KeyboardInterrupt
                yield chunk

    with pytest.raises(KeyboardInterrupt):
        prepare(Failing(small_frame), tmp_path / "out", chunk_rows=4)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path, frame_dataset, small_frame):
    script = "import os, socket, sys; os.mkdir(f'{sys.argv[1]}/.out.partial-{socket.gethostname()}-{os.getpid()}')"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert len(list(tmp_path.iterdir())) == 1
    prepare(frame_dataset(small_frame), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_source_that_changes_between_the_passes(tmp_path, frame_dataset, small_frame):
    class Shrinking(frame_dataset):
        passes = 0

        def chunks(self, chunk_rows, max_bad_rows=0):
            Shrinking.passes += 1
            yield self.frame if Shrinking.passes == 1 else self.frame[1:]

    with pytest.raises(ValueError, match="first pass over the data had 6 rows, and the second had 5"):
        prepare(Shrinking(small_frame), tmp_path / "out")
    for second, message in (
        (pl.concat([small_frame, small_frame]), "had 6 rows, and the second had more than 6"),
        (small_frame[:8], r"had \['test'\] rows, and the second had none"),
    ):
        frames = iter([small_frame, second])
        dataset = frame_dataset(small_frame)
        dataset.chunks = lambda chunk_rows, max_bad_rows=0, frames=frames: iter([next(frames)])
        with pytest.raises(ValueError, match=message):
            prepare(dataset, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.filter(pl.col("split") != "test"), r"every split needs rows.*empty: \['test'\]"),
        (lambda f: f[:0], r"empty: \['train', 'validation', 'test'\]"),
        (lambda f: f.drop("city"), r"lack the columns \['city'\]"),
        (lambda f: f.with_columns(pl.lit("dev").alias("split")), "Received: 'dev'"),
        (
            lambda f: f.with_columns(click=pl.when(pl.col("time") == 2300).then(2.0)),
            r"'click', row 6: a label.*Received: 2",
        ),
    ],
)
def test_wrong_chunks(tmp_path, frame_dataset, small_frame, change, message):
    with pytest.raises(ValueError, match=message):
        prepare(frame_dataset(change(small_frame)), tmp_path / "out", chunk_rows=3)
    assert not (tmp_path / "out").exists()


def test_extras(tmp_path, frame_dataset, small_frame):
    with pytest.raises(ValueError, match=r"\['city'\]"):
        prepare(frame_dataset(small_frame, {"city": "int32"}), tmp_path / "out")
    with_null = small_frame.with_columns(group=pl.when(pl.col("group") > 0).then(pl.col("group")))
    with pytest.raises(ValueError, match="'group': a int32 column cannot hold missing values"):
        prepare(frame_dataset(with_null, {"group": "int32"}), tmp_path / "out")
    table = prepare(frame_dataset(with_null, {"group": "float32"}), tmp_path / "out")
    assert math.isnan(table.column("train", "group")[0])


def test_progress(tmp_path, frame_dataset, small_frame):
    calls = []
    prepare(frame_dataset(small_frame), tmp_path / "out", chunk_rows=6, on_progress=lambda *call: calls.append(call))
    assert calls == [("fit", 6, None), ("fit", 10, None), ("encode", 6, 10), ("encode", 10, 10)]


def test_opening_names_what_is_damaged(tmp_path, frame_dataset, small_frame):
    folder = tmp_path / "out"
    with pytest.raises(ValueError, match=r"report.json does not exist"):
        PreparedTable(folder)
    prepare(frame_dataset(small_frame), folder)
    train = folder / "columns" / "train.npy"
    whole = train.read_bytes()
    for damaged, message in (
        (whole[:-4], r"train.npy is truncated or damaged \(expected \d+ bytes, found \d+\)\. Delete"),
        (whole + b"\0", r"train.npy is truncated or damaged"),
        (whole[:30], r"truncated or damaged \(column 'price' has no header"),
        (whole.replace(b"<i4", b"|O "), r"truncated or damaged"),
        (b"", r"truncated or damaged"),
        ((folder / "columns" / "test.npy").read_bytes(), r"must have 6 rows. Received: column 'price' of shape \(2,\)"),
    ):
        train.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            PreparedTable(folder)
    train.unlink()
    with pytest.raises(ValueError, match=r"train.npy is missing. Put it back"):
        PreparedTable(folder)
    train.write_bytes(whole)
    PreparedTable(folder)
    (folder / "report.json").write_text("{")
    with pytest.raises(ValueError, match=r"report.json is damaged"):
        PreparedTable(folder)


def test_table_columns_are_mapped_and_read_only(tmp_path, frame_dataset, small_frame):
    table = prepare(frame_dataset(small_frame), tmp_path / "out")
    column = table.column("train", "price")
    assert isinstance(column, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 1
    with pytest.raises(ValueError, match="`split` must be one of"):
        table.column("dev", "price")
    with pytest.raises(ValueError, match="no column 'cost'"):
        table.column("train", "cost")


def test_batches_with_more_targets_and_weights(tmp_path, frame_dataset, small_frame):
    table = prepare(frame_dataset(small_frame, {"teacher": "float64", "group": "int64"}), tmp_path / "out")
    x, y, weight = table.batches("train", batch_size=4, targets=["teacher"], sample_weight="group")[1]
    assert list(x) == ["price", "city", "hour", "tags", "image"]
    assert list(y) == ["click", "buy", "teacher"]
    np.testing.assert_allclose(y["teacher"], [4 / 9, 5 / 9])
    assert (y["teacher"].dtype, weight.dtype, weight.tolist()) == (np.float32, np.float32, [4.0, 5.0])
    pseudo = np.linspace(0, 1, 6)
    _, y = table.batches("train", targets={"click_teacher": pseudo})[0]
    np.testing.assert_allclose(y["click_teacher"], pseudo, rtol=1e-6)
    for arguments, message in (
        ({"targets": ["city"]}, "no extra column 'city'"),
        ({"targets": {"click": pseudo}}, r"may not repeat a feature or task. Received: \['click'\]"),
        ({"targets": {"p": pseudo[:5]}}, "'p' needs a value for each of the 6 train rows. Received: 5"),
        ({"sample_weight": np.ones(7)}, "'sample_weight' needs a value for each of the 6"),
        ({"sample_weight": "bid"}, "no extra column 'bid'"),
    ):
        with pytest.raises(ValueError, match=message):
            table.batches("train", **arguments)


def test_importing_datasets_imports_no_tensorflow():
    script = (
        "import os, sys; os.environ['KERAS_BACKEND'] = 'jax'; import grouprank.datasets; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
