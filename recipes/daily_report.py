"""What the variants of daily training have reached, as tables and as a page."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.table import Table

from ..datasets import TableDescription
from ..reports import GainTable, PredictionSums, ReportPage, gain_table, task_metrics
from .daily_variants import VARIANTS, DailySettings, Day

LAST_DAYS = 7
_NONE = "–"
_ABOUT = """All variants train the same model and are scored on each day before it is trained. **aged** is the growing
one as it was after the first days. **frozen**, **growing** and **hashed** train every day and differ in their ids.
**retrained** is a new model every day, trained on all days before. The intervals are of the {unit}; one seed makes no
claim that one is better."""


@dataclasses.dataclass(frozen=True)
class DailyReport:
    """The variants on the days after the first ones.

    Args:
        name: of the log.
        days: the later days.
        ledger: the entries of the growing variant.
        description: what the columns are.
        user: the column of users, or `None` where rows are taken as independent.
        settings: of the training.
    """

    name: str
    days: Sequence[Day]
    ledger: Sequence[Mapping[str, Any]]
    description: TableDescription
    user: str | None
    settings: DailySettings

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return [task.name for task in self.description.tasks]

    def entropy(self, day: Day, variant: str, task: str) -> float | None:
        """The NE of a variant on a day; `None` where all labels are alike."""
        return task_metrics(day.frame[task].to_numpy(), day.frame[f"{variant}:{task}"].to_numpy()).normalized_entropy

    def rows(self) -> list[list[str]]:
        """For each variant, the mean NE of the last days by task, and the training seconds over them."""
        found = []
        for variant in VARIANTS:
            means = []
            for task in self.tasks:
                known = [value for day in self._last if (value := self.entropy(day, variant, task)) is not None]
                means.append(_text(sum(known) / len(known) if known else None))
            seconds = [day.seconds[variant] for day in self._last if variant in day.seconds]
            found.append([variant, *means, f"{sum(seconds):.1f}" if seconds else "0"])
        return found

    @property
    def _last(self) -> Sequence[Day]:
        return self.days[-LAST_DAYS:]

    @property
    def _title(self) -> str:
        return f"Mean NE and training seconds of the last {len(self._last)} days"

    def to_table(self) -> Table:
        """The variants for a terminal."""
        table = Table(title=f"{self.name}: {self._title}")
        for head in ("variant", *self.tasks, "seconds"):
            table.add_column(head, justify="left" if head == "variant" else "right")
        for row in self.rows():
            table.add_row(*row)
        return table

    def gains(self) -> dict[str, GainTable]:
        """The gains of growing ids on the last days, over the retrained and the frozen ones, by what they compare."""
        frame = pl.concat([day.frame for day in self._last])
        unseen = frame.filter("unseen")
        found = {}
        for baseline in ("retrained", "frozen"):
            found[f"Growing ids against {baseline}"] = self._gain(frame, baseline)
            if len(unseen):
                found[f"The same, rows with ids unseen in the first days, against {baseline}"] = self._gain(
                    unseen, baseline
                )
        return found

    def _gain(self, frame: pl.DataFrame, baseline: str) -> GainTable:
        sums = PredictionSums(self.tasks, [baseline, "growing"], user="user")
        sums.update(frame, self.settings.seed)
        return gain_table(sums)

    def gains_to_markdown(self) -> str:
        """The gains as Markdown."""
        return "\n\n".join(f"{title}\n\n{table.to_markdown()}" for title, table in self.gains().items())

    def to_page(self) -> ReportPage:
        """The page."""
        unit = "rows" if self.user is None else "users"
        page = ReportPage(
            f"Daily training on {self.name}",
            _ABOUT.format(unit=unit),
            configuration=dataclasses.asdict(self.settings),
            seeds=[self.settings.seed],
        )
        for title, table in self.gains().items():
            page.add_gains(table, title, unit)
        page.add_table(self._title, ["variant", *self.tasks, "seconds"], self.rows())
        for task in self.tasks:
            entropies = [
                [day.name, f"{day.age}", f"{len(day.frame):,}", *(_text(self.entropy(day, v, task)) for v in VARIANTS)]
                for day in self.days
            ]
            page.add_table(f"NE by day: {task}", ["day", "age of the aged", "rows", *VARIANTS], entropies)
        page.add_table("Gain of daily training by model age, %", *self._ages())
        page.add_table(
            "Ids by day", ["day", "feature", "new", "handed on", "used", "capacity"], self._ids(), None, (0, 1)
        )
        return page

    def _ages(self) -> tuple[list[str], list[list[str]]]:
        rows = []
        for day in self.days:
            table = self._gain(day.frame, "aged")
            gains = [table.of("growing", task).gain for task in self.tasks]
            shown = [
                _NONE if g is None else f"{100 * g.value:+.2f} ({100 * g.low:+.2f} to {100 * g.high:+.2f})"
                for g in gains
            ]
            rows.append([f"{day.age} days", *shown])
        return ["model age", *self.tasks], rows

    def _ids(self) -> list[list[str]]:
        return [
            [entry["period"], name, *(f"{grown[key]:,}" for key in ("new", "handed_on", "used", "capacity"))]
            for entry in self.ledger
            for name, grown in entry["growth"].items()
        ]


def _text(value: float | None) -> str:
    return _NONE if value is None else f"{value:.5f}"
