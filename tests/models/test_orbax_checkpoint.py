"""Training goes on where a checkpoint of Orbax was written, on as many devices or fewer, with rows and their slots."""

import keras
import numpy as np
import pytest
from support.orbax_case import (
    BLOCK_ROWS,
    everything,
    make,
    resume_on_two_devices_and_one,
    save,
    save_on_four_devices,
    save_together,
    train,
)
from support.processes import free_address, run_together
from support.ranking_case import assert_states_equal

from grouprank.layers.embedding.row_tables import base_row_store
from grouprank.models.checks import share_files

pytest.importorskip("orbax.checkpoint", reason="orbax-checkpoint is not installed")

BACKEND = keras.backend.backend()
ON_JAX = pytest.mark.skipif(
    BACKEND != "jax", reason="of the backends Keras and Orbax save on several devices of JAX alone"
)


def test_a_model_made_later_goes_on_where_the_first_one_was(tmp_path, monkeypatch):
    monkeypatch.setattr(base_row_store, "BLOCK_ROWS", BLOCK_ROWS)
    model, saved = save(tmp_path / "checkpoint")
    assert saved["accumulator"].std() > 0
    expected = everything(train(model))
    # Keras numbers its optimizer and its seeds otherwise than those of the first model.
    later = make()
    later.load_weights(str(tmp_path / "checkpoint"))
    assert_states_equal(everything(later), saved, atol=0)
    assert_states_equal(everything(train(later)), expected)
    tree = later.get_state_tree(value_format="numpy_array")
    tree["trainable_variables"]["other_layer"] = {"kernel": np.zeros(3)}
    tree["trainable_variables"]["embedding"]["table"]["embeddings"] += 1.0
    before = everything(later)
    with pytest.raises(ValueError, match="does not have: .'other_layer/kernel'"):
        later.set_state_tree(tree)
    assert_states_equal(everything(later), before, atol=0)


@ON_JAX
@pytest.mark.long
def test_four_devices_save_and_two_and_one_resume(tmp_path):
    for step in (save_on_four_devices, resume_on_two_devices_and_one):
        run_together(step, 1, tmp_path)


@ON_JAX
@pytest.mark.long
def test_two_processes_save_and_one_goes_on(tmp_path):
    run_together(save_together, 2, free_address(), tmp_path)
    one = make()
    one.load_weights(str(tmp_path / "checkpoint"))
    with np.load(tmp_path / "saved.npz") as saved:
        assert_states_equal(everything(one), dict(saved), atol=0)


@pytest.mark.skipif(BACKEND != "torch", reason="what torch refuses")
def test_several_processes_of_torch_are_refused(tmp_path, monkeypatch):
    callback = keras.callbacks.OrbaxCheckpoint(str(tmp_path / "checkpoint"))
    monkeypatch.setattr(share_files, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="OrbaxCheckpoint .* BackupAndRestore"):
        share_files.share_files([callback])
