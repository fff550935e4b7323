"""Training goes on where a checkpoint of Orbax was written, on as many devices or fewer, with rows and their slots.

`python test_orbax_checkpoint.py save|resume FOLDER` is what each of two processes of JAX does: four devices save, two
and one resume.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array
from support.ranking_case import SCHEMA, assert_states_equal, everything_of, ranking_columns

import grouprank as gr
from grouprank.layers.embedding.row_tables import base_row_store
from grouprank.models.checks import share_files

pytest.importorskip("orbax.checkpoint", reason="orbax-checkpoint is not installed")

BACKEND = keras.backend.backend()


def make():
    keras.utils.set_random_seed(5)
    model = gr.models.CTRModel(
        SCHEMA,
        backbone="mlp",
        group_structure={"user": gr.layers.GroupConcat(2, 8, code_dim=4, seed=1, name="user_groups")},
        embedding_dim=4,
        tower_units=(8,),
        embedding_optimizer=gr.layers.embedding_optimizers.Adagrad(0.1),
        table_placement="rows",
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def train(model, **arguments):
    model.fit(*ranking_columns(96), batch_size=32, shuffle=False, verbose=0, **arguments)
    return model


def save(folder):
    """A model that saved a checkpoint, and all that it had learned then."""
    callback = keras.callbacks.OrbaxCheckpoint(str(folder), save_on_background=False)
    model = train(make(), callbacks=[callback])
    return model, everything(model)


def everything(model):
    momenta = {variable.path.partition("/")[2]: as_array(variable) for variable in model.optimizer.variables}
    # On torch and TensorFlow, where the gradient of a scalar trains the table.
    return everything_of(model) | {name: value for name, value in momenta.items() if "gradient_hook" not in name}


def test_a_model_made_later_goes_on_where_the_first_one_was(tmp_path, monkeypatch):
    monkeypatch.setattr(base_row_store, "BLOCK_ROWS", 40)
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


@pytest.mark.skipif(BACKEND != "jax", reason="of the backends Keras and Orbax save on several devices of JAX alone")
@pytest.mark.long
def test_four_devices_save_and_two_and_one_resume(tmp_path):
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    for step, devices in (("save", 4), ("resume", 2)):
        flags = f"--xla_backend_optimization_level=0 --xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "XLA_FLAGS": flags, "PJRT_NPROC": "16", "PYTHONPATH": path}
        command = [sys.executable, __file__, step, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(BACKEND != "torch", reason="what torch refuses")
def test_several_processes_of_torch_are_refused(tmp_path, monkeypatch):
    callback = keras.callbacks.OrbaxCheckpoint(str(tmp_path / "checkpoint"))
    monkeypatch.setattr(share_files, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="OrbaxCheckpoint .* BackupAndRestore"):
        share_files.share_files([callback])


def run_process(step, folder):
    from grouprank.layers.embedding.row_tables import jax_sharded_store

    jax_sharded_store.BLOCK_ROWS = base_row_store.BLOCK_ROWS = 40
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    if step == "save":
        model, saved = save(folder / "checkpoint")
        np.savez(folder / "saved.npz", **saved)
        np.savez(folder / "expected.npz", **everything(train(model)))
        return
    saved, expected = (dict(np.load(folder / f"{name}.npz")) for name in ("saved", "expected"))
    two = keras.saving.load_model(str(folder / "checkpoint"))
    assert two.get_layer("embedding").table.num_shards == 2
    keras.distribution.set_distribution(None)
    one = make()
    one.load_weights(str(folder / "checkpoint"))
    assert one.get_layer("embedding").table.num_shards == 1
    for model in (one, two):
        assert_states_equal(everything(model), saved, atol=0)
    assert_states_equal(everything(train(one)), expected)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    assert_states_equal(everything(train(two)), expected)


if __name__ == "__main__":
    run_process(sys.argv[1], Path(sys.argv[2]))
