"""Fused tables whose rows are dealt over processes of torch train as in one process."""

import json

import keras
import numpy as np
import pytest
from support.processes import run_together

if keras.backend.backend() != "torch":
    pytest.skip("process groups are torch's", allow_module_level=True)

from support.sharded_training import CASES, make, ranking_model, run, state_of, train_together

pytestmark = pytest.mark.long
HALF = {"bfloat16": 2**-7, "float16": 2**-10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sharded")


@pytest.fixture(scope="module")
def results(folder):
    """By number of processes and case. Two processes read what three wrote, and all of them what one wrote."""
    found = {1: {}}
    for name in CASES:
        found[1][name], model, _ = run(name)
        if name == "adam":
            model.save_weights(folder / "whole.weights.h5")
    for world in (3, 2):
        run_together(train_together, world, folder)
        found[world] = json.loads((folder / f"results-{world}.json").read_text())
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("world", [2, 3])
def test_twenty_steps_equal_one_process(results, world, name):
    alone, together = results[1][name], results[world][name]
    assert set(alone) == set(together)
    found = {key: [np.array(alone[key]), np.array(together[key])] for key in alone}
    np.testing.assert_array_equal(*found.pop("start"))
    assert np.abs(found["embeddings"][0]).max() > 0.05
    if name in HALF:
        # Sums of another order, rounded up where the others are rounded down, differ by a step of the format.
        one, other = found.pop("embeddings")
        assert (one != other).mean() < 0.01
        np.testing.assert_allclose(one, other, rtol=2 * HALF[name])
        tolerance = 1e-3
    else:
        tolerance = 1e-5
    for key, (one, other) in found.items():
        assert np.isfinite(one).all()
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance, err_msg=key)


def test_a_file_of_three_processes_loads_in_one(folder, results):
    model, layer = make("adam")
    model.load_weights(folder / "dealt.weights.h5")
    with np.load(folder / "state.npz") as expected:
        for name, value in state_of(layer).items():
            np.testing.assert_array_equal(value, expected[name])
    loaded = keras.models.load_model(folder / "model.keras")
    _, columns = ranking_model()
    np.testing.assert_allclose(loaded.predict(columns, verbose=0)["click"], np.load(folder / "scores.npy"), atol=1e-6)
