"""The files of a delta: what changed, and a manifest with their checksums."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

MANIFEST, PROVENANCE = "manifest.json", "provenance.json"
ROWS, LINES = "rows.parquet", "vocabularies.parquet"
# The number of a variable in the version's record, the number of its row, and the row's bytes.
ROWS_SCHEMA = {"variable": pl.Int32, "row": pl.Int64, "values": pl.Binary}
LINES_SCHEMA = {"file": pl.String, "line": pl.Int64, "token": pl.String}
FORMAT = 1


def version_id(saved_model: Path) -> str:
    """A name of a version's contents: its graph, its vocabularies and the checksums of its variables.

    Args:
        saved_model: the version folder.
    """
    assets = sorted(path for path in (saved_model / "assets").glob("*") if path.is_file())
    # The index has a checksum of each variable.
    files = [saved_model / "saved_model.pb", saved_model / "variables" / "variables.index", *assets]
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.name} {_sha256(path)}\n".encode())
    return total.hexdigest()


def write_manifest(folder: Path, base: Path, said: Mapping[str, Any]) -> None:
    """Write the manifest of a delta whose other files are written.

    Args:
        folder: the delta's folder.
        base: the version folder that the delta starts from.
        said: what else it says.
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    known = {"format": FORMAT, "base": {"version": base.resolve().name, "id": version_id(base)}, **said, "files": files}
    (folder / MANIFEST).write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path, base: Path) -> dict[str, Any]:
    """The manifest of a delta, after a check of all files and of the version that it is for.

    Args:
        folder: the delta's folder.
        base: the version folder that it is to be applied to.

    Raises:
        ValueError: if the folder is no delta, a file is missing, torn or changed, or the delta is for another version.
    """
    again = "Copy the delta again, or write it anew."
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} is no delta: it has no {MANIFEST}. Pass a folder that `export_delta` wrote.")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        form, files, start = known["format"], known["files"], known["base"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}). {again}") from error
    if form != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT}. Received: {form!r}. Use the grouprank that wrote it.")
    for name in sorted({*files, ROWS, LINES, PROVENANCE}):
        file = folder / name
        said = files.get(name)
        if said is None or not file.is_file():
            raise ValueError(f"{file} is missing. {again}")
        if file.stat().st_size != said["bytes"]:
            raise ValueError(
                f"{file} is torn: it has {file.stat().st_size:,} bytes, and the manifest says {said['bytes']:,}. "
                f"{again}"
            )
        if _sha256(file) != said["sha256"]:
            raise ValueError(f"{file} was changed: its checksum is not that of the manifest. {again}")
    if version_id(base) != start["id"]:
        raise ValueError(
            f"The delta {folder} starts from version {start['version']}, and {base} has other contents. Apply it to "
            "that version, or export a full one."
        )
    return known


def read_lines(file: Path) -> list[str]:
    """The lines of a vocabulary."""
    with file.open(encoding="utf-8", newline="\n") as opened:  # splitlines() would also cut at other Unicode breaks
        return opened.read().split("\n")[:-1]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
