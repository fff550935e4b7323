import doctest
import json
import sys

import numpy as np
import pytest
from support.fixed_weights import as_array

from grouprank.benchmarks.dcn import workload
from grouprank.benchmarks.dcn.contenders import BACKENDS, frozen, ours, peers, select, stock
from grouprank.benchmarks.dcn.scaling_report import scaling_report
from grouprank.benchmarks.dcn.workload import Workload
from grouprank.benchmarks.support import Measurement

SMALL = {"rows": 400, "fields": 3, "batch_size": 16, "batches": 2, "embedding_dim": 4}


@pytest.mark.parametrize("rows", [400, 10_000, 10_000_000, 30_000_000])
def test_sizes_are_skewed_and_add_up(rows):
    sizes = Workload(rows=rows).vocabulary_sizes
    assert sum(sizes) == rows
    assert len(sizes) == 39
    assert sizes == sorted(sizes)
    assert min(sizes) >= 4


@pytest.mark.parametrize("law", ["zipf", "uniform"])
def test_ids_follow_the_law(law):
    work = Workload(rows=10_000, law=law, batch_size=5000, batches=2)
    (ids, labels), (others, _) = work.make_batches()
    sizes = np.array(work.vocabulary_sizes)
    assert ids.shape == (5000, 39)
    assert ids.dtype == np.int32
    assert labels.dtype == np.float32
    assert (ids >= 0).all()
    assert (ids < sizes).all()
    assert not np.array_equal(ids, others)
    np.testing.assert_array_equal(ids, work.make_batches()[0][0])
    expected = np.log(2) / np.log(sizes[-1]) if law == "zipf" else 1 / sizes[-1]
    assert abs((ids[:, -1] == 0).mean() - expected) < 0.02


def test_distinct_rows_by_hand(monkeypatch):
    work = Workload(**SMALL)
    batches = [(np.array([[0, 0, 0], [0, 1, 2]]), None), (np.array([[5, 5, 5], [5, 5, 5]]), None)]
    monkeypatch.setattr(Workload, "make_batches", lambda self: batches)
    assert work.distinct_rows() == ((1 + 2 + 2) + 3) / 2


def test_wrong_workloads():
    with pytest.raises(ValueError, match="law"):
        Workload(law="normal")
    with pytest.raises(ValueError, match="rows"):
        Workload(rows=10)


def test_examples_run():
    assert doctest.testmod(sys.modules[workload.__name__]).failed == 0


@pytest.mark.parametrize("tables", ["per_field", "stacked", "keras_rs"])
def test_stock_trains(tables):
    from grouprank.benchmarks.dcn.stock_keras import prepare

    prepared = prepare(SMALL, tables)
    model = prepared.run.model
    x, y = prepared.run.batches[0]
    before = [as_array(weight) for weight in model.weights]
    first = model.evaluate(x, y, verbose=0)
    assert len(prepared.run(20)) == 20
    assert model.evaluate(x, y, verbose=0) < first - 0.01
    after = [as_array(weight) for weight in model.weights]
    still = [w.path for w, *pair in zip(model.weights, before, after, strict=True) if np.array_equal(*pair)]
    assert still == [], "weights that no step has changed"
    tables = sum(weight.size for weight in before if weight.shape[-1] == SMALL["embedding_dim"])
    assert tables == SMALL["rows"] * SMALL["embedding_dim"]


@pytest.mark.parametrize("trainable", [True, False])
def test_ours_trains_only_what_it_should(trainable):
    from grouprank.benchmarks.dcn.ours import prepare

    prepared = prepare(SMALL, trainable=trainable)
    model = prepared.run.model
    weights = [
        next(weight for weight in model.get_layer("embedding").weights if weight.name == "embeddings"),
        model.backbone.weights[0],
    ]
    before = [as_array(weight) for weight in weights]
    assert len(prepared.run(2)) == 2
    after = [as_array(weight) for weight in weights]
    changed = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    assert changed == [trainable, True]


def test_contenders_are_plain_and_distinct():
    work = Workload()
    every = [*peers(work), *(make(backend, work) for make in (ours, frozen, stock) for backend in BACKENDS)]
    every.append(stock("jax", work, "keras_rs"))
    assert len({one.name for one in every}) == len(every)
    for one in every:
        assert json.loads(json.dumps(dict(one.settings))) == one.settings
    assert [one.name for one in select(every, "torchrec, stock+jax")] == ["TorchRec fused", "stock per field, JAX"]
    assert select(every, "") == every
    with pytest.raises(ValueError, match="only"):
        select(every, "nobody")


def test_scaling_report_judges_targets(tmp_path):
    need = 4 * 16 * (100_000 - 10_000) * 2
    small = Measurement("s", [[1.0], [1.0]], setup_peak_bytes=1000, step_peak_bytes=2000)
    large = Measurement("l", [[1.1], [1.1]], setup_peak_bytes=1000 + 2 * need, step_peak_bytes=2000 + need)
    found = {"fused, JAX, zipf, 10,000 rows": small, "fused, JAX, zipf, 100,000 rows": large}
    work = Workload(batch_size=8, batches=1)
    page = scaling_report(found, [10_000, 100_000], work, "adagrad", {}).write(tmp_path).read_text()
    assert "| JAX, zipf: time at 100,000 ÷ at 10,000 rows | ≤ 1.15 | 1.10 (1.10–1.10) | yes |" in page
    assert "| JAX: peak memory ÷ (table + slots) | ≤ 1.15 | 2.00 | **no** |" in page
    assert "| torch, zipf: time at 100,000 ÷ at 10,000 rows | ≤ 1.15 | – | not measured |" in page
    assert "| fused, JAX, 100,000 | 12 | 12 | 1.00 | 23 | 2.00 | 0 |" in page
