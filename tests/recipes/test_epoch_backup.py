"""A run that was killed, at whatever moment, ends as one that was not."""

import os
import signal
import sys

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array
from support.full_disk import room_for

import grouprank as gr
from grouprank.files import whole_file
from grouprank.recipes.epoch_backup import EpochBackup
from grouprank.recipes.state_file import StateFile
from grouprank.recipes.training_state import training_state

# Two epochs do no better than the second, so that the last is never trained.
LOSSES = [5.0, 2.0, 3.0, 2.0, 1.0]
PATIENCE, BEST, LAST = 2, 2, 4


class Moments:
    """What lies in a folder before each operation on files: what a run that is killed then leaves behind."""

    def __init__(self):
        self.folder, self.found = None, []
        sys.addaudithook(self._event)

    def watch(self, folder):
        self.folder, self.found = folder, []

    def take(self):
        folder, self.folder = self.folder, None
        files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        named = {str(path.relative_to(folder)): content for path, content in files.items()}
        if named not in self.found:
            self.found.append(named)
        self.folder = folder

    def _event(self, event, arguments):
        seen = self.folder is not None and event in ("open", "os.rename", "os.remove", "os.rmdir")
        if seen and str(arguments[0]).startswith(str(self.folder)):
            self.take()


MOMENTS = Moments()


@pytest.fixture
def moments():
    yield MOMENTS
    MOMENTS.folder = None


class Validation(keras.callbacks.Callback):
    """Says what validation is to be, epoch by epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = LOSSES[epoch]


def fresh():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def train(folder, patience=None, epochs=LAST, tell=print):
    """As recipes do: go on where the last call was."""
    model = fresh()
    backup = EpochBackup(folder / "backup", folder / "history.csv", patience, tell=tell)
    backup.find()
    if not backup.stopped and backup.epochs < epochs:
        x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
        run = {"batch_size": 8, "epochs": epochs, "initial_epoch": backup.epochs, "shuffle": False, "verbose": 0}
        model.fit(x, x.sum(1), **run, callbacks=[Validation(), backup])
    backup.load_best(model)
    return model, backup


def arrays(model):
    return [as_array(variable) for variable in [*model.variables, *model.optimizer.variables]]


def assert_same(folder, model, expected_folder, expected):
    for found, wanted in zip(arrays(model), arrays(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert (folder / "history.csv").read_bytes() == (expected_folder / "history.csv").read_bytes()


@pytest.mark.any_backend
def test_killed_between_any_two_operations_on_files(tmp_path, moments):
    moments.watch(tmp_path / "whole")
    whole, backup = train(tmp_path / "whole", PATIENCE, len(LOSSES))
    assert (backup.best, backup.epochs) == (BEST, LAST)
    left_behind, moments.folder = moments.found, None
    # An epoch is written, gets its name, and an older one goes; so does its line of figures.
    assert len(left_behind) > 4 * LAST
    for number, files in enumerate(left_behind):
        folder = tmp_path / str(number)
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        model, _ = train(folder, PATIENCE, len(LOSSES))
        assert_same(folder, model, tmp_path / "whole", whole)


@pytest.mark.any_backend
def test_killed_in_the_middle_of_a_file(tmp_path):
    whole, _ = train(tmp_path / "whole")
    train(tmp_path / "part", epochs=1)
    content = (tmp_path / "whole" / "backup" / f"epoch-{LAST:06d}.state").read_bytes()
    (tmp_path / "part" / "backup" / ".partial-epoch-000002.state").write_bytes(content[:1000])
    (tmp_path / "part" / ".partial-history.csv").write_text("epoch,lo")
    model, _ = train(tmp_path / "part")
    assert_same(tmp_path / "part", model, tmp_path / "whole", whole)
    assert not list(tmp_path.rglob(".partial-*"))


@pytest.mark.any_backend
def test_stops_at_the_best_epoch_and_does_not_train_again(tmp_path):
    model, backup = train(tmp_path, patience=PATIENCE, epochs=len(LOSSES))
    assert (backup.best, backup.epochs) == (BEST, LAST)
    longest, _ = train(tmp_path / "other", epochs=BEST)
    for found, wanted in zip(arrays(model), arrays(longest), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [file.name for file in sorted((tmp_path / "backup").iterdir())] == [
        f"epoch-{number:06d}.state" for number in (BEST, LAST - 1, LAST)
    ]
    again, backup = train(tmp_path, patience=PATIENCE, epochs=len(LOSSES))
    assert (backup.best, backup.epochs) == (BEST, LAST), "it had stopped"
    assert_same(tmp_path, again, tmp_path, model)


@pytest.mark.any_backend
@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_state_is_skipped_and_told(tmp_path, damage):
    whole, _ = train(tmp_path / "whole")
    train(tmp_path / "part", epochs=3)
    newest = tmp_path / "part" / "backup" / "epoch-000003.state"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes({"cut": content[:-20], "changed": content, "empty": b""}[damage])
    told = []
    model, _ = train(tmp_path / "part", tell=told.append)
    assert_same(tmp_path / "part", model, tmp_path / "whole", whole)
    assert len(told) == 1
    assert "epoch-000003.state is damaged" in told[0]


@pytest.mark.any_backend
def test_a_lost_best_epoch_begins_anew_and_is_told(tmp_path):
    whole, _ = train(tmp_path / "whole", patience=PATIENCE, epochs=len(LOSSES))
    train(tmp_path / "part", patience=PATIENCE, epochs=3)
    (tmp_path / "part" / "backup" / f"epoch-{BEST:06d}.state").unlink()
    told = []
    model, _ = train(tmp_path / "part", patience=PATIENCE, tell=told.append)
    assert_same(tmp_path / "part", model, tmp_path / "whole", whole)
    assert f"epoch-{BEST:06d}.state, the best epoch so far, is missing" in told[0]


@pytest.mark.any_backend
def test_a_full_disk_keeps_the_last_good_state(tmp_path):
    whole, _ = train(tmp_path / "whole")
    train(tmp_path / "part", epochs=2)
    before = {file: file.read_bytes() for file in tmp_path.joinpath("part").rglob("*.*")}
    with room_for(1000), pytest.raises(OSError, match=r"epoch-000003.state could not be written: .* Make room"):
        train(tmp_path / "part")
    assert {file: file.read_bytes() for file in tmp_path.joinpath("part").rglob("*.*")} == before
    model, _ = train(tmp_path / "part")
    assert_same(tmp_path / "part", model, tmp_path / "whole", whole)


@pytest.mark.parametrize("kind", ["text", "npz", "keras"])
def test_a_full_disk_leaves_what_stood_there(tmp_path, kind):
    model = fresh()
    path = tmp_path / {"text": "a.json", "npz": "a.npz", "keras": "a.keras"}[kind]
    path.write_text("before")
    write = {
        "text": lambda partial: partial.write_text("x" * 5000),
        "npz": lambda partial: np.savez(partial, x=np.zeros(5000), y=np.zeros(5000)),
        "keras": model.save,
    }[kind]
    with room_for(1000), pytest.raises(OSError, match="could not be written"), whole_file(path) as partial:
        write(partial)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "before"
    with whole_file(path) as partial:
        write(partial)
    assert path.read_bytes() != b"before"


@pytest.mark.any_backend
def test_a_process_that_is_killed_within_a_file(tmp_path):
    file = StateFile(tmp_path / "epoch.state")
    file.write("first", [("x", np.zeros(9))])
    process = os.fork()
    if not process:
        # The system ends it in the middle of a file that grows too large.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        with room_for(5000):
            file.write("second", [("x", np.zeros(9)), ("y", np.zeros(99_999))])
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGXFSZ
    assert (tmp_path / ".partial-epoch.state").exists(), "it was killed too early"
    assert file.is_whole()
    assert file.value() == "first"
    file.write("third", [])
    assert [left.name for left in tmp_path.iterdir()] == ["epoch.state"]


@pytest.mark.any_backend
def test_a_disk_that_returns_other_bytes(tmp_path, monkeypatch):
    file = StateFile(tmp_path / "a.state")
    file.write(1, [("x", np.zeros(3))])
    monkeypatch.setattr(StateFile, "is_whole", lambda self: False)
    with pytest.raises(OSError, match="other bytes than it was given"):
        file.write(2, [("x", np.zeros(3))])
    assert file.value() == 1


@pytest.mark.any_backend
def test_states_of_another_model_are_refused(tmp_path):
    train(tmp_path, epochs=1)
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)])
    other.compile("sgd", "mse")
    backup = EpochBackup(tmp_path / "backup", tmp_path / "history.csv")
    assert backup.find()
    with pytest.raises(ValueError, match=r"(?s)another model than this one.*Delete .*backup to train anew"):
        backup.load_best(other)


@pytest.mark.any_backend
def test_what_cannot_be_stopped_by():
    with pytest.raises(ValueError, match="`patience` must be at least 1"):
        EpochBackup("backup", "history.csv", patience=0)


class TestTrainingState:
    def model(self):
        """Slots of a fused table, its rows in half precision, averages of codebooks, seeds of dropout."""
        schema = gr.Schema(
            [gr.Categorical("user_id", 20, side="user"), gr.Categorical("ad_id", 12), gr.Numeric("bid", side="ad")],
            [gr.Task("click"), gr.Task("like")],
        )
        keras.utils.set_random_seed(0)
        groups = {"user": gr.layers.GroupConcat(2, 8, 4, seed=0, ema_decay=0.5, name="user_groups")}
        model = gr.models.CTRModel(
            schema,
            gr.models.backbones.MLPBackbone((8,), dropout=0.3),
            group_structure=groups,
            embedding_dim=4,
            dropout=0.3,
            embedding_optimizer="adam",
            embedding_storage_dtype="bfloat16",
            task_weighting="uncertainty",
        )
        # As in tests of models: what is run once is not worth compiling on TensorFlow.
        model.compile(keras.optimizers.Adam(0.01), metrics={}, run_eagerly=keras.backend.backend() == "tensorflow")
        return model

    def test_training_goes_on_to_the_bit(self, tmp_path):
        rng = np.random.default_rng(0)
        x = {"user_id": rng.integers(0, 20, 32), "ad_id": rng.integers(0, 12, 32), "bid": rng.normal(size=32)}
        x = {name: values.astype("float32" if name == "bid" else "int32") for name, values in x.items()}
        y = {task: rng.integers(0, 2, 32).astype("float32") for task in ("click", "like")}
        run = {"x": x, "y": y, "batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
        model = self.model()
        model.fit(**run, callbacks=[EpochBackup(tmp_path / "backup", tmp_path / "history.csv")])
        expected = {name: np.array(as_array(variable)) for name, variable in training_state(model)}
        (tmp_path / "backup" / "epoch-000002.state").unlink()
        # The same model, whose state is another by now, so that it is compiled once.
        backup = EpochBackup(tmp_path / "backup", tmp_path / "history.csv")
        assert backup.find()
        model.fit(**run, callbacks=[backup], initial_epoch=backup.epochs)
        found = dict(training_state(model))
        assert expected.keys() == found.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(as_array(found[name]), array, err_msg=name)
        assert any("bfloat16" in str(variable.dtype) for variable in found.values())
        assert any(name.endswith("/iterations") for name in found)
