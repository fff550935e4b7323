"""Which commit the working folder is at."""

import os
import subprocess
from pathlib import Path
from typing import Any

# Programs of a repository's own config that `git status` would run. It must not run them, since a model may be
# exported from a folder of anybody's.
_OFF = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "core.sshCommand=false",
)
_FILTERS = ("clean", "smudge", "process", "required")


def git_revision(folder: Path) -> dict[str, Any] | None:
    """Commit of a folder and whether it has changes; `None` outside of a repository or without git.

    Git reads the repository and runs nothing that its config names.

    Args:
        folder: any folder of a working tree.

    Example:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(git_revision(Path(folder)))
    None
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        off = [*_OFF, *_filters(folder)]
        settings = [argument for setting in off for argument in ("-c", setting)]
        status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
        return {"commit": commit, "changed": bool(_git(folder, *settings, *status).strip())}
    except (OSError, subprocess.CalledProcessError):
        return None


def _filters(folder: Path) -> list[str]:
    """Settings that turn off the programs through which the repository's config filters files."""
    listed = _git(folder, "config", "--list", "--show-scope", "-z").split("\0")
    off = []
    for scope, setting in zip(listed[::2], listed[1::2], strict=False):
        section, _, key = setting.split("\n", 1)[0].rpartition(".")
        if scope in ("local", "worktree") and section.startswith("filter.") and key in _FILTERS:
            off.append(f"{section}.{key}={'false' if key == 'required' else ''}")
    return off


def _git(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        # A status writes no index, and objects that are missing are not fetched.
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout
