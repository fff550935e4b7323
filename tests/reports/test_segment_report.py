"""Segments: what they contribute, what they hide, and whom chance fools."""

import json

import numpy as np
import polars as pl
import pytest
from support.prediction_frame import prediction_frame, sigmoid

from grouprank.reports import PredictionSums, Segmentation, gain_table, segment_report


@pytest.fixture(scope="module")
def report():
    # The candidate is better on the whole, and spoilt in one tab.
    sums = PredictionSums(["click", "like"], ["old", "new"], "user", [Segmentation("tab"), Segmentation("user")])
    frame = prediction_frame(np.random.default_rng(0), rows=40_000, users=2000, skill=(0.5, 0.7))
    for seed in range(4):
        noise = np.random.default_rng(seed + 10).normal(0.0, 0.1, len(frame))
        new = np.log(frame["new:click"] / (1 - frame["new:click"])) + noise
        new = np.where(frame["tab"] == "search", new + 0.8, new)
        sums.update(frame.with_columns(pl.Series("new:click", sigmoid(new))), seed)
    return segment_report(sums, "new")


def test_verdicts_name_the_spoilt_tab(report):
    verdicts = {segment.segment: segment.verdict for segment in report.of("tab", "click")}
    assert verdicts == {"tab=home": "better", "tab=feed": "better", "tab=search": "worse"}
    search = report.of("tab", "click")[-1]
    assert search.calibrations[1].low > 1.1 > search.calibrations[0].high
    # One shift of the segment's logits undoes what was done to it.
    assert search.recalibrated_entropies[1] < search.recalibrated_entropies[0] < search.entropies[1]
    assert search.calibration_errors[1] > 0.1


@pytest.mark.parametrize("task", ["click", "like"])
@pytest.mark.parametrize("segmentation", ["tab", "user"])
def test_shares_and_contributions_add_up(report, task, segmentation):
    segments = report.of(segmentation, task)
    assert sum(segment.share for segment in segments) == pytest.approx(1.0)
    assert sum(segment.contribution for segment in segments) == pytest.approx(1.0)


def test_small_segments_say_so(report):
    users = report.of("user", "click")
    assert len(users) == 2000
    assert {segment.verdict for segment in users} == {"insufficient data"}
    assert all(segment.gain is None and segment.q_value is None for segment in users)
    assert all(segment.rate is not None for segment in users)


def test_q_values_are_of_all_segments_of_a_task(report):
    tested = [s for s in report.segments if s.task == "click" and s.gain is not None]
    ordered = sorted(tested, key=lambda s: s.gain.p_value)
    raw = [s.gain.p_value * len(ordered) / (rank + 1) for rank, s in enumerate(ordered)]
    expected = np.minimum.accumulate(raw[::-1])[::-1]
    np.testing.assert_allclose([s.q_value for s in ordered], expected)


def test_chance_alone_makes_few_discoveries():
    """200 segments without any difference: at most a few studies in twenty call one better or worse."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(20):
        sums = PredictionSums(["click"], ["old", "new"], "user", [Segmentation("part")], buckets=100)
        rows = 20_000
        click = (rng.random(rows) < 0.4).astype(float)
        frame = {"user": rng.integers(0, 4000, rows), "part": rng.integers(0, 40, rows), "click": click}
        for seed in range(3):
            noise = {f"{model}:click": sigmoid(-0.4 + rng.normal(0, 0.2, rows)) for model in ("old", "new")}
            sums.update(pl.DataFrame({**frame, **noise}), seed)
        verdicts = [segment.verdict for segment in segment_report(sums, "new").segments]
        assert "insufficient data" not in verdicts
        wrong += any(verdict in ("better", "worse") for verdict in verdicts)
    assert wrong <= 4


def test_json_and_markdown_hold_every_figure(report):
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text)["segments"][0]["verdict"] in ("better", "worse", "no difference seen", "insufficient data")
    markdown = report.to_markdown(most=2)
    assert "### click, by tab" in markdown
    assert "1998 smaller segments are not shown." in markdown


def test_one_seed_makes_no_claim():
    sums = PredictionSums(["click"], ["old", "new"], "user", [Segmentation("tab")])
    sums.update(prediction_frame(np.random.default_rng(0), rows=20_000, users=1000, skill=(0.1, 0.9)))
    assert {s.verdict for s in segment_report(sums, "new").segments} == {"one seed: no claim"}
    table = gain_table(sums)
    assert table.of("new", "click").verdict == "one seed: no claim"
    assert table.of("new", "click").gain.low > 0.05


def test_gain_table_shows_what_it_could_have_seen():
    sums = PredictionSums(["click", "like"], ["old", "new"], "user")
    frame = prediction_frame(np.random.default_rng(0), rows=20_000, users=1000)
    for seed in range(5):
        sums.update(frame, seed)
    table = gain_table(sums)
    found = table.of("new", "click").gain
    assert table.rows["click"] == 20_000 > table.rows["like"]
    assert found.seed_error == pytest.approx(0.0, abs=1e-12)  # the same predictions under every seed
    # t quantiles .975 and .8 at 199 degrees of freedom.
    assert found.smallest_visible == pytest.approx(found.standard_error * (1.97196 + 0.84345), rel=1e-3)
    lines = table.to_markdown().splitlines()
    assert len(lines) == 2 + 4
    assert f"{100 * found.low:+.3f} to {100 * found.high:+.3f}" in lines[3]
    json.dumps(table.to_dict(), allow_nan=False)


def test_unknown_names():
    sums = PredictionSums(["click"], ["old", "new"], "user")
    sums.update(prediction_frame(np.random.default_rng(0), rows=100))
    with pytest.raises(ValueError, match=r"`candidate` must be one of \['new'\]. Received: candidate='old'"):
        segment_report(sums, "old")
    with pytest.raises(ValueError, match=r"unknown models \['x'\]"):
        gain_table(sums, ["x"])
