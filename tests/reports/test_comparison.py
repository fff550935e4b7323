import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from grouprank.reports import Comparison, compare, task_metrics


def example():
    labels = np.array([0, 1, 0, 1, 0, 0])
    none = np.zeros(6)
    baseline = {"click": task_metrics(labels, np.full(6, 0.4)), "buy": task_metrics(none, np.full(6, 0.1))}
    better = {
        "click": task_metrics(labels, [0.2, 0.6, 0.4, 0.5, 0.3, 0.2]),
        "buy": task_metrics(none, np.full(6, 0.05)),
    }
    return baseline, better


def test_gain_by_hand():
    baseline, better = example()
    found = compare(baseline, {"ours": better, "same": baseline})
    assert isinstance(found, Comparison)
    before = -(2 * math.log(0.4) + 4 * math.log(0.6))
    after = -sum(map(math.log, [0.8, 0.6, 0.6, 0.5, 0.7, 0.8]))
    assert found.gain("ours", "click") == pytest.approx(1 - after / before, rel=1e-12)
    ratio = better["click"].normalized_entropy / baseline["click"].normalized_entropy
    assert found.gain("ours", "click") == pytest.approx(1 - ratio, rel=1e-12)
    assert found.gain("same", "click") == 0.0
    assert found.gain("ours", "buy") is None, "one class has no NE, and no gain of it"


def test_dict_is_json_safe():
    baseline, better = example()
    found = json.loads(json.dumps(compare(baseline, {"ours": better}).to_dict(), allow_nan=False))
    assert found["baseline"]["buy"]["auc"] is None
    assert found["candidates"]["ours"]["click"]["ne_gain"] > 0
    assert found["baseline_name"] == "baseline"


def test_markdown():
    baseline, better = example()
    lines = compare(baseline, {"a|b": better}, baseline_name="plain").to_markdown().splitlines()
    assert lines[0].startswith("| task | model | NE | NE gain |")
    assert len(lines) == 2 + 4
    assert all(line.replace("\\|", "").count("|") == 9 for line in lines)
    assert lines[2].startswith("| click | plain |")
    assert "+" in lines[3]
    assert "%" in lines[3]
    assert "| - |" in lines[4]  # NE of a one-class task


def test_rich_table():
    baseline, better = example()
    console = Console(width=120, record=True, file=io.StringIO())
    names = {"[/b]": "click", "\x1b[31m:smile:": "buy"}
    odd = [{name: figures[task] for name, task in names.items()} for figures in (baseline, better)]
    console.print(compare(odd[0], {"ours": odd[1]}).to_table("[/i] \x1b"))
    text = console.export_text()
    assert all(shown in text for shown in ("ours", "[/b]", "\\x1b[31m:smile:", "[/i] \\x1b"))
    assert "\x1b" not in text
    assert "NE gain" in text


def test_errors():
    baseline, better = example()
    with pytest.raises(ValueError, match="at least one task"):
        compare({}, {})
    with pytest.raises(ValueError, match="expected: \\['buy', 'click'\\]"):
        compare(baseline, {"ours": {"click": better["click"]}})
    with pytest.raises(ValueError, match="other rows"):
        compare(baseline, {"ours": {**better, "click": task_metrics([0, 1], [0.1, 0.9])}})
    with pytest.raises(ValueError, match="Rename"):
        compare(baseline, {"baseline": better})
