"""Deletes old versions of a model."""

from pathlib import Path

from ..unfinished_folder import unfinished_folder
from ..version_folder import versions


def prune(folder: str | Path, keep: int) -> list[Path]:
    """Delete all versions of a model but the newest.

    A version disappears in one rename before its files are deleted: a server that polls the folder never sees half of
    one. A version that a server is told to keep (`specific` in `models.config`) is not known here and is deleted like
    others.

    Args:
        folder: the model's folder, `saved_models/NAME`.
        keep: number of versions to keep, at least 1.

    Returns:
        The version folders that were deleted, oldest first.

    Raises:
        ValueError: when `keep` is below 1.
        FileNotFoundError: when the folder does not exist.

    Example:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for version in ("1", "2", "10"):
    ...         (Path(folder) / version).mkdir()
    ...     [path.name for path in prune(folder, keep=1)]
    ['1', '2']
    """
    folder = Path(folder)
    if keep < 1:
        raise ValueError(
            f"`keep` must be at least 1: a server without a version answers nothing. Received: keep={keep}."
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. Pass a model's folder, such as saved_models/my_model.")
    old = versions(folder)[:-keep]
    for path in old:
        with unfinished_folder(folder) as hidden:
            path.rename(hidden / path.name)
    return old
