"""The parts into which an engine cuts a dataset's files hold the rows of the whole, in their order."""

import re

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import (
    AliExpress,
    Avazu,
    CriteoAttribution,
    CriteoConversionLog,
    CriteoDAC,
    CriteoTerabyte,
    KuaiRandFunnel,
    KuaiRandPure,
    SyntheticAds,
    TableDescription,
    Tabular,
)
from grouprank.datasets.raw_files.bad_rows import BadRows
from grouprank.datasets.raw_files.delimited_file import DelimitedFile
from grouprank.datasets.raw_files.file_slice import part_of

DESCRIPTION = {
    "features": [
        {"name": "country", "kind": "categorical", "side": "user"},
        {"name": "price", "kind": "numeric", "side": "ad"},
    ],
    "tasks": ["click"],
}


def run(function, items):
    return [function(item) for item in items]


def rows_of(datasets, limit=100):
    return pl.concat([frame for dataset in datasets for frame in dataset.chunks(7, limit)])


def tabular(path, **options):
    more = {"time": options.pop("time")} if "time" in options else {}
    return Tabular(path, TableDescription.from_dict({**DESCRIPTION, **more}), **options)


@pytest.fixture
def logs(tmp_path, write_lines, criteo_row, avazu_header, avazu_row):
    """Name to dataset, over files whose lines differ in length and of which some are malformed."""
    random = np.random.default_rng(0)
    criteo = [criteo_row(i % 2, tokens=["f" * int(n) for n in random.integers(0, 30, 26)]) for i in range(60)]
    criteo[20] = criteo[41] = "short"
    write_lines(tmp_path / "criteo" / "train.txt", criteo)
    for day in (0, 3, 4):
        write_lines(tmp_path / "days" / f"day_{day}{'.gz' if day == 3 else ''}", criteo)
    write_lines(tmp_path / "avazu" / "train", [avazu_header, *(avazu_row(i, i % 2) for i in range(50)), "x"], "\r\n")
    SyntheticAds(rows=80, num_users=9, num_ads=5).write(tmp_path / "ads.csv")
    frame = pl.DataFrame(
        {
            "country": [str(n) * (n % 9) for n in range(50)],
            "price": random.normal(size=50).round(3),
            "click": random.integers(0, 2, 50),
            "day": random.permutation(50),
            "part": (["train"] * 3 + ["validation", "test"]) * 10,
        }
    )
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=8)
    return {
        "criteo": CriteoDAC(tmp_path / "criteo"),
        "terabyte": CriteoTerabyte(tmp_path / "days"),
        "avazu": Avazu(tmp_path / "avazu"),
        "ads": SyntheticAds.read(tmp_path / "ads.csv"),
        "csv": tabular(tmp_path / "t.csv"),
        "csv by time": tabular(tmp_path / "t.csv", time="day"),
        "csv at random": tabular(tmp_path / "t.csv", random=True),
        "parquet": tabular(tmp_path / "t.parquet"),
        "parquet by time": tabular(tmp_path / "t.parquet", time="day"),
        "parquet by column": tabular(tmp_path / "t.parquet", validation="part"),
    }


@pytest.fixture
def official_logs(tmp_path, write_lines, write_kuairand, kuairand_row):
    """Datasets of other layouts, with malformed rows, also in a side table."""
    header = ["search_id", *(f"categorical_{i}" for i in range(1, 17)), *(f"numerical_{i}" for i in range(1, 64))]
    header += ["click", "conversion"]
    shop = [",".join([str(i), *["8"] * 16, *[str(i % 7)] * 63, str(i % 2), "0"]) for i in range(40)]
    shop[30] = "short"
    for name, rows in {"train.csv": shop, "test.csv": shop[:9]}.items():
        write_lines(tmp_path / "shop" / name, [",".join(header), *rows])
    fields = ["timestamp", "uid", "campaign", "conversion", "attribution", "click", "time_since_last_click"]
    fields += [f"cat{i}" for i in range(1, 10)]
    days = [[i * 24 * 3600, i, 10**i % 97, 1, i % 2, 1, -1, *range(9)] for i in range(31)]
    bids = ["\t".join(map(str, row)) for row in days]
    write_lines(tmp_path / "bids" / "criteo_attribution_dataset.tsv", ["\t".join(fields), *bids, "x"])
    sales = [[i % 2, -1, -1, i * 37 % 40, *[i % 5] * 19] for i in range(40)]
    write_lines(tmp_path / "sales" / "CriteoSearchData", ["\t".join(map(str, row)) for row in sales])
    videos = [kuairand_row(user=i % 3, video=i % 3, date=20220503 + i // 10) for i in range(50)]
    write_kuairand(tmp_path / "kuairand", [*videos, "x"], early=[kuairand_row(date=20220420)] * 9)
    with (tmp_path / "kuairand" / "user_features_pure.csv").open("a") as file:
        file.write("broken\n")
    return {
        "aliexpress": AliExpress(tmp_path / "shop"),
        "attribution": CriteoAttribution(tmp_path / "bids", attributed=True),
        "conversion log": CriteoConversionLog(tmp_path / "sales"),
        "kuairand": KuaiRandPure(tmp_path / "kuairand"),
        "kuairand funnel": KuaiRandFunnel(tmp_path / "kuairand"),
    }


@pytest.mark.parametrize("size", [200, 3000, 1 << 20])
def test_parts_are_the_whole(logs, official_logs, size):
    for name, dataset in (logs | official_logs).items():
        parts = dataset.parts(size, run)
        whole = rows_of([dataset])
        assert rows_of(parts).equals(whole), name
        assert sum(part.bad_rows for part in parts) == dataset.bad_rows
        if size == 200:
            assert len(parts) > 3, name


def test_a_bad_row_of_a_part_is_named_by_its_line_in_the_file(logs):
    *_, part = [part for part in logs["criteo"].parts(500, run) if part._within.first_line <= 42]
    with pytest.raises(ValueError, match=re.escape(f"{logs['criteo'].files[0]}, line 42: expected 40")):
        rows_of([part], limit=0)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", None])
def test_slices_keep_lines_whole(tmp_path, end, last):
    lines = ["n", *(str(10**i) for i in range(12)), "", "7"]
    text = end.join(lines) + (end if last is None else "")
    (tmp_path / "t.csv").write_text(text, newline="")
    file = DelimitedFile(tmp_path / "t.csv", ",")
    for size in range(1, len(text) + 2):
        slices, rows = file.slices(size, run)
        found, numbers, bad = [], [], BadRows(9)
        for within in slices:
            for frame, of_rows in part_of(file, within=within).chunks(3, {"n": "int64"}, bad):
                found += frame["n"].to_list()
                numbers += of_rows.tolist()
        assert (found, rows) == ([*(10**i for i in range(12)), 7], file.count_rows())
        assert (numbers, bad.count) == ([*range(2, 14), 15], 1)
