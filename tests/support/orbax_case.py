"""A model over a dealt table that saves checkpoints of Orbax, and what processes of JAX do with them."""

import os

import keras
import numpy as np
from support.fixed_weights import as_array
from support.ranking_case import BATCH, SCHEMA, assert_states_equal, everything_of, ranking_columns
from support.xla_flags import XLA_FLAGS

import grouprank as gr
from grouprank.layers.embedding.row_tables import base_row_store

STEPS = 3
# Rows of a table that are moved at once, so that there are several blocks.
BLOCK_ROWS = 40


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


def train(model, part=0, parts=1, **arguments):
    """Trains on one of the parts of each batch."""
    own = np.arange(STEPS * BATCH) % BATCH // (BATCH // parts) == part
    x, y = ({name: v[own] for name, v in columns.items()} for columns in ranking_columns(STEPS * BATCH))
    model.fit(x, y, batch_size=BATCH // parts, shuffle=False, verbose=0, **arguments)
    return model


def save(folder, **part):
    """A model that saved a checkpoint, and all that it had learned then."""
    callback = keras.callbacks.OrbaxCheckpoint(str(folder), save_on_background=False)
    model = train(make(), callbacks=[callback], **part)
    return model, everything(model)


def everything(model):
    momenta = {variable.path.partition("/")[2]: as_array(variable) for variable in model.optimizer.variables}
    # On torch and TensorFlow, where the gradient of a scalar trains the table.
    return everything_of(model) | {name: value for name, value in momenta.items() if "gradient_hook" not in name}


def start_devices(count):
    """To be called in a new process, before JAX computes."""
    from grouprank.layers.embedding.row_tables import jax_sharded_store

    os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} --xla_force_host_platform_device_count={count}"
    os.environ["PJRT_NPROC"] = "16"
    jax_sharded_store.BLOCK_ROWS = base_row_store.BLOCK_ROWS = BLOCK_ROWS


def save_on_four_devices(rank, world_size, folder):
    start_devices(4)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    model, saved = save(folder / "checkpoint")
    np.savez(folder / "saved.npz", **saved)
    np.savez(folder / "expected.npz", **everything(train(model)))


def resume_on_two_devices_and_one(rank, world_size, folder):
    start_devices(2)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
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


def save_together(rank, world_size, address, folder):
    """Each process has one device, and rows of its own; all of them read what they wrote, too."""
    import jax

    start_devices(1)
    keras.distribution.initialize(address, world_size, rank)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    _, saved = save(folder / "checkpoint", part=rank, parts=world_size)
    again = make()
    again.load_weights(str(folder / "checkpoint"))
    assert again.get_layer("embedding").table.num_shards == world_size
    assert_states_equal(everything(again), saved, atol=0)
    if rank == 0:
        np.savez(folder / "saved.npz", **saved)
    jax.distributed.shutdown()
