"""The folder of one run: its configuration, and which of its stages are done."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .whole_file import whole_file


class RunFolder:
    """The folder in which a run writes, and from which it resumes after it was killed. Hold its `run_lock`.

    Of several processes that train together all must call its methods, and the first one writes.

    Args:
        path: the folder; made if it does not exist.
        config: everything that decides the results. A folder with another configuration is refused, so that a run never
            mixes two.

    Raises:
        ValueError: naming the settings that differ.

    Example:

    >>> import tempfile
    >>> run = RunFolder(Path(tempfile.mkdtemp()) / "run", {"seed": 1})
    >>> run.write_json("metrics.json", {"ne": 0.9})
    >>> run.read_json("metrics.json")
    {'ne': 0.9}
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path = path
        wanted = json.loads(json.dumps(config))
        path.mkdir(parents=True, exist_ok=True)
        found = self.read_json("config.json")
        if found is None:
            self.write_json("config.json", wanted)
        elif found != wanted:
            names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            differ = ", ".join(f"{name}: {found.get(name)!r} there, {wanted.get(name)!r} now" for name in names)
            raise ValueError(
                f"{path} holds a run with other settings ({differ}). Pass another folder (--run "
                "another/folder), or delete this one."
            )

    def folder(self, *names: str) -> Path:
        """A folder inside the run, made if it does not exist."""
        folder = self.path.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote, `None` if it did not."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write_json(self, name: str, value: Any) -> None:
        """Write in one step: a killed run leaves the whole file or none."""
        self.write_text(name, json.dumps(value, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """As `write_json`, any text."""
        with whole_file(self.path / name) as partial:
            partial.write_text(text, encoding="utf-8")
