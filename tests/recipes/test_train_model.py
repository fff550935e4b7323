"""Training until validation stops improving, also when it is killed on the way."""

import csv
import io

import keras
import numpy as np
import pytest
from rich.console import Console
from support.full_disk import room_for

import grouprank as gr
from grouprank.recipes.epoch_backup import EpochBackup
from grouprank.recipes.epoch_report import EpochReport
from grouprank.recipes.train_model import train_model
from grouprank.recipes.training import Training

TASKS = ("click", "link_click")
NE = [f"val_{task}_normalized_entropy" for task in TASKS]
PATIENCE, EPOCHS = 2, 12


class KilledError(BaseException):
    pass


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    log = gr.datasets.SyntheticAds(rows=2000, num_users=100, num_ads=50, tasks=TASKS)
    return gr.datasets.prepare(log, tmp_path_factory.mktemp("log") / "prepared")


def train(folder, table, console=None, epochs=EPOCHS, patience=PATIENCE):
    folder.mkdir(exist_ok=True)

    def build():
        options = {"group_structure": (), "residual_learning": False, "dropout": 0.2, "embedding_dim": 4}
        return gr.models.CTRModel(table.schema, "mlp", **options)

    # It learns its rows by heart within a few epochs.
    training = Training(epochs=epochs, batch_size=256, learning_rate=0.02)
    console = console or Console(file=io.StringIO())
    return train_model(build, folder, table, training, patience=patience, seed=0, console=console)


def entropies(folder):
    with open(folder / "history.csv", newline="") as file:
        return [np.mean([float(line[name]) for name in NE]) for line in csv.DictReader(file)]


def assert_same(found, expected, table):
    loader = table.batches("test")
    one, other = found.predict_proba(loader), expected.predict_proba(loader)
    for task in TASKS:
        np.testing.assert_array_equal(one[task], other[task])


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    printed = io.StringIO()
    return train(folder, table, Console(file=printed, width=200)), folder, printed.getvalue()


def test_the_best_epoch_is_kept_and_told(whole, table):
    model, folder, printed = whole
    figures = entropies(folder)
    best = int(np.argmin(figures)) + 1
    assert best + PATIENCE == len(figures) < EPOCHS
    assert f"epoch {best} of the {len(figures)} trained has the lowest mean validation NE and is kept" in printed
    found = model.evaluate(table.batches("validation", 8192), return_dict=True, verbose=0)
    assert np.mean([found[name.removeprefix("val_")] for name in NE]) == pytest.approx(figures[best - 1], rel=1e-5)
    assert_same(keras.models.load_model(folder / "model.keras"), model, table)
    assert {path.name for path in folder.iterdir()} == {"history.csv", "model.keras", "tensorboard"}


def test_without_patience_the_last_epoch_is_kept(table, tmp_path):
    model = train(tmp_path, table, epochs=2, patience=None)
    figures = entropies(tmp_path)
    assert len(figures) == 2
    found = model.evaluate(table.batches("validation", 8192), return_dict=True, verbose=0)
    assert np.mean([found[name.removeprefix("val_")] for name in NE]) == pytest.approx(figures[-1], rel=1e-5)


@pytest.mark.parametrize("place", [(EpochReport, "on_epoch_end"), (keras.Model, "save")])
def test_a_killed_run_ends_as_one_that_was_not(whole, table, tmp_path, monkeypatch, place):
    model, folder, _ = whole
    owner, name = place
    before = getattr(owner, name)

    def killed(*arguments, **named):
        before(*arguments, **named)
        # In the fourth epoch, or at the end.
        if arguments[1] == 3 or name != "on_epoch_end":
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        with pytest.raises(KilledError):
            train(tmp_path, table)
    assert not (tmp_path / "model.keras").exists()
    assert_same(train(tmp_path, table), model, table)
    assert (tmp_path / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()
    assert not (tmp_path / "backup").exists()


def test_a_full_disk_is_told_for_tensorboard_too(table, tmp_path):
    with room_for(10), pytest.raises(OSError, match=r"(?s)tensorboard could not be written: .*Make room"):
        train(tmp_path, table)


def test_labels_that_are_all_alike_do_not_decide(table, tmp_path, monkeypatch):
    """Their NE is a huge number that falls from epoch to epoch."""
    column = type(table).column

    def alike(self, split, name):
        found = column(self, split, name)
        return np.zeros_like(found) if (split, name) == ("validation", "link_click") else found

    monkeypatch.setattr(type(table), "column", alike)
    seen = []
    monkeypatch.setattr(EpochBackup, "__init__", lambda self, *arguments: seen.append(arguments) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, table)
    assert seen[0][3] == [NE[0]]
