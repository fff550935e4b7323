import pytest

from grouprank.benchmarks import growing_ids
from grouprank.benchmarks.loading import endless_log
from grouprank.benchmarks.support import Measurement


@pytest.mark.parametrize("rule", growing_ids.RULES)
def test_every_step_is_a_period(rule):
    prepared = endless_log.prepare(50, growing_ids.RULES[rule])
    assert len(prepared.run(3)) == 3
    assert prepared.facts["capacity"] == 50


def test_report(tmp_path):
    measured = {periods: Measurement("one", [[2.0, 4.0]], 0, 9, 100) for periods in (2, 9)}
    found = {growing_ids._name(rule, periods): measured[periods] for rule in growing_ids.RULES for periods in measured}
    found["ttl, 9 periods"] = Measurement("ttl", [[2.0]], 0, 9, 110)
    found["lfu, 2 periods"] = Measurement("lfu", error="boom")
    page = growing_ids._report(found, {"tokens": 1000, "periods": 9, "few": 2}).write(tmp_path).read_text()
    assert "| none, two sightings | 333 | 0.00 | 0.00 | 1.00 | yes |" in page
    assert "| ttl | 500 | 0.00 | 0.00 | 1.10 | **no** |" in page
    assert "| lfu | – | – | – | – | not measured |" in page
