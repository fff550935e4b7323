"""Recipes read as many rows at a time as they are told."""

import inspect

import pytest
from typer.testing import CliRunner

from grouprank.datasets import CriteoDAC, prepare
from grouprank.recipes import command, ctr_study, tabular
from grouprank.recipes.study_settings import StudySettings

DESCRIPTION = "features: [{name: x, kind: numeric, side: ad}]\ntasks: [click]\n"


@pytest.fixture
def chunk_rows_of(monkeypatch, tmp_path):
    """The rows that a recipe asks `prepare` to read at a time, where it stops."""
    (tmp_path / "train.txt").write_text("0\t" * 39 + "0\n")
    (tmp_path / "my.csv").write_text("x,click\n" + "1,0\n" * 300)
    (tmp_path / "my.yaml").write_text(DESCRIPTION)
    seen = []

    def stop(*arguments, **named):
        seen.append(inspect.signature(prepare).bind(*arguments, **named).arguments.get("chunk_rows"))
        raise ValueError("enough")

    monkeypatch.setattr(ctr_study, "prepare", stop)
    monkeypatch.chdir(tmp_path)

    def run(main, *arguments):
        seen.clear()
        result = CliRunner().invoke(command.make_app(main), ["--run", "run", *arguments])
        assert "enough" in result.stderr, result.output
        return seen[0]

    return run


def test_tabular(chunk_rows_of):
    assert chunk_rows_of(tabular.main, "--data", "my.csv", "--chunk-rows", "50") == 50
    assert chunk_rows_of(tabular.main, "--data", "my.csv") == 100_000


def test_a_public_dataset(chunk_rows_of, monkeypatch):
    mains = []
    monkeypatch.setattr(command, "run_command", mains.append)
    command.run_public_dataset("criteo", CriteoDAC, StudySettings())
    assert chunk_rows_of(mains[0], "--data", ".", "--chunk-rows", "7") == 7
    assert chunk_rows_of(mains[0], "--data", ".") == 100_000
