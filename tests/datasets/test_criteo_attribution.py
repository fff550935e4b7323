"""Criteo's Attribution Modeling for Bidding in its official layout: tab-separated with a header of 22 columns."""

import polars as pl
import pytest

from grouprank.datasets import CriteoAttribution, prepare

HEADER = (
    "timestamp\tuid\tcampaign\tconversion\tconversion_timestamp\tconversion_id\tattribution\tclick\tclick_pos\tclick_nb\t"
    "cost\tcpo\ttime_since_last_click\tcat1\tcat2\tcat3\tcat4\tcat5\tcat6\tcat7\tcat8\tcat9"
)
DAY = 24 * 3600
FILE = "criteo_attribution_dataset.tsv.gz"


def row(time=0, click=0, conversion=0, attribution=0, uid=20073966, last_click=-1):
    converted = f"{time + 1000}\t3063962" if conversion else "-1\t-1"
    place = "0\t7" if conversion else "-1\t-1"
    categories = "5824233\t9312274\t3490278\t29196072\t11409686\t1973606\t25162884\t29196072\t29196072"
    paid = f"1.0E-5\t0.390794\t{last_click}"
    return f"{time}\t{uid}\t22589171\t{conversion}\t{converted}\t{attribution}\t{click}\t{place}\t{paid}\t{categories}"


def read(dataset, chunk_rows=100, max_bad_rows=0):
    return pl.concat(dataset.chunks(chunk_rows, max_bad_rows))


def test_reads_the_official_layout(tmp_path, write_lines):
    lines = [
        row(0),
        row(25 * DAY - 1, click=1),
        row(25 * DAY, click=1, conversion=1, last_click=8879),
        row(28 * DAY - 1, click=1, conversion=1, attribution=1),
        row(28 * DAY, uid=7),
    ]
    write_lines(tmp_path / FILE, [HEADER, *lines])
    frame = read(CriteoAttribution(tmp_path), chunk_rows=2)
    assert frame["click"].to_list() == [0, 1, 1, 1, 0]
    assert frame["conversion"].to_list() == [None, 0, 1, 1, None]
    assert frame["split"].to_list() == ["train", "train", "validation", "validation", "test"]
    assert frame["time_since_last_click"].to_list() == [-1, -1, 8879, -1, -1]
    assert frame["uid"].to_list() == [20073966] * 4 + [7]
    assert read(CriteoAttribution(tmp_path, attributed=True))["conversion"].to_list() == [None, 0, 0, 1, None]


def test_what_follows_the_impression_is_no_feature():
    raw = {column.raw_name for column in CriteoAttribution.columns}
    leaky = {"conversion", "conversion_timestamp", "conversion_id", "attribution", "click", "click_pos", "click_nb"}
    assert not raw & (leaky | {"cost", "cpo"})
    assert {column.side for column in CriteoAttribution.columns} == {"user", "ad", "context"}


def test_bad_rows_are_named_and_counted(tmp_path, write_lines):
    lines = [HEADER, row(), row().rsplit("\t", 1)[0], row(uid=""), row(click="-1"), row()]
    write_lines(tmp_path / FILE, lines)
    for skipped, message in [
        (0, r"line 3: expected 22 tab-separated fields\. Received: 21"),
        (1, r"line 4: column 'uid': expected an integer\. Received: ''"),
        (2, r"line 5: column 'click': expected 0 or 1\. Received: '-1'"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(CriteoAttribution(tmp_path), max_bad_rows=skipped)
    dataset = CriteoAttribution(tmp_path)
    assert len(read(dataset, max_bad_rows=3)) == 2
    assert dataset.bad_rows == 3


def test_prepare_knows_which_conversion_counts(tmp_path, write_lines):
    lines = [
        row(day * DAY + 7200, click=1, conversion=day % 2, attribution=(day % 4 == 1 and 1) or 0) for day in range(31)
    ]
    write_lines(tmp_path / FILE, [HEADER, *lines, row(30 * DAY + 7200)])
    table = prepare(CriteoAttribution(tmp_path), tmp_path / "out", chunk_rows=5)
    assert table.report["rows"] == {"train": 25, "validation": 3, "test": 4}
    assert table.schema.tasks[1].given == "click"
    assert table.report["label_means"]["conversion"]["train"] == 12 / 25
    assert table.report["label_means"]["click"]["test"] == 0.75
    assert table.transforms.columns["hour"].tokens.tolist() == [2]
    with pytest.raises(ValueError, match=r"differ in \['settings'\]"):
        prepare(CriteoAttribution(tmp_path, attributed=True), tmp_path / "out")


def test_download_says_where_the_file_is(tmp_path, write_lines):
    with pytest.raises(PermissionError, match=r"account.*huggingface.co/datasets/criteo/criteo-attribution-dataset"):
        CriteoAttribution.download(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"criteo_attribution_dataset.tsv\[.gz\].*accept"):
        CriteoAttribution(tmp_path)
    write_lines(tmp_path / FILE, [HEADER])
    assert CriteoAttribution.download(tmp_path) == tmp_path
    with pytest.raises(ValueError, match="no rows"):
        read(CriteoAttribution(tmp_path))
    write_lines(tmp_path / FILE, ["a\tb", "1\t2"])
    with pytest.raises(ValueError, match=r"the header lacks \['click', 'conversion'"):
        read(CriteoAttribution(tmp_path))
