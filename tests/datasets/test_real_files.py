"""The official files, where they are at hand: row counts, label means, and a second way to the same numbers."""

import csv
import gzip

import numpy as np
import pytest

from grouprank.datasets import Avazu, CriteoDAC, KuaiRandPure, prepare


def all_rows(table, name):
    return np.concatenate([table.column(split, name) for split in ("train", "validation", "test")])


def test_kuairand(real_data, tmp_path):
    folder = real_data("kuairand-pure")
    table = prepare(KuaiRandPure(folder), tmp_path / "out")
    assert sum(table.report["rows"].values()) == 222_444
    means = {task: round(float(all_rows(table, task).mean(dtype="float64")), 3) for task in table.schema.task_names}
    assert means == {"is_click": 0.450, "long_view": 0.317, "is_like": 0.017, "is_profile_enter": 0.019}
    assert table.report["bad_rows"] == 0
    for split in ("train", "validation", "test"):
        table.schema.check({name: table.column(split, name) for name in table.schema.feature_names})
    with gzip.open(folder / "log_standard_4_22_to_5_08_pure.csv.gz", "rt") as file:
        log = [row for _, row in zip(range(200), csv.DictReader(file), strict=False)]
    with gzip.open(folder / "video_features_basic_pure.csv.gz", "rt") as file:
        videos = {row["video_id"]: row for row in csv.DictReader(file)}
    authors = {token: i + 1 for i, token in enumerate(table.transforms.columns["author_id"].tokens)}
    tags = {token: i + 2 for i, token in enumerate(table.transforms.columns["tag"].tokens)}
    for i, row in enumerate(log):
        video = videos[row["video_id"]]
        assert table.column("train", "author_id")[i] == authors.get(video["author_id"], 0)
        expected = [tags.get(tag, 1) for tag in video["tag"].split(",") if tag][:3]
        assert table.column("train", "tag")[i].tolist() == expected + [0] * (3 - len(expected))
    duration = np.log1p(np.array([float(row["duration_ms"]) for row in log]))
    fitted = table.transforms.columns["duration_ms"]
    expected = ((duration - fitted.mean) / fitted.std).astype("float32")
    np.testing.assert_array_equal(table.column("train", "duration_ms")[:200], expected)
    train = table.column("train", "duration_ms").astype("float64")
    assert (round(train.mean(), 6), round(train.std(), 6)) == (0, 1)


@pytest.mark.parametrize(
    ("dataset", "name", "rows"),
    [(CriteoDAC, "criteo-dac", [22_835, 2_854, 2_855]), (Avazu, "avazu", [7_199, 900, 900])],
)
def test_files_in_time_order(real_data, tmp_path, dataset, name, rows):
    table = prepare(dataset(real_data(name)), tmp_path / "out", chunk_rows=5_000)
    assert list(table.report["rows"].values()) == rows
    for split in ("train", "validation", "test"):
        x = {name: table.column(split, name) for name in table.schema.feature_names}
        table.schema.check(x, {"click": table.column(split, "click")})


def test_criteo_against_plain_python(real_data, tmp_path):
    folder = real_data("criteo-dac")
    table = prepare(CriteoDAC(folder), tmp_path / "out")
    lines = (folder / "train.txt").read_text().split("\n")[:-1]
    rows = [line.split("\t") for line in lines]
    train = rows[:22_835]
    counts = {}
    for row in train:
        counts[row[14]] = counts.get(row[14], 0) + 1
    expected = sorted((token for token, n in counts.items() if n >= 10), key=lambda token: (-counts[token], token))
    assert table.transforms.columns["C1"].tokens.tolist() == expected
    ids = {token: i + 1 for i, token in enumerate(expected)}
    assert all_rows(table, "C1").tolist() == [ids.get(row[14], 0) for row in rows]
    numbers = np.array([float(row[1]) if row[1] else np.nan for row in rows])
    changed = np.sign(numbers) * np.log1p(np.abs(numbers))
    mean, std = np.nanmean(changed[:22_835]), np.nanstd(changed[:22_835])
    expected = np.nan_to_num((changed - mean) / std).astype("float32")
    np.testing.assert_allclose(all_rows(table, "I1"), expected, rtol=1e-6)
    assert table.report["imputed"]["I1"]["train"] == int(np.isnan(numbers[:22_835]).sum())
