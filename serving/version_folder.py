"""Where a version of a model goes, and how it appears there."""

import errno
import os
import re
from pathlib import Path

# What TensorFlow Serving takes for a version: digits of ASCII whose number fits 64 bits.
_VERSION = re.compile("[0-9]{1,19}")
MAX_VERSION = 2**63 - 1


def is_version(name: str) -> bool:
    """Whether a folder of this name is a version to TensorFlow Serving.

    Args:
        name: the folder's, without its parents.

    Example:

    >>> is_version("12"), is_version("latest"), is_version("²")
    (True, False, False)
    """
    return bool(_VERSION.fullmatch(name)) and int(name) <= MAX_VERSION


def versions(folder: Path) -> list[Path]:
    """The version folders of a model, oldest first.

    Args:
        folder: the model's folder.
    """
    return sorted((p for p in folder.iterdir() if is_version(p.name)), key=lambda p: int(p.name))


def check_version(path: Path) -> tuple[Path, int | None]:
    """The model's folder and the version that a path asks for, `None` for the next one.

    `NAME/VERSION` asks for that version, `NAME` for the one after the newest.

    Args:
        path: what the caller of an export gave.

    Raises:
        FileExistsError: when the version exists.
        ValueError: when the path cannot be a version folder.

    Example:

    >>> check_version(Path("saved_models/my_model/3"))[1], check_version(Path("saved_models/my_model"))[1]
    (3, None)
    """
    if is_version(path.name):
        if path.exists():
            raise _exists(path)
        return path.parent, int(path.name)
    if path.exists() and not path.is_dir():
        raise ValueError(f"`path` must be a model's folder or a version in it. Received: {path}, which is a file.")
    if _holds_a_model(path.parent):
        raise ValueError(
            f"{path.parent} is a model's folder, and a version in it must be an integer, as TF Serving requires. "
            f"Received: {path}. Pass {path.parent} for the next version."
        )
    models = [child for child in (path.iterdir() if path.is_dir() else ()) if _holds_a_model(child)]
    if models:
        raise ValueError(
            f"{path} holds the folders of models, such as {models[0].name}. Pass the folder of one: "
            f"{path / 'my_model'}."
        )
    return path, None


def publish(saved_model: Path, folder: Path, version: int | None) -> Path:
    """Rename a finished folder to a version, which appears whole or not at all.

    Two processes that ask for the next version get different ones: the second rename fails, and that process takes the
    version after it.

    Args:
        saved_model: the finished folder, on the same file system.
        folder: the model's folder.
        version: the version, `None` for the one after the newest.

    Returns:
        The version folder.

    Raises:
        FileExistsError: when the version exists; it is never overwritten.

    Example:

    ```python
    publish(work / "saved_model", Path("saved_models/my_model"), None)  # saved_models/my_model/1
    ```
    """
    while True:
        path = folder / str(_newest(folder) + 1 if version is None else version)
        try:
            if path.exists():
                raise _exists(path)
            # A rename onto a folder that is not empty fails.
            os.rename(saved_model, path)
        except OSError as error:
            if not isinstance(error, FileExistsError) and error.errno != errno.ENOTEMPTY:
                raise
            if version is not None:
                raise _exists(path) from error
            continue
        return path


def _holds_a_model(folder: Path) -> bool:
    return folder.is_dir() and any((version / "saved_model.pb").exists() for version in versions(folder))


def _newest(folder: Path) -> int:
    return max((int(path.name) for path in versions(folder)), default=0)


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(
        f"{path} exists and is never overwritten. Export to {path.parent / str(_newest(path.parent) + 1)}, or to "
        f"{path.parent} for the next version."
    )
