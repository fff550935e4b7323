"""Ali-CCP in its official layout: skeletons and common features without headers, lists joined by control characters."""

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import AliCCP, prepare
from grouprank.datasets.raw_files.bad_rows import BadRows
from grouprank.datasets.raw_files.feature_lists import FeatureLists

USER = [("101", 31390, 1.0), ("121", 3438658, 1.0), ("122", 3438762, 1.0), ("124", 3438769, 1.0), ("125", 3438774, 1.0)]
HISTORY = [("109_14", 4, 0.69315), ("109_14", 5, 2.3979), ("109_14", 6, 1.09861), ("150_14", 3887, 0.28343)]
ITEM = [
    ("205", 4186222, 1.0),
    ("206", 8316799, 1.0),
    ("207", 8416205, 1.0),
    ("216", 9154780, 1.0),
    ("301", 9351665, 1.0),
]
NODES = [("210", 9052218, 1.0), ("210", 9064553, 1.0)]
CROSS = [("508", 9355039, 2.3979), ("853", 10083008, 0.28343)]


def features(items):
    return "\x01".join(f"{field}\x02{token}\x03{value}" for field, token, value in items)


def common(session, items=(), announced=None):
    items = [*USER, *HISTORY, *items]
    return f"{session},{announced or len(items)},{features(items)}"


def impression(number, session="bacff91692951881", click=0, purchase=0, items=(*ITEM, *NODES, *CROSS), announced=None):
    return f"{number},{click},{purchase},{session},{announced or len(items)},{features(items)}"


@pytest.fixture
def write_ali_ccp(write_lines):
    def build(folder, train, test, sessions=None, suffix=""):
        sessions = sessions or [common("bacff91692951881"), common("aa", [("127", 77, 1.0)])]
        for part, rows in (("train", train), ("test", test)):
            write_lines(folder / f"sample_{part}" / f"sample_skeleton_{part}.csv{suffix}", rows)
            write_lines(folder / f"sample_{part}" / f"common_features_{part}.csv{suffix}", sessions)
        return folder

    return build


def read(dataset, chunk_rows=100, max_bad_rows=0, workers=1):
    return pl.concat(dataset.chunks(chunk_rows, max_bad_rows, workers))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("workers", [1, 3])
def test_joins_the_common_features(tmp_path, write_ali_ccp, suffix, workers):
    train = [impression(i, click=int(i > 5), purchase=int(i > 8)) for i in range(8)]
    train += [impression(8, "aa", 1, 1, items=ITEM[:1]), impression(9, "unknown", items=[*ITEM[1:], *NODES[:1]])]
    dataset = AliCCP(write_ali_ccp(tmp_path, train, [impression(0, "aa")], suffix=suffix))
    frame = read(dataset, chunk_rows=3, workers=workers)
    assert all(frame[column.raw_name].dtype == pl.String for column in dataset.columns)
    assert all(frame[column.raw_name].null_count() == 0 for column in dataset.columns)
    assert frame["split"].to_list() == ["train"] * 9 + ["validation", "test"]
    assert frame["click"].to_list() == [0] * 6 + [1] * 3 + [0] * 2
    assert frame["purchase"].to_list() == [None] * 6 + [0, 0, 1, None, None]
    assert frame["user_id"].to_list() == ["31390"] * 9 + ["", "31390"]
    assert frame["user_consumption_2"].to_list() == [""] * 8 + ["77", "", "77"]
    assert frame["user_categories"].to_list() == ["5,6,4"] * 9 + ["", "5,6,4"]
    assert frame["user_shops"].unique().to_list() == [""]
    assert frame["item_id"].to_list() == ["4186222"] * 9 + ["", "4186222"]
    assert frame["item_intentions"].to_list() == ["9052218,9064553"] * 8 + ["", "9052218", "9052218,9064553"]
    assert frame["user_item_intention"].to_list() == ["10083008"] * 8 + ["", "", "10083008"]
    assert frame["position"].to_list() == ["9351665"] * 8 + ["", "9351665", "9351665"]


def test_purchases_without_a_click_are_left_out(tmp_path, write_ali_ccp):
    train = [impression(0), impression(1, purchase=1), impression(2, click=1, purchase=1)]
    dataset = AliCCP(write_ali_ccp(tmp_path, train, [impression(0, purchase=1), impression(1)]))
    frame = read(dataset, chunk_rows=1)
    assert frame.select("click", "purchase").rows() == [(0, None), (1, 1), (0, None)]
    assert dataset.bad_rows == 0


def test_history_is_cut_to_the_strongest_ids(tmp_path, write_ali_ccp):
    dataset = AliCCP(write_ali_ccp(tmp_path, [impression(0)], [impression(0)]), history_length=2)
    assert read(dataset)["user_categories"].to_list() == ["5,6"] * 2
    assert {c.name: c.length for c in dataset.columns if hasattr(c, "length")} == {
        "user_categories": 2,
        "user_shops": 2,
        "user_brands": 2,
        "user_intentions": 2,
        "item_intentions": 10,
    }
    with pytest.raises(ValueError, match="length"):
        AliCCP(tmp_path, history_length=0)


def test_bad_rows_are_named_and_counted(tmp_path, write_ali_ccp):
    train = [
        impression(0),
        impression(1, announced=12),
        impression(2).replace("\x03", "\x02"),
        impression(3, click=3),
        impression(4).replace(",", ";", 1),
        impression(5, click=1),
    ]
    folder = write_ali_ccp(tmp_path, train, [impression(0)])
    messages = {
        0: r"sample_skeleton_train.csv, line 4: column 'click': expected 0 or 1\. Received: '3'",
        1: r"sample_skeleton_train.csv, line 5: expected 6 comma-separated fields\. Received: 5",
        # What does not fit the file's form is found before a list is looked into.
        2: r"sample_skeleton_train.csv, line 2: column 'feature_num' announces 12 features\. Received: 9",
        3: r"sample_skeleton_train.csv, line 3: column 'features': expected field, \\x02, id, \\x03, value",
    }
    for skipped, message in messages.items():
        with pytest.raises(ValueError, match=message):
            read(AliCCP(folder), max_bad_rows=skipped)
    dataset = AliCCP(folder)
    assert len(read(dataset, max_bad_rows=4)) == 3
    assert dataset.bad_rows == 4


def test_bad_sessions_are_named(tmp_path, write_ali_ccp):
    folder = write_ali_ccp(
        tmp_path, [impression(0)], [impression(0)], [common("aa"), common("bacff91692951881", announced=7)]
    )
    with pytest.raises(ValueError, match=r"common_features_train.csv, line 2: column 'feature_num' announces 7"):
        read(AliCCP(folder))
    assert read(AliCCP(folder), max_bad_rows=2)["user_id"].to_list() == ["", ""]
    folder = write_ali_ccp(tmp_path, [impression(0)], [impression(0)], [common("aa"), common("aa")])
    with pytest.raises(ValueError, match=r"common_features_train.csv: every common_feature_index.*'aa' more than once"):
        read(AliCCP(folder))


def test_prepare(tmp_path, write_ali_ccp):
    train = [impression(i, click=i % 2, purchase=int(i % 4 == 3)) for i in range(100)]
    dataset = AliCCP(write_ali_ccp(tmp_path / "in", train, train[:20]), history_length=4)
    table = prepare(dataset, tmp_path / "out", chunk_rows=7)
    assert table.report["rows"] == {"train": 90, "validation": 10, "test": 20}
    assert table.report["label_means"]["purchase"]["test"] == 0.5
    assert table.schema.tasks[1].given == "click"
    assert table.column("train", "user_categories").shape == (90, 4)
    tokens = table.transforms.columns["user_categories"].tokens
    assert [tokens[i - 2] for i in table.column("test", "user_categories")[0][:3]] == ["5", "6", "4"]
    assert table.transforms.columns["item_intentions"].tokens.tolist() == ["9052218", "9064553"]
    for split in ("train", "validation", "test"):
        table.schema.check({name: table.column(split, name) for name in table.schema.feature_names})


def test_agrees_with_plain_python(tmp_path, write_ali_ccp):
    rng = np.random.default_rng(0)
    single = {"205": "item_id", "301": "position"}
    lists = FeatureLists(single, {"210": "nodes"}, {"nodes": 3})
    rows = []
    for _ in range(50):
        fields = rng.choice(["205", "210", "301", "999"], rng.integers(1, 12))
        rows.append([(str(f), int(rng.integers(1000)), float(np.round(rng.random(), 4))) for f in fields])
    frame = pl.DataFrame({"feature_num": list(map(len, rows)), "features": list(map(features, rows))})
    expanded = pl.concat(part for part, _ in lists.expand(tmp_path, [(frame, np.arange(1, 51))], BadRows(0)))
    for row, items in zip(expanded.to_dicts(), rows, strict=True):
        for field, name in single.items():
            assert row[name] == next((str(token) for f, token, _ in items if f == field), None)
        nodes = sorted((item for item in items if item[0] == "210"), key=lambda item: -item[2])[:3]
        assert row["nodes"] == (",".join(str(token) for _, token, _ in nodes) or None)


def test_download_says_where_the_files_are(tmp_path, write_ali_ccp):
    with pytest.raises(PermissionError, match=r"account.*sample_train.tar.gz.*tianchi.aliyun.com/dataset/408"):
        AliCCP.download(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"sample_skeleton_train.csv\[.gz\].*sample_train.*tianchi"):
        AliCCP(tmp_path)
    write_ali_ccp(tmp_path, [impression(0)], [impression(0)])
    assert AliCCP.download(tmp_path) == tmp_path
    (tmp_path / "sample_test" / "common_features_test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"common_features_test.csv"):
        AliCCP(tmp_path)
