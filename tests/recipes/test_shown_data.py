"""What recipes print of a user's data: shown as it stands, whatever it holds."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from grouprank import recipes
from grouprank.recipes import tabular
from grouprank.recipes.command import make_app
from grouprank.recipes.ctr_study import _scored_rows
from grouprank.recipes.epoch_report import EpochReport
from grouprank.reports.terminal import Terminal
from grouprank.reports.visible_text import visible_text
from grouprank.serving import ExportReport

HOSTILE = ["[/b]", "[bold red]x", "\x1b[2J\x1b]0;title\x07", ":smile:", "a\\"]


def printed(print_it):
    file = io.StringIO()
    print_it(Terminal(file=file, width=400, force_terminal=True, color_system=None))
    return file.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_scored_rows(text):
    raw = {text: np.array([text.encode(), b"b"]), "n": np.array([1.5, 2.0]), f"{text}2": np.array([text, "b"])}
    report = ExportReport(Path(f"m/{text}"), 2, 0.0, 0, raw, {"click": np.array([0.25, 0.5])})
    for found in (
        printed(lambda terminal: terminal.print(_scored_rows(report))),
        printed(lambda terminal: terminal.print(str(report), soft_wrap=True)),
    ):
        assert visible_text(text) in found
        assert all(sign.isprintable() or sign == "\n" for sign in found)


def test_progress_of_a_model_with_an_odd_name():
    def train(terminal):
        report = EpochReport("[/b]", terminal)
        report.set_params({"epochs": 1, "steps": 2})
        report.on_epoch_begin(0)
        report.on_train_batch_end(0)
        report.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.5, "val_normalized_entropy": 0.9, "normalized_entropy": 0.9})

    assert "[/b]: epoch 1/1" in printed(train)


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    app = make_app(tabular.main)
    return lambda *arguments, answers=None: CliRunner().invoke(app, [str(part) for part in arguments], input=answers)


def test_drafts_and_errors(tmp_path, command):
    values = ["[/b]", "\x1b[2J", "plain"] * 50
    table = pl.DataFrame({"na\x1bme[/b]": values, "click": [0, 1, 1] * 50, "\x1b]0;x\x07": [1, 2, 3] * 50})
    table.write_parquet(tmp_path / "t.parquet")
    done = command("--init", "--data", "t.parquet")
    assert done.exit_code == 0, done.output
    assert "\\x1b[2J" in done.output
    assert "na\\eme[/b]" in done.output  # as YAML writes it
    assert "\x1b" not in done.output
    assert "Written to t.yaml" in done.output
    (tmp_path / "t.yaml").write_text("features: [{name: x, kind: numeric, side: ad}]\ntasks: [click]\n")
    wrong = command("--data", "t.parquet")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("Error: t.parquet has no column 'x'")
    assert "\x1b" not in wrong.stderr


def test_questions_about_columns(tmp_path, command):
    pl.DataFrame({"\x1b[2J": ["a", "b"] * 50, "click": [0, 1] * 50}).write_parquet(tmp_path / "t.parquet")
    answers = "nonsense\nfeature\ncategorical\nuser\ntask\nnone\n"
    done = command("--init", "--interactive", "--data", "t.parquet", answers=answers)
    assert done.exit_code == 0, done.output
    assert "'nonsense' is none of feature, task, time, left out" in done.output
    assert "\\x1b[2J (2 values in 100 rows" in done.output
    assert "\x1b" not in done.output


def test_malformed_rows_are_told_in_the_draft(tmp_path, command):
    rows = [f"u{i % 7},{i % 2}" for i in range(50)]
    (tmp_path / "t.csv").write_text("\n".join(["user,click", *rows, "u1,1,1", "u2"]) + "\n")
    done = command("--init", "--data", "t.csv")
    assert done.exit_code == 0, done.output
    assert "2 malformed rows were passed over" in done.output
    (tmp_path / "t.csv").write_text("\n".join(["user,click", *["u1,1,1"] * 30, *rows[:3]]) + "\n")
    lost = command("--init", "--data", "t.csv", "--schema", "other.yaml")
    assert lost.exit_code == 1
    assert "line 2: expected 2 comma-separated fields. Received: 3." in lost.stderr
    assert not (tmp_path / "other.yaml").exists()


def test_a_unique_column_is_warned_of(capsys):
    profile = tabular.ColumnProfile("[/b]\x1b", pl.Series([str(i) for i in range(200)]))
    description = tabular.TableDescription.from_dict(
        {"features": [{"name": "x", "raw": "[/b]\x1b", "kind": "categorical", "side": "ad"}], "tasks": ["click"]}
    )
    tabular._warn_of_unique_columns(description, [profile])
    assert capsys.readouterr().err.startswith("Warning: feature 'x' has a value of its own in every one of")


def test_recipes_print_on_terminals_only():
    """A plain console reads markup in names, and a `Terminal` shows markup as it stands."""
    for path in sorted(Path(recipes.__file__).parent.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        assert " Console(" not in source.replace("console: Console", ""), path
        assert "(Console(" not in source, path
        assert "[/]" not in source, path
        assert "rich.markup" not in source, path
