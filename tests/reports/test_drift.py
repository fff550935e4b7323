"""Profiles of logs and their drift, against NumPy and cases by hand."""

import datetime
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.spatial.distance import jensenshannon

import grouprank
from grouprank.reports import LogProfile, drift, jensen_shannon_divergence


def log(rng, rows=4000, ads=80, days_later=0):
    """Independent rows without drift; `days_later` shifts one column alone."""
    p = rng.beta(2.0, 8.0, rows)
    return pl.DataFrame(
        {
            "bid": np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(2.0, 1.0 + 0.5 * days_later, rows)),
            "ad": rng.zipf(1.5, rows) % ads,
            "os": rng.choice(["ios", "web", "car"], rows, p=[0.5, 0.3, 0.2]),
            "new_user": rng.random(rows) < 0.3,
            "user:1": rng.integers(0, 8, rows),
            "user:2": rng.integers(0, 8, rows),
            "served:click": p,
            "click": (rng.random(rows) < p).astype(float),
        }
    )


SCORES = {"click": "served:click"}


class TestJensenShannon:
    def test_cases_by_hand(self):
        # Shares (1, 0) and (1/2, 1/2), with the middle (3/4, 1/4).
        expected = 0.5 * math.log2(4 / 3) + 0.5 * (0.5 * math.log2(2 / 3) + 0.5 * math.log2(2))
        assert jensen_shannon_divergence([8, 0], [3, 3]) == pytest.approx(expected, rel=1e-12)
        assert jensen_shannon_divergence([3, 3], [8, 0]) == pytest.approx(expected, rel=1e-12)
        assert jensen_shannon_divergence([1, 0], [0, 7]) == 1.0

    def test_it_is_the_square_of_scipys_distance(self):
        counts = np.random.default_rng(0).integers(0, 50, (2, 30))
        assert jensen_shannon_divergence(*counts) == pytest.approx(jensenshannon(*counts, base=2) ** 2)

    @pytest.mark.parametrize("sides", [([1, 2], [1, 2, 3]), ([1, -1], [1, 1]), ([1, 1], [0, 0])])
    def test_errors(self, sides):
        with pytest.raises(ValueError, match=r"must (hold the rows of the same bins|be counts)"):
            jensen_shannon_divergence(*sides)


class TestBins:
    def test_numbers_fall_into_deciles_and_missing_ones_apart(self):
        column = LogProfile.fit({"x": [*np.arange(100.0), float("nan")]}).columns["x"]
        assert column.edges == tuple(np.arange(10.0, 100.0, 10.0))
        assert column.counts.tolist() == [1, *[10] * 10]

    def test_a_value_that_fills_a_decile_has_its_own_bin(self):
        profile = LogProfile.fit({"x": [0.0] * 50 + [*np.arange(1.0, 51.0)]})
        now = profile.count({"x": [-0.001, 0.0, 1e-9]}).columns["x"]
        found = dict(zip(now.labels, now.counts.tolist(), strict=True))
        assert (found["< 0"], found["= 0"], found[now.labels[3]]) == (1, 1, 1)

    def test_a_constant_is_watched(self):
        report = drift({"x": [5.0] * 500}, {"x": [6.0] * 500})
        assert report.drifted == ("x",)
        assert (report.parts[0].moved, report.parts[0].shares) in [("= 5", (1.0, 0.0)), ("> 5", (0.0, 1.0))]

    def test_the_most_frequent_tokens_have_a_bin_each(self):
        column = LogProfile.fit({"ad": np.repeat(np.arange(60), np.arange(60, 0, -1))}).columns["ad"]
        assert column.tokens == tuple(map(str, range(50)))
        assert column.counts.tolist() == [0, *range(60, 10, -1), sum(range(1, 11))]

    def test_lists_count_their_values_and_empty_ones_are_missing(self):
        column = LogProfile.fit(pl.DataFrame({"seen": [["a", "b"], ["b"], [], None, [None]]})).columns["seen"]
        assert dict(zip(column.labels, column.counts.tolist(), strict=True)) == {
            "(missing)": 3,
            "b": 2,
            "a": 1,
            "(others)": 0,
        }

    def test_vectors_numbers_and_what_is_left_out(self):
        frame = pl.DataFrame(
            {"age": range(200), "at": [datetime.date(2024, 1, 1)] * 200, "vector": np.ones((200, 3))},
        )
        profile = LogProfile.fit(frame, numbers=["age"])
        assert list(profile.columns) == ["age", "vector"]
        assert len(profile.columns["age"].edges) == 9
        assert profile.columns["vector"].counts.sum() == 600

    def test_pandas_turns_integers_beside_missing_ones_into_floats(self):
        now = LogProfile.fit({"ad": [1, 1, 2]}).count(pd.DataFrame({"ad": [1.0, None, 2.0]})).columns["ad"]
        assert (now.tokens, now.counts.tolist(), now.new) == (("1", "2"), [1, 1, 1, 0], {})

    def test_new_and_unknown_tokens(self):
        profile = LogProfile.fit({"ad": ["a", "b", "b", "z"]}, vocabularies={"ad": ["a", "b"]})
        now = profile.count(pl.DataFrame({"ad": ["b", "c", "d", "d", None, "z"]}), {"ad": ["a", "b"]})
        assert (now.columns["ad"].new, now.columns["ad"].unknown) == ({"d": 2, "c": 1}, 4)
        (part,) = drift(profile, now).parts
        assert part.unknown == (1 / 4, 4 / 6)
        assert (part.new_share, part.new_tokens, part.missing) == (3 / 6, ("d", "c"), (0.0, 1 / 6))

    def test_tokens_of_the_reference_s_later_frames_are_not_new(self):
        reference = LogProfile.fit({"ad": ["a", "b"]}).update({"ad": ["c"]})
        (part,) = drift(reference, {"ad": ["a", "c", "d", "d"]}).parts
        assert (part.new_tokens, part.new_share) == (("d",), 0.5)

    def test_tokens_of_many_are_not_known_to_be_new(self):
        (part,) = drift({"ad": range(1001)}, {"ad": [5000] * 10}).parts
        assert (part.new_tokens, part.new_share) == ((), None)


class TestLogProfile:
    def test_parts_add_up_to_the_whole(self):
        rng = np.random.default_rng(0)
        reference = LogProfile.fit(log(rng), SCORES, user="ad")
        frame = log(rng).with_columns(click=pl.when(pl.col("new_user")).then(None).otherwise("click"))
        whole = reference.count(frame)
        chunks = [frame[:100], frame[100:1500], frame[1500:]]
        merged = reference.count(chunks[0])
        for chunk in chunks[1:]:
            merged.merge(reference.count(chunk))
        for found in (merged, reference.count(iter(chunks))):
            assert found.rows == whole.rows
            for name, part in whole.parts.items():
                assert found.parts[name].to_dict() == part.to_dict()
            np.testing.assert_allclose(found.scores["click"].sums, whole.scores["click"].sums, rtol=1e-12)

    def test_a_file_keeps_all(self, tmp_path):
        rng = np.random.default_rng(0)
        profile = LogProfile.fit(log(rng).with_columns(seen=pl.Series([["a"], []] * 2000)), SCORES, user="ad")
        read = LogProfile.load(profile.save(tmp_path / "profile.json"))
        assert read.to_dict() == profile.to_dict()
        frame = log(rng, 500)
        assert drift(read, frame).to_dict() == drift(profile, frame).to_dict()

    @pytest.mark.parametrize("text", ["[]", '{"version": 9}', '{"version": 1}', "no JSON"])
    def test_what_is_no_profile(self, text, tmp_path):
        path = tmp_path / "profile.json"
        path.write_text(text)
        with pytest.raises(ValueError, match="profile.json: "):
            LogProfile.load(path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"columns": ["no"]}, r"The frame has no columns \['no'\]"),
            ({"columns": ["at"]}, r"numbers, strings, booleans or lists of them. Received: {'at': 'Date'}"),
            ({"vocabularies": {"no": [1]}}, r"`vocabularies` must be of raw columns: \['os'\]. Received: \['no'\]"),
        ],
    )
    def test_errors(self, options, message):
        with pytest.raises(ValueError, match=message):
            LogProfile.fit(pl.DataFrame({"os": ["ios"], "at": [datetime.date(2024, 1, 1)]}), **options)


class TestDrift:
    def test_figures_are_those_of_numpy(self):
        (part,) = drift({"os": ["ios"] * 60 + ["web"] * 40}, {"os": ["ios"] * 10 + ["web"] * 40}).parts
        # Half a row of the smaller sample has a share of 0.01.
        p, q = (np.array([0.6, 0.4]) + 0.01) / 1.02, (np.array([0.2, 0.8]) + 0.01) / 1.02
        assert part.psi == pytest.approx(np.sum((q - p) * np.log(q / p)), rel=1e-12)
        m = (np.array([0.6, 0.4]) + np.array([0.2, 0.8])) / 2
        js = 0.5 * np.sum([0.6, 0.4] * np.log2([0.6, 0.4] / m)) + 0.5 * np.sum([0.2, 0.8] * np.log2([0.2, 0.8] / m))
        assert part.js == pytest.approx(js, rel=1e-12)
        assert part.chance == pytest.approx(1 / 100 + 1 / 50)
        # Chi-squared with one degree of freedom.
        assert part.p_value == pytest.approx(math.erfc(math.sqrt(part.psi / 0.03 / 2)))
        assert (part.moved, part.shares) == ("ios", (0.6, 0.2))

    def test_a_planted_drift_is_named_and_no_other(self):
        rng = np.random.default_rng(1)
        report = drift(LogProfile.fit(log(rng, 20_000), SCORES), log(rng, days_later=1))
        assert report.drifted == ("bid",)
        assert {(part.what, part.name) for part in report.parts} == {
            *(("column", name) for name in ("bid", "ad", "os", "new_user")),
            *(("group", name) for name in ("user:1", "user:2")),
            ("score", "click"),
        }

    def test_drifted_groups_and_scores_are_named(self):
        rng = np.random.default_rng(1)
        now = log(rng).with_columns(pl.col("user:1").clip(0, 3), pl.col("served:click") * 0.5)
        assert set(drift(log(rng), now, scores=SCORES).drifted) == {"user:1", "click"}

    def test_false_alarms_are_as_rare_as_stated(self):
        """Without the practical limit, which would hide it: the rate stated, up to three standard errors above it."""
        rng = np.random.default_rng(0)
        reference = LogProfile.fit(log(rng, 20_000), SCORES)
        found = [drift(reference, log(rng, 500), max_psi=0.0, false_alarms=0.2).drifted for _ in range(100)]
        alarms = sum(map(bool, found))
        assert 4 <= alarms <= 20 + 3 * 4

    def test_holms_correction(self):
        reference = {name: ["x"] * 500 + ["y"] * 500 for name in "abc"}
        rows = {"a": 440, "b": 450, "c": 500}
        parts = drift(reference, {name: ["x"] * n + ["y"] * (1000 - n) for name, n in rows.items()}).parts
        a, b, c = (part.p_value for part in parts)
        assert [part.corrected for part in parts] == pytest.approx([3 * a, max(3 * a, 2 * b), 1.0])
        assert c == 1.0

    def test_calibration_by_decile(self):
        rng = np.random.default_rng(0)
        frame = log(rng, 20_000)
        now = frame.with_columns(
            pl.Series("click", (rng.random(20_000) < 0.5 * frame["served:click"].to_numpy()).astype(float))
        )
        now = now.with_columns(click=pl.when(pl.col("new_user")).then(float("nan")).otherwise("click"))
        report = drift(frame, now, scores=SCORES)
        whole, *deciles = report.calibration
        labelled = now.filter(~pl.col("new_user"))
        assert (whole.label, whole.rows, len(deciles)) == ("all", len(labelled), 10)
        assert whole.now.value == pytest.approx(labelled["served:click"].sum() / labelled["click"].sum())
        assert whole.now.low > 1.8
        assert whole.then.low < 1 < whole.then.high
        edge = np.quantile(frame["served:click"].to_numpy(), 0.9, method="higher")
        top = labelled.filter(pl.col("served:click") >= edge)
        assert (deciles[-1].rows, deciles[-1].rate) == (len(top), pytest.approx(top["click"].mean()))
        assert sum(one.rows for one in deciles) == whole.rows

    def test_without_labels_there_is_no_calibration(self):
        rng = np.random.default_rng(0)
        assert drift(log(rng), log(rng).drop("click"), scores=SCORES).calibration == ()

    def test_a_column_that_the_log_lacks_is_missing_and_codes_are_not_compared(self):
        rng = np.random.default_rng(0)
        report = drift(log(rng), log(rng).drop("os", "user:2"))
        assert report.drifted == ("os",)
        assert report.not_compared == ("user:2",)
        assert "Not in the log, so not compared: user:2." in report.to_markdown()

    def test_other_bins_are_refused(self):
        one, two = LogProfile.fit({"x": ["a", "b"]}), LogProfile.fit({"x": ["a", "c"]})
        with pytest.raises(ValueError, match=r"They differ in: \['x'\]. Count the later log with `reference.count"):
            drift(one, two)
        with pytest.raises(ValueError, match=r"the same columns. Only one of them has: \['y'\]"):
            drift(one, LogProfile.fit({"x": ["a", "b"], "y": [1, 2]}))
        with pytest.raises(ValueError, match="Received: 2 then and 0 now"):
            drift(one, [])
        with pytest.raises(ValueError, match="`max_psi` must be a number of at least 0"):
            drift(one, one, max_psi=-1)
        with pytest.raises(ValueError, match="`false_alarms` must be between 0 and 1"):
            drift(one, one, false_alarms=5)

    def test_a_person_reads_it(self):
        report = drift({"os": ["ios", "web"] * 500}, {"os": ["ios", "a|b"] * 500})
        assert str(report).splitlines()[0] == (
            "1 of 1 parts of the log has drifted (1,000 rows in the reference, 1,000 now; a limit of 0.1 for PSI):"
        )
        assert "50.0 % → 0.0 %" in report.to_markdown()
        assert r"50.0 %: a\|b" in report.to_markdown()
        assert json.loads(json.dumps(report.to_dict()))["drifted"] == ["os"]

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_files(self, kind, tmp_path):
        rng = np.random.default_rng(0)
        reference = LogProfile.fit(log(rng), SCORES)
        paths = [tmp_path / "1", tmp_path / "2"]
        for path in paths:
            getattr(log(rng), f"write_{kind}")(path)
        report = drift(reference, (getattr(pl, f"read_{kind}")(path) for path in paths))
        assert (report.rows, report.drifted) == ((4000, 8000), ())

    def test_the_example_of_the_page_runs(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        page = (Path(grouprank.__file__).parent / "docs" / "drift.md").read_text(encoding="utf-8")
        exec(page.split("```python\n")[1].split("```")[0], {})
        assert "- bid: PSI 0." in capsys.readouterr().out
        assert "bid" in (tmp_path / "drift.html").read_text(encoding="utf-8")
