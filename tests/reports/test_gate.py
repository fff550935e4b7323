"""A candidate that loses is stopped, one that is only small is not, and what cannot be judged says why."""

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import typer
from support.prediction_frame import prediction_frame, sigmoid
from typer.testing import CliRunner

from grouprank.reports import GateRule, PredictionSums, Segmentation, check_gate, drift, gain_table, segment_report
from grouprank.reports.gate import main, rules_of


@pytest.fixture(scope="module")
def reports():
    # Better on the whole, spoilt in one tab; each `few` segment is too small to say anything.
    sums = PredictionSums(["click", "like"], ["old", "new"], "user", [Segmentation("tab"), Segmentation("few")])
    frame = prediction_frame(np.random.default_rng(0), rows=30_000, users=1500, skill=(0.5, 0.7))
    frame = frame.with_columns(few=pl.col("user") // 50)
    for seed in range(3):
        new = np.log(frame["new:click"] / (1 - frame["new:click"])) + np.random.default_rng(seed).normal(0, 0.1, 30_000)
        new = np.where(frame["tab"] == "search", new + 0.8, new)
        sums.update(frame.with_columns(pl.Series("new:click", sigmoid(new))), seed)
    segments = segment_report(sums, "new", min_users=60).to_dict()
    return {"gains": gain_table(sums).to_dict(), "segments": segments}


@pytest.fixture(scope="module")
def report_file(reports, tmp_path_factory):
    path = tmp_path_factory.mktemp("gate") / "report.json"
    path.write_text(json.dumps(reports))
    return path


def estimate(value, reach, seed_error=0.01):
    return {"value": value, "low": value - reach, "high": value + reach, "seed_error": seed_error}


def table(gain=None, calibration=None, model="ours", task="click"):
    entry = {"task": task, "model": model, "gain": gain, "calibration": calibration}
    return {"baseline": "old", "gains": [entry]}


class TestCheckGate:
    def test_the_spoilt_tab_breaks_both_limits(self, reports):
        rule = GateRule(("tab/tab=search", "tab/tab=home"), ("click",), max_loss=0.2, calibration=(0.9, 1.1))
        result = check_gate(reports, [rule])
        assert [(c.segment, c.status) for c in result.checks] == [
            ("tab/tab=search", "broken"),
            ("tab/tab=search", "broken"),
            ("tab/tab=home", "passed"),
            ("tab/tab=home", "passed"),
        ]
        assert not result.passed
        assert len(result.failures) == 2

    def test_all_rows_and_all_tasks_are_the_default(self, reports):
        result = check_gate(reports, [GateRule(max_loss=0.0)])
        assert [(c.task, c.segment) for c in result.checks] == [("click", "all rows"), ("like", "all rows")]
        found = next(g for g in reports["gains"]["gains"] if g["task"] == "click")["gain"]
        assert f"({100 * found['low']:+.3f} to {100 * found['high']:+.3f})" in result.checks[0].finding
        assert result.passed

    def test_each_report_alone_and_several_in_one_file(self, reports):
        rule, place = GateRule(max_loss=0.2), GateRule(("tab/tab=search",), ("click",), max_loss=0.2)
        assert check_gate(reports["gains"], [rule]).passed
        assert not check_gate(reports["segments"], [place]).passed
        other = {**reports["segments"], "candidate": "other"}
        both = {"gains": reports["gains"], "segments": [reports["segments"], other]}
        assert not check_gate(both, [place], candidate="other").passed
        with pytest.raises(ValueError, match=r"several candidates; choose one of them. Candidates: \['new', 'other'\]"):
            check_gate(both, [place])

    @pytest.mark.parametrize(
        ("gain", "status", "note"),
        [
            (estimate(-0.010, 0.003), "broken", ""),
            (estimate(-0.010, 0.009), "passed", "outside, but not with certainty"),
            (estimate(-0.001, 0.0005), "passed", ""),
            (estimate(0.01, 0.003), "passed", ""),
            (estimate(-0.010, 0.003, seed_error=None), "broken", "one seed"),
            (None, "insufficient data", "insufficient data for NE gain"),
        ],
    )
    def test_gain_is_judged_by_its_upper_bound(self, gain, status, note):
        (check,) = check_gate(table(gain), [GateRule(max_loss=0.2)]).checks
        assert check.status == status
        assert note in check.finding
        assert ("not with certainty" in check.finding) == ("not with certainty" in note)

    @pytest.mark.parametrize(
        ("calibration", "status", "note"),
        [
            (estimate(1.0, 0.3), "passed", ""),
            (estimate(1.2, 0.05), "broken", ""),
            (estimate(1.2, 0.15), "passed", "outside, but not with certainty"),
            (estimate(0.8, 0.05), "broken", ""),
            (estimate(0.8, 0.6), "passed", "outside, but not with certainty"),
            (None, "insufficient data", "insufficient data for calibration"),
        ],
    )
    def test_calibration_is_judged_by_its_whole_interval(self, calibration, status, note):
        (check,) = check_gate(table(None, calibration), [GateRule(calibration=(0.9, 1.1))]).checks
        assert check.status == status
        assert note in check.finding

    def test_insufficient_data_stops_only_the_strict(self, reports):
        rule = GateRule(("few/few=3",), max_loss=0.2, name="small")
        assert check_gate(reports, [rule]).passed
        strict = check_gate(reports, [rule], strict=True)
        assert len(strict.failures) == 2
        assert str(strict.checks[0]).startswith("small: click, few/few=3: insufficient data")

    def test_unknown_names_list_those_that_exist(self, reports):
        with pytest.raises(ValueError, match="no segment 'tab/tab=serch'. It has: 'tab/tab=search', .* and 14 others"):
            check_gate(reports, [GateRule(("tab/tab=serch",), max_loss=0.2)])
        with pytest.raises(ValueError, match="no task 'buy'. It has: 'click', 'like'"):
            check_gate(reports, [GateRule(tasks=["buy"], max_loss=0.2)])
        with pytest.raises(ValueError, match="no candidate 'x'. It has: 'new'"):
            check_gate(reports, [GateRule(max_loss=0.2)], candidate="x")

    @pytest.mark.parametrize(
        "report",
        [
            {"gains": 3},
            {"gains": [{"task": "click"}], "baseline": "old"},
            {"segments": [{"segment": "a"}], "candidate": "new"},
            table({"value": float("nan"), "low": 0.0, "high": 0.0}),
            table({"value": "much", "low": 0.0, "high": 0.0}),
        ],
    )
    def test_what_is_no_report(self, report):
        with pytest.raises(ValueError, match=r"must be what `GainTable.to_dict` or `SegmentReport.to_dict` give"):
            check_gate(report, [GateRule(max_loss=0.2)])

    def test_an_empty_report_or_no_rules(self, reports):
        with pytest.raises(ValueError, match="no gains and no segments"):
            check_gate({}, [GateRule(max_loss=0.2)])
        with pytest.raises(ValueError, match="`rules` must hold at least one"):
            check_gate(reports, [])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "A rule needs `max_loss`, `calibration`, `max_psi` or several"),
            ({"max_psi": -0.1}, "`max_psi` of a rule must be a number, 0 or more"),
            ({"max_loss": 1.0, "columns": ["bid"]}, "`columns` of a rule says what `max_psi` is for"),
            ({"name": "mine"}, "Rule 'mine' needs"),
            ({"max_loss": -0.1}, "`max_loss` of a rule must be a percentage, 0 or more. Received: -0.1"),
            ({"max_loss": "0.2"}, "`max_loss` of a rule must be a percentage"),
            ({"calibration": (1.1, 0.9)}, "0 <= low < high"),
            ({"calibration": 1.0}, "0 <= low < high"),
            ({"calibration": (0.9, float("nan"))}, "0 <= low < high"),
            ({"segments": "tab/a", "max_loss": 1.0}, "`segments` of a rule must be a list"),
            ({"tasks": [], "max_loss": 1.0}, "`tasks` of a rule must be a list"),
        ],
    )
    def test_rules_out_of_range(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            GateRule(**arguments)


@pytest.fixture(scope="module")
def drifted():
    before = {"os": ["ios", "web"] * 500, "tab": ["a", "b"] * 500, "user:1": [0, 1] * 500, "few": [0, 1] * 500}
    now = {"os": ["ios"] * 900 + ["web"] * 100, "tab": ["a", "b"] * 500, "few": [0, 1] * 500}
    return drift(before, now).to_dict()


class TestDrift:
    def test_what_has_drifted_breaks_the_rule(self, drifted):
        result = check_gate(drifted, [GateRule(max_psi=0.1)])
        assert [(c.segment, c.status) for c in result.checks] == [
            ("os", "broken"),
            ("tab", "passed"),
            ("few", "passed"),
        ]
        assert str(result.checks[0]).startswith("drift, os: PSI 0.8")
        assert check_gate(drifted, [GateRule(max_psi=0.1, columns=["tab"])]).passed
        assert check_gate(drifted, [GateRule(max_psi=2.0)]).passed

    def test_what_chance_gives_breaks_none(self):
        own = drift({"os": ["ios", "web"] * 500}, {"os": ["ios"] * 5 + ["web"] * 2}).to_dict()
        (check,) = check_gate(own, [GateRule(max_psi=0.1)]).checks
        assert (check.status, check.finding[-30:]) == ("passed", "; above, but not beyond chance")

    def test_what_was_not_compared_stops_only_the_strict(self, drifted):
        rule = GateRule(max_psi=0.1, columns=["user:1"])
        assert [check.status for check in check_gate(drifted, [rule]).checks] == ["insufficient data"]
        assert not check_gate(drifted, [rule], strict=True).passed

    def test_beside_gains(self, drifted, reports):
        both = {**reports, "drift": drifted}
        result = check_gate(both, [GateRule(max_loss=0.2, max_psi=0.1, columns=["os"])])
        assert [(c.task, c.status) for c in result.checks] == [
            ("drift", "broken"),
            ("click", "passed"),
            ("like", "passed"),
        ]

    def test_errors(self, drifted, reports):
        with pytest.raises(ValueError, match="no column 'bid'. It has: 'os', 'tab', 'few', 'user:1'"):
            check_gate(drifted, [GateRule(max_psi=0.1, columns=["bid"])])
        with pytest.raises(ValueError, match="needs what `DriftReport.to_dict` gives"):
            check_gate(reports, [GateRule(max_psi=0.1)])

    def test_the_command_stops_a_pipeline(self, drifted, tmp_path):
        path, rules = tmp_path / "drift.json", tmp_path / "rules.yaml"
        path.write_text(json.dumps(drifted))
        found = call(path, "--max-psi", 0.1, "--column", "os")
        assert found.exit_code == 1
        assert "BROKEN" in found.output
        assert call(path, "--max-psi", 0.1, "--column", "tab").exit_code == 0
        rules.write_text("rules: [{name: tabs, max_psi: 0.1, columns: [tab]}]")
        assert call(path, "--rules", rules).exit_code == 0


class TestRulesFile:
    def test_named_rules(self, tmp_path):
        path = tmp_path / "rules.yaml"
        path.write_text(
            "rules:\n"
            "  - {name: level, segments: [tab/tab=search], tasks: [click], calibration: [0.9, 1.1]}\n"
            "  - {max_loss: 1, calibration: 0.8:1.2}\n"
        )
        assert rules_of(path) == [
            GateRule(("tab/tab=search",), ("click",), calibration=(0.9, 1.1), name="level"),
            GateRule(max_loss=1, calibration=(0.8, 1.2), name="rule 2"),
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("rules: [", "not YAML"),
            ("- max_loss: 1", "a list under the key `rules`"),
            ("rules: []", "a list under the key `rules`"),
            ("rules: [{max_los: 1}]", r"rule 1: unknown keys \['max_los'\]. Known: .*'max_loss'"),
            ("rules: [{name: a}]", "Rule 'a' needs `max_loss`"),
            ("rules: [{calibration: wide}]", "must be LOW:HIGH, e.g. 0.9:1.1. Received: 'wide'"),
        ],
    )
    def test_what_the_user_gets_wrong(self, tmp_path, text, message):
        path = tmp_path / "rules.yaml"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            rules_of(path)


def call(*arguments):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, list(map(str, arguments)))


class TestCommandLine:
    def test_lines(self, report_file):
        found = call(
            report_file, "--max-loss", 0.2, "--segment", "few/few=3", "--segment", "all rows", "--task", "click"
        )
        lines = found.stdout.splitlines()
        assert found.exit_code == 0
        assert lines[0].startswith("warning click, few/few=3: insufficient data for NE gain")
        assert lines[1].startswith("passed  click, all rows: NE gain +")
        assert lines[2:] == ["0 of 2 checks broken."]
        strict = call(report_file, "--max-loss", 0.2, "--segment", "few/few=3", "--strict")
        assert strict.exit_code == 1
        assert strict.stdout.startswith("BROKEN  click, few/few=3: insufficient data")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--max-loss", "0.2", "--segment", "tab/none"], "no segment 'tab/none'. It has: "),
            (["--max-loss", "0.2", "--task", "buy"], "no task 'buy'. It has: 'click', 'like'"),
            (["--calibration", "0.9"], "must be LOW:HIGH"),
            (["--max-loss", "-1"], "must be a percentage, 0 or more"),
            (["--rules", "nowhere.yaml"], "nowhere.yaml"),
            ([], "A rule needs `max_loss`, `calibration`, `max_psi` or several"),
            (["--no-such-option"], "No such option"),
        ],
    )
    def test_what_cannot_be_judged(self, report_file, arguments, message):
        found = call(report_file, *arguments)
        assert found.exit_code == 2
        assert message in " ".join(found.stderr.split())
        assert "Traceback" not in found.stderr

    def test_names_are_printed_and_not_obeyed(self, tmp_path):
        estimate = {"value": 0.01, "low": 0.005, "high": 0.015, "seed_error": 0.001}
        entry = {"task": "[/b]\x1b[31m:smile:\nclick", "model": "ours", "gain": estimate, "calibration": None}
        path = tmp_path / "report.json"
        path.write_text(json.dumps({"baseline": "old", "gains": [entry]}))
        found = call(path, "--max-loss", "0.2")
        assert found.stdout.splitlines()[0].startswith("passed  [/b]\\x1b[31m:smile: click, all rows: NE gain +1.000 %")
        assert found.exit_code == 0
        wrong = call(path, "--max-loss", "0.2", "--task", "\x1b[/i]")
        assert "no task '\\x1b[/i]'" in wrong.stderr
        assert "\x1b" not in wrong.stderr + found.stdout

    @pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "must hold a JSON object")])
    def test_unreadable_reports(self, tmp_path, text, message):
        path = tmp_path / "report.json"
        path.write_text(text)
        for report, expected in ((path, message), (tmp_path / "none.json", "No such file")):
            found = call(report, "--max-loss", "1")
            assert found.exit_code == 2
            assert expected in " ".join(found.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["--max-loss", "0.2"], 0, "passed  click, all rows"),
        (["--max-loss", "0.2", "--segment", "tab/tab=search", "--task", "click"], 1, "BROKEN  click, tab/tab=search"),
        (["--rules", "RULES"], 1, "BROKEN  level: click, tab/tab=search: calibration 1."),
        (["--max-loss", "0.2", "--segment", "tab/none"], 2, "Error: The report has no segment 'tab/none'"),
    ],
)
def test_exit_codes(report_file, arguments, code, shown):
    rules = report_file.with_name("rules.yaml")
    rules.write_text("rules: [{name: level, segments: [tab/tab=search], tasks: [click], calibration: [0.9, 1.1]}]")
    arguments = [str(rules) if argument == "RULES" else argument for argument in arguments]
    found = call(report_file, *arguments)
    assert found.exit_code == code, found.stderr
    assert shown in (found.stderr if code == 2 else found.stdout)


def test_the_module_as_a_command(report_file):
    command = [sys.executable, "-m", "grouprank.reports.gate", str(report_file), "--max-loss=0.2", "--segment=tab/none"]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "default"})
    assert found.returncode == 2
    assert "Error: The report has no segment 'tab/none'" in found.stderr
    assert "found in sys.modules" not in found.stderr
    assert "Traceback" not in found.stderr
