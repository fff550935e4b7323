"""What groups are, whether seeds agree on them, and how well they recover planted ones."""

import json

import numpy as np
import polars as pl
import pytest

from grouprank.reports import group_recovery, group_report, group_stability


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    group = rng.choice(4, 4000, p=[0.5, 0.3, 0.15, 0.05])
    country = np.where(rng.random(4000) < 0.7, np.array(["DE", "FR", "US", "JP"])[group], "BR")
    return {
        "codes": np.stack([group * 2, rng.integers(0, 8, 4000)], axis=1),
        "features": pl.DataFrame({"country": country, "bid": group + rng.random(4000), "noise": rng.random(4000)}),
        "labels": {"click": (rng.random(4000) < 0.1 * (1 + group)).astype(float), "like": np.full(4000, np.nan)},
        "time": np.repeat([1, 2], 2000),
    }


def test_usage_by_hand():
    report = group_report("user", np.array([[0, 1], [0, 1], [0, 1], [3, 1]]), 4, residual_norms=[2.0, 0.5])
    first, second = report.levels
    assert (first.used, first.dead, first.residual_norm) == (2, 2, 2.0)
    assert first.perplexity == pytest.approx(0.75**-0.75 * 0.25**-0.25)
    assert second.perplexity == pytest.approx(1.0)
    assert [(group.code, group.share) for group in report.groups] == [(0, 0.75), (3, 0.25)]


def test_groups_are_known_by_what_they_have_in_common(rows):
    report = group_report("user", rows["codes"], 8, rows["features"], rows["labels"], rows["time"])
    assert [group.code for group in report.groups] == [0, 2, 4, 6]
    for group, country in zip(report.groups, ("DE", "FR", "US", "JP"), strict=True):
        telling = {found.value: found for found in group.lifts}
        here = rows["codes"][:, 0] == group.code
        share = (rows["features"]["country"].to_numpy()[here] == country).mean()
        everywhere = (rows["features"]["country"].to_numpy() == country).mean()
        assert telling[f"country={country}"].share == pytest.approx(share)
        assert telling[f"country={country}"].lift == pytest.approx(share / everywhere)
        assert group.rates["click"] == pytest.approx(rows["labels"]["click"][here].mean())
        assert group.rates["like"] is None
        assert not any(value.startswith("noise") for value in list(telling)[:2])
    assert "bid≥" in report.groups[-1].lifts[0].value + report.groups[-1].lifts[1].value
    assert report.periods == ("1", "2")
    json.dumps(report.to_dict(), allow_nan=False)
    assert f"| 0 | {report.groups[0].rows:,} | {100 * report.groups[0].share:.1f} |" in report.to_markdown(most=1)
    assert "3 smaller groups are not shown" in report.to_markdown(most=1)


def test_a_group_in_one_line():
    codes, features = np.array([[0], [0], [0], [3]]), {"os": ["ios", "ios", "ios", "a\nb"]}
    report = group_report("user", codes, 4, features, {"click": [1, 0, 0, 1], "like": np.full(4, np.nan)})
    assert report.describe(0) == "75.0 % of rows; click 33.33 % (all 50.00 %); os=ios (×1.3)"
    assert report.describe(3) == "25.0 % of rows; click 100.00 % (all 50.00 %); os=a\\nb (×4.0)"
    assert report.describe(1) == "none of the 4 rows of the report"


def test_drift_of_a_share(rows):
    codes = np.array([[0], [0], [0], [1], [0], [1], [1], [1]])
    report = group_report("user", codes, 2, time=["mon"] * 4 + ["tue"] * 4)
    shares = {group.code: (group.shares_over_time, group.drift) for group in report.groups}
    assert shares == {0: ((0.75, 0.25), pytest.approx(1 / 3)), 1: ((0.25, 0.75), pytest.approx(3.0))}


def test_stability_is_of_groupings_not_of_names():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, (3000, 2))
    renamed = np.stack([rng.permutation(6)[codes[:, 0]], codes[:, 1]], axis=1)
    other = rng.integers(0, 6, (3000, 2))
    assert group_stability([codes, renamed]) == pytest.approx([1.0, 1.0])
    assert group_stability([codes, other]) == pytest.approx([0.0, 0.0], abs=0.01)
    half = np.where(rng.random((3000, 1)) < 0.5, codes, other)
    assert 0.05 < group_stability([codes, half])[0] < 0.6
    many = rng.integers(0, 60, (9000, 2))
    assert group_stability([many, many])[1] is None


def test_recovery_tells_tangled_codes_from_clean_ones():
    rng = np.random.default_rng(0)
    factors = {"user": rng.integers(0, 5, 4000), "ad": rng.integers(0, 5, 4000)}
    noise = rng.integers(0, 5, 4000)
    clean = group_recovery({"user": np.stack([factors["user"], noise], 1), "ad": factors["ad"][:, None]}, factors)
    assert clean.mutual_information["user"]["user"] == pytest.approx(1.0)
    assert clean.mutual_information["user"]["ad"] == pytest.approx(0.0, abs=0.01)
    assert clean.disentanglement > 0.95
    assert clean.completeness > 0.95
    assert clean.variables == ("user:1", "user:2", "ad:1")
    assert clean.informativeness["user"] > 0.99 > 0.3 > clean.chance["user"]
    # Both factors in each of two codes: all is there, and nothing apart.
    total, difference = (factors["user"] + factors["ad"]) % 5, (factors["user"] - factors["ad"]) % 5
    tangled = group_recovery({"both": np.stack([total, difference], axis=1)}, factors)
    assert tangled.disentanglement < 0.1
    assert tangled.completeness < 0.1
    json.dumps(tangled.to_dict(), allow_nan=False)


def test_what_the_user_gets_wrong(rows):
    with pytest.raises(ValueError, match=r"`features` must have a row for each of the 3 rows.*4000"):
        group_report("user", rows["codes"][:3], 8, rows["features"])
    with pytest.raises(ValueError, match=r"integers in \[0, 4\).*from 0 to 7"):
        group_report("user", rows["codes"], 4)
    with pytest.raises(ValueError, match="at least two models"):
        group_stability([rows["codes"]])
    with pytest.raises(ValueError, match=r"Received rows: \{'user': 4000, 'factor': 3\}"):
        group_recovery({"user": rows["codes"]}, {"factor": [1, 2, 3]})
