"""A version folder that appears whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_UNFINISHED = ".unfinished-"


@contextlib.contextmanager
def new_version(path: Path) -> Iterator[Path]:
    """A folder to work in, whose `saved_model` becomes the version in one rename when all went well.

    Whatever fails inside leaves nothing behind.

    Args:
        path: the version folder to create; its name is the version, an integer.

    Raises:
        FileExistsError: when the version folder exists; it is never overwritten.
        ValueError: when the version is no integer.

    Example:

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_version(Path(folder) / "1") as work:
    ...         (work / "saved_model").mkdir()
    ...     [p.name for p in Path(folder).iterdir()]
    ['1']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    work = unfinished_folder(path.parent)
    try:
        yield work
        (work / "saved_model").rename(check_version(path))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_version(path: Path) -> Path:
    """The path, if it can be a new version.

    Args:
        path: the version folder to create.

    Example:

    >>> check_version(Path("models/latest"))
    Traceback (most recent call last):
        ...
    ValueError: The last part of `path` is the version and must be an integer...
    """
    if not path.name.isdigit():
        raise ValueError(
            f"The last part of `path` is the version and must be an integer, as TF Serving wants it. Received: {path}. "
            f"Use e.g. {path / '1'}."
        )
    if path.exists():
        newest = int(versions(path.parent)[-1].name)
        raise FileExistsError(f"{path} exists and is never overwritten. Export to {path.parent / str(newest + 1)}.")
    return path


def versions(folder: Path) -> list[Path]:
    """The version folders of a model, oldest first.

    Args:
        folder: the model's folder.
    """
    return sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def unfinished_folder(folder: Path) -> Path:
    """A new folder for what servers must not see, removed by the next export should this process die.

    Args:
        folder: the model's folder: renames from there stay on one file system. TF Serving skips names that are no
            integers.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{os.getpid()}-", dir=folder))


def _remove_leftovers(folder: Path) -> None:
    """Delete what exports killed on this machine left behind."""
    for leftover in folder.glob(f"{_UNFINISHED}*"):
        try:
            os.kill(int(leftover.name.removeprefix(_UNFINISHED).split("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(leftover, ignore_errors=True)
        except (PermissionError, ValueError):
            # Somebody else's process, or a name that is not ours: not known to be dead.
            continue
