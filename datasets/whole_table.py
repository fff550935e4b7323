"""A prepared table that appears at its destination when it is complete."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .partial_folder import partial_folder
from .prepared_table import REPORT_FILE, PreparedTable
from .remote_files import exists, own_path, put


def whole_table(
    destination: str | Path,
    fingerprint: dict[str, Any],
    max_bad_rows: int,
    write: Callable[[Path, str | None], None],
) -> PreparedTable:
    """Write a table into a hidden folder and rename it, or open the one that is there if it is the same.

    Args:
        destination: see `prepare`.
        fingerprint: what the table depends on, as its report will say.
        max_bad_rows: most bad rows that a table which is there may have skipped.
        write: called with an empty folder, to write the table into, and the address that it will have in another store,
            `None` on this machine.

    Raises:
        ValueError: if the destination holds something else.
    """
    own = own_path(destination)
    if own is None:
        address = str(destination).rstrip("/")
        if exists(f"{address}/{REPORT_FILE}"):
            return _reuse(address, fingerprint, max_bad_rows)
        with tempfile.TemporaryDirectory(prefix="grouprank-") as scratch:
            write(Path(scratch), address)
            put(Path(scratch), address, last=REPORT_FILE)
        return PreparedTable(address)
    if own.exists() and (not own.is_dir() or any(own.iterdir())):
        if not (own / REPORT_FILE).is_file():
            raise ValueError(f"{own} exists and is not a prepared table. Choose another destination, or empty it.")
        return _reuse(own, fingerprint, max_bad_rows)
    own.parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(own) as partial:
        write(partial, None)
        try:
            partial.rename(own)
        except OSError:
            if not (own / REPORT_FILE).is_file():
                raise
            return _reuse(own, fingerprint, max_bad_rows)  # another process finished first
    return PreparedTable(own)


def _reuse(destination: Path | str, fingerprint: dict[str, Any], max_bad_rows: int) -> PreparedTable:
    table = PreparedTable(destination)
    found = table.report["fingerprint"]
    changed = [key for key in {**fingerprint, **found} if fingerprint.get(key) != found.get(key)]
    if changed or not (fingerprint["files"] or fingerprint["settings"]):
        reason = f"they differ in {changed}" if changed else "the dataset states no files or settings to compare"
        raise ValueError(
            f"{destination} holds a table prepared from {found['dataset']!r}, which cannot be used for this dataset: "
            f"{reason}. Choose another destination, or delete the folder if that table is no longer needed."
        )
    if table.report["bad_rows"] > max_bad_rows:
        raise ValueError(
            f"{destination} was prepared with {table.report['bad_rows']} bad rows skipped, and {max_bad_rows} are "
            f"allowed now. "
            "Allow them with --max-bad-rows (`max_bad_rows=` in Python), or delete the folder and mend the files."
        )
    return table
