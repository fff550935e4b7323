"""Rows into segments: values, crosses, bins and code prefixes."""

import numpy as np
import polars as pl
import pytest

from grouprank.reports import Segmentation


def test_codes_by_prefix():
    frame = pl.DataFrame(Segmentation.code_columns("user", np.array([[1, 2, 3], [1, 0, 3], [4, 2, 3]])))
    assert Segmentation.codes("user", 1).labels(frame).to_list() == ["user:1=1", "user:1=1", "user:1=4"]
    assert Segmentation.codes("user", 2).labels(frame).n_unique() == 3
    assert Segmentation.codes("user", 2).name == "groups user, levels 1 – 2"


def test_bins_hold_every_number():
    frame = pl.DataFrame({"x": [-np.inf, 0.9, 1.0, 5.0, np.inf, np.nan, None]})
    labels = Segmentation("x", {"x": [1, 5]}).labels(frame).to_list()
    assert labels == ["x<1", "x<1", "1≤x<5", "x≥5", "x≥5", "x=(missing)", "x=(missing)"]


def test_quantiles_of_ties_are_fewer():
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x": np.where(rng.random(1000) < 0.8, 0.0, rng.random(1000)), "c": 1.0})
    assert len(Segmentation.quantiles(frame, "x", 10).edges["x"]) == 2
    assert Segmentation.quantiles(frame, "c", 4).edges == {}
    shares = Segmentation.quantiles(pl.DataFrame({"x": rng.random(10_000)}), "x", 4)
    counts = shares.labels(pl.DataFrame({"x": rng.random(10_000)})).value_counts()["count"]
    assert counts.min() > 2300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "one column or several different ones"),
        ((("a", "a"),), "one column or several different ones"),
        (("a", {"a": [2.0, 1.0]}), "increasing finite numbers"),
        (("a", {"b": [1.0]}), "increasing finite numbers"),
        (("a", {"a": [np.nan]}), "increasing finite numbers"),
    ],
)
def test_what_the_user_gets_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        Segmentation(*arguments)


def test_no_finite_number_has_no_quantiles():
    with pytest.raises(ValueError, match="no finite number"):
        Segmentation.quantiles(pl.DataFrame({"x": [np.nan]}), "x")
