"""A log as periods: by names, and by a column of times."""

import datetime
import gzip

import numpy as np
import polars as pl
import pytest
from support.daily_log import DESCRIPTION, day_rows, write_days

import grouprank as gr
from grouprank.datasets.raw_files.times import microseconds
from grouprank.incremental.period_rows import PeriodRows

HOUR = 3600
# Unsorted seconds of 1 and 2 January 1970, and of 4 January.
SECONDS = [30 * HOUR, 1 * HOUR, 80 * HOUR, 25 * HOUR, 2 * HOUR]
DAYS = [("1970-01-01", [1, 4]), ("1970-01-02", [0, 3]), ("1970-01-04", [2])]


def rows_of(period, chunk_rows=2):
    return [int(row) for frame, _, _ in period.chunks(chunk_rows, ["row"]) for row in frame["row"]]


def write(path, frame):
    if path.name.endswith(".parquet"):
        frame.write_parquet(path)
        return
    text = frame.write_csv(separator="\t" if ".tsv" in path.name else ",").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.parametrize("pattern", ["day=2024-01-0{}", "2024-01-0{}.parquet", "clicks_2024010{}.csv.gz"])
def test_a_folder_or_a_file_a_day(tmp_path, pattern):
    for name in ("_SUCCESS", ".hidden", "notes.md"):
        (tmp_path / name).write_text("")
    for number in (2, 1):
        path = tmp_path / pattern.format(number)
        if "=" in pattern:
            path.mkdir()
            write(path / "part-0.parquet", pl.DataFrame({"row": [number]}))
            write(path / "part-1.parquet", pl.DataFrame({"row": [number + 10]}))
        else:
            write(path, pl.DataFrame({"row": [number]}))
    days = gr.incremental.periods(tmp_path)
    assert [day.name for day in days] == ["2024-01-01", "2024-01-02"]
    assert days[1].place == days[0].place + 1
    assert [rows_of(day) for day in days] == ([[1, 11], [2, 12]] if "=" in pattern else [[1], [2]])


def test_numbers_are_in_the_order_of_numbers(tmp_path):
    for number in (0, 1, 2, 10):
        write(tmp_path / f"day_{number}.csv", pl.DataFrame({"row": [number]}))
    days = gr.incremental.periods(tmp_path)
    assert [(day.name, day.place) for day in days] == [("day_0", 0), ("day_1", 1), ("day_2", 2), ("day_10", 10)]


def test_hours(tmp_path):
    for hour in ("2024-01-01-23", "2024-01-02-00", "2024-01-02-02"):
        write(tmp_path / f"{hour}.parquet", pl.DataFrame({"row": [0]}))
    hours = gr.incremental.periods(tmp_path, every="1h")
    assert [hour.name for hour in hours] == ["2024-01-01T23:00", "2024-01-02T00:00", "2024-01-02T02:00"]
    assert np.diff([hour.place for hour in hours]).tolist() == [1, 2]


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "csv.gz", "folder"])
def test_one_table_in_any_order(tmp_path, ending):
    frame = pl.DataFrame({"time": SECONDS, "row": range(5)})
    path = tmp_path / f"table.{ending}"
    if ending == "folder":
        path.mkdir()
        write(path / "a.parquet", frame[:2])
        write(path / "b.parquet", frame[2:])
    else:
        write(path, frame)
    days = gr.incremental.periods(path, time="time", chunk_rows=2)
    assert [(day.name, rows_of(day)) for day in days] == DAYS
    assert [day.rows for day in days] == [2, 2, 1]
    assert np.diff([day.place for day in days]).tolist() == [1, 2]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_sorted_file_is_read_in_parts(tmp_path, ending):
    path = tmp_path / f"table.{ending}"
    write(path, pl.DataFrame({"time": np.arange(100) // 10 * 24 * HOUR, "row": range(100)}))
    days = gr.incremental.periods(path, time="time", chunk_rows=7)
    header = ending == "csv"
    assert days[3].files == ((path, (31 + header, 40 + header)),)
    assert rows_of(days[3], 7) == list(range(30, 40))


MOMENT = datetime.datetime(2024, 1, 31, 23, 59)
MICROSECONDS = 1706745540000000


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([MICROSECONDS // 10**6], None),
        ([MICROSECONDS // 10**3], None),
        ([MICROSECONDS], None),
        ([str(MICROSECONDS // 10**3)], None),
        ([MICROSECONDS * 1000], "ns"),
        ([MOMENT], None),
        (pl.Series([MOMENT]).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Tokyo"), None),
        (["2024-01-31T23:59:00Z"], None),
        (["2024-01-31 23:59"], None),
        ([202401312359], "%Y%m%d%H%M"),
    ],
)
def test_units_of_time(tmp_path, values, unit):
    write(tmp_path / "t.parquet", pl.DataFrame({"time": values}))
    (day,) = gr.incremental.periods(tmp_path, time="time", unit=unit)
    assert day.name == "2024-01-31"
    assert microseconds(pl.Series(values), day.cut.unit).to_list() == [MICROSECONDS]
    (hour,) = gr.incremental.periods(tmp_path, time="time", unit=unit, every="6h")
    assert hour.name == "2024-01-31T18:00"


def test_dates_and_spelled_hours():
    day = 86_400_000_000
    assert microseconds(pl.Series([20240131, None, 7]), "%Y%m%d").to_list() == [19753 * day, None, None]
    assert microseconds(pl.Series([24013106]), "%y%m%d%H").to_list() == [19753 * day + 6 * HOUR * 10**6]
    assert microseconds(pl.Series([datetime.date(2024, 1, 31)]), None).to_list() == [19753 * day]
    assert microseconds(pl.Series([1.5, float("nan")]), "s").to_list() == [1_500_000, None]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["2024-01-01.csv", "readings.csv"], "must all end in a date such as 2024-01-31, or all in a number"),
        (["2024-01-01.csv", "20240101.csv"], "Two periods .* are the same"),
        (["2024-02-31.csv"], "its name ends in no date"),
        (["notes.md"], "holds no folder and no table for a period"),
    ],
)
def test_names_that_do_not_say_when(tmp_path, names, said):
    for name in names:
        (tmp_path / name).write_text("row\n1\n")
    with pytest.raises(ValueError, match=said):
        gr.incremental.periods(tmp_path)


def test_bad_arguments_and_times(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("time,row\n1,0\nx,1\n")
    for arguments, said in (
        ({"every": "day"}, "`every` must be a number with m, h, d or w"),
        ({"time": "time", "unit": "h"}, "`unit` must be one of"),
        ({"time": "when"}, "has no column 'when' of times"),
        ({"time": "time"}, "t.csv, line 3: column 'time'"),
        ({}, "is one file. Name its column of times"),
    ):
        with pytest.raises(ValueError, match=said):
            gr.incremental.periods(path, **arguments)
    (day,) = gr.incremental.periods(path, time="time", max_bad_rows=1)
    assert rows_of(day) == [0]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        gr.incremental.periods(tmp_path / "none")


def test_typed_rows_do_not_depend_on_chunks(tmp_path):
    (day,) = write_days(tmp_path, [0])
    whole = pl.concat([chunk.frame for chunk in PeriodRows(DESCRIPTION).chunks(day)])
    chunks = list(PeriodRows(DESCRIPTION, chunk_rows=77).chunks(day, ["user"]))
    assert pl.concat([chunk.frame for chunk in chunks]).equals(whole)
    assert np.concatenate([chunk.numbers for chunk in chunks]).tolist() == list(range(300))
    assert pl.concat([chunk.extras for chunk in chunks])["user"].equals(day_rows(0)["user"])
