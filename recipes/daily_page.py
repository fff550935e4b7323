"""The page of daily training: pictures of every day, with their figures."""

import dataclasses
from collections.abc import Iterator

from ..reports import LineChart, ReportPage
from ..reports.page.wording import number
from .daily_drift import MOST_IDS
from .daily_report import DailyReport
from .daily_variants import VARIANTS

# Lines of a picture; more could not be told apart.
_MOST_LINES = 7
# What is called some drift and much of it.
_LEVELS = (0.1, 0.25)

_ABOUT = """All variants train the same model and are scored on each day before it is trained. **aged** is the growing
one as it was after the first days. **frozen**, **growing** and **hashed** train every day and differ in their ids.
**retrained** is a new model every day, trained on all days before. The intervals are of the {unit}{seeds}."""
_ONE_SEED = "; one seed makes no claim that one is better"
_SEVERAL_SEEDS = " and the seeds, and figures by day are means over the seeds"
_ENTROPY = "Each variant is scored on a day before it trains on it. Lower is better."
_AGES = """NE gain of the growing variant over the aged one, which was trained up to the first days alone, with 95 %
intervals of the {unit}{seeds}. Above 0 training every day is better."""
_DRIFT = """The population stability index (PSI) compares the later days with the first {days}: below 0.1 there is no
drift to speak of, above 0.25 much (dotted lines). Numbers fall into the tenths of the first days. Of ids the {most}
most frequent have a bin each, missing and unknown ones another, and all others a last one. "By chance" is what PSI is
on average without any drift, on the day with the fewest rows. A column that names the day itself, such as the day of
the week, is never as in several days. The axis is logarithmic."""
_OWN_GROUPS = "The groups are those of the aged model, which"
_OTHER_GROUPS = """The preset `{preset}` has no groups. These are the groups of the same model with groups, which was
trained on the first days for these pictures alone and"""
_GROUPS = """{whose} puts the rows of all days into them, so that a code means the same on each. A line is a level of
codes, and PSI is that of the shares of its codes."""


def daily_page(report: DailyReport) -> ReportPage:
    """The page of the variants.

    Args:
        report: what they have reached.
    """
    unit = "rows" if report.user is None else "users"
    several = len(report.runs) > 1
    page = ReportPage(
        f"Daily training on {report.name}",
        _ABOUT.format(unit=unit, seeds=_SEVERAL_SEEDS if several else _ONE_SEED),
        configuration=dataclasses.asdict(report.settings),
        seeds=list(report.runs),
    )
    for title, table in report.gains().items():
        page.add_gains(table, title, unit)
    page.add_table(report.title, ["variant", *report.tasks, "seconds"], report.rows())
    page.add_lines("NE by day", [_entropies(report, task) for task in report.tasks], _ENTROPY)
    ages = _AGES.format(unit=unit, seeds=" and the seeds" if several else "")
    page.add_lines("Gain of daily training by model age", _ages(report), ages)
    page.add_lines("Rows and ids by day", list(_ids(report)))
    _add_drift(page, report)
    return page


def _entropies(report: DailyReport, task: str) -> LineChart:
    lines = {v: [report.entropy(place, v, task) for place in range(len(report.days))] for v in VARIANTS}
    return LineChart(task, "day", "NE", [day.name for day in report.days], lines, baseline="retrained", digits=5)


def _ages(report: DailyReport) -> list[LineChart]:
    tables = [report.gain([place], "aged") for place in range(len(report.days))]
    ages = [day.age for day in report.days]
    found = []
    for task in report.tasks:
        gains = [table.of("growing", task).gain for table in tables]
        values = [None if gain is None else 100.0 * gain.value for gain in gains]
        ends = [None if gain is None else (100.0 * gain.low, 100.0 * gain.high) for gain in gains]
        found.append(
            LineChart(
                task,
                "age of the aged model, days",
                "NE gain, %",
                ages,
                {"growing": values},
                {"growing": ends},
                levels=[0.0],
                digits=2,
                signs=True,
            )
        )
    return found


def _ids(report: DailyReport) -> Iterator[LineChart]:
    """The rows of all days; of each id column its ids, the room for them, the new ones and those handed on."""
    days = [entry["period"] for entry in report.ledger]
    yield LineChart("Rows", "day", "rows", days, {"rows": [entry["rows"] for entry in report.ledger]}, digits=0)
    columns = list(report.ledger[0]["growth"])

    def grown(column: str, figure: str) -> list[float]:
        return [entry["growth"][column][figure] for entry in report.ledger]

    for column in columns:
        lines = {"used": grown(column, "used"), "capacity": grown(column, "capacity")}
        yield LineChart(f"Ids of {column}", "day", "ids", days, lines, baseline="capacity", digits=0)
    for title, figure in (("New ids", "new"), ("Ids handed on to new tokens", "handed_on")):
        for first in range(0, len(columns), _MOST_LINES):
            some = columns[first : first + _MOST_LINES]
            yield LineChart(title, "day", "ids", days, {name: grown(name, figure) for name in some}, digits=0)


def _add_drift(page: ReportPage, report: DailyReport) -> None:
    drift, days = report.drift, [day.name for day in report.days]
    highest = {name: max((v for v in values if v is not None), default=0.0) for name, values in drift.features.items()}
    names = sorted(highest, key=lambda name: -highest[name])
    settings = report.settings

    def chart(title: str, lines: dict[str, list[float | None]], logarithmic: bool = False) -> LineChart:
        return LineChart(title, "day", "PSI", days, lines, levels=_LEVELS, logarithmic=logarithmic)

    most = {name: drift.features[name] for name in names[:_MOST_LINES]}
    title = "All features" if len(names) == len(most) else f"The {len(most)} features that drift most"
    about = _DRIFT.format(days=f"{settings.first_days} days", most=MOST_IDS)
    page.add_lines("Drift of features by day", [chart(title, most, logarithmic=True)], about)
    rows = [[name, *(number(v, 3) for v in (drift.chance[name], *drift.features[name]))] for name in names]
    page.add_table("PSI of all features", ["feature", "by chance", *days], rows)
    charts = []
    for placement in dict.fromkeys(name.partition(", ")[0] for name in drift.groups):
        parts = {name.partition(", "): values for name, values in drift.groups.items()}
        levels = {level: values for (of, _, level), values in parts.items() if of == placement}
        charts.append(chart(f"Groups of {placement}", levels))
    whose = _OWN_GROUPS if drift.own_groups else _OTHER_GROUPS.format(preset=settings.preset)
    page.add_lines("Drift of learned groups by day", charts, _GROUPS.format(whose=whose))
