"""A benchmark's report: a page, its raw numbers and a picture."""

import dataclasses
import datetime
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .machine import describe_machine
from .measurement import Measurement
from .worker_process import VARIABLES


@dataclasses.dataclass(frozen=True)
class Table:
    """A Markdown table; the columns after the first are aligned right.

    Args:
        columns: headers, with units.
        rows: cells as text.
        title: heading above it. Defaults to none.
        caption: paragraph below the heading. Defaults to none.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""

    def to_markdown(self) -> str:
        """The heading, the caption and the table."""
        lines = ["| " + " | ".join(self.columns) + " |", "|---|" + "---:|" * (len(self.columns) - 1)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        parts = [f"## {self.title}" if self.title else "", self.caption, "\n".join(lines)]
        return "\n\n".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True)
class Report:
    """A benchmark's report: `NAME.md`, `NAME.json` with the raw numbers and, given a figure, `NAME.svg`.

    Args:
        name: file name without its ending; the benchmark's module.
        title: first heading of the page.
        question: what is measured and how, in Markdown.
        tables: tables in order; the picture stands after the first.
        measurements: what was measured, by contender; the raw numbers, versions and failures come from here.
        settings: the benchmark's settings, for the raw numbers.
        notes: remarks for the end of the page, one list item each.
        figure: a `matplotlib.figure.Figure`. Defaults to `None`.
        alt: what the picture shows, in one sentence; needed with a figure.
        extra: further raw numbers, such as the machine's bandwidth.
    """

    name: str
    title: str
    question: str
    tables: Sequence[Table]
    measurements: Mapping[str, Measurement]
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()
    figure: Any = None
    alt: str = ""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.figure is not None and not self.alt:
            raise ValueError("A figure needs `alt`, a sentence that says what it shows. Received: ''.")

    def write(self, folder: str | Path = "docs/benchmarks") -> Path:
        """Write the files and return the page's path."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        if self.figure is not None:
            # A fixed hash salt and no date: an unchanged picture is an unchanged file.
            import matplotlib

            with matplotlib.rc_context({"svg.hashsalt": self.name, "svg.fonttype": "path"}):
                self.figure.savefig(place / f"{self.name}.svg", bbox_inches="tight", metadata={"Date": None})
        page = place / f"{self.name}.md"
        page.write_text(self.to_markdown(), encoding="utf-8")
        raw = {
            "name": self.name,
            "date": datetime.date.today().isoformat(),
            "command": self._command(),
            "settings": dict(self.settings),
            "machine": dataclasses.asdict(describe_machine()),
            **dict(self.extra),
            "measurements": {name: found.to_dict() for name, found in self.measurements.items()},
        }
        # A round's times on one line: thousands of them are most of the file.
        text = re.sub(
            r"\[[\d\s.,e-]+\]", lambda found: "".join(found[0].split()), json.dumps(raw, indent=1, default=str)
        )
        (place / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
        return page

    def to_markdown(self) -> str:
        """The page."""
        parts = [f"# {self.title}", self.question]
        for number, table in enumerate(self.tables):
            parts.append(table.to_markdown())
            if number == 0 and self.figure is not None:
                parts.append(f"![{self.alt}]({self.name}.svg)")
        failed = [
            f"**{name}** could not be measured: {_last_line(found.error)}"
            for name, found in self.measurements.items()
            if found.error
        ]
        if self.notes or failed:
            parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in [*self.notes, *failed]))
        machine = describe_machine()
        timed = (
            f" Every contender ran in a process of its own with {machine.cores} threads "
            f"({', '.join(f'`{name}={value}`' for name, value in list(VARIABLES.items())[:2])}), in interleaved "
            "rounds of rotating order; idle ones were stopped. Times are medians over all timed steps, ratios are "
            "medians over rounds of the ratio within a round, with the least and the greatest in brackets."
        )
        parts.append(
            "## How it was measured\n\n"
            f"`{self._command()}` on {datetime.date.today().isoformat()}: {machine.to_markdown()}."
            f"{timed if self.measurements else ''} Raw numbers: [{self.name}.json]({self.name}.json)."
        )
        versions = self._versions()
        if versions:
            parts.append("Versions: " + "; ".join(versions) + ".")
        return "\n\n".join(parts) + "\n"

    def _command(self) -> str:
        return shlex.join(["python", "-m", f"grouprank.benchmarks.{self.name}", *sys.argv[1:]])

    def _versions(self) -> list[str]:
        found: dict[str, set[str]] = {}
        for measurement in self.measurements.values():
            for package, version in measurement.versions.items():
                found.setdefault(package, set()).add(version)
        return [f"{package} {' and '.join(sorted(versions))}" for package, versions in sorted(found.items())]


def _last_line(error: str | None) -> str:
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    return lines[-1] if len(lines) < 2 else f"{lines[0]} … {lines[-1]}"
