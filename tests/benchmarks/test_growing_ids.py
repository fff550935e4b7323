import pytest

from grouprank.benchmarks import growing_ids
from grouprank.benchmarks.loading import endless_log
from grouprank.benchmarks.support import Measurement


@pytest.mark.parametrize("rule", growing_ids.RULES)
def test_every_step_is_a_period(rule):
    prepared = endless_log.prepare(50, 2, growing_ids.RULES[rule])
    assert len(prepared.facts["first seconds"]) == 2
    assert len(prepared.run(3)) == 3


def test_report(tmp_path):
    settings = {"tokens": 1000, "periods": 9, "first": 2}
    assert [one.name for one in growing_ids._contenders(settings)] == list(growing_ids.RULES)
    found = {
        "lfu": Measurement("lfu", [[2.0, 4.0]], 0, 2_000_000_000, 2_100_000_000),
        "more": Measurement("more", [[2.0]], 0, 2_000_000_000, 2_200_000_000),
        "two sightings": Measurement("two sightings", error="boom"),
    }
    page = growing_ids._report(found, settings).write(tmp_path).read_text()
    assert "| lfu | 2.00 | 2.10 | 1.05 | yes |" in page
    assert "| more | 2.00 | 2.20 | 1.10 | **no** |" in page
    assert "| two sightings | – | – | – | not measured |" in page
