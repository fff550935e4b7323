"""Rows whose tokens are mostly unknown are told of where a version is compared on them."""

import keras
import numpy as np
import pytest
from support.raw_ads import TRANSFORMS, raw_rows

import grouprank as gr
from grouprank.datasets import TableTransforms

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it is counted on the host")

TOLD = "Raw column 'os': 100.0 % of 600 tokens are out of the vocabulary of 'os'; in training it was 2.0 %"


def test_comparisons_tell_of_a_column_that_changed_its_spelling(exported):
    model, path, _ = exported
    transforms = TableTransforms(TRANSFORMS.schema, TRANSFORMS.columns, {"os": 0.02, "user_id": 0.4})
    rows = raw_rows()
    rows["os"] = np.array([f"{value}.0" for value in rows["os"]], dtype=object)
    with pytest.warns(UserWarning, match=TOLD):
        report = gr.serving.check_skew(path, transforms, rows)
    assert report.equal
    assert TOLD in str(report)
    with pytest.warns(UserWarning, match=TOLD) as told:
        verified = gr.serving.verify(model, path, transforms, rows)
    assert len([warning for warning in told if TOLD in str(warning.message)]) == 1  # a library may warn beside it
    assert TOLD in str(verified)
    assert [found.example for found in verified.unknown] == [min(rows["os"])]
