import json
import sys

import pytest

from grouprank.benchmarks.support import (
    Measurement,
    Report,
    Table,
    describe_machine,
    make_environment,
    measure_memory_bandwidth,
)


def report(**kwargs):
    return Report(
        "speed",
        "Speed",
        "How fast is it?",
        [Table(["contender", "ms per step"], [["ours | best", "1.5"]], "Steps", "Less is better.")],
        {
            "ours": Measurement("ours", [[0.0015]], versions={"numpy": "2.0"}),
            "theirs": Measurement("theirs", error="theirs failed to prepare:\nTraceback\nImportError: no module"),
        },
        {"steps": 1},
        **kwargs,
    )


def test_page_and_raw_numbers(tmp_path):
    import matplotlib.figure

    figure = matplotlib.figure.Figure()
    figure.add_subplot().bar(["ours"], [1.5])
    page = report(figure=figure, alt="One bar.").write(tmp_path).read_text()
    assert "| contender | ms per step |\n|---|---:|\n| ours \\| best | 1.5 |" in page
    assert "![One bar.](speed.svg)" in page
    assert "**theirs** could not be measured: theirs failed to prepare: … ImportError: no module" in page
    assert "numpy 2.0" in page
    assert "python -m grouprank.benchmarks.speed" in page
    raw = json.loads((tmp_path / "speed.json").read_text())
    assert raw["measurements"]["ours"]["rounds"] == [[0.0015]]
    assert (tmp_path / "speed.svg").read_text().startswith("<?xml")


def test_a_figure_needs_words():
    with pytest.raises(ValueError, match="alt"):
        report(figure=object())


def test_machine_and_bandwidth():
    assert describe_machine().cores >= 1
    found = measure_memory_bandwidth(megabytes=1, repeats=1)
    assert found.copy > 0
    assert found.gather > 0


def test_environment_is_reused_and_failures_are_explained(tmp_path, monkeypatch):
    """Without pip and network: the installed program is replaced."""
    calls = []

    class Pip:
        returncode, stdout = 0, ""

    def run(command, **kwargs):
        calls.append(command)
        return Pip

    class Builder:
        def __init__(self, **kwargs):
            pass

        def create(self, place):
            (place / "bin").mkdir(parents=True, exist_ok=True)
            (place / "bin" / "python").symlink_to(sys.executable) if not (place / "bin" / "python").exists() else None

    module = sys.modules["grouprank.benchmarks.support.make_environment"]
    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(module.venv, "EnvBuilder", Builder)
    first = make_environment("peer", ["one==1"], tmp_path)
    assert first == make_environment("peer", ["one==1"], tmp_path)
    assert len(calls) == 1
    make_environment("peer", ["one==2"], tmp_path)
    assert len(calls) == 2
    Pip.returncode, Pip.stdout = 1, "ERROR: no such version"
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no such version"):
            make_environment("peer", ["one==3"], tmp_path)
    assert len(calls) == 4
