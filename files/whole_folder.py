"""A folder that appears when it is complete."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .whole_file import sync


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `path`; what was written there becomes `path` in one step.

    If the process is killed, there is no `path`, and the next call removes what was left. Only one process at a time
    may write the same folder, which a `run_lock` ensures.

    Args:
        path: the folder to write; it must not exist yet.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "step"
    >>> with whole_folder(path) as partial:
    ...     _ = (partial / "rows.txt").write_text("7")
    >>> [file.name for file in path.iterdir()]
    ['rows.txt']
    """
    partial = path.with_name(f".partial-{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in [*partial.rglob("*"), partial]:
            sync(file)
        os.rename(partial, path)
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
