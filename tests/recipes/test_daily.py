"""The recipe for a log that goes on: days, kinds of ids, and all variants on a small log."""

import polars as pl
import pytest
from typer.testing import CliRunner

from grouprank.datasets import GrowingColumn, HashedColumn, SyntheticAds
from grouprank.incremental import periods
from grouprank.recipes import daily
from grouprank.recipes.command import make_app
from grouprank.recipes.daily_log import describe, with_ids, write_daily_log

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


def test_all_variants_on_a_log_of_ones_own(tmp_path):
    write_daily_log(DATASET, "day", tmp_path / "log", chunk_rows=2000)
    (tmp_path / "my.yaml").write_text(
        "features:\n"
        "- {name: user_id, kind: categorical, side: user}\n"
        "- {name: ad_id, kind: growing, side: ad, capacity: 99}\n"
        "tasks: [click]\n"
    )
    options = ["--schema", "my.yaml", "--data", "log", "--user", "user", "--first-days", "4", "--preset", "mlp"]
    options += ["--embedding-dim", "2", "--capacity", "64", "--batch-size", "256", "--run", "run"]
    options = [str(tmp_path / part) if part in ("my.yaml", "log", "run") else part for part in options]
    results = [CliRunner().invoke(make_app(daily.main), options) for _ in range(2)]
    for result in results:
        assert result.exit_code == 0, result.output
    tables = [result.output.split("Growing ids on")[1] for result in results]
    assert tables[0] == tables[1]
    for word in ("2024-01-06", "aged", "frozen", "hashed", "retrained", "against frozen"):
        assert word in tables[0]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "NE by day: click" in page
    assert "Ids by day" in page


def test_a_call_without_a_log_says_what_to_pass():
    result = CliRunner().invoke(make_app(daily.main), [])
    assert result.exit_code == 1
    assert "--synthetic" in result.output
