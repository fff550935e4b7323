"""The recipes' machinery: whole studies, resuming, and what the user gets wrong."""

import dataclasses
import json
import os
import runpy
import sys

import numpy as np
import pytest

import grouprank as gr
from grouprank.files import RunFolder
from grouprank.recipes.ctr_study import run_ctr_study
from grouprank.recipes.epoch_report import EpochReport
from grouprank.recipes.out_of_time_teacher import out_of_time_pseudo_labels
from grouprank.recipes.study_settings import StudySettings
from grouprank.recipes.train_model import train_model
from grouprank.reports.terminal import Terminal

SETTINGS = StudySettings(
    backbone="mlp",
    group_structure=("user", "representation"),
    num_levels=1,
    codebook_size=8,
    embedding_dim=4,
    batch_size=256,
    epochs=2,
)
TASKS = ("click", "link_click")


def tiny_log():
    return gr.datasets.SyntheticAds(rows=3000, num_users=200, num_ads=50, tasks=TASKS)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return gr.datasets.prepare(tiny_log(), tmp_path_factory.mktemp("recipes") / "prepared")


def quiet():
    return Terminal(file=open(os.devnull, "w"))


def schedule(**changes):
    return {"training": dataclasses.replace(SETTINGS, **changes), "seed": 0, "console": quiet()}


@pytest.mark.long
def test_study_end_to_end_and_again(tmp_path, capsys):
    console = Terminal(width=120)
    arguments = (tiny_log(), SETTINGS, tmp_path / "run", tmp_path / "saved_models" / "tiny")
    report = run_ctr_study(*arguments, console=console)
    printed = capsys.readouterr().out
    assert report.path == tmp_path / "saved_models" / "tiny" / "1"
    assert report.max_difference <= 1e-5
    assert {"candidate", "NE gain", "calibration", "P(link_click)"} <= set(_words(printed))
    for name in ("baseline", "candidate"):
        folder = tmp_path / "run" / name
        lines = (folder / "history.csv").read_text().splitlines()
        assert len(lines) == 1 + SETTINGS.epochs
        assert "val_click_normalized_entropy" in lines[0]
        assert any((folder / "tensorboard").rglob("events.out.tfevents*"))
        assert not (folder / "backup").exists()
    assert "user_groups_perplexity" in (tmp_path / "run" / "candidate" / "history.csv").read_text()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["baseline"]) == set(TASKS)
    assert np.isfinite(metrics["candidates"]["candidate"]["click"]["ne_gain"])
    assert json.loads((tmp_path / "run" / "config.json").read_text())["codebook_size"] == 8
    assert "one seed cannot tell from chance" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")

    again = run_ctr_study(*arguments, console=console)
    printed = capsys.readouterr().out
    assert printed.count("already trained") == 2
    versions = [p.name for p in (tmp_path / "saved_models" / "tiny").iterdir() if p.is_dir()]
    assert versions == ["1"], "nothing was exported twice"
    np.testing.assert_array_equal(again.probabilities["click"], report.probabilities["click"])

    other = StudySettings(**{**vars(SETTINGS), "seed": 1})
    with pytest.raises(ValueError, match=r"seed: 0 there, 1 now.*--run"):
        run_ctr_study(tiny_log(), other, *arguments[2:], console=console)


def _words(text):
    return [word.strip() for line in text.splitlines() for word in line.replace("│", "┃").split("┃")]


def test_an_interrupted_training_resumes_to_the_same_model(tmp_path, table, monkeypatch):
    whole = train_model(lambda: SETTINGS.candidate(table), _folder(tmp_path, "whole"), table, **schedule())

    class KilledError(Exception):
        pass

    def die(self, epoch, logs=None):
        raise KilledError

    part = _folder(tmp_path, "part")
    with monkeypatch.context() as patched:
        patched.setattr(EpochReport, "on_epoch_end", die)
        with pytest.raises(KilledError):
            train_model(lambda: SETTINGS.candidate(table), part, table, **schedule())
    assert not (part / "model.keras").exists()
    resumed = train_model(lambda: SETTINGS.candidate(table), part, table, **schedule())
    assert len((part / "history.csv").read_text().splitlines()) == 3
    loader = table.batches("test")
    expected, found = whole.predict_proba(loader), resumed.predict_proba(loader)
    for task in TASKS:
        np.testing.assert_allclose(found[task], expected[task], atol=1e-5)


def test_a_finished_model_is_loaded_not_trained(tmp_path, table):
    folder = _folder(tmp_path, "model")
    first = train_model(lambda: SETTINGS.baseline(table), folder, table, **schedule(epochs=1))

    def build():
        raise AssertionError("trained again")

    second = train_model(build, folder, table, **schedule(epochs=1))
    loader = table.batches("test")
    np.testing.assert_array_equal(first.predict_proba(loader)["click"], second.predict_proba(loader)["click"])


def test_out_of_time_pseudo_labels_come_from_the_earlier_half(tmp_path, table):
    seen = []

    class Teacher:
        def predict_proba(self, loader):
            rows = sum(len(loader[i][0]["user_id"]) for i in range(len(loader)))
            return {task: np.full(rows, 0.25, "float32") for task in TASKS}

    def train(rows):
        seen.append(rows)
        return Teacher()

    columns = {task: f"teacher_{task}" for task in TASKS}
    found = out_of_time_pseudo_labels(train, table, columns, tmp_path)
    half = table.rows("train") // 2
    assert seen == [slice(0, half)]
    assert set(found) == {"teacher_click", "teacher_link_click"}
    assert np.isnan(found["teacher_click"][:half]).all()
    assert (found["teacher_click"][half:] == 0.25).all()
    out_of_time_pseudo_labels(train, table, columns, tmp_path)
    assert len(seen) == 1, "a resumed run takes them from the file"


def test_a_run_folder_keeps_its_configuration(tmp_path):
    RunFolder(tmp_path / "run", {"seed": 0, "epochs": 1})
    RunFolder(tmp_path / "run", {"seed": 0, "epochs": 1})
    with pytest.raises(ValueError, match=r"epochs: 1 there, 2 now"):
        RunFolder(tmp_path / "run", {"seed": 0, "epochs": 2})


def test_unknown_teacher():
    with pytest.raises(ValueError, match=r"`teacher` must be one of .*Received: teacher='oracle'"):
        StudySettings(teacher="oracle")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["criteo_ctr", "--data", "nowhere"], "train.txt"),
        (["kuairand_ctr", "--data", "nowhere"], "user_features_pure.csv"),
        (["avazu_ctr", "--data", "nowhere", "--download"], "Kaggle"),
    ],
)
def test_missing_data_is_one_line_without_traceback(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"grouprank.recipes.{arguments[0]}", run_name="__main__")
    shown = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Error:" in shown
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "saved_models").exists()


def _folder(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    return folder
