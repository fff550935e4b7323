"""Criteo's Sponsored Search Conversion Log in its official layout: 23 tab-separated columns, no header, -1 missing."""

import polars as pl
import pytest

from grouprank.datasets import CriteoConversionLog, prepare

START = 1_596_439_471
USERS = ("98B6ECF4F0A4A8A2B0D3A1B0C0C5B7E1", "9BB8E0C4A8D3B1C1A2E0F0D5A6B7C8D9")


def row(second=0, sale=0, user=0, clicks="7", brand="A2", title="AA1 BB2 CC3"):
    amount, delay, price = ("39.9", "81234", "41.5") if sale == 1 else ("-1.0", "-1", "0.0")
    product = ["4C90FD52", "D7D1FB49", "865A11AE", "A5D15FC3", brand, "7F286560", "1F7C0436", *["-1"] * 5]
    rest = ["2AC62132", "E0B8A589", title, "E3DDEB04", USERS[user]]
    return "\t".join([str(sale), amount, delay, str(START + second), clicks, price, *product, *rest])


def read(dataset, chunk_rows=100, max_bad_rows=0):
    return pl.concat(dataset.chunks(chunk_rows, max_bad_rows))


@pytest.mark.parametrize("name", ["CriteoSearchData", "Criteo_Conversion_Search/CriteoSearchData.gz"])
def test_reads_the_official_layout(tmp_path, write_lines, name):
    lines = [row(i, sale=i % 2) for i in range(8)]
    lines += [row(8, clicks="-1", brand="-1", title="-1"), row(9, user=1)]
    write_lines(tmp_path / name, lines)
    dataset = CriteoConversionLog(tmp_path)
    frame = read(dataset, chunk_rows=3)
    assert frame["sale"].to_list() == [0, 1] * 4 + [0, 0]
    assert frame["click_timestamp"].to_list() == list(range(START, START + 10))
    assert frame["nb_clicks_1week"].to_list() == [7.0] * 8 + [-1.0, 7.0]
    assert frame["product_brand"].to_list() == ["A2"] * 8 + ["-1", "A2"]
    assert frame["product_title"][0] == "AA1 BB2 CC3"
    assert frame["product_title"][8] == "-1"
    assert frame["product_category7"].unique().to_list() == ["-1"]
    assert frame["user_id"].to_list() == [USERS[0]] * 9 + [USERS[1]]
    assert frame["split"].to_list() == ["train"] * 8 + ["validation", "test"]


def test_splits_by_time_whatever_the_order_of_the_file(tmp_path, write_lines):
    write_lines(tmp_path / "CriteoSearchData", [row(i) for i in (9, 3, 8, 1, 0, 2, 7, 5, 4, 6)])
    frame = read(CriteoConversionLog(tmp_path)).sort("click_timestamp")
    assert frame["split"].to_list() == ["train"] * 8 + ["validation", "test"]


def test_what_follows_the_sale_is_no_feature(tmp_path, write_lines):
    write_lines(tmp_path / "CriteoSearchData", [row()])
    raw = {column.raw_name for column in CriteoConversionLog(tmp_path).columns}
    assert not raw & {"Sale", "SalesAmountInEuro", "time_delay_for_conversion", "product_price"}
    assert {column.side for column in CriteoConversionLog.columns} == {"user", "ad", "context"}


def test_bad_rows_are_named_and_counted(tmp_path, write_lines):
    lines = [row(i) for i in range(10)]
    lines[1] = lines[1].rsplit("\t", 1)[0]
    lines[4] = row(4, clicks="many")
    lines[6] = row(6, sale=2)
    write_lines(tmp_path / "CriteoSearchData", lines)
    for skipped, message in [
        (0, r"CriteoSearchData, line 2: expected 23 tab-separated fields\. Received: 22"),
        (1, r"line 5: column 'nb_clicks_1week': expected a number or nothing\. Received: 'many'"),
        (2, r"line 7: column 'Sale': expected 0 or 1\. Received: '2'"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(CriteoConversionLog(tmp_path), max_bad_rows=skipped)
    dataset = CriteoConversionLog(tmp_path)
    assert len(read(dataset, max_bad_rows=3)) == 7
    assert dataset.bad_rows == 3
    (tmp_path / "CriteoSearchData").write_text("")
    with pytest.raises(ValueError, match="no rows"):
        read(CriteoConversionLog(tmp_path))


def test_prepare(tmp_path, write_lines):
    write_lines(tmp_path / "CriteoSearchData", [row(i, sale=i % 2, user=i // 60) for i in range(100)])
    table = prepare(CriteoConversionLog(tmp_path), tmp_path / "out", chunk_rows=7)
    assert table.report["rows"] == {"train": 80, "validation": 10, "test": 10}
    assert table.report["label_means"]["sale"] == {"train": 0.5, "validation": 0.5, "test": 0.5}
    assert table.schema.task_names == ["sale"]
    assert table.column("train", "product_title")[0].tolist() == [2, 3, 4, *[0] * 7]
    assert table.transforms.columns["product_category7"].tokens.tolist() == [""]
    missing = {"nb_clicks_1week": [-1.0], "product_brand": ["-1"], "product_title": ["-1"]}
    for feature, values in missing.items():
        transform = table.transforms.columns[feature]
        assert not transform(pl.Series(values)).any(), feature  # the mean, no token, no title
    assert table.column("train", "user_id").tolist() == [1] * 60 + [2] * 20
    # 08:24:31 UTC is the first click's time of day.
    assert table.transforms.columns["hour"].tokens.tolist() == [START // 3600 % 24]


def test_download(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "grouprank.datasets.criteo_conversion_log.fetch_archive", lambda *arguments: asked.append(arguments)
    )
    assert CriteoConversionLog.download(tmp_path) == tmp_path
    assert asked[0][1].endswith("Criteo_Conversion_Search.tar.gz")
    (tmp_path / "CriteoSearchData").write_text("")
    CriteoConversionLog.download(tmp_path)
    assert len(asked) == 1
    with pytest.raises(FileNotFoundError, match=r"CriteoSearchData\[.gz\].*--download.*ailab.criteo.com"):
        CriteoConversionLog(tmp_path / "nowhere")
