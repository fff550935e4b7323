"""Frames of pandas and plain columns, where reports take frames of polars."""

import numpy as np
import pandas
import polars as pl
import pytest
from support.prediction_frame import prediction_frame

from grouprank.reports import PredictionSums, Segmentation, discover_slices, gain_table, group_report
from grouprank.reports.polars_frame import polars_frame

CUTS = [Segmentation("tab"), Segmentation(("tab", "bid"), {"bid": [0.5]})]


@pytest.fixture(scope="module")
def frame():
    frame = prediction_frame(np.random.default_rng(0), rows=2000)
    tab = [None if number % 7 == 0 else value for number, value in enumerate(frame["tab"])]
    return frame.with_columns(tab=pl.Series(tab, dtype=pl.String))


def pandas_of(frame):
    return pandas.DataFrame({name: frame[name].to_list() for name in frame.columns})


def figures(frame):
    sums = PredictionSums(["click", "like"], ["old", "new"], "user", CUTS)
    sums.update(frame)
    return gain_table(sums).to_dict(), {cut.name: sums.segments(cut.name) for cut in CUTS}


def test_arrays_by_column_give_the_same_figures(frame):
    assert figures({name: frame[name].to_numpy() for name in frame.columns}) == figures(frame)


def test_pandas_gives_the_same_figures(frame):
    given = pandas_of(frame)
    # What a wide frame holds beside the columns that are asked for is not looked at.
    given["odd"] = [{"a": number} if number % 2 else object() for number in range(len(given))]
    assert figures(given) == figures(frame)
    assert Segmentation.quantiles(given, "bid").edges == Segmentation.quantiles(frame, "bid").edges
    assert CUTS[1].labels(given).to_list() == CUTS[1].labels(frame).to_list()


def test_pandas_describes_groups_and_finds_slices(frame):
    given, codes = pandas_of(frame), (frame["user"] % 4).to_numpy()[:, None]
    found = group_report("user", codes, 4, given[["tab", "bid"]], given[["click"]])
    assert found == group_report("user", codes, 4, frame.select("tab", "bid"), frame.select("click"))
    arguments = (["click"], ["old", "new"], "user", ["tab", "bid"], ["excess"])
    assert discover_slices(given, *arguments) == discover_slices(frame, *arguments)
    assert discover_slices([given], *arguments) == discover_slices([frame], *arguments)


def test_columns_of_pandas_keep_what_they_say():
    given = pandas.DataFrame(
        {
            "nullable": pandas.array([1, None, 3], dtype="Int64"),
            "category": pandas.Categorical(["a", None, "b"]),
            "text": ["x", None, "z"],
            "time": pandas.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "flag": [True, False, True],
            7: [0.5, float("nan"), 1.5],
        }
    )
    found = polars_frame(given)
    assert found["nullable"].to_list() == [1, None, 3]
    assert found["category"].to_list() == ["a", None, "b"]
    assert found["text"].to_list() == ["x", None, "z"]
    assert found["time"].dt.day().to_list() == [1, None, 3]
    assert found["flag"].to_list() == [True, False, True]
    np.testing.assert_array_equal(found["7"].to_numpy(), [0.5, np.nan, 1.5])


def test_what_is_no_frame_is_named(frame):
    sums = PredictionSums(["click"], ["old"], "user")
    with pytest.raises(ValueError, match=r"Expected a frame: .*Received: list"):
        sums.update([1, 2])
    with pytest.raises(ValueError, match="The column of users 'user' is missing"):
        sums.update({"click": np.ones(3)})
    with pytest.raises(ValueError, match=r"one column of each name. Received more than one of: \['click'\]"):
        sums.update(pandas.DataFrame([[1, 2]], columns=["click", "click"]))
