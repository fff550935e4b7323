"""What the variants of daily training have reached."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.table import Table

from ..datasets import TableDescription
from ..reports import GainTable, PredictionSums, gain_table, task_metrics
from ..reports.page.wording import number
from .daily_drift import Drift
from .daily_settings import DailySettings
from .daily_variants import VARIANTS, Day

LAST_DAYS = 7
_UNSEEN = "rows with ids unseen in the first days"


@dataclasses.dataclass(frozen=True)
class DailyReport:
    """The variants on the days after the first ones.

    Args:
        name: of the log.
        runs: the later days by seed.
        ledger: the entries of the growing variant under the first seed.
        drift: of the columns and groups.
        description: what the columns are.
        user: the column of users, or `None` where rows are taken as independent.
        settings: of the training, under the first seed.
    """

    name: str
    runs: Mapping[int, Sequence[Day]]
    ledger: Sequence[Mapping[str, Any]]
    drift: Drift
    description: TableDescription
    user: str | None
    settings: DailySettings

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return [task.name for task in self.description.tasks]

    @property
    def days(self) -> Sequence[Day]:
        """The later days, under the first seed."""
        return next(iter(self.runs.values()))

    def entropy(self, place: int, variant: str, task: str) -> float | None:
        """The mean NE of a variant on a later day over the seeds; `None` where all labels are alike.

        Args:
            place: which of the later days.
            variant: the variant.
            task: the task.
        """
        frames = [days[place].frame for days in self.runs.values()]
        found = [task_metrics(f[task].to_numpy(), f[f"{variant}:{task}"].to_numpy()).normalized_entropy for f in frames]
        return mean(found)

    def rows(self) -> list[list[str]]:
        """For each variant, the mean NE of the last days by task, and the training seconds over them."""
        last = range(len(self.days))[-LAST_DAYS:]
        found = []
        for variant in VARIANTS:
            means = [mean([self.entropy(place, variant, task) for place in last]) for task in self.tasks]
            spent = [sum(days[place].seconds.get(variant, 0.0) for place in last) for days in self.runs.values()]
            seconds = sum(spent) / len(spent)
            found.append([variant, *(number(value, 5) for value in means), f"{seconds:.1f}" if seconds else "0"])
        return found

    @property
    def title(self) -> str:
        """What `rows` holds."""
        return f"Mean NE and training seconds of the last {len(self.days[-LAST_DAYS:])} days"

    def to_table(self) -> Table:
        """The variants for a terminal."""
        table = Table(title=f"{self.name}: {self.title}")
        for head in ("variant", *self.tasks, "seconds"):
            table.add_column(head, justify="left" if head == "variant" else "right")
        for row in self.rows():
            table.add_row(*row)
        return table

    def gains(self) -> dict[str, GainTable]:
        """The gains of growing ids on the last days, over the retrained and the frozen ones, by what they compare."""
        last = range(len(self.days))[-LAST_DAYS:]
        found = {"Growing ids against retrained": self.gain(last, "retrained")}
        if any(self.days[place].frame["unseen"].any() for place in last):
            found[f"Growing ids against frozen, {_UNSEEN}"] = self.gain(last, "frozen", unseen=True)
            found["Growing ids against frozen"] = self.gain(last, "frozen")
            found[f"Growing ids against retrained, {_UNSEEN}"] = self.gain(last, "retrained", unseen=True)
        else:
            found["Growing ids against frozen"] = self.gain(last, "frozen")
        return found

    def gain(self, places: Sequence[int], baseline: str, unseen: bool = False) -> GainTable:
        """The gains of the growing variant on some of the later days, with intervals of users and of the seeds.

        Args:
            places: which of the later days.
            baseline: the variant that it is compared with.
            unseen: whether only rows with an id that did not occur in the first days count. Defaults to `False`.
        """
        sums = PredictionSums(self.tasks, [baseline, "growing"], user="user")
        for seed, days in self.runs.items():
            rows = pl.concat([days[place].frame for place in places])
            sums.update(rows.filter("unseen") if unseen else rows, seed)
        return gain_table(sums)

    def gains_to_markdown(self) -> str:
        """The gains as Markdown."""
        return "\n\n".join(f"{title}\n\n{table.to_markdown()}" for title, table in self.gains().items())


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known, `None` where none is.

    Example:

    >>> mean([0.5, None, 1.0]), mean([None])
    (0.75, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
