import numpy as np
import polars as pl

from grouprank.benchmarks import drift_alarms
from grouprank.reports import drift


def test_days_are_those_of_the_log_and_the_first_ones_the_reference():
    log = drift_alarms.generated(days=3, rows=400, seed=0, scale=0.0)
    reference, later = drift_alarms.cut(log)
    assert reference.rows == (log["day"] < drift_alarms.REFERENCE_DAYS).sum()
    assert [day["day"].unique().to_list() for day in later] == [[7], [8], [9]]
    assert not {"day", "luck", *drift_alarms.CALENDAR} & set(reference.columns)


def test_a_feature_that_drifts_is_found_alone():
    log = drift_alarms.generated(days=2, rows=2000, seed=0, scale=0.0)
    rng = np.random.default_rng(0)
    dealt = log.with_columns(day=pl.Series(rng.permutation(len(log)) // 2000), luck=pl.Series(rng.random(len(log))))
    reference, later = drift_alarms.cut(dealt)
    assert drift_alarms.alarms([drift(reference, day) for day in later]) == ("0", "0")
    found = {row[0]: (row[2], row[4]) for row in drift_alarms.planted(reference, later)}
    assert set(found) == set(drift_alarms.PLANTED)
    assert {found[feature] for feature in ("bid", "tenure_days", "device", "hour")} == {("2", "0")}
    assert len(drift_alarms.named([drift(reference, later[0])])) == len(reference.parts)
