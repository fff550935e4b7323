"""Git says where a model comes from, and runs nothing of the repository that it is asked about."""

import os
import subprocess

import pytest

from grouprank.serving.layout.git_revision import git_revision


def git(folder, *arguments):
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "foreign"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "code.py").write_text("1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "A file")
    return folder


def test_commit_and_changes(repository):
    commit = git(repository, "rev-parse", "HEAD")
    assert git_revision(repository) == {"commit": commit, "changed": False}
    (repository / "code.py").write_text("changed\n")
    assert git_revision(repository) == {"commit": commit, "changed": True}
    assert git_revision(repository.parent) is None


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.own.clean", "filter.own.process", "hook"])
def test_nothing_of_the_repositorys_config_is_run(repository, tmp_path, setting):
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    program.chmod(0o755)
    if setting == "hook":
        hook = repository / ".git" / "hooks" / "post-index-change"
        hook.parent.mkdir(exist_ok=True)
        hook.symlink_to(program)
    else:
        git(repository, "config", setting, str(program))
        (repository / ".git" / "info").mkdir(exist_ok=True)
        (repository / ".git" / "info" / "attributes").write_text("* filter=own\n")
    # Of another time and the same size: git must read the file to know.
    (repository / "code.py").write_text("2\n")
    os.utime(repository / "code.py", (0, 0))
    assert git_revision(repository)["changed"]
    assert not ran.exists()
    subprocess.run(["git", "status"], cwd=repository, check=False, capture_output=True)
    assert ran.exists(), "git itself runs it"
