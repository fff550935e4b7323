import json

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from grouprank.datasets import NumericColumn
from grouprank.datasets.synthetic.synthetic_ads import SyntheticAds
from grouprank.datasets.synthetic.synthetic_ads_file import SyntheticAdsFile

CLICKS = ("click", "link_click", "website_click", "profile_click")
SMALL = {"rows": 3000, "num_users": 300, "num_ads": 60}


def read_all(dataset, chunk_rows=100_000):
    return pl.concat(dataset.chunks(chunk_rows))


@pytest.fixture(scope="module")
def log():
    return read_all(SyntheticAds(rows=100_000, num_users=8_000, num_ads=600, seed=3))


def floats(frame, name):
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def cross_entropy(labels, probabilities):
    return -(labels * np.log(probabilities) + (1 - labels) * np.log1p(-probabilities)).mean()


class TestRows:
    def test_the_seed_decides(self):
        first, again = (read_all(SyntheticAds(**SMALL, seed=7)) for _ in range(2))
        assert_frame_equal(first, again)
        assert not first.equals(read_all(SyntheticAds(**SMALL, seed=8)))

    @pytest.mark.parametrize("chunk_rows", [1000, 32_768, 40_000, 70_001])
    def test_chunks_do_not_matter(self, chunk_rows):
        dataset = SyntheticAds(rows=70_000, num_users=300, num_ads=60)
        frames = list(dataset.chunks(chunk_rows))
        assert [len(frame) for frame in frames[:-1]] == [chunk_rows] * (len(frames) - 1)
        assert 0 < len(frames[-1]) <= chunk_rows
        assert_frame_equal(pl.concat(frames), read_all(dataset))

    def test_an_interrupted_pass_changes_nothing(self):
        dataset = SyntheticAds(**SMALL)
        next(dataset.chunks(10))
        assert_frame_equal(read_all(dataset), read_all(SyntheticAds(**SMALL)))

    def test_protocol(self, log):
        dataset = SyntheticAds(**SMALL)
        assert dataset.name == "synthetic-ads"
        assert [task.name for task in dataset.tasks] == list(CLICKS)
        raw = {column.raw_name: column.dtype for column in dataset.columns}
        expected = {"string": pl.String, "int64": pl.Int64, "float32": pl.Float32}
        assert {name: log.schema[name] for name in raw} == {name: expected[dtype] for name, dtype in raw.items()}
        assert {log.schema[task.name] for task in dataset.tasks} == {pl.Float32}
        polars_types = {"int32": pl.Int32, "float32": pl.Float32}
        assert {name: log.schema[name] for name in dataset.extras} == {
            name: polars_types[dtype] for name, dtype in dataset.extras.items()
        }
        assert set(log.columns) == {*raw, *CLICKS, *dataset.extras, "split"}
        assert {column.side for column in dataset.columns} == {"user", "ad", "context"}
        json.dumps(dataset.settings)

    def test_split_by_day(self, log):
        by_split = {split: set(part["day"]) for (split,), part in log.group_by("split")}
        assert by_split == {"train": set(range(10)), "validation": {10, 11}, "test": {12, 13}}
        assert log["day"].is_sorted()

    def test_chosen_tasks(self):
        dataset = SyntheticAds(**SMALL, tasks=("click", "conversion"))
        assert [(task.name, task.given) for task in dataset.tasks] == [("click", None), ("conversion", "click")]
        assert {"link_click", "website_click", "profile_click"} <= set(dataset.extras)
        assert "conversion" not in dataset.extras
        assert_frame_equal(read_all(dataset), read_all(SyntheticAds(**SMALL)))

    def test_prepared(self, tmp_path):
        prepare = pytest.importorskip("grouprank.datasets.prepare").prepare
        table = prepare(SyntheticAds(**SMALL), tmp_path / "table", chunk_rows=700)
        assert sum(table.report["rows"].values()) == 3000


class TestContents:
    def test_labels(self, log):
        click = floats(log, "click")
        for name in CLICKS[1:]:
            assert (floats(log, name) <= click).all()
        np.testing.assert_array_equal(log["conversion"].is_null().to_numpy(), click == 0)
        rates = {name: floats(log, name).mean() for name in CLICKS}
        assert 0.08 < rates["click"] < 0.15
        assert 0.03 < rates["link_click"] < 0.08
        assert 0.01 < rates["profile_click"] < rates["website_click"] < rates["link_click"]
        assert 0.05 < np.nanmean(floats(log, "conversion")) < 0.2

    @pytest.mark.parametrize("name", [*CLICKS, "conversion"])
    def test_true_probabilities_are_calibrated(self, log, name):
        labels, true = floats(log, name), floats(log, f"true_{name}")
        seen = ~np.isnan(labels)
        labels, true = labels[seen], true[seen]
        for part in np.array_split(np.argsort(true), 5):
            error = labels[part].mean() - true[part].mean()
            assert abs(error) < 4 * np.sqrt(true[part].mean() / len(part))

    @pytest.mark.parametrize("name", CLICKS)
    def test_teacher_is_useful_and_imperfect(self, log, name):
        labels, true, teacher = floats(log, name), floats(log, f"true_{name}"), floats(log, f"teacher_{name}")
        assert ((teacher > 0) & (teacher < 1)).all()
        assert 0.85 < teacher.mean() / labels.mean() < 1.15
        constant = cross_entropy(labels, np.full_like(labels, labels.mean()))
        assert cross_entropy(labels, true) < cross_entropy(labels, teacher) < constant
        errors = np.abs(np.log(teacher / (1 - teacher)) - np.log(true / (1 - true)))
        late = log["day"].to_numpy() >= 12
        assert errors[late].mean() > errors[log["day"].to_numpy() < 2].mean()

    def test_planted_groups(self, log):
        by_user = log.group_by("user_id").agg(pl.col("planted_user_group").n_unique())
        assert set(by_user["planted_user_group"]) == {1}
        assert set(log["planted_user_group"]) == set(range(8))
        assert set(log["planted_user_ad_group"]) == set(range(12))
        cells = log.group_by("planted_user_group", "planted_ad_group").agg(pl.col("planted_user_ad_group").n_unique())
        assert set(cells["planted_user_ad_group"]) == {1}

    def test_planted_user_ad_groups_beat_the_groups_main_effects(self, log):
        """Rates by cell, smoothed, on later days, against user group rate x ad group rate."""
        early, late = log.filter(pl.col("day") < 10), log.filter(pl.col("day") >= 10)
        overall = early["click"].mean()

        def lift(*keys):
            table = early.group_by(*keys).agg((pl.col("click").sum() + 20 * overall) / (pl.len() + 20) / overall)
            return late.join(table, on=keys, how="left", maintain_order="left", suffix="_rate")["click_rate"].to_numpy()

        labels = late["click"].to_numpy()
        additive = np.clip(overall * lift("planted_user_group") * lift("planted_ad_group"), 1e-4, 0.99)
        crossed = np.clip(overall * lift("planted_user_ad_group"), 1e-4, 0.99)
        assert 1 - cross_entropy(labels, crossed) / cross_entropy(labels, additive) > 0.03

    def test_observed_columns_tell_of_the_group(self, log):
        users = log.unique("user_id", keep="first", maintain_order=True)
        group = users["planted_user_group"].to_numpy()
        tables = users.group_by("planted_user_group").agg(pl.col("country").mode().first(), pl.len())
        assert tables["country"].n_unique() >= 4
        interests = users["interests"].str.split(",").list.first()
        joint = users.with_columns(first=interests).group_by("first", "planted_user_group").len()
        best = joint.group_by("first").agg(pl.col("len").max())["len"].sum() / len(users)
        largest = np.bincount(group).max() / len(group)
        assert 1.3 * largest < best < 0.9  # a noisy sign

    def test_nuisances(self, log):
        counts = log["ad_id"].value_counts()["count"].sort(descending=True)
        assert counts[:60].sum() > 0.3 * len(log)
        early, late = log.filter(pl.col("split") == "train"), log.filter(pl.col("split") == "test")
        unseen = (~late["ad_id"].is_in(early["ad_id"].unique().to_list())).mean()
        assert 0.02 < unseen < 0.3
        for column in SyntheticAds.columns:
            if not isinstance(column, NumericColumn):
                assert log[column.raw_name].null_count() == 0
        assert 0.01 < log["tenure_days"].null_count() / len(log) < 0.1
        assert 0.001 < log["bid"].null_count() / len(log) < 0.1
        assert 0.01 < (log["age_bucket"] == "").mean() < 0.1
        assert (log["ad_age_days"] >= 0).all()
        assert log["interests"].str.split(",").list.len().max() <= 8

    def test_traffic_drifts_and_can_stand_still(self):
        def shares(frame):
            counts = np.bincount(frame["planted_user_group"].to_numpy(), minlength=8)
            return counts / counts.sum()

        moved = {}
        for drift in (0.0, 1.0):
            frame = read_all(SyntheticAds(rows=40_000, num_users=5_000, num_ads=100, drift=drift, seed=1))
            start, end = frame.filter(pl.col("day") < 4), frame.filter(pl.col("day") >= 10)
            moved[drift] = np.abs(shares(start) - shares(end)).sum()
        assert moved[1.0] > 3 * moved[0.0]

    def test_no_group_strength_no_group_effect(self):
        frame = read_all(SyntheticAds(rows=40_000, num_users=5_000, num_ads=100, group_strength=0.0))
        by_cell = frame.group_by("planted_user_ad_group").agg(pl.col("true_click").mean())["true_click"]
        assert by_cell.std() / by_cell.mean() < 0.25


class TestFile:
    def test_round_trip(self, tmp_path):
        dataset = SyntheticAds(**SMALL)
        path = dataset.write(tmp_path / "new" / "ads.csv")
        read = SyntheticAds.read(path)
        assert isinstance(read, SyntheticAdsFile)
        assert (read.name, read.columns, read.tasks, read.extras) == (
            dataset.name,
            dataset.columns,
            dataset.tasks,
            dataset.extras,
        )
        expected = read_all(dataset)
        assert_frame_equal(read_all(read, 999).select(expected.columns), expected, check_exact=True)
        assert list(path.parent.iterdir()) == [path]

    def test_never_overwritten(self, tmp_path):
        path = tmp_path / "ads.csv"
        path.write_text("mine")
        with pytest.raises(FileExistsError, match="not overwritten"):
            SyntheticAds(**SMALL).write(path)
        assert path.read_text() == "mine"

    def test_a_failed_write_leaves_nothing(self, tmp_path, monkeypatch):
        dataset = SyntheticAds(**SMALL)
        monkeypatch.setattr(dataset, "_block", lambda block: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dataset.write(tmp_path / "ads.csv")
        assert not list(tmp_path.iterdir())

    def test_bad_rows(self, tmp_path):
        path = SyntheticAds(**SMALL).write(tmp_path / "ads.csv")
        lines = path.read_text().splitlines()
        lines[3] = lines[3].rsplit(",", 2)[0]
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(ValueError, match="line 4"):
            read_all(SyntheticAds.read(path))
        read = SyntheticAds.read(path)
        assert sum(len(frame) for frame in read.chunks(1000, max_bad_rows=1)) == 2999
        assert read.bad_rows == 1

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"SyntheticAds\(rows=...\)\.write"):
            SyntheticAds.read(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "`rows` must be an integer of at least 1"),
        ({"rows": 10.0}, "rows=10.0"),
        ({"days": 4}, "`days` must be an integer of at least 5"),
        ({"num_user_ad_groups": 81}, "8 x 10 cells"),
        ({"tasks": ("clicks",)}, "Received: \\('clicks',\\)"),
        ({"tasks": "click"}, "each once"),
        ({"tasks": ()}, "each once"),
        ({"tasks": ("conversion",)}, "given a click"),
        ({"drift": float("nan")}, "`drift`"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyntheticAds(**{**SMALL, **arguments})


def test_nothing_to_download(tmp_path):
    for cls in (SyntheticAds, SyntheticAdsFile):
        with pytest.raises(NotImplementedError, match="generated, not downloaded"):
            cls.download(tmp_path)
    with pytest.raises(ValueError, match="chunk_rows"):
        next(SyntheticAds(**SMALL).chunks(0))


@pytest.mark.parametrize(
    "size", [{"num_ads": 1, "num_ad_groups": 1, "num_user_ad_groups": 1}, {"num_users": 1}, {"rows": 1}]
)
def test_tiny(size):
    assert len(read_all(SyntheticAds(**{**SMALL, "num_user_ad_groups": 2, **size}))) == size.get("rows", 3000)
