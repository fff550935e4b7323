"""Where all labels are of one class, NE is undefined, and no gain may stand beside it."""

import json

import numpy as np
import polars as pl
import pytest
from support.prediction_frame import prediction_frame

from grouprank.reports import (
    GateRule,
    PredictionSums,
    Segmentation,
    check_gate,
    compare,
    gain_table,
    segment_report,
    task_metrics,
)


@pytest.fixture(scope="module", params=[0.0, 1.0])
def sums(request):
    frame = prediction_frame(np.random.default_rng(0), rows=3000).with_columns(click=pl.lit(request.param))
    sums = PredictionSums(["click"], ["old", "new"], "user", [Segmentation("tab")])
    for seed in range(2):
        sums.update(frame, seed)
    return sums


def test_gain_tables_and_segments_have_none(sums):
    found = gain_table(sums).of("new", "click")
    assert (found.normalized_entropy, found.gain, found.verdict) == (None, None, "insufficient data")
    assert "| new | – | – | – | – |" in gain_table(sums).to_markdown()
    segments = segment_report(sums, "new", min_positives=0.0).segments
    assert len(segments) == 3
    assert all(s.gain is None and s.contribution is None and s.entropies == (None, None) for s in segments)


def test_the_gate_has_nothing_to_judge(sums):
    report = {"gains": gain_table(sums).to_dict(), "segments": segment_report(sums, "new").to_dict()}
    rules = [GateRule(("all rows", "tab/tab=home"), max_loss=0.0)]
    result = check_gate(json.loads(json.dumps(report)), rules)
    assert [check.status for check in result.checks] == ["insufficient data"] * 2


def test_a_comparison_shows_none():
    labels = np.zeros(10)
    both = [{"click": task_metrics(labels, np.full(10, p))} for p in (0.2, 0.1)]
    found = compare(both[0], {"new": both[1]})
    assert found.gain("new", "click") is None
    assert found.to_dict()["candidates"]["new"]["click"]["ne_gain"] is None
    assert "%" not in found.to_markdown()
