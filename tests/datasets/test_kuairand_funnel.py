"""KuaiRand's funnel: the same files as `KuaiRandPure`, outcomes after a click only."""

import polars as pl

from grouprank.datasets import KuaiRandFunnel, KuaiRandPure, prepare


def test_outcomes_without_a_click_are_missing(tmp_path, write_kuairand, kuairand_row):
    rows = [
        kuairand_row(0, 1, 20220504, click=1, long_view=1),
        kuairand_row(0, 1, 20220504, click=0, long_view=1, enter=1),
        kuairand_row(1, 0, 20220505, click=1, enter=1),
        kuairand_row(1, 1, 20220507),
    ]
    write_kuairand(tmp_path, rows)
    frame = pl.concat(KuaiRandFunnel(tmp_path).chunks(2))
    assert frame["is_click"].to_list() == [1, 0, 1, 0]
    assert frame["long_view"].to_list() == [1, None, 0, None]
    assert frame["is_profile_enter"].to_list() == [0, None, 1, None]
    plain = pl.concat(KuaiRandPure(tmp_path).chunks(2))
    assert plain["long_view"].to_list() == [1, 1, 0, 0]
    features = [column.raw_name for column in KuaiRandPure.columns]
    assert frame.select(features).equals(plain.select(features))
    assert KuaiRandFunnel.columns is KuaiRandPure.columns


def test_prepare(tmp_path, write_kuairand, kuairand_row):
    days = (20220504, 20220505, 20220507)
    write_kuairand(tmp_path / "in", [kuairand_row(i % 2, 0, days[i // 4], click=i % 2) for i in range(12)])
    table = prepare(KuaiRandFunnel(tmp_path / "in"), tmp_path / "out")
    assert [(task.name, task.given) for task in table.schema.tasks] == [
        ("is_click", None),
        ("long_view", "is_click"),
        ("is_profile_enter", "is_click"),
    ]
    assert table.report["label_means"]["long_view"] == {"train": 0.0, "validation": 0.0, "test": 0.0}


def test_real_rows(real_data):
    frame = next(KuaiRandFunnel(real_data("kuairand-pure")).chunks(20_000))
    clicked = frame["is_click"] == 1
    assert frame["long_view"].is_null().eq(~clicked).all()
    assert 0.5 < frame["long_view"].mean() < 0.9
