"""What `tabular --init` makes of tables it has not seen: kinds, labels, times, doubts and odd names."""

import datetime

import numpy as np
import polars as pl
import pytest
import yaml

from grouprank.datasets import CategoricalColumn, HashedColumn, TableDescription
from grouprank.recipes.drafting import ColumnProfile, IntegerShape, draft_columns, to_yaml
from grouprank.recipes.drafting.value_kind import value_kind

ROWS = 4000


def zipf(rng, tokens, exponent=1.0, rows=ROWS):
    """Tokens 0, 1, 2 … by frequency."""
    shares = 1 / np.arange(1, tokens + 1) ** exponent
    return rng.choice(tokens, rows, p=shares / shares.sum())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def draft(tmp_path):
    """A draft of a table, its text and what it says."""

    def make(table, path="t.csv"):
        path = tmp_path / path
        if isinstance(table, str):
            path.write_text(table, encoding="utf-8")
        else:
            table.write_parquet(path) if path.suffix == ".parquet" else table.write_csv(path)
        text = to_yaml(draft_columns(path, 60_000), str(path))
        (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
        return text, yaml.safe_load(text)

    return make


def kinds(config):
    return {entry["name"]: entry["kind"] for entry in config["features"]}


def marked(text):
    return [line for line in text.splitlines() if "REVIEW" in line]


IDS = {
    "hashed": lambda rng: rng.integers(0, 2**32, 500)[zipf(rng, 500)],
    "few hashed": lambda rng: rng.integers(0, 2**31, 60)[zipf(rng, 60)],
    "shuffled": lambda rng: rng.permutation(300)[zipf(rng, 300)],
    "sparse": lambda rng: 100_000 + 17 * rng.permutation(2000)[zipf(rng, 2000)],
    "used evenly": lambda rng: rng.integers(0, 170, ROWS),
    "by frequency": lambda rng: np.unique(zipf(rng, 90), return_inverse=True)[1],
    "by first row": lambda rng: pl.Series(rng.permutation(200)[zipf(rng, 200)]).rank("dense").to_numpy(),
    "nineteen digits": lambda rng: rng.integers(2**60, 2**61, 400)[zipf(rng, 400)],
}
AMOUNTS = {
    "count": lambda rng: np.floor(rng.exponential(30, ROWS)),
    "long-tailed count": lambda rng: np.floor(5 * rng.pareto(1.2, ROWS)),
    "with a negative": lambda rng: np.floor(rng.exponential(40, ROWS)) - 3,
    "age": lambda rng: np.clip(rng.gamma(6, 6.5, ROWS), 17, 90),
    "milliseconds": lambda rng: rng.lognormal(9, 1, ROWS),
    "whole euros as cents": lambda rng: np.round(rng.lognormal(4, 0.8, ROWS)) * 100,
    "weight": lambda rng: rng.lognormal(12, 0.5, ROWS),
}


@pytest.mark.parametrize("what", IDS)
def test_whole_numbers_that_are_ids(rng, what):
    values = IDS[what](rng).astype("int64")
    if what == "by frequency":  # ties in the order of their names, as value_counts gives them
        _, inverse, rows = np.unique(values, return_inverse=True, return_counts=True)
        values = np.argsort(np.argsort(-rows, kind="stable"))[inverse]
    if what == "by first row":
        _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        values = np.argsort(np.argsort(first))[inverse]
    profile = ColumnProfile("x", pl.Series(values).cast(pl.String))
    assert profile.distinct > 50
    assert value_kind(profile)[0] == "categorical"


@pytest.mark.parametrize("what", AMOUNTS)
def test_whole_numbers_that_are_amounts(rng, what):
    values = AMOUNTS[what](rng).astype("int64")
    profile = ColumnProfile("x", pl.Series(values).cast(pl.String))
    assert profile.distinct > 50
    assert value_kind(profile) == ("numeric", "", False)


def test_names_that_say_more_than_values(rng):
    ids, amounts = pl.Series(rng.permutation(300)[zipf(rng, 300)]), pl.Series(np.floor(rng.exponential(30, ROWS)))
    assert value_kind(ColumnProfile("follow_user_num", ids))[0] == "numeric"
    assert value_kind(ColumnProfile("age_group", amounts))[0] == "categorical"
    assert value_kind(ColumnProfile("zip", amounts))[0] == "categorical"
    assert value_kind(ColumnProfile("x", amounts.cast(pl.Int64).cast(pl.String).str.zfill(5)))[0] == "categorical"


def test_a_contradiction_is_a_doubt(rng):
    """Amounts of items, each on many rows: they repeat as ids do, but large ones are rare."""
    durations = rng.lognormal(9, 1, 300).astype("int64")[zipf(rng, 300)]
    shape = IntegerShape.of(durations)
    assert shape.repeats > 5
    assert shape.reach < 0.4
    assert value_kind(ColumnProfile("x", pl.Series(durations)))[2]
    assert not IntegerShape.of(rng.permutation(300)[zipf(rng, 300)]).is_doubtful


def test_a_click_log_of_integers(draft, rng):
    """As TalkingData's: every column a number, the label attributed, a time that betrays it."""
    attributed = rng.random(ROWS) < 0.05
    seconds = np.sort(rng.integers(0, 86_400, ROWS))
    at = pl.from_epoch(1_509_984_000 + pl.Series(seconds)).dt.strftime("%Y-%m-%d %H:%M:%S")
    table = pl.DataFrame(
        {
            "ip": rng.permutation(3000)[zipf(rng, 3000, 0.7)],
            "app": rng.permutation(250)[zipf(rng, 250, 1.2)],
            "q": rng.permutation(300)[zipf(rng, 300)],
            "click_time": at,
            "attributed_time": [time if true else None for time, true in zip(at, attributed, strict=True)],
            "seconds_to_install": np.where(attributed, rng.integers(1, 900, ROWS), 0),
            "is_attributed": attributed.astype(int),
            "label": attributed.astype(int),
        }
    )
    text, config = draft(table.drop("label"))
    assert kinds(config) == {"ip": "categorical", "app": "categorical", "q": "categorical"}
    assert config["tasks"] == [{"name": "is_attributed"}]
    assert config["time"] == "click_time"
    assert "- attributed_time: another column of times" in text
    assert len(marked(text)) == 2  # the side of q, and what is known only after an install
    assert any("seconds_to_install: REVIEW: there, or not 0, only where is_attributed is 1" in m for m in marked(text))
    text, config = draft(table.rename({"is_attributed": "truth"}))
    assert config["tasks"] == [{"name": "label"}]
    assert "truth: REVIEW: it says what label says" in text


def test_blanks_after_commas(draft, rng):
    """As in the Adult census table."""
    age, hours, gain = AMOUNTS["age"](rng), np.clip(rng.normal(40, 12, ROWS), 1, 99), rng.integers(0, 6, ROWS) * 1000
    sex, rich = rng.choice(["Male", "Female"], ROWS), rng.integers(0, 2, ROWS)
    columns = (age.astype(int), sex, hours.astype(int), gain, rich)
    rows = [", ".join(map(str, row)) for row in zip(*columns, strict=True)]
    text, config = draft("\n".join(["age, sex, hours-per-week, capital-gain, income_50k", *rows]) + "\n")
    assert kinds(config) == {
        "age": "numeric",
        "sex": "categorical",
        "hours_per_week": "numeric",
        "capital_gain": "categorical",
    }
    assert config["tasks"] == [{"name": "income_50k"}]
    assert config["features"][2]["raw"] == "hours-per-week"
    assert len(marked(text)) == 1


@pytest.mark.parametrize(
    ("name", "values", "time", "doubtful"),
    [
        ("event_time", lambda s: s, "event_time", False),
        ("ts_ms", lambda s: 1000 * s + 7, "ts_ms", False),
        ("when", lambda s: 1000 * s + 7, "when", True),
        ("row_id", lambda s: s, None, False),
        ("date", lambda s: pl.from_epoch(s).dt.strftime("%Y%m%d"), "date", False),
        ("hour", lambda s: pl.from_epoch(s).dt.strftime("%y%m%d%H"), "hour", True),
        ("created", lambda s: pl.from_epoch(s).dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "created", True),
        ("day", lambda s: pl.from_epoch(s).dt.strftime("%d/%m/%Y"), None, True),
        ("sent", lambda s: 6 * s, None, True),
    ],
)
def test_times(draft, name, values, time, doubtful):
    seconds = pl.Series(np.arange(ROWS) * 61 + 1_650_000_000)
    table = pl.DataFrame({name: values(seconds), "user": np.arange(ROWS) % 9, "click": np.arange(ROWS) % 2})
    text, config = draft(table)
    assert config.get("time") == time
    assert ("rows are split in the order of the file" in text) == (time is None)
    assert any(name in line for line in marked(text)) == doubtful


def test_of_several_times_the_finest_of_every_row_is_taken(draft):
    seconds = pl.Series(np.arange(ROWS) * 61 + 1_650_000_000)
    table = pl.DataFrame(
        {
            "date": pl.from_epoch(seconds).dt.strftime("%Y%m%d"),
            "birth_date": pl.from_epoch(seconds).dt.strftime("%Y-%m-%d %H:%M:%S"),
            "time_ms": seconds * 1000,
            "seen_at": [None if i % 5 else second for i, second in enumerate(seconds)],
            "user": np.arange(ROWS) % 9,
            "click": np.arange(ROWS) % 2,
        }
    )
    text, config = draft(table)
    assert config["time"] == "time_ms"
    assert marked(text) == []


@pytest.mark.parametrize(
    ("columns", "task", "doubtful"),
    [
        ("a b income_50k", "income_50k", False),
        ("a is_new is_member b", None, True),
        ("a flag is_bot b", "is_bot", True),
        ("win a flag b", "win", True),
        ("a flag b win", "win", True),
        ("a flag is_hate", "is_hate", True),
        ("a flag target", "target", False),
    ],
)
def test_the_label_is_found_among_columns_of_0_and_1(draft, rng, columns, task, doubtful):
    names = columns.split()
    binary = {name: rng.integers(0, 2, ROWS) for name in names if name not in "ab"}
    table = pl.DataFrame({name: binary.get(name, zipf(rng, 9)) for name in names})
    text, config = draft(table)
    tasks = [entry["name"] for entry in config["tasks"]]
    assert len(tasks) == 1
    assert tasks == [task or tasks[0]]
    assert any(f"name: {tasks[0]}}}" in line for line in marked(text)) == doubtful


def test_an_empty_draft_says_what_to_fill_in(draft, tmp_path):
    text, config = draft(pl.DataFrame({"user": [1, 2, 3] * 50, "outcome": ["no", "yes", "no"] * 50}))
    assert config["tasks"] == []
    assert "no column holds 0 and 1 (outcome: two values each; write them as 0 and 1)" in text
    with pytest.raises(ValueError, match=r"`tasks` is empty. Fill it in, the columns of 0 and 1 .*: tasks: \[click\]"):
        TableDescription.read(tmp_path / "t.yaml")
    _, config = draft(pl.DataFrame({"same": [1] * 200, "click": [0, 1] * 100}))
    assert config["features"] == []
    with pytest.raises(ValueError, match="`features` is empty. Fill it in, one line for each column"):
        TableDescription.read(tmp_path / "t.yaml")


def pairs(rng, rows=ROWS, separator=",", weight=":"):
    """Lists of up to three tokens, each with a weight of its own."""
    tokens = [rng.choice(["sport", "news", "größe", "art"], size, replace=False) for size in rng.integers(0, 4, rows)]
    return [separator.join(f"{token}{weight}{rng.random():.3f}" for token in some) for some in tokens]


@pytest.mark.parametrize(("separator", "weight"), [(",", ":"), ("|", "="), (" ", ":")])
def test_pairs_of_tokens_and_numbers_are_weighted(draft, rng, separator, weight):
    table = pl.DataFrame({"user_interests": pairs(rng, 500, separator, weight), "click": [0, 1] * 250})
    text, config = draft(table)
    (entry,) = config["features"]
    assert (entry["kind"], entry["length"], entry["side"]) == ("weighted", 3, "user")
    assert (entry["separator"], entry["weight_separator"]) == (separator, weight)
    assert "pairs of a token and its weight" in text


def test_weighted_lists_of_parquet_and_of_one_user_each(draft, rng):
    """Lists that no two rows share are no ids of rows."""
    lists = [[f"{token}:{rng.random():.6f}" for token in "abc"] for _ in range(500)]
    table = pl.DataFrame({"lists": lists, "text": [",".join(pairs) for pairs in lists], "click": [0, 1] * 250})
    _, config = draft(table, "t.parquet")
    assert kinds(config) == {"lists": "weighted", "text": "weighted"}
    assert "separator" not in config["features"][0]
    words = [" ".join(f"w{word}" for word in rng.integers(0, 50, 9)) for _ in range(500)]
    assert kinds(draft(pl.DataFrame({"title": words, "click": [0, 1] * 250}))[1]) == {"title": "sequence"}


@pytest.mark.parametrize("values", [["12:30", "07:05"], ["10.0.0.1:80", "10.0.0.2:80"], ['{"a":1,"b":2}', '{"a":3}']])
def test_times_addresses_and_objects_are_no_weights(draft, values):
    _, config = draft(pl.DataFrame({"x": values * 100, "click": [0, 1] * 100}))
    assert "weighted" not in kinds(config).values()


@pytest.mark.parametrize(
    ("tokens", "rows", "hashed", "offered"),
    [(60_000, 400_000, True, False), (20_000, 60_000, False, True), (20_000, 200_000, False, False)],
)
def test_very_many_tokens_are_hashed(rng, tokens, rows, hashed, offered):
    drawn = np.append(np.arange(tokens), rng.integers(0, tokens, rows - tokens))
    profile = ColumnProfile("ad_id", pl.Series(drawn).cast(pl.String))
    assert HashedColumn.suits("categorical", profile) == hashed
    assert not HashedColumn.suits("sequence", profile)
    assert ("kind: categorical with a large min_count" in HashedColumn.remark(profile)) == hashed
    assert ("kind: hashed gives every value an id" in CategoricalColumn.remark(profile)) == offered
    for column, said in ((HashedColumn, hashed), (CategoricalColumn, offered)):
        assert ("kind: growing gives new ones an id of their own" in column.remark(profile)) == said


def test_a_draft_of_very_many_tokens(draft, rng):
    columns = {"device_id": rng.integers(0, 900_000, 60_000), "item_id": rng.integers(0, 15_000, 60_000) // 2 * 2}
    table = pl.DataFrame({name: [f"x{i}" for i in ids] for name, ids in columns.items()} | {"click": [0, 1] * 30_000})
    text, config = draft(table)
    assert kinds(config) == {"device_id": "hashed", "item_id": "categorical"}
    assert config["features"][0]["buckets"] == 131_072
    assert "# too many distinct values for a vocabulary" in text
    assert not any("vocabulary" in line for line in marked(text))


def test_a_heavy_tail_is_offered_buckets(draft, rng):
    columns = {
        "price": rng.lognormal(3, 0.8, ROWS),
        "budget": rng.lognormal(3, 3, ROWS),
        "rate": rng.lognormal(-9, 3, ROWS),
        "gain": np.where(rng.random(ROWS) < 0.9, 0, rng.lognormal(-4, 1, ROWS)),
    }
    text, config = draft(pl.DataFrame({**columns, "click": np.arange(ROWS) % 2}))
    assert kinds(config) == {"price": "numeric", "budget": "numeric", "rate": "bucketized", "gain": "numeric"}
    offered = [line.split("name: ")[1].split(",")[0] for line in text.splitlines() if "; kind: bucketized" in line]
    assert offered == ["budget", "gain"]
    (line,) = (line for line in text.splitlines() if "name: rate" in line)
    assert "kind: numeric standardises the numbers" in line


ODD = [
    "a b", "a_b", "a-b", "价格", "城市", "split", "Split", "2nd", "null", "true", "1e3", "#x", "x: y", "{x}", "[/b]",
    "it's", '"q"', "tab\there", "line\nbreak", "\x1b[31m", "\x00", "\x85", "\u2028", "\ufeff", "\ufffe", "🙂", "", "_",
    "__init__", "label", "click", "click ", "split_column", "column_1", " lead", "-", "?", "&a", "*a", "!t", "%", "@",
    "`", "features", "REVIEW: x", "x" * 300, "ключ", "a\\b", "a\x7fb", "a\u202eb",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_every_draft_can_be_read_back(draft, tmp_path, seed):
    rng = np.random.default_rng(seed)
    names = rng.choice(ODD, 20, replace=False).tolist()
    values = [rng.integers(0, 2, 150), rng.integers(0, 40, 150), rng.random(150), [*["\x1b[31m", "[/b]", "a\nb"] * 50]]
    table = pl.DataFrame({name: values[rng.integers(0, 4)] for name in names} | {"y": values[0], "u": values[1]})
    text, config = draft(table, "t.parquet")
    description = TableDescription.read(tmp_path / "t.yaml")
    read = {column.raw_name for column in description.columns} | set(description.labels.values())
    assert read <= {*names, "y", "u"}
    assert {"", "split"}.isdisjoint(read)
    left_out = text.partition("# Left out:\n")[2].splitlines()
    assert len(read) + len(left_out) == len(table.columns)
    assert all(line.isprintable() for line in text.splitlines())
    assert "\x85" not in text
    assert config["tasks"]


def test_types_that_are_not_read_are_left_out(draft):
    table = pl.DataFrame(
        {
            "click": [0, 1] * 100,
            "user": np.arange(200) % 7,
            "bytes": [b"a", b"\xff"] * 100,
            "lasted": [datetime.timedelta(1), datetime.timedelta(2)] * 100,
            "at": [datetime.time(1), datetime.time(2)] * 100,
            "pair": [{"a": 1}, {"a": 2}] * 100,
            "lists": [[[1], [2]], [[3]]] * 100,
        }
    )
    text, config = draft(table, "t.parquet")
    assert kinds(config) == {"user": "categorical"}
    assert text.count("values of this type are not read") == 5


def test_criteo(real_data, draft):
    """Counts and categories of the official file; these hashed, as integers, and numbered."""
    path = real_data("criteo-dac") / "train.txt"
    names = ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    table = pl.read_csv(path, separator="\t", has_header=False, new_columns=names, infer_schema=False, n_rows=8000)
    hashed = table.select(pl.col("^C.*$").replace("", None))
    as_integers = hashed.select(pl.all().str.to_integer(base=16))
    numbered = hashed.select(pl.all().rank("dense").cast(pl.Int64) - 1)
    for categories in (hashed, as_integers, numbered):
        text, config = draft(pl.concat([table.drop(hashed.columns), categories], how="horizontal"))
        found = kinds(config)
        assert {found[f"C{i}"] for i in range(1, 27)} == {"categorical"}
        assert [name for name in names[1:14] if found[name] == "categorical"] == ["I10", "I12"]  # at most 50 values
        assert len(marked(text)) == 2
