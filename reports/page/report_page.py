"""One HTML page of a run."""

import base64
import hashlib
import itertools
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..clean import clean
from ..drift import DriftReport
from ..gain_table import GainTable
from ..group_report import GroupReport
from ..segment_report import SegmentReport
from ..slices import SliceReport
from ..statistics import PredictionSums
from .calibration_section import calibration_section
from .configuration_table import configuration_table
from .content import Column, Row, Section, Table
from .drift_section import drift_section
from .gains_section import conclusions, gains_section
from .glossary import glossary
from .groups_section import groups_section
from .lead import lead
from .line_chart import LineChart
from .lines_section import lines_section
from .prose import prose
from .segments_section import segments_section
from .slices_section import slices_section
from .theme import COLORS, VERDICTS
from .training_section import History, training_section
from .wording import counted

_TEMPLATES = Path(__file__).parent

# Conclusions shown before the contents; the others follow the contents.
MOST_CONCLUSIONS = 5


class ReportPage:
    """A page that says what a run found and shows why, in one HTML file that needs no other.

    It begins with one sentence about what was compared and the result, and with a conclusion per task, at most five
    before the contents. Both are made of the verdicts of the gains. Sections follow in the order in which they are
    added; each may be added several times, and none is required. Styles, scripts and pictures are inside the file,
    which loads nothing. It can be read on a phone, on paper, in light and dark, and without scripts, which only sort
    and filter the tables. Names and texts are shown as they are and never interpreted. The same content gives the same
    file, byte for byte.

    Args:
        title: what was run.
        summary: a few plain sentences below the first, with the Markdown of `add_text`. Defaults to `None`.
        command: what reproduces the page. Defaults to `None`.
        configuration: settings, nested ones too. Defaults to `None`.
        date: date of the run. Defaults to `None`.
        seeds: seeds of the run. Defaults to `()`.
        rows: number of rows by split. Defaults to `None`.

    Example:

    >>> page = ReportPage("Demo", command="python -m grouprank.recipes.demo", seeds=[0, 1], rows={"test": 9000})
    >>> page.add_text("What follows", "Try a **wider** codebook.")
    >>> "<strong>wider</strong>" in page.to_html()
    True
    """

    def __init__(
        self,
        title: str,
        summary: str | None = None,
        *,
        command: str | None = None,
        configuration: Mapping[str, Any] | None = None,
        date: str | None = None,
        seeds: Sequence[int] = (),
        rows: Mapping[str, int] | None = None,
    ) -> None:
        self.title, self.summary, self.command, self.date = title, summary, command, date
        self.configuration, self.seeds, self.rows = dict(configuration or {}), list(seeds), dict(rows or {})
        self._sections: list[Section] = []
        self._tables: list[tuple[str, GainTable]] = []
        self._reports: list[SegmentReport] = []
        self._names = (f"figure-{number}" for number in itertools.count(1))

    def add_gains(self, table: GainTable, title: str = "Gains", unit: str = "users") -> None:
        """Add the gains of candidates: the page's conclusions, intervals around zero and a table.

        Args:
            table: made by `gain_table`.
            title: of the section. Defaults to `"Gains"`.
            unit: what the column of users in the sums holds; the intervals take it as independent. Defaults to
                `"users"`.
        """
        self._sections.append(gains_section(table, self._names, title, unit))
        self._tables.append((title, table))

    def add_calibration(
        self, sums: PredictionSums, models: Sequence[str] | None = None, title: str = "Calibration"
    ) -> None:
        """Add calibration curves of models, one picture per task.

        Args:
            sums: predictions, added up.
            models: which. `None` takes all. Defaults to `None`.
            title: of the section. Defaults to `"Calibration"`.

        Raises:
            ValueError: on an unknown model.
        """
        self._sections.append(calibration_section(sums, models, self._names, title))

    def add_segments(self, report: SegmentReport, title: str | None = None, most: int = 10) -> None:
        """Add where a candidate is better and worse: bars per segmentation and task, and a table of all segments.

        Args:
            report: made by `segment_report`.
            title: of the section. `None` names the candidate. Defaults to `None`.
            most: largest segments of a segmentation that are drawn. All are in the table, unless they are more than
                2000: then the smallest that are neither better nor worse are left out. Defaults to `10`.
        """
        title = title or f"Segments: {report.candidate}"
        self._sections.append(segments_section(report, self._names, title, most))
        self._reports.append(report)

    def add_slices(self, report: SliceReport, title: str = "The worst slices") -> None:
        """Add the slices in which a candidate is worst.

        Args:
            report: made by `discover_slices`.
            title: of the section. Defaults to `"The worst slices"`.
        """
        self._sections.append(slices_section(report, title))

    def add_groups(
        self,
        report: GroupReport,
        positions: Mapping[int, tuple[float, float]] | None = None,
        title: str | None = None,
        most: int = 40,
    ) -> None:
        """Add what the groups of a placement are: a map per task, the groups' features and the use of the codes.

        Args:
            report: made by `group_report`.
            positions: a point of the plane by code, such as two principal components of the first codebook. `None`
                draws rates over shares. Defaults to `None`.
            title: of the section. `None` names the placement. Defaults to `None`.
            most: number of the largest groups that are also printed on paper. Defaults to `40`.

        Raises:
            ValueError: when a group has no position.
        """
        title = title or f"Groups: {report.placement}"
        self._sections.append(groups_section(report, positions, self._names, title, most))

    def add_drift(self, report: DriftReport, title: str = "Drift") -> None:
        """Add what has drifted in a log: a table of all parts, the scores' histograms and their calibration by bin.

        Args:
            report: made by `drift`.
            title: of the section. Defaults to `"Drift"`.
        """
        self._sections.append(drift_section(report, self._names, title))

    def add_training(
        self, histories: Mapping[str, Sequence[History]], baseline: str | None = None, title: str = "Training"
    ) -> None:
        """Add loss and NE by epoch.

        Args:
            histories: for each model one history per seed, `{figure: one value per epoch}` under the names of Keras'
                `History`.
            baseline: which of the models is the baseline. Defaults to `None`.
            title: of the section. Defaults to `"Training"`.

        Raises:
            ValueError: when there is no epoch.
        """
        self._sections.append(training_section(histories, baseline, self._names, title))

    def add_lines(self, title: str, charts: Sequence[LineChart], text: str | None = None) -> None:
        """Add pictures of lines, such as NE by day, and a folded table of the figures of each.

        Args:
            title: of the section.
            charts: the pictures, side by side where there is room. One without any value is not drawn.
            text: paragraphs before them, as `add_text` takes them. Defaults to `None`.
        """
        self._sections.append(lines_section(charts, self._names, title, text))

    def add_text(self, title: str, text: str) -> None:
        """Add paragraphs.

        Args:
            title: of the section.
            text: plain. An empty line ends a paragraph; lines that begin with `- ` are a list; `**bold**` and
                backticks are as in Markdown.
        """
        self._sections.append(Section(title, (prose(text),)))

    def add_table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        text: str | None = None,
        text_columns: Collection[int] = (0,),
    ) -> None:
        """Add a table of figures that no report makes.

        Args:
            title: of the section, and the table's caption.
            columns: heads of the columns; the first column is the heads of the rows.
            rows: cells as text.
            text: paragraphs before it, as `add_text` takes them. Defaults to `None`.
            text_columns: numbers of the columns that hold words. Defaults to `(0,)`.

        Raises:
            ValueError: on a row that has more or fewer cells than there are columns.
        """
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(
                    f"Row {number} must have a cell for each of the {len(columns)} columns. Received: {len(row)} cells."
                )
        words = [number in text_columns for number in range(len(columns))]
        named = [Column(name, text=text, wide=text) for name, text in zip(columns, words, strict=True)]
        table = Table(title, tuple(named), tuple(Row(tuple(row)) for row in rows))
        self._sections.append(Section(title, (table,) if text is None else (prose(text), table)))

    def to_html(self) -> str:
        """The page."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_final,
        )
        environment.filters["breakable"] = _breakable
        styles = environment.get_template("page.css").render(colors=COLORS)
        script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
        several = len(self._tables) > 1
        found = [one for of, table in self._tables for one in conclusions(table, self._reports, of if several else "")]
        first = lead(self._tables[0][1]) if self._tables else None
        # All that is read on the page, pictures too; an abbreviation in it is explained.
        read = [
            self.title,
            self.summary or "",
            first or "",
            *(one.sentence for one in found),
            *map(str, self._sections),
        ]
        return environment.get_template("page.html").render(
            page=self,
            facts=self._facts(),
            lead=first,
            summary=None if self.summary is None else prose(self.summary).html,
            terms=glossary(" ".join(read)),
            conclusions=found[:MOST_CONCLUSIONS],
            more=found[MOST_CONCLUSIONS:],
            configuration=configuration_table(self.configuration),
            sections=self._sections,
            verdicts=VERDICTS,
            styles=Markup(styles),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )

    def write(self, path: str | Path) -> Path:
        """Write the page to a file, and return its path.

        Args:
            path: the file; its folder is created if missing. An older page stays until this one is complete.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(self.to_html(), encoding="utf-8")
        os.replace(partial, path)
        return path

    def _facts(self) -> list[str]:
        facts = [self.date] if self.date else []
        if self.seeds:
            numbers = ", ".join(map(str, self.seeds))
            facts.append(f"seed {numbers}" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds: {numbers}")
        return facts + [f"{counted(rows, f'{split} row')}" for split, rows in self.rows.items()]


def _final(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """Text that may break after what joins the words of a name."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_=,/])(?=\S)", clean(text)))
