"""The recipe for a user's own table: the draft of its description, what it warns of, and a whole study."""

import dataclasses
import datetime

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from grouprank.datasets import TableDescription, Tabular
from grouprank.recipes import tabular
from grouprank.recipes.command import make_app
from grouprank.recipes.drafting import ColumnProfile, draft_columns, to_yaml

ROWS = 1000


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    user, ad = rng.integers(0, 80, ROWS), rng.integers(0, 20, ROWS)
    click = rng.random(ROWS) < 0.2 + 0.4 * (ad % 3 == 0)
    purchase = click & (rng.random(ROWS) < 0.3)
    return pl.DataFrame(
        {
            "impressionId": [f"x{i}" for i in range(ROWS)],
            "userId": [f"u{i}" for i in user],
            "gender": [None if i % 9 == 0 else "mf"[i % 2] for i in user],
            "account age": user % 60 + 18,
            "Ad ID": ad,
            "price (EUR)": np.round(rng.random(ROWS) * 20, 2),
            "last_ads": ["|".join(f"a{k}" for k in rng.integers(0, 20, 4)) for _ in range(ROWS)],
            "headline words": [" ".join("abcd"[k] for k in rng.integers(0, 4, 3)) for _ in range(ROWS)],
            "2nd": rng.integers(0, 3, ROWS),
            "constant": [7] * ROWS,
            "nothing": [None] * ROWS,
            "event_time": np.arange(ROWS) * 7 + 1_650_000_000,
            "revenue": purchase * 3.5,
            "is_new": rng.integers(0, 2, ROWS),
            "click": click.astype(int),
            "purchase": purchase,
        }
    )


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command line in this process, with a study small enough for a test."""
    small = {"num_levels": 1, "codebook_size": 8, "embedding_dim": 4, "batch_size": 128}
    monkeypatch.setattr(tabular, "SETTINGS", dataclasses.replace(tabular.SETTINGS, **small))
    monkeypatch.chdir(tmp_path)
    app = make_app(tabular.main)

    def run(*arguments, answers=None):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=answers)

    return run


@pytest.mark.parametrize("name", ["my.csv", "my.parquet"])
def test_draft(tmp_path, table, name):
    path = tmp_path / name
    table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
    text = to_yaml(draft_columns(path, 500), "my table")
    config = yaml.safe_load(text)
    found = {entry["name"]: (entry["kind"], entry["side"]) for entry in config["features"]}
    assert found == {
        "userId": ("categorical", "user"),
        "gender": ("categorical", "user"),
        "account_age": ("numeric", "user"),
        "Ad_ID": ("categorical", "ad"),
        "price_EUR": ("numeric", "ad"),
        "last_ads": ("sequence", "user"),
        "headline_words": ("sequence", "context"),
        "column_2nd": ("categorical", "context"),
        "is_new": ("categorical", "context"),
    }
    by_name = {entry["name"]: entry for entry in config["features"]}
    assert by_name["last_ads"]["separator"] == "|"
    assert by_name["last_ads"]["length"] == 4
    assert by_name["headline_words"]["separator"] == " "
    assert by_name["price_EUR"]["raw"] == "price (EUR)"
    assert by_name["userId"]["min_count"] == 2
    assert config["tasks"] == [{"name": "click"}, {"name": "purchase", "given": "click"}]
    assert config["time"] == "event_time"
    for left_out, why in {
        "impressionId": "an id of the row, or a leak",
        "revenue": "known only afterwards",
        "constant": "the same value",
        "nothing": "no value",
    }.items():
        assert any(left_out in line and why in line for line in text.splitlines())
    assert "no name tells the side of headline_words, column_2nd, is_new" in text
    marked = [line for line in text.splitlines() if "REVIEW" in line]
    assert [line.split("#")[1].split(":")[0].strip() for line in marked] == ["REVIEW", "REVIEW", "- revenue"]
    description = TableDescription.from_dict(config)
    assert len(description.columns) == 9
    assert set(next(Tabular(path, description).chunks(100))["split"]) == {"train"}


def test_draft_of_lists_and_dates(tmp_path):
    rows = 200
    frame = pl.DataFrame(
        {
            "day": [datetime.date(2022, 1, 1) + datetime.timedelta(i // 10) for i in range(rows)],
            "at": [datetime.datetime(2022, 1, 1) + datetime.timedelta(hours=i) for i in range(rows)],
            "titleVector": pl.Series([[0.5, 1.5, 2.5]] * rows),
            "seen_items": [[1, 2]] * rows,
            "score": np.random.default_rng(0).random(rows),
            "group": ["1"] * rows,
            "is_forward": [0, 1] * (rows // 2),
            "is_new": [0, 0, 1, 1] * (rows // 4),
            "date": [20220101, 20220102] * (rows // 2),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    text = to_yaml(draft_columns(tmp_path / "t.parquet", rows), "t")
    config = yaml.safe_load(text)
    assert [(entry["name"], entry["kind"]) for entry in config["features"]] == [
        ("titleVector", "vector"),
        ("seen_items", "sequence"),
        ("score", "numeric"),
        ("is_new", "categorical"),
    ]
    assert config["features"][0]["dim"] == 3
    assert config["features"][1]["length"] == 2
    assert config["tasks"] == [{"name": "is_forward"}]
    assert config["time"] == "at"
    assert "day: another column of times" in text
    assert "date: another column of times" in text
    assert "0 and 1: known before the impression, or an outcome?" in text


def test_commas_of_tags_and_of_prose(tmp_path):
    rng = np.random.default_rng(0)
    tags = [",".join(sorted({f"t{k}" for k in rng.integers(0, 9, 4)})) for _ in range(500)]
    prose = [f"buy {i % 240}, or leave it at {i % 240}" for i in range(500)]
    pl.DataFrame({"liking": tags, "headline": prose}).write_csv(tmp_path / "t.csv")
    config = yaml.safe_load(to_yaml(draft_columns(tmp_path / "t.csv", 500), "t"))
    assert [(entry["name"], entry["kind"]) for entry in config["features"]] == [
        ("liking", "sequence"),
        ("headline", "categorical"),
    ]


def test_purchases_without_a_click_have_no_parent(tmp_path, table):
    table.with_columns(purchase=pl.lit(value=True)).with_columns(
        purchase=pl.int_range(pl.len()) % 2
    ).write_csv(tmp_path / "my.csv")  # fmt: skip
    config = yaml.safe_load(to_yaml(draft_columns(tmp_path / "my.csv", ROWS), "t"))
    assert config["tasks"] == [{"name": "click"}, {"name": "purchase"}]


def test_profiles():
    unique = ColumnProfile("id", pl.Series([str(i) for i in range(100)]))
    assert unique.is_unique
    assert not ColumnProfile("id", pl.Series(["a", "b"])).is_unique
    assert ColumnProfile("at", pl.Series(["2022-01-01", "2022-01-02T10:00:00"])).time_form == "ISO 8601 dates"
    assert ColumnProfile("at", pl.Series(["2022-01-01", "later"])).time_form is None
    assert ColumnProfile("x", pl.Series(["true", "False", ""])).is_binary
    assert not ColumnProfile("x", pl.Series([1, 1])).is_binary
    assert ColumnProfile("x", pl.Series([], dtype=pl.String)).rows == 0


def test_init_writes_what_can_be_read_and_overwrites_nothing(tmp_path, table, command):
    table.write_csv(tmp_path / "my.csv")
    done = command("--init", "--data", "my.csv")
    assert done.exit_code == 0, done.output
    assert "REVIEW" in done.output
    assert len(TableDescription.read(tmp_path / "my.yaml").columns) == 9
    again = command("--init", "--data", "my.csv")
    assert again.exit_code == 1
    assert "exists and is not overwritten" in again.stderr
    lost = command("--init", "--data", "yours.csv")
    assert lost.exit_code == 1
    assert "yours.csv does not exist" in lost.stderr


def test_interactive_takes_answers(tmp_path, table, command):
    table.select("userId", "is_new", "click").write_csv(tmp_path / "my.csv")
    answers = "\n".join(["feature", "categorical", "ad", "task", "click", "", ""]) + "\n"
    done = command("--init", "--interactive", "--data", "my.csv", "--schema", "mine.yaml", answers=answers)
    assert done.exit_code == 0, done.output
    description = TableDescription.read(tmp_path / "mine.yaml")
    assert [(column.name, column.side) for column in description.columns] == [("userId", "ad")]
    assert [(task.name, task.given) for task in description.tasks] == [("is_new", "click"), ("click", None)]


def test_what_the_user_gets_wrong_is_one_message(tmp_path, table, command):
    table.write_csv(tmp_path / "my.csv")
    missing = command("--data", "my.csv")
    assert missing.exit_code == 1
    assert "my.yaml does not exist. Draft it" in missing.stderr
    description = "features: [{name: userID, kind: categorical, side: user}]\ntasks: [click]\n"
    (tmp_path / "my.yaml").write_text(description)
    wrong = command("--data", "my.csv")
    assert wrong.exit_code == 1
    assert "Did you mean 'userId'?" in wrong.stderr
    (tmp_path / "my.yaml").write_text(description.replace("userID", "userId").replace("click", "2nd"))
    (tmp_path / "my.yaml").write_text(
        description.replace("userID", "userId").replace("[click]", "[{name: l, raw: 2nd}]")
    )
    label = command("--data", "my.csv")
    assert label.exit_code == 1
    assert "column '2nd': expected a label in [0, 1]" in label.stderr
    column = command("--data", "my.csv", "--teacher", "column")
    assert "Pass --teacher self or out_of_time" in column.stderr


@pytest.mark.long
def test_a_whole_study(tmp_path, table, command):
    table.write_csv(tmp_path / "my.csv")
    assert command("--init", "--data", "my.csv").exit_code == 0
    schema = tmp_path / "my.yaml"
    schema.write_text(
        schema.read_text().replace("features:\n", "features:\n  - {name: impressionId, kind: categorical, side: ad}\n")
    )
    done = command("--data", "my.csv", "--backbone", "mlp", "--groups", "user,representation")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "prepared rows: train 800, validation 100, test 100" in done.output
    assert "feature 'impressionId' has a value of its own in every one of the first 1,000 rows" in done.stderr
    for word in ("NE gain", "AUC", "calibration", "purchase"):
        assert word in done.output
    assert (tmp_path / "saved_models" / "my" / "1" / "saved_model.pb").exists()
    assert len(list((tmp_path / "runs" / "my").iterdir())) == 1


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ("user ad context", ("user", "user_ad", "representation")),
        ("user", ("user", "representation")),
        ("ad", ("representation",)),
    ],
)
def test_groups_follow_the_sides(sides, expected):
    features = [{"name": side, "kind": "numeric", "side": side} for side in sides.split()]
    description = TableDescription.from_dict({"features": features, "tasks": ["click"]})
    assert tabular._placements(None, description) == expected
    assert tabular._placements("user, user_ad", description) == ("user", "user_ad")
    assert tabular._placements("", description) == ()
