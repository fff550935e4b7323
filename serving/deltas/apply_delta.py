"""Makes a version of an older one and a delta."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl

from ..layout.provenance import PROVENANCE_FILE, write_provenance
from ..log_profile import LOG_PROFILE_FILE
from ..unfinished_folder import unfinished_folder
from ..version_folder import check_version, publish
from .checkpoint import change_variables
from .delta_folder import LINES, PROVENANCE, ROWS, read_lines, read_manifest
from .served_variables import ServedVariables


def apply_delta(base: str | Path, delta: str | Path, path: str | Path | None = None) -> Path:
    """Make the version that a delta leads to.

    The new version has the variables and the vocabularies that a full export of the model would have, to the bit, and
    the same graph. It appears in one rename, so a server that polls the folder never sees half of it. The base stays as
    it is.

    Its `assets.extra/provenance.json` is that of the new model, and says under `delta` which version it was made of and
    how many deltas lie between it and the last full export.
    Requests that warm a server up are those of the base.

    Args:
        base: the version folder that the delta starts from.
        delta: the folder that `export_delta` wrote.
        path: the version folder to create, `NAME/VERSION`, or `NAME` for the version after its newest. Defaults to
            `None`, the version after the newest one beside the base.

    Returns:
        The new version folder.

    Raises:
        FileExistsError: when the version folder exists; it is never overwritten.
        ValueError: when the delta starts from another version, a file of it is missing, torn or changed, or the base is
            damaged. Nothing is left behind.

    Example:

    ```python
    gr.serving.apply_delta("saved_models/ads/1", "saved_models/ads/deltas/2")  # saved_models/ads/2
    ```
    """
    base, delta = Path(base), Path(delta)
    record = ServedVariables.load(base)
    folder, version = check_version(Path(path) if path is not None else base.resolve().parent)
    manifest = read_manifest(delta, base)
    with unfinished_folder(folder) as work:
        new = work / "saved_model"
        shutil.copytree(base, new, ignore=lambda place, _: ["variables"] if Path(place) == base else [])
        _change_vocabularies(new, pl.read_parquet(delta / LINES), manifest["vocabulary_lines"])
        change_variables(base, new, _changes(record, pl.read_parquet(delta / ROWS)))
        known = json.loads((delta / PROVENANCE).read_text(encoding="utf-8"))
        made_of = {**manifest["base"], "since_full_export": deltas_since_full_export(base) + 1}
        write_provenance(new, {**known, "delta": made_of})
        if (delta / LOG_PROFILE_FILE.name).is_file():
            shutil.copy(delta / LOG_PROFILE_FILE.name, new / LOG_PROFILE_FILE)
        return publish(new, folder, version)


def deltas_since_full_export(version: str | Path) -> int:
    """How many deltas a version was made of, 0 after a full export.

    Args:
        version: the version folder.
    """
    known = json.loads((Path(version) / PROVENANCE_FILE).read_text(encoding="utf-8"))
    return int((known.get("delta") or {"since_full_export": 0})["since_full_export"])


def _changes(record: ServedVariables, rows: pl.DataFrame) -> dict[str, tuple[np.ndarray, bytes]]:
    """By the name of a variable, numbers of rows and their new bytes."""
    return {
        record.variables[number].key: (changed["row"].to_numpy(), b"".join(changed["values"].to_list()))
        for (number,), changed in rows.group_by("variable")
    }


def _change_vocabularies(version: Path, changed: pl.DataFrame, counts: dict[str, list[int]]) -> None:
    for name, (_, count) in counts.items():
        file = version / "assets" / Path(name).name
        lines = read_lines(file)
        lines = lines[:count] + [""] * (count - len(lines))
        for line, token in changed.filter(pl.col("file") == name).select("line", "token").iter_rows():
            lines[line] = token
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
