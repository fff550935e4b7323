"""Which versions of a model are served: the policy of TensorFlow Serving."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from ..c_session import CSessionError
from ..version_folder import versions
from .loaded_version import LoadedVersion

NOT_FOUND, UNAVAILABLE = 5, 14


class ModelVersions:
    """Loads the newest version of a model's folder, and keeps the old one until the new one answers.

    This is the policy `latest { num_versions: 1 }` with availability preserved: if a version does not load, it is
    marked and the one before stays in use. A failed version is tried again only after it was deleted and written again.

    Args:
        folder: the model's folder.
        poll_seconds: how often the folder is looked at. Defaults to `0.2`.
    """

    def __init__(self, folder: Path, poll_seconds: float = 0.2) -> None:
        self.folder = folder
        self.errors: dict[int, str] = {}
        self._loaded: dict[int, LoadedVersion] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.poll()
        self._thread = threading.Thread(target=self._watch, args=(poll_seconds,), daemon=True)
        self._thread.start()

    def poll(self) -> None:
        """Look at the folder, load what is new and unload what is old."""
        try:
            found = versions(self.folder) if self.folder.is_dir() else []
        except OSError:
            # It vanished between the two, or cannot be read now: the next look may tell more.
            return
        present = {int(path.name) for path in found}
        self.errors = {version: error for version, error in self.errors.items() if version in present}
        if not found:
            # As the server does: nothing is unloaded when a folder is missing for a moment.
            return
        newest = found[-1]
        number = int(newest.name)
        if number in self._loaded or number in self.errors:
            return
        try:
            loaded = LoadedVersion(newest)
        except Exception as error:
            # Whatever a broken folder raises is kept for the status, and the version before goes on.
            self.errors[number] = f"{type(error).__name__}: {error}"
            return
        with self._lock:
            old, self._loaded = self._loaded, {number: loaded}
        for version in old.values():
            version.retire()

    def states(self) -> dict[int, str]:
        """State of each version by the names of the status API."""
        available = dict.fromkeys(self._loaded, "AVAILABLE")
        return {**dict.fromkeys(self.errors, "END"), **available}

    @contextlib.contextmanager
    def serving(self, name: str, version: int | None = None) -> Iterator[LoadedVersion]:
        """The version that answers a request, held until the request is answered.

        Args:
            name: the model's name, for errors.
            version: the one asked for, the newest by default.

        Raises:
            CSessionError: when there is none.
        """
        found = self._acquire(version)
        if found is None:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise CSessionError(f"Servable not found for request: {wanted}", NOT_FOUND)
        try:
            yield found
        finally:
            found.release()

    def _acquire(self, version: int | None) -> LoadedVersion | None:
        with self._lock:
            loaded = self._loaded if version is None else {v: m for v, m in self._loaded.items() if v == version}
            found = loaded[max(loaded)] if loaded else None
            # Under the lock no version retires: `poll` takes it before it lets go of the old one.
            return found if found is not None and found.acquire() else None

    def _watch(self, poll_seconds: float) -> None:
        while not self._stop.wait(poll_seconds):
            self.poll()

    def close(self) -> None:
        """Stop looking and free all versions."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            old, self._loaded = self._loaded, {}
        for version in old.values():
            version.retire()
