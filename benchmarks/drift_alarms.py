"""How often drift is named where there is none, and where one feature has drifted.

`python -m grouprank.benchmarks.drift_alarms`
"""

from collections import Counter
from typing import Annotated

import numpy as np
import polars as pl
import typer

from ..datasets import SyntheticAds
from ..recipes.command import run_command
from ..reports import DriftReport, LogProfile, drift
from ..reports.markdown import markdown_table

REFERENCE_DAYS = 7
SCORES = {"click": "teacher_click"}
# The calendar's columns differ every day: a day has one day of the week, and all ads grow older.
CALENDAR = ("day_of_week", "ad_age_days")
LIMITS = (0.1, 0.02, 0.0)

# What is done to one feature of a day. The column `luck` is uniform between 0 and 1.
UNLUCKY = pl.col("luck") < 0.15
PLANTED = {
    "bid": ("bids rise by 30 %", pl.col("bid") * 1.3),
    "tenure_days": ("15 % are missing", pl.when(UNLUCKY).then(None).otherwise("tenure_days")),
    "device": ("15 % of the rows have a new device", pl.when(UNLUCKY).then(pl.lit("tv")).otherwise("device")),
    "age_bucket": ("15 % become 18-24", pl.when(UNLUCKY).then(pl.lit("18-24")).otherwise("age_bucket")),
    "hour": ("the clock is three hours late", (pl.col("hour") + 21) % 24),
}


def main(
    days: Annotated[int, typer.Option(min=1, help="Days that are compared with the reference.")] = 100,
    rows: Annotated[int, typer.Option(min=100, help="Rows of a day.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the generated log.")] = 0,
) -> None:
    """Count the days of a generated log on which a part is named as drifted; prints tables in Markdown."""
    log = generated(days, rows, seed, 0.0)
    rng = np.random.default_rng(seed)
    dealt = log.with_columns(day=pl.Series(rng.permutation(len(log)) // rows), luck=pl.Series(rng.random(len(log))))
    reference, later = cut(dealt)
    print("Days without drift: all rows of the log dealt to days at random.\n")
    counted = [(limit, [drift(reference, day, max_psi=limit) for day in later]) for limit in LIMITS]
    parts = len(counted[0][1][0].parts)
    largest = max(part.psi for report in counted[0][1] for part in report.parts)
    heads = ("limit of PSI", f"days of {days} with an alarm", f"alarms of {days * parts} parts")
    print(markdown_table(heads, [(f"{limit:g}", *alarms(reports)) for limit, reports in counted]))
    print(f"\nThe largest PSI of all is {largest:.4f}.\n\nOne feature drifts on a day of them, each day by itself.\n")
    feature_heads = ("feature", "what happens", f"found, of {days} days", "PSI", "others named")
    print(markdown_table(feature_heads, planted(reference, later), (0, 1)))
    for scale in (0.0, 1.0):
        print(f"\nDays of the log in their order, `drift={scale:g}`.\n")
        ordered, in_order = cut(generated(days, rows, seed, scale))
        reports = [drift(ordered, day) for day in in_order]
        print(markdown_table(("part", f"named, of {days} days", "largest PSI"), named(reports)))


def generated(days: int, rows: int, seed: int, scale: float) -> pl.DataFrame:
    """The day, raw columns, the planted group of users as a code, a score and its label."""
    whole = REFERENCE_DAYS + days
    dataset = SyntheticAds(rows=whole * rows, seed=seed, days=whole, drift=scale)
    (log,) = dataset.chunks(whole * rows)
    raw = [column.name for column in dataset.columns if column.name not in CALENDAR]
    code = pl.col("planted_user_group").alias("user:1")
    return log.select("day", *raw, code, *SCORES, *SCORES.values()).with_columns(pl.col("interests").str.split(","))


def cut(log: pl.DataFrame) -> tuple[LogProfile, list[pl.DataFrame]]:
    """The profile of the first days, and each later day."""
    first = log.filter(pl.col("day") < REFERENCE_DAYS)
    later = log.filter(pl.col("day") >= REFERENCE_DAYS).partition_by("day", maintain_order=True)
    return LogProfile.fit(first.drop("day", "luck", strict=False), SCORES), later


def alarms(reports: list[DriftReport]) -> tuple[str, str]:
    """Reports with a part that is named, and the number of parts named."""
    return str(sum(bool(report.drifted) for report in reports)), str(sum(len(report.drifted) for report in reports))


def planted(reference: LogProfile, days: list[pl.DataFrame]) -> list[tuple[str, ...]]:
    """A row for each feature that drifts alone."""
    rows: list[tuple[str, ...]] = []
    for feature, (what, change) in PLANTED.items():
        reports = [drift(reference, day.with_columns(change.alias(feature))) for day in days]
        found = sum(feature in report.drifted for report in reports)
        others = sum(len(set(report.drifted) - {feature}) for report in reports)
        psi = np.median([part.psi for report in reports for part in report.parts if part.name == feature])
        rows.append((feature, what, str(found), f"{psi:.2f}", str(others)))
    return rows


def named(reports: list[DriftReport]) -> list[tuple[str, ...]]:
    """A row for each part, that with the largest PSI first."""
    days = Counter(name for report in reports for name in report.drifted)
    largest: dict[str, float] = {}
    for part in (part for report in reports for part in report.parts):
        largest[part.name] = max(part.psi, largest.get(part.name, 0.0))
    return [(name, str(days[name]), f"{psi:.3f}") for name, psi in sorted(largest.items(), key=lambda item: -item[1])]


if __name__ == "__main__":
    run_command(main)
