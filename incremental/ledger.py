"""What a run has done, one file a finished step."""

import json
from pathlib import Path
from typing import Any

from ..files import whole_file
from .period import Period

Entry = dict[str, Any]

ADMITTED, REFUSED, WAITING = "admitted", "refused", "waiting"
ROLLED_BACK, GIVEN_ROOM = "rolled back", "given room"


class Ledger:
    """The finished steps of a run, in order, each in a file that appears whole or not at all.

    Args:
        folder: the folder of its files; made with the first entry.

    Example:

    >>> import tempfile
    >>> ledger = Ledger(Path(tempfile.mkdtemp()) / "ledger")
    >>> ledger.add({"step": 1, "status": "admitted", "period": "2024-01-31", "place": 19749, "base": 1})
    >>> Ledger(ledger.folder).base, ledger.next_step
    (1, 2)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[Entry] = [
            json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("[0-9]*.json"))
        ]

    @property
    def next_step(self) -> int:
        """Number of the step that comes next, from 1 on."""
        return len(self.entries) + 1

    @property
    def base(self) -> int:
        """The step whose model the next step goes on from, 0 for the model that the run began with."""
        return int(self.entries[-1]["base"]) if self.entries else 0

    def add(self, entry: Entry) -> None:
        """Write an entry, whose `step` is `next_step`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / f"{entry['step']:06d}.json") as partial:
            partial.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
        self.entries.append(entry)

    def of(self, period: Period) -> Entry | None:
        """The newest entry of a period; `None` if it was never seen."""
        return next((e for e in reversed(self.entries) if e.get("period") == period.name), None)

    @property
    def versions(self) -> list[int]:
        """The steps that made a model, admitted or not, oldest first."""
        return [entry["step"] for entry in self.entries if entry["status"] in (ADMITTED, REFUSED, GIVEN_ROOM)]

    def check_order(self, period: Period, allow_gaps: bool) -> None:
        """Raise unless a period is the next one.

        Args:
            period: a period that was not seen yet.
            allow_gaps: whether periods may be missing before it.

        Raises:
            ValueError: if it was seen, is earlier than the newest one, or periods are missing before it.
        """
        known = self.of(period)
        if known is not None:
            raise ValueError(
                f"Period {period.name} was {known['status']} in step {known['step']}, and no period is trained twice. "
                "Give labels that arrived later as `late` to the step of a later period."
            )
        seen = [entry for entry in self.entries if "place" in entry]
        if not seen:
            return
        newest = max(seen, key=lambda entry: int(entry["place"]))
        if period.place <= newest["place"]:
            raise ValueError(
                f"Period {period.name} is earlier than {newest['period']}, the newest period of the run. Its rows were "
                "refused: a model that has seen later rows would be trained backwards. Begin another run to include it."
            )
        missing = period.place - newest["place"] - 1
        if missing and not allow_gaps:
            missed = "a period is" if missing == 1 else f"{missing} periods are"
            raise ValueError(
                f"Between {newest['period']}, the newest period of the run, and {period.name} {missed} missing. Train "
                "all periods in order, or pass allow_gaps=True if there is nothing for the time between."
            )

    def check_unchanged(self, period: Period) -> None:
        """Raise if a period that was seen has other rows now, as far as they were counted."""
        known = self.of(period)
        if known is not None and period.rows is not None and known["counted_rows"] not in (None, period.rows):
            raise ValueError(
                f"Period {period.name} had {known['counted_rows']} rows in step {known['step']} and has {period.rows} "
                "now. Rows of an earlier period are refused: labels may come later (`late`), rows may not."
            )
