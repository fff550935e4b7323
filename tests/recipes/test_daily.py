"""The recipe for a log that goes on: days, kinds of ids, and all variants on a small log."""

import dataclasses
import gzip
import shutil

import polars as pl
import pytest
from typer.testing import CliRunner

from grouprank.datasets import (
    GrowingColumn,
    HashedColumn,
    HashedSequenceColumn,
    SyntheticAds,
    TableDescription,
)
from grouprank.incremental import periods
from grouprank.recipes import daily
from grouprank.recipes.command import make_app
from grouprank.recipes.daily_log import describe, official_log, with_ids, write_daily_log
from grouprank.recipes.daily_variants import DailyVariants

DATASET = SyntheticAds(2000, num_users=100, num_ads=40, days=6)


def test_every_row_is_in_the_folder_of_its_day(tmp_path):
    write_daily_log(DATASET, "day", tmp_path / "log", chunk_rows=300)
    days = periods(tmp_path / "log")
    assert [day.name for day in days] == [f"2024-01-0{day}" for day in range(1, 7)]
    found = [pl.concat([frame for frame, _, _ in day.chunks(10_000, ["day", "bid"])]) for day in days]
    assert [frame["day"].unique().to_list() for frame in found] == [[day] for day in range(6)]
    expected = pl.concat(DATASET.chunks(2000)).select("day", "bid")
    assert pl.concat(found).equals(expected)


def test_ids_change_their_kind_and_nothing_else():
    description = describe(DATASET)
    changed = {how: with_ids(description, ["ad_id"], how, 50) for how in ("frozen", "growing", "hashed")}
    assert changed["frozen"] == description == with_ids(changed["growing"], ["ad_id"], "frozen", 50)
    expected = GrowingColumn("ad_id", "ad", capacity=50, min_count=2, eviction="lfu")
    for how, column in (("growing", expected), ("hashed", HashedColumn("ad_id", "ad", buckets=50))):
        others = [c for c in description.columns if c.name != "ad_id"]
        assert [c for c in changed[how].columns if c.name != "ad_id"] == others
        assert column in changed[how].columns
    for wrong in ("ad", "bid"):
        with pytest.raises(ValueError, match=wrong):
            with_ids(description, [wrong], "growing", 50)


def with_list(kind, *others, **more):
    """A description in which a list shares the ids of an id column."""
    ads = {"name": "ads", "kind": kind, "side": "user", "length": 3, "shares": "ad_id", "separator": "|", **more}
    own = {"name": "ad_id", "kind": "categorical", "side": "ad"}
    return TableDescription.from_dict({"features": [own, ads, *others], "tasks": ["click"]})


def test_a_list_that_shares_hashed_ids_is_hashed_alike():
    found = with_ids(with_list("sequence", missing=["-"]), ["ad_id"], "hashed", 50)
    owner, ads = found.columns
    assert ads == HashedSequenceColumn("ads", "user", None, "|", "ad_id", ("-",), length=3, buckets=50)
    ads.check_owner(owner)
    assert ads.fit(None)(["a7|-|b"])[0, :2].tolist() == owner.fit(None)(["a7", "b"]).tolist()
    seen = {"name": "seen", "kind": "sequence", "side": "user", "length": 3}
    assert with_ids(with_list("sequence", seen, beside="seen"), ["ad_id"], "hashed", 50).columns[1].beside == "seen"
    # The other variants leave it as it is, and so does the hash of another column.
    assert with_ids(with_list("sequence"), ["ad_id"], "growing", 50).columns[1] == with_list("sequence").columns[1]


def test_a_list_that_cannot_be_hashed_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"'ads' shares the ids of 'ad_id'.*Leave 'ad_id' out of --ids, or give 'ads'"):
        with_ids(with_list("weighted"), ["ad_id"], "hashed", 50)


def write_criteo(folder, days, rows=3):
    """Day files in Criteo's layout: the label, 13 counts and 26 hashed tokens, some of them missing."""
    folder.mkdir()
    for day in days:
        lines = [
            "\t".join([str(row % 2), str(day), "", "-1", *["7"] * 10, *[f"{day * 16 + row:08x}", "", *["ab"] * 24]])
            for row in range(rows)
        ]
        text = "\n".join(lines).encode() + b"\n"
        zipped = day % 2
        (folder / (f"day_{day}.gz" if zipped else f"day_{day}")).write_bytes(gzip.compress(text) if zipped else text)
    return folder


def test_criteos_day_files_are_the_days_of_a_log(tmp_path):
    known = official_log(write_criteo(tmp_path / "criteo", (0, 1, 2, 10)))
    assert (known.name, known.user, known.ids) == ("criteo", None, tuple(f"C{i}" for i in range(1, 27)))
    write_daily_log(known.dataset, known.day, tmp_path / "log", 2, folder_name=known.folder_name)
    days = periods(tmp_path / "log")
    assert [(day.name, day.place) for day in days] == [(f"day_{n}", n) for n in (0, 1, 2, 10)]
    frame = pl.concat([frame for frame, _, _ in days[3].chunks(10, ["click", "I1", "I2", "C1", "C2"])])
    assert frame["C1"].to_list() == ["000000a0", "000000a1", "000000a2"]
    assert frame["click"].to_list() == [0.0, 1.0, 0.0]
    assert (frame["I1"].to_list(), frame["I2"].null_count(), frame["C2"].to_list()) == ([10.0] * 3, 3, [""] * 3)
    growing = with_ids(describe(known.dataset), known.ids, "growing", 99).columns[-1]
    assert growing == GrowingColumn("C26", "ad", capacity=99, min_count=10, eviction="lfu")


def test_kuairands_files_are_known_and_others_are_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"(?s)As KuaiRand-Pure: .*As Criteo's.*day_0.*--schema my.yaml"):
            official_log(folder)


def test_all_variants_on_a_log_of_ones_own(tmp_path, monkeypatch):
    write_daily_log(DATASET, "day", tmp_path / "log", chunk_rows=2000)
    for day in (1, 2, 3, 4):  # the other two are enough
        shutil.rmtree(tmp_path / "log" / f"day=2024-01-0{day}")
    (tmp_path / "my.yaml").write_text(
        "features:\n"
        "- {name: user_id, kind: categorical, side: user}\n"
        "- {name: ad_id, kind: growing, side: ad, capacity: 99}\n"
        "- {name: bid, kind: numeric, side: ad}\n"
        "tasks: [click]\n"
    )
    options = ["--schema", "my.yaml", "--data", "log", "--user", "user", "--first-days", "1", "--preset", "mlp"]
    options += ["--embedding-dim", "2", "--capacity", "64", "--batch-size", "256", "--run", "run"]
    options = [str(tmp_path / part) if part in ("my.yaml", "log", "run") else part for part in options]
    asked = []

    def trained(run, *arguments):
        """What the first call has trained under seed 0, under any seed: a second seed would take as long again."""
        asked.append((run.name, arguments[4].seed))
        settings = dataclasses.replace(arguments[4], seed=0)
        return DailyVariants(run.with_name("variants"), *arguments[:4], settings, *arguments[5:])

    results = [CliRunner().invoke(make_app(daily.main), options)]
    monkeypatch.setattr(daily, "DailyVariants", trained)
    results.append(CliRunner().invoke(make_app(daily.main), [*options, "--seeds", "2"]))
    for result in results:
        assert result.exit_code == 0, result.output
    # The second call adds a seed to the run and finds all that the first one has trained.
    assert asked == [("variants", 0), ("variants-seed-1", 1)]
    first, second = (result.output.split("Growing ids on")[1] for result in results)
    assert first.split("Mean NE")[0] == second.split("Mean NE")[0]
    for word in ("2024-01-06", "aged", "frozen", "hashed", "retrained", "against frozen", "one seed: no claim"):
        assert word in first
    assert "one seed: no claim" not in second
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for words in (
        "click: NE by day",
        "click: NE gain, % by age of the aged model, days",
        "Ids of ad_id: ids by day",
        "2 seeds: 0, 1",
        "All features: PSI by day",
        "Groups of user_ad: PSI by day",
        "The preset <code>mlp</code> has no groups.",
    ):
        assert words in page, words


def test_a_call_without_a_log_says_what_to_pass():
    result = CliRunner().invoke(make_app(daily.main), [])
    assert result.exit_code == 1
    assert "--synthetic" in result.output
