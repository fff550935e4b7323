"""The page of daily training from figures at hand: many id columns, groups of its own, intervals over seeds."""

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import TableDescription
from grouprank.recipes.daily_drift import Drift
from grouprank.recipes.daily_page import daily_page
from grouprank.recipes.daily_report import DailyReport
from grouprank.recipes.daily_settings import DailySettings
from grouprank.recipes.daily_variants import VARIANTS, Day
from grouprank.reports import task_metrics

IDS = [f"C{number}" for number in range(1, 9)]
DESCRIPTION = TableDescription.from_dict(
    {"features": [{"name": name, "kind": "categorical", "side": "ad"} for name in IDS], "tasks": ["click"]}
)


def day(number, seed):
    """Rows of which growing ids know half of the logit and the others less; the first day has one class of labels."""
    rng = np.random.default_rng(number)
    logit = rng.normal(size=800) * 2.0
    click = (rng.random(800) < 1 / (1 + np.exp(-logit))) * float(number > 0)
    noise = np.random.default_rng([number, seed]).normal(0.0, 0.05, 800)
    skills = dict.fromkeys(VARIANTS, 0.3) | {"growing": 0.5}
    predicted = {f"{name}:click": 1 / (1 + np.exp(-skill * logit - noise)) for name, skill in skills.items()}
    columns = {"user": np.arange(800) % 400, "unseen": np.arange(800) % 2 == 0, "click": click, **predicted}
    seconds = {"frozen": 1.0, "growing": 2.0 + seed, "hashed": 3.0, "retrained": 60.0}
    return Day(f"day_{number}", number + 1, pl.DataFrame(columns), seconds)


@pytest.fixture(scope="module")
def report():
    runs = {seed: [day(number, seed) for number in range(3)] for seed in (7, 8)}
    growth = {"new": 5, "handed_on": 1, "used": 50, "capacity": 64}
    ledger = [{"period": f"day_{n}", "rows": 800, "growth": dict.fromkeys(IDS, growth)} for n in range(3)]
    drift = Drift(
        {name: [0.1, None, 0.2] for name in IDS}, {"user, level 1": [0.0, 0.1, 0.3]}, dict.fromkeys(IDS, 0.01)
    )
    return DailyReport("criteo", runs, ledger, drift, DESCRIPTION, None, DailySettings(seed=7))


def test_figures_are_means_over_the_seeds(report):
    frames = [days[1].frame for days in report.runs.values()]
    expected = [task_metrics(f["click"].to_numpy(), f["growing:click"].to_numpy()).normalized_entropy for f in frames]
    assert report.entropy(1, "growing", "click") == pytest.approx(np.mean(expected))
    assert report.entropy(0, "growing", "click") is None
    # Three days each; growing takes 9 seconds a day under the one seed and 10 under the other.
    assert [row[-1] for row in report.rows()] == ["0", "3.0", "28.5", "9.0", "180.0"]


def test_both_comparisons_are_claimed_over_seeds(report):
    gains = report.gains()
    assert list(gains)[:2] == [
        "Growing ids against retrained",
        "Growing ids against frozen, rows with ids unseen in the first days",
    ]
    for table, rows in zip(gains.values(), (2400, 1200, 2400, 1200), strict=True):
        assert (table.seeds, table.rows["click"]) == (2, rows)
        assert table.of("growing", "click").verdict == "better"


def test_the_page_shows_all_columns_and_says_whose_groups_they_are(report):
    html = daily_page(report).to_html()
    assert html.count(">New ids</strong>") == html.count(">Ids handed on to new tokens</strong>") == 2
    assert all(f">Ids of {name}</strong>" in html for name in IDS)
    assert "The 7 features that drift most" in html
    assert "The groups are those of the aged model" in html
    assert "of the rows and the seeds" in html
    assert "2 seeds: 7, 8" in html
