"""The contenders of `quantizer` and `group_overhead`, without timing anything."""

import keras
import numpy as np
import pytest

from grouprank.benchmarks import group_overhead, quantizer
from grouprank.benchmarks.groups.compiled import compile_backward
from grouprank.benchmarks.groups.ctr_step import prepare
from grouprank.benchmarks.groups.our_quantizer import prepare_products
from grouprank.benchmarks.groups.vectors import make_vectors
from grouprank.benchmarks.support import Measurement
from grouprank.layers import ResidualQuantizer

WORK = {"rows": 60, "fields": 3, "batch_size": 8, "batches": 2, "embedding_dim": 4}
# DCNv2 with crosses of 12 and dense layers 256 and 128; four towers of 64 on 140, with their outputs.
BASELINE = 3 * (3 * 12 * 12 + 12 * 256 + 256 * 128 + 4 * (140 * 64 + 64))


def test_vectors_are_the_same_for_everyone():
    first, second = make_vectors(10, 3, batches=2), make_vectors(10, 3, batches=2)
    assert [part.shape for part in first[0]] == [(10, 3), (10, 3)]
    assert first[0][0].dtype == np.float32
    np.testing.assert_array_equal(first[1][0], second[1][0])
    assert np.abs(first[0][0] - first[1][0]).max() > 0.1


def test_a_call_updates_the_codebooks():
    layer = ResidualQuantizer(2, 8, seed=0)
    layer.build((None, 3))
    before = keras.ops.convert_to_numpy(layer.codebooks).copy()
    run = compile_backward(layer, make_vectors(32, 3, batches=2))
    times = run(3)
    assert len(times) == 3
    if keras.backend.backend() != "jax":  # there the state is held by the compiled call
        assert np.abs(keras.ops.convert_to_numpy(layer.codebooks) - before).max() > 0
    assert len(prepare_products(32, 3, 2, 8).run(2)) == 2


@pytest.mark.parametrize(
    ("placements", "residual", "code_dims", "more"),
    [
        ([], False, [], 0),
        # Encoder 4 → 2 without its input's gradient, decoder, search of 3 codebooks; crosses and a dense layer of 14.
        (["user"], False, [2], 2 * 8 + 3 * 8 + 3 * 16 * 2 + 9 * (14**2 - 12**2) + 3 * 2 * 256 + 3 * 4 * 2 * 64),
        ([], True, [], 3 * 8 * (140 * 5 + 5)),
    ],
)
def test_steps_and_their_products(placements, residual, code_dims, more):
    prepared = prepare(WORK, placements, residual, code_dims, [5])
    assert prepared.facts["multiply-adds per row"] == BASELINE + more
    assert len(prepared.run(2)) == 2


def test_reports(tmp_path):
    sizes = {"rows": 8, "dim": 16, "levels": 3, "codes": 256}
    contenders = quantizer._contenders(sizes)
    assert len(contenders) == 7
    found = {one.name: Measurement(one.name, rounds=[[0.004], [0.006]]) for one in contenders}
    found[quantizer._name(quantizer.PEER, "torch", 16)].rounds = [[0.02], [0.02]]
    text = quantizer._report(found, [16], {"rows": 8, "levels": 3, "codes": 256}).to_markdown()
    assert "| JAX, 16 wide | ≥ 4.0 | 4.17 (3.33–5.00) | yes |" in text
    work = group_overhead.Workload(**WORK)
    names = [one.name for one in group_overhead._contenders("jax", work)]
    found = {name: Measurement(name, rounds=[[0.1]], facts={"multiply-adds per row": 100}) for name in names}
    both = found["groups and residual learning, JAX"]
    both.rounds, both.facts = [[0.12]], {"multiply-adds per row": 115}
    text = group_overhead._report(work, found, {}).to_markdown()
    assert "| JAX | ≤ 10 | 20.0 (20.0 to 20.0) | 15.0 | **no** |" in text
