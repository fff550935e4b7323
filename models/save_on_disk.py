"""A `.keras` file that is written without being held in memory."""

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path


def save_on_disk(save: Callable[[str], None], path: str | os.PathLike[str]) -> None:
    """Write a `.keras` file by way of a folder beside it.

    Keras collects the weights of a file in memory if those of the model seem to fit there. A model whose tables are
    dealt over processes seems small to each of them, and the file holds all of its rows.

    Args:
        save: writes the model into the folder that it is given.
        path: of the file.

    Example:

    ```python
    save_on_disk(lambda folder: model.save(folder, zipped=False), "model.keras")
    ```
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        content, archive = Path(work) / "content", Path(work) / "archive"
        save(str(content))
        with zipfile.ZipFile(archive, "w") as file:
            for member in sorted(content.rglob("*")):
                if member.is_file():
                    file.write(member, member.relative_to(content))
        os.replace(archive, path)
