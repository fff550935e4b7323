"""Drift by day against counts by hand: which bins there are, and which model puts rows into groups."""

import keras
import numpy as np
import polars as pl
import pytest

from grouprank.datasets import TableDescription
from grouprank.incremental import fit_transforms, periods
from grouprank.models import CTRModel
from grouprank.recipes.daily_drift import MOST_IDS, measure_drift
from grouprank.reports import population_stability_index

DESCRIPTION = TableDescription.from_dict(
    {
        "features": [
            {"name": "user", "kind": "categorical", "side": "user"},
            {"name": "ad", "kind": "growing", "side": "ad", "capacity": 200},
            {"name": "ads", "kind": "sequence", "side": "user", "length": 2, "shares": "ad"},
            {"name": "bid", "kind": "numeric", "side": "ad"},
            {"name": "title", "kind": "vector", "side": "ad", "dim": 2},
        ],
        "tasks": ["click"],
    }
)


def rows(day, users, ads, bids):
    count = len(ads)
    return pl.DataFrame(
        {
            "user": users,
            "ad": ads,
            "ads": [f"{ad},{ad}" for ad in ads],
            "bid": bids,
            "title": [[0.0, float(day)]] * count,
            "click": [0.0, 1.0] * (count // 2),
        },
        schema_overrides={"bid": pl.Float32},
    )


@pytest.fixture(scope="module")
def drift(tmp_path_factory):
    """Two first days, a day like them, a day of new ads, other users and missing bids, and the group codes of all."""
    folder = tmp_path_factory.mktemp("log")
    users, ads, bids = [f"u{n % 3}" for n in range(120)], [f"a{n % 60}" for n in range(120)], np.arange(120.0)
    days = [(users, ads, bids)] * 3
    days.append((["u0"] * 120, [f"b{n}" for n in range(60)] + ["a0"] * 60, [None] * 30 + [500.0] * 90))
    for number, columns in enumerate(days, 1):
        rows(number, *columns).write_parquet(folder / f"2024-01-{number:02d}.parquet")
    log = periods(folder)
    keras.utils.set_random_seed(0)
    transforms, _ = fit_transforms(DESCRIPTION, log[:2]).extended(rows(1, *days[0]))
    model = CTRModel(
        transforms.schema, backbone="mlp", embedding_dim=2, group_structure=("user",), residual_learning=False
    )
    codes = [model.groups(transforms(rows(number, *columns)))["user"] for number, columns in enumerate(days, 1)]
    return measure_drift(DESCRIPTION, log, 2, model, transforms, batch_size=50), codes


def test_a_day_like_the_first_ones_has_not_drifted(drift):
    found, _ = drift
    for by_day in (*found.features.values(), *found.groups.values()):
        assert by_day[0] == pytest.approx(0.0, abs=1e-12)


def test_features_are_counted_in_bins_of_the_first_days(drift):
    found, _ = drift
    assert list(found.features) == ["user", "ad", "ads", "bid"]  # no vector
    assert found.features["user"][1] == pytest.approx(population_stability_index([80, 80, 80], [120, 0, 0]))
    # New ads are unknown; 60 known ones of two rows a day each: 50 bins, and one for the last ten, less a0's own.
    before, now = [0] + [4] * MOST_IDS + [40], [60] + [60] + [0] * MOST_IDS
    assert found.features["ad"][1] == pytest.approx(population_stability_index(before, now))
    before, now = [0] + [8] * MOST_IDS + [80], [120] + [120] + [0] * MOST_IDS
    assert found.features["ads"][1] == pytest.approx(population_stability_index(before, now))
    # The tenths of 0 … 119 twice; missing bids have a bin, all others are in the last tenth.
    assert found.features["bid"][1] == pytest.approx(population_stability_index([0] + [24] * 10, [30] + [0] * 9 + [90]))


def test_groups_are_counted_by_code_of_one_model(drift):
    found, codes = drift
    assert list(found.groups) == [f"user, level {level}" for level in (1, 2, 3)]
    for level, by_day in enumerate(found.groups.values()):
        before, now = (
            np.bincount(np.concatenate(some)[:, level], minlength=16) for some in ([codes[0], codes[1]], [codes[3]])
        )
        assert by_day[1] == pytest.approx(population_stability_index(before, now))
        assert by_day[1] > 0.0


def test_what_chance_alone_gives(drift):
    found, _ = drift
    # Ten tenths and missing bids, 240 rows before and 120 on the later days.
    assert found.chance["bid"] == pytest.approx(10 * (1 / 240 + 1 / 120))
