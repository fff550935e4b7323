"""A numeric column in which nothing is a number is told when transforms are fitted."""

import warnings

import polars as pl
import pytest

import grouprank as gr
from grouprank.datasets import NumericColumn
from grouprank.datasets.transforms.transform_fitter import TransformFitter


def fit(*values):
    fitter = TransformFitter([NumericColumn("bid", "ad"), NumericColumn("age", "user")], [gr.Task("click")])
    fitter.update(pl.DataFrame({"bid": list(values), "age": [1.0, 2.0]}, schema={"bid": pl.Float32, "age": pl.Float32}))
    return fitter.finish()


def test_it_is_named():
    with pytest.warns(UserWarning, match="No training row has a finite number in 'bid': the feature is 0 in every row"):
        fit(None, float("nan"))


def test_one_number_is_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(None, 2.0)
