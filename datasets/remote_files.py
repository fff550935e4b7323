"""Files of other stores, such as S3, by their address."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from ..extras import require_extra
from .partial_folder import partial_folder


def own_path(path: str | Path) -> Path | None:
    """The path, or that of a `file://` address; `None` for the address of another store.

    Example:
    >>> own_path("file:///logs/1.csv").as_posix(), own_path("1.csv").as_posix(), own_path("memory://logs/1.csv")
    ('/logs/1.csv', '1.csv', None)
    """
    if not isinstance(path, str) or "://" not in path:
        return Path(path)
    store, place = _store(path)
    from fsspec.implementations.local import LocalFileSystem

    return Path(place) if isinstance(store, LocalFileSystem) else None


def local_path(path: str | Path) -> Path:
    """A path of this machine: the path itself, or a copy of what lies at an address.

    A file or a folder is fetched once, through fsspec, into the folder that the environment variable `GROUPRANK_CACHE`
    names (`~/.cache/grouprank` by default), and again only when it has changed. Files keep their times. Nothing is
    copied of a `file://` address.

    Args:
        path: a path, or an address whose protocol fsspec knows (`s3://`, `gs://`, `hdfs://`, `memory://` …). Most
            need a package of their own, such as `s3fs`.

    Raises:
        FileNotFoundError: if nothing lies at the address.
        ModuleNotFoundError: if fsspec is not installed.
    """
    own = own_path(path)
    if own is not None:
        return own
    store, place = _store(str(path))
    files = store.find(place, detail=True)
    if not files:
        raise FileNotFoundError(f"{path} does not exist, or is empty.")
    state = sorted((name, store.ukey(name)) for name in files)
    key = hashlib.blake2b(repr((type(store), place, state)).encode(), digest_size=10).hexdigest()
    cache = Path(os.environ.get("GROUPRANK_CACHE") or Path.home() / ".cache" / "grouprank").absolute()
    cache.mkdir(parents=True, exist_ok=True)
    fetched = cache / key
    if not fetched.exists():
        with partial_folder(fetched) as partial:
            for name in files:
                target = partial / _name(place) / name.removeprefix(place).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                store.get_file(name, str(target))
                with contextlib.suppress(NotImplementedError):  # a store without times
                    time = store.modified(name).timestamp()
                    os.utime(target, (time, time))
            with contextlib.suppress(OSError):  # another process fetched it meanwhile
                partial.rename(fetched)
    return fetched / _name(place)


def exists(address: str) -> bool:
    """Whether something lies at an address."""
    store, place = _store(address)
    return bool(store.exists(place))


def put(folder: Path, address: str, last: str | None = None) -> None:
    """Copy the files of a folder to an address.

    Args:
        folder: a folder of this machine.
        address: where its files go.
        last: name of the file that is written after all others, and so tells that they are complete.
    """
    store, place = _store(address)
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == last)
    for path in files:
        target = f"{place}/{path.relative_to(folder).as_posix()}"
        store.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        store.put_file(str(path), target)


def _store(address: str) -> tuple[Any, str]:
    require_extra("remote", f"The address {address}")
    import fsspec

    store, place = fsspec.core.url_to_fs(address)
    return store, place.rstrip("/")


def _name(place: str) -> str:
    return place.rsplit("/", 1)[-1] or "root"
