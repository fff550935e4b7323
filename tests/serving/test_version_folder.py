"""Versions appear whole, two exports at once lose nothing, and what killed ones left is removed."""

import os
import shutil
import subprocess
import sys
import threading

import pytest

from grouprank.serving import prune
from grouprank.serving.loopback.model_versions import ModelVersions
from grouprank.serving.unfinished_folder import _PREFIX, _machine, unfinished_folder
from grouprank.serving.version_folder import check_version, publish, versions

MODULE = sys.modules["grouprank.serving.unfinished_folder"].__file__
# A process that works in an unfinished folder until it is killed; without the package, which would take its time.
WORKS = """
import runpy, sys
from pathlib import Path
unfinished_folder = runpy.run_path(sys.argv[1])["unfinished_folder"]
with unfinished_folder(Path(sys.argv[2])) as work:
    (work / "half").write_text("half a model")
    print(work, flush=True)
    sys.stdin.read()
"""


def model_folder(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "saved_model.pb").write_bytes(b"")
    return folder


def finished(folder, text="model"):
    saved_model = folder / f".work-{text}"
    saved_model.mkdir()
    (saved_model / "saved_model.pb").write_text(text)
    return saved_model


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder of a model with what a killed process left in it."""
    folder = tmp_path_factory.mktemp("killed")
    with subprocess.Popen(
        [sys.executable, "-c", WORKS, MODULE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        (left,) = folder.iterdir()
        with unfinished_folder(folder):
            assert (left / "half").exists(), "another process works in it"
        process.kill()
        process.wait()
    assert (left / "half").exists()
    return folder


def test_a_folder_in_use_stays_and_one_left_goes(killed, tmp_path):
    folder = shutil.copytree(killed, tmp_path / "tiny")
    with unfinished_folder(folder) as work:
        assert list(folder.iterdir()) == [work]
        with unfinished_folder(folder) as other:
            assert sorted(folder.iterdir()) == sorted([work, other])
    assert list(folder.iterdir()) == []


def test_the_process_number_says_nothing(tmp_path, monkeypatch):
    """In another container the living may have a number that is free here, and the dead one that is taken."""
    with unfinished_folder(tmp_path) as work:
        monkeypatch.setattr(os, "kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError()))
        monkeypatch.setattr("socket.gethostname", lambda: "another-container")
        with unfinished_folder(tmp_path):
            assert work.exists()
    dead = tmp_path / f"{_PREFIX}{_machine()}-{os.getpid()}"
    dead.mkdir()
    (dead / ".lock").touch()
    with unfinished_folder(tmp_path):
        assert not dead.exists()


def test_what_is_not_known_to_be_left_stays(tmp_path):
    elsewhere = tmp_path / f"{_PREFIX}another_machine-abc"
    just_made = tmp_path / f"{_PREFIX}{_machine()}-abc"
    never_locked = tmp_path / f"{_PREFIX}{_machine()}-def"
    for folder in (elsewhere, just_made, never_locked):
        folder.mkdir()
    (elsewhere / ".lock").touch()
    os.utime(never_locked, (0, 0))
    with unfinished_folder(tmp_path) as work:
        assert sorted(tmp_path.iterdir()) == sorted([elsewhere, just_made, work])


def test_a_name_takes_the_next_version(tmp_path):
    folder = tmp_path / "kuairand"
    assert check_version(folder) == (folder, None)
    assert check_version(folder / "3") == (folder, 3)
    folder.mkdir()
    found = [publish(finished(tmp_path, f"{n}"), folder, None).name for n in range(2)]
    assert found == ["1", "2"]
    assert publish(finished(tmp_path), folder, 7) == folder / "7"
    assert check_version(folder) == (folder, None)
    assert publish(finished(tmp_path), folder, None) == folder / "8"
    for call in (lambda: check_version(folder / "7"), lambda: publish(finished(tmp_path), folder, 7)):
        with pytest.raises(FileExistsError, match=r"7 exists and is never.* Export to .*9, or to .*kuairand"):
            call()
    assert (folder / "2" / "saved_model.pb").read_text() == "1"


def test_exports_at_once_get_a_version_each(tmp_path):
    folder, count, found = tmp_path / "tiny", 8, []
    folder.mkdir()
    start = threading.Barrier(count)

    def export(number):
        saved_model = finished(tmp_path, str(number))
        start.wait()
        found.append((publish(saved_model, folder, None).name, str(number)))

    threads = [threading.Thread(target=export, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _ in found) == [str(version + 1) for version in range(count)]
    assert {name: (folder / name / "saved_model.pb").read_text() for name, _ in found} == dict(found)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("models/demo/latest", r"must be an integer.*Received: .*latest\. Pass .*demo for the next version"),
        ("models", r"holds the folders of models, such as demo\. Pass the folder of one"),
        ("a_file", "which is a file"),
    ],
)
def test_no_place_for_a_version(tmp_path, path, words):
    model_folder(tmp_path / "models" / "demo", "1")
    (tmp_path / "a_file").touch()
    with pytest.raises(ValueError, match=words):
        check_version(tmp_path / path)


ODD = ("²", "٣", "1.5", "-1", "9" * 20, str(2**63), "", " 1")


def test_only_what_the_server_takes_for_a_version_is_one(tmp_path):
    folder = model_folder(tmp_path / "tiny", "2", "010", *(name for name in ODD if name))
    assert [path.name for path in versions(folder)] == ["2", "010"]
    assert [path.name for path in prune(folder, keep=1)] == ["2"]
    assert (folder / "²").exists()
    watched = ModelVersions(folder)
    try:
        watched.poll()
        assert watched.states() == {10: "END"}, "it is no model, and was tried"
    finally:
        watched.close()


def test_a_watched_folder_that_cannot_be_read_ends_nothing(tmp_path, monkeypatch):
    watched = ModelVersions(model_folder(tmp_path / "tiny", "1"))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(type(tmp_path), "iterdir", lambda self: (_ for _ in ()).throw(PermissionError(str(self))))
            watched.poll()
        assert watched.states() == {1: "END"}
    finally:
        watched.close()
