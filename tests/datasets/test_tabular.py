"""A user's own table: what its description may say, and what is read from CSV and Parquet."""

import datetime

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import TableDescription, Tabular, prepare

DESCRIPTION = """
features:
  - {name: country, kind: categorical, side: user}
  - {name: price, kind: numeric, side: ad, raw: "Price (EUR)", function: identity}
  - {name: last_ads, kind: sequence, side: user, length: 3, separator: "|"}
  - {name: hour, kind: categorical, side: context, dtype: int64, modulo: 24}
tasks:
  - click
  - {name: purchase, given: click, raw: bought}
"""
HEADER = "country,Price (EUR),last_ads,hour,click,bought,day"


@pytest.fixture
def described(tmp_path):
    def build(more="", text=DESCRIPTION):
        path = tmp_path / "table.yaml"
        path.write_text(text + more)
        return path

    return build


def line(i=0, country="de", price="1.5", ads="a|b||c|d", hour="27", click=0, bought="", day=None):
    return f"{country},{price},{ads},{hour},{click},{bought},{i if day is None else day}"


def read(table, chunk_rows=100, max_bad_rows=0):
    return pl.concat(table.chunks(chunk_rows, max_bad_rows))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.txt"])
@pytest.mark.parametrize("chunk_rows", [3, 100])
def test_reads_text(tmp_path, write_lines, described, name, chunk_rows):
    rows = [line(), line(click="true", bought="True", price="", country="NA"), line(bought="0.25"), *[line()] * 7]
    separator = {"t.tsv": "\t", "t.txt": ";"}.get(name, ",")
    write_lines(tmp_path / name, [row.replace(",", separator) for row in [HEADER, *rows]])
    table = Tabular(tmp_path / name, described("missing: [NA]"))
    frame = read(table, chunk_rows)
    assert frame.columns == ["country", "price", "last_ads", "hour", "click", "purchase", "split"]
    assert frame["country"].to_list() == ["de", "NA", *["de"] * 8]  # raw, as a server gets it
    assert frame["price"].to_list() == [1.5, None, *[1.5] * 8]
    assert frame["last_ads"][0] == "a|b||c|d"
    assert frame["hour"].to_list() == [27] * 10
    assert frame["click"].to_list() == [0, 1, *[0] * 8]
    assert frame["purchase"].to_list() == [None, 1, 0.25, *[None] * 7]
    assert frame["split"].to_list() == ["train"] * 8 + ["validation", "test"]
    assert table.name == "t"


@pytest.mark.parametrize("chunk_rows", [3, 100])
def test_reads_parquet_in_its_own_types(tmp_path, described, chunk_rows):
    rows = 10
    frame = pl.DataFrame(
        {
            "country": pl.Series(["de", None] * 5, dtype=pl.Categorical),
            "Price (EUR)": [1, None] * 5,
            "last_ads": [[7, 8, 9, 10], []] * 5,
            "hour": np.arange(rows, dtype="int16"),
            "click": [True, False] * 5,
            "bought": pl.Series([1.0, float("nan")] * 5),
            "image": pl.Series([[0.5, 1.5]] * rows, dtype=pl.List(pl.Float64)),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    image = "  - {name: image, kind: vector, side: ad, dim: 2}\ntasks:"
    table = Tabular(tmp_path / "t.parquet", described(text=DESCRIPTION.replace("tasks:", image)))
    read_back = read(table, chunk_rows)
    assert read_back["country"].to_list() == ["de", ""] * 5
    assert read_back["price"].dtype == pl.Float32
    assert read_back["last_ads"].to_list() == ["7|8|9|10", ""] * 5
    assert read_back["hour"].to_list() == list(range(10))
    assert read_back["click"].to_list() == [1, 0] * 5
    assert read_back["purchase"].to_list() == [1, None] * 5
    prepared = prepare(table, tmp_path / "out", chunk_rows=chunk_rows)
    assert prepared.column("test", "image").tolist() == [[0.5, 1.5]]
    assert prepared.column("train", "last_ads").shape == (8, 3)
    assert prepared.schema.tasks[1].given == "click"


@pytest.mark.parametrize(
    ("days", "order"),
    [
        ([5, 3, 9, 1, 0, 2, 7, 8, 4, 6], None),
        ([f"2022-05-{d + 1:02}" for d in (5, 3, 9, 1, 0, 2, 7, 8, 4, 6)], None),
        ([f"2022-05-01T0{d}:30:00Z" for d in (5, 3, 9, 1, 0, 2, 7, 8, 4, 6)], None),
        ([f"2022-05-01 0{d}:30:00.5" for d in (5, 3, 9, 1, 0, 2, 7, 8, 4, 6)], None),
    ],
)
def test_splits_by_the_time_column(tmp_path, write_lines, described, days, order):
    write_lines(tmp_path / "t.csv", [HEADER, *(line(day=day, hour=i) for i, day in enumerate(days))])
    frame = read(Tabular(tmp_path / "t.csv", described("time: day")), chunk_rows=3)
    assert {s: frame.filter(pl.col("split") == s)["hour"].to_list() for s in ("validation", "test")} == {
        "validation": [7],
        "test": [2],
    }
    write = pl.DataFrame({"day": [datetime.date(2022, 5, d) for d in range(10, 0, -1)]})
    write.with_columns(
        pl.lit("de").alias("country"), pl.lit(1).alias("Price (EUR)"), pl.lit("a").alias("last_ads"),
        pl.lit(1).alias("hour"), pl.lit(1).alias("click"), pl.lit(0).alias("bought"),
    ).write_parquet(tmp_path / "t.parquet")  # fmt: skip
    splits = read(Tabular(tmp_path / "t.parquet", described("time: day")))["split"].to_list()
    assert splits == ["test", "validation"] + ["train"] * 8


def test_splits_by_share_by_column_and_at_random(tmp_path, write_lines, described):
    names = ["Train", "val", "test", "train"]
    write_lines(tmp_path / "t.csv", [HEADER, *(line(day=names[i % 4]) for i in range(400))])
    path = tmp_path / "t.csv"
    counts = {name: read(Tabular(path, described(), 0.2))["split"].to_list().count(name) for name in ("train", "test")}
    assert counts == {"train": 240, "test": 80}
    assert read(Tabular(path, described(), "day"))["split"].to_list()[:4] == ["train", "validation", "test", "train"]
    first, second, other = (
        read(Tabular(path, described(), random=True, seed=seed), chunk_rows)["split"].to_list()
        for seed, chunk_rows in ((0, 100), (0, 7), (1, 100))
    )
    assert first == second != other
    assert 20 < first.count("test") < 60
    assert 20 < first.count("validation") < 60
    assert "test" in first[:100]
    with pytest.raises(ValueError, match=r"line 2: column 'country': expected one of \['dev', .*Received: 'de'"):
        read(Tabular(path, described(), "country"))
    with pytest.raises(ValueError, match="both at random and by column"):
        Tabular(path, described(), "day", random=True)
    for wrong in (0.5, 0, True, -1.0):
        with pytest.raises(ValueError, match=r"share in \(0, 0.5\)"):
            Tabular(path, described(), wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"click": 7}, r"line 3: column 'click': expected a label in \[0, 1\] .*Received: '7'"),
        ({"bought": "-1"}, r"line 3: column 'bought': expected a label in \[0, 1\]"),
        ({"click": "maybe"}, r"column 'click': expected a label in \[0, 1\] .*Received: 'maybe'"),
        ({"price": "cheap"}, r"line 3: column 'Price \(EUR\)': expected a number or nothing. Received: 'cheap'"),
        ({"hour": "2.5"}, r"line 3: column 'hour': expected an integer .*Received: '2.5'"),
        ({"hour": ""}, r"line 3: column 'hour': expected an integer .*Received: nothing"),
        ({"day": "soon"}, r"line 3: column 'day': expected a number or an ISO 8601 date. Received: 'soon'"),
        ({"day": "1,2"}, r"line 3: expected 7 comma-separated fields. Received: 8"),
    ],
)
def test_bad_rows_are_named_and_counted(tmp_path, write_lines, described, changes, message):
    rows = [line(i) for i in range(20)]
    rows[1] = line(**changes)
    write_lines(tmp_path / "t.csv", [HEADER, *rows])
    with pytest.raises(ValueError, match=message):
        read(Tabular(tmp_path / "t.csv", described("time: day")))
    table = Tabular(tmp_path / "t.csv", described("time: day"))
    assert len(read(table, max_bad_rows=1)) == 19
    assert table.bad_rows == 1


def test_a_wrong_column_names_the_nearest(tmp_path, write_lines, described):
    write_lines(tmp_path / "t.csv", [HEADER.replace("country", "cuntry").replace("bought", "Bought"), line()])
    with pytest.raises(
        ValueError, match=r"no column 'country', which feature 'country' reads. Did you mean 'cuntry'\? Its"
    ):
        Tabular(tmp_path / "t.csv", described())
    write_lines(tmp_path / "t.csv", [HEADER.replace("bought", "Bought"), line()])
    with pytest.raises(ValueError, match=r"'bought', which task 'purchase' reads. Did you mean 'Bought'\?"):
        Tabular(tmp_path / "t.csv", described())
    write_lines(tmp_path / "t.csv", [HEADER, line()])
    with pytest.raises(ValueError, match=r"no column 'dya', which `time` reads. Did you mean 'day'\?"):
        Tabular(tmp_path / "t.csv", described("time: dya"))
    with pytest.raises(ValueError, match=r"no column 'fold', which the split reads"):
        Tabular(tmp_path / "t.csv", described(), "fold")
    more = "  - {name: dear, kind: numeric, side: ad, raw: price}\ntasks:"
    write_lines(tmp_path / "t.csv", [HEADER + ",price", line() + ",3"])
    with pytest.raises(ValueError, match=r"'Price \(EUR\)' and 'price' would both be the input 'price'.*Rename"):
        Tabular(tmp_path / "t.csv", described(text=DESCRIPTION.replace("tasks:", more)))


def test_files_that_are_no_table(tmp_path, write_lines, described):
    with pytest.raises(FileNotFoundError, match=r"t.csv does not exist"):
        Tabular(tmp_path / "t.csv", described())
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(ValueError, match=r"t.csv is empty"):
        Tabular(tmp_path / "t.csv", described())
    write_lines(tmp_path / "t.csv", [HEADER])
    with pytest.raises(ValueError, match=r"t.csv has no rows"):
        read(Tabular(tmp_path / "t.csv", described()))
    pl.DataFrame(schema=dict.fromkeys(HEADER.split(","), pl.String)).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t.parquet has no rows"):
        read(Tabular(tmp_path / "t.parquet", described()))
    (tmp_path / "u.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"u.parquet is not a Parquet file"):
        Tabular(tmp_path / "u.parquet", described())
    (tmp_path / "t.xlsx").write_text("no")
    with pytest.raises(ValueError, match=r"t.xlsx: expected a file that ends in \['.csv'"):
        Tabular(tmp_path / "t.xlsx", described())
    write_lines(tmp_path / "t.csv", [HEADER, *[line(day="soon")] * 3])
    with pytest.raises(ValueError, match=r"no value of the time column 'day' is a number"):
        read(Tabular(tmp_path / "t.csv", described("time: day")))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"country": [["a"]]}, r"'country', described as categorical: expected one value per row"),
        ({"Price (EUR)": [datetime.date(2022, 1, 1)]}, r"'Price \(EUR\)', described as numeric: expected a number"),
        ({"click": [datetime.date(2022, 1, 1)]}, r"'click', described as task: expected numbers in \[0, 1\]"),
    ],
)
def test_a_parquet_column_of_another_kind(tmp_path, described, column, message):
    row = {"country": ["de"], "Price (EUR)": [1.0], "last_ads": ["a"], "hour": [1], "click": [0], "bought": [0]}
    pl.DataFrame(row | column).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        read(Tabular(tmp_path / "t.parquet", described()))


def test_a_vector_needs_parquet(tmp_path, write_lines, described):
    write_lines(tmp_path / "t.csv", [HEADER, line()])
    text = DESCRIPTION.replace("kind: categorical, side: user}", "kind: vector, side: user, dim: 2}")
    with pytest.raises(ValueError, match=r"'country', described as vector: expected a Parquet column of lists"):
        read(Tabular(tmp_path / "t.csv", described(text=text)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: numeric", "kind: number", r"Feature 'price': `kind` must be one of \['numeric', .*'number'"),
        ("side: ad, raw", "sied: ad, raw", r"Feature 'price' \(numeric\) has no 'sied'. Did you mean 'side'\?"),
        (", side: user}", "}", r"Feature 'country' \(categorical\) lacks \['side'\]"),
        ("side: ad", "side: advertiser", r"side"),
        ("length: 3, ", "", r"Feature 'last_ads' \(sequence\) lacks \['length'\]"),
        ("given: click", "given: clck", r"`given` must name another task"),
        ("given: click", "givn: click", r"A task has no 'givn'. Did you mean 'given'\?"),
        ("name: hour", "name: country", r"'country' is used more than once"),
        ("features:", "featuers:", r"A description has no 'featuers'. Did you mean 'features'\?"),
        ('raw: "Price (EUR)"', "raw: bought", r"Feature 'price' reads 'bought', the label of task 'purchase'"),
        ('raw: "Price (EUR)"', "raw: split", r"reads a column named 'split'"),
        ("kind: categorical, side: user", "kind: categorical, side: user, vocabulary_size: 9", r"`max_size`"),
        ("features:", "features: [", r"table.yaml: not YAML: while parsing"),
    ],
)
def test_wrong_descriptions(described, old, new, message):
    with pytest.raises(ValueError, match=message):
        TableDescription.read(described(text=DESCRIPTION.replace(old, new, 1)))


def test_descriptions_without_content(tmp_path, described):
    with pytest.raises(FileNotFoundError, match=r"--init --schema"):
        TableDescription.read(tmp_path / "nowhere.yaml")
    for text, message in [
        ("", "must be a mapping"),
        ("features: []\ntasks: [click]", "`features` is empty. Fill it in"),
        ("features: [price]\ntasks: [click]", "A feature must be a mapping"),
        ("features: [{name: a, kind: numeric, side: ad}]\ntasks:", "`tasks` is empty. Fill it in"),
    ]:
        with pytest.raises(ValueError, match=message):
            TableDescription.read(described(text=text))


def test_prepare_knows_another_split(tmp_path, write_lines, described):
    write_lines(tmp_path / "t.csv", [HEADER, *(line(i, click=i % 2) for i in range(40))])
    table = prepare(Tabular(tmp_path / "t.csv", described()), tmp_path / "out", chunk_rows=7)
    assert table.report["rows"] == {"train": 32, "validation": 4, "test": 4}
    assert table.transforms.columns["hour"].tokens.tolist() == [3]
    prepare(Tabular(tmp_path / "t.csv", described()), tmp_path / "out")
    with pytest.raises(ValueError, match=r"differ in \['settings'\]"):
        prepare(Tabular(tmp_path / "t.csv", described(), 0.2), tmp_path / "out")
    with pytest.raises(NotImplementedError, match="not downloaded"):
        Tabular.download(tmp_path)
