"""Finding and fetching the official files of a dataset."""

import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import keras


def find_file(folder: Path, names: Sequence[str], subfolders: Sequence[str] = ("",)) -> Path | None:
    """The first of `names` that exists, plain or `.gz`, in the folder or one of its subfolders."""
    for subfolder in subfolders:
        for name in names:
            for candidate in (folder / subfolder / name, folder / subfolder / f"{name}.gz"):
                if candidate.is_file():
                    return candidate
    return None


def require_file(folder: Path, names: Sequence[str], remedy: str, subfolders: Sequence[str] = ("",)) -> Path:
    """As `find_file`, or an error that names what was looked for and where to get it."""
    found = find_file(folder, names, subfolders)
    if found is None:
        looked = [f"{name}[.gz]" for name in names]
        places = [str(folder / subfolder) for subfolder in subfolders]
        absent = "" if folder.is_dir() else f" The folder {folder} does not exist."
        raise FileNotFoundError(f"Found none of {looked} in {places}.{absent} {remedy}")
    return found


def fetch_archive(folder: Path, url: str, members: Sequence[str], checksum: str | None, page: str) -> None:
    """Download a tar archive into `folder` and unpack the members whose file names are in `members` (all if empty).

    Args:
        folder: where the archive and its files go; created if absent.
        url: official address.
        members: file names to unpack.
        checksum: MD5 or SHA-256 as its publisher states it, or `None` where none is published.
        page: where a person can get the file instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):  # get_file would quietly write to a temporary folder instead
        raise PermissionError(f"The folder {folder} is not writable. Pass one that is.")
    try:
        archive = keras.utils.get_file(origin=url, cache_dir=str(folder), cache_subdir="", file_hash=checksum)
    except Exception as error:  # get_file raises bare Exceptions on network faults
        raise ConnectionError(
            f"Could not fetch {url} ({error}). Get the file from {page} and put it into {folder}."
        ) from error
    try:
        with tarfile.open(archive) as tar:
            wanted = [m for m in tar if m.isfile() and (not members or Path(m.name).name in members)]
            tar.extractall(folder, members=wanted, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{archive} is not a whole tar archive ({error}). Delete it and download again.") from error
