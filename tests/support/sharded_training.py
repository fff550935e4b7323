"""Trains tables whose rows are dealt over processes as one process trains them; `test_sharded_tables_torch.py` runs it.

`train_together` trains all cases with the other processes, on a part of each batch. The first process writes
`FOLDER/results-WORLD.json`: by case, the losses and the state.
"""

import json
from datetime import timedelta
from unittest import mock

import h5py
import keras
import numpy as np
import pytest
import torch
from keras import ops

import grouprank as gr
from grouprank.distribution import replicas
from grouprank.distribution.one_writer import one_writer, wait_for_all
from grouprank.layers import FusedEmbedding, FusedEmbeddingCollection, embedding_optimizers
from grouprank.models.checks.share_files import share_files
from grouprank.serving.hand_over import hand_over

ROWS, WIDTH, FIELDS, BATCH, STEPS = 23, 4, 3, 24, 20
SGD, ADAM = embedding_optimizers.SGD, embedding_optimizers.Adam
ADAGRAD, ROWWISE = embedding_optimizers.Adagrad, embedding_optimizers.RowwiseAdagrad
DECAY = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.8)
# Name: row optimizer, what the ids and labels are like, arguments of the layer.
CASES = {
    "adam": (ADAM(0.01), "repeats", {}),
    "adam_weight_decay_masks": (ADAM(0.01, weight_decay=0.1), "masks", {}),
    "adagrad_clipnorm_crowded": (ADAGRAD(0.1, clipnorm=0.05), "crowded", {}),
    "adagrad_schedule_unknown_labels": (ADAGRAD(DECAY), "unknown", {}),
    "rowwise_adagrad_one_row": (ROWWISE(0.1), "one_row", {}),
    "rowwise_adagrad_clipvalue": (ROWWISE(0.1, clipvalue=0.01), "repeats", {}),
    "sgd": (SGD(0.1), "repeats", {}),
    "sgd_clipnorm_masks": (SGD(0.1, clipnorm=0.05), "masks", {}),
    "overflow": (ADAGRAD(0.1), "overflow", {"dtype": "mixed_float16"}),
    "bfloat16": (ADAM(0.01), "repeats", {"storage_dtype": "bfloat16", "seed": 3}),
    "float16": (SGD(0.1), "crowded", {"storage_dtype": "float16", "seed": 3}),
    "sequences": (ADAGRAD(0.1), "repeats", {}),
}


class Averaged(keras.Model):
    """Trains as the processes of torch do together: a mean is a sum by the mean count, and gradients are averaged."""

    def train_step(self, data):
        ids, mask, labels = data
        predicted = self([ids, mask], training=True)
        known = ~torch.isnan(labels)
        errors = torch.where(known, (predicted - torch.nan_to_num(labels)) ** 2, 0.0)
        loss = errors.sum() / replicas.mean(known.sum().float())
        self.zero_grad()
        self.optimizer.scale_loss(loss + sum(self.losses)).backward()
        weights = self.trainable_weights
        gradients = [replicas.mean(weight.value.grad) for weight in weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, weights)
        return replicas.mean(loss).item()


def make(name):
    """`(model, fused table)` of a case."""
    optimizer, _, arguments = CASES[name]
    ids = keras.Input((FIELDS,), dtype="int32")
    mask = keras.Input((FIELDS,), dtype="bool")
    initializer = keras.initializers.RandomNormal(stddev=0.1, seed=1)
    if name == "sequences":
        sizes = {"user": 9, "ad": 14, "history": 14}
        collection = FusedEmbeddingCollection(
            sizes, WIDTH, optimizer, sequences=["history"], shares={"history": "ad"}, placement="rows",
            embeddings_initializer=initializer,
        )  # fmt: skip
        columns = {"user": ids[:, 0] % 9, "ad": ids[:, 1] % 14, "history": ids % 14}
        x = keras.layers.Concatenate()(list(collection(columns, masks={"history": mask}).values()))
        layer = collection.table
    else:
        layer = FusedEmbedding(ROWS, WIDTH, optimizer, initializer, placement="rows", **arguments)
        x = keras.layers.Flatten()(layer(ids, mask=mask))
    x = keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(seed=2), name="dense")(x)
    model = Averaged([ids, mask], ops.cast(x[:, 0], "float32"))
    model.compile(keras.optimizers.SGD(0.1))
    if "dtype" in arguments:
        # In half precision its gradient would depend on how a batch is cut.
        model.get_layer("dense").trainable = False
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1024.0))
    return model, layer


def batch(kind, step):
    """Ids, mask and labels of a step; the last batch is a short one."""
    rng = np.random.default_rng(step)
    count = 7 if step == STEPS - 1 else BATCH
    ids = rng.integers(0, ROWS, (count, FIELDS))
    mask, labels = np.ones((count, FIELDS), bool), rng.normal(size=count).astype("float32")
    if kind == "one_row":
        ids[:] = 5
    elif kind == "crowded":
        # All in the first of two processes, and in the first of three.
        ids -= ids % 6
    elif kind == "masks":
        # Nothing at all for the first process.
        mask = rng.random(mask.shape) < 0.7
        mask[: count // 2] &= step % 2 == 0
    elif kind == "unknown":
        labels[: count // 2 if step % 2 else 1] = np.nan
    elif kind == "overflow" and step in (3, 11):
        labels[-1] = 1e6
    return ids.astype("int32"), mask, labels


def part(arrays, rank, world, step):
    """The rows of a process, which are as many as the others', or one, or all but one."""
    count = len(arrays[0])
    borders = {0: np.linspace(0, count, world + 1).astype(int)}.get(step % 3)
    if borders is None:
        borders = np.array([0, *range(1, world), count] if step % 3 == 1 else [0, *range(count - world + 1, count + 1)])
    return [torch.as_tensor(array[borders[rank] : borders[rank + 1]]) for array in arrays]


def state_of(layer):
    """All rows of the table and its slots, and the step, as a file keeps them."""
    found = {}
    for name, variable in layer.state.items():
        blocks = [ops.convert_to_numpy(ops.cast(value, "float32")) for _, value in layer._store.blocks(name, variable)]
        found[name] = blocks[0] if blocks[0].ndim == 0 else np.concatenate(blocks)
    return found


def run(name, rank=0, world=1):
    """Losses, states and the model and table of a case, trained on this process' parts of the batches."""
    model, layer = make(name)
    assert layer.num_shards == world
    start = state_of(layer)["embeddings"]
    losses = [
        model.train_step(part(batch(CASES[name][1], step), rank, world, step)) for step in range(STEPS)
    ]  # fmt: skip
    kernel = ops.convert_to_numpy(model.get_layer("dense").kernel)
    return {"losses": losses, "start": start, "kernel": kernel, **state_of(layer)}, model, layer


def ranking_model():
    """A model of the zoo with a table that is dealt over the processes, and columns for it."""
    schema = gr.Schema([gr.Categorical("user", 9), gr.Categorical("ad", 14)], [gr.Task("click")])
    adagrad = ADAGRAD(0.1)
    model = gr.models.CTRModel(
        schema,
        "lr",
        group_structure=(),
        residual_learning=False,
        embedding_dim=4,
        embedding_optimizer=adagrad,
        table_placement="rows",
        tower_units=(),
    )
    model.compile()
    model.optimizer.build(model.trainable_variables)
    return model, {"user": np.arange(12) % 9, "ad": np.arange(12) + 2}


def check_files(model, layer, state, folder, rank, world):
    """Three processes write files; two read them."""
    # A file of one process has whole tables.
    other, other_layer = make("adam")
    other.load_weights(folder / "whole.weights.h5")
    for name, value in state_of(other_layer).items():
        np.testing.assert_allclose(value, state[name], atol=1e-5)
    table_model, columns = ranking_model()
    backup = keras.callbacks.BackupAndRestore(str(folder / "backup"), double_checkpoint=True)
    callbacks = share_files([backup])
    for callback in callbacks:
        callback.set_model(table_model)
    if world == 3:
        with one_writer(folder / "dealt.weights.h5") as path:
            model.save_weights(path)
        backup.on_epoch_end(0)
        table_model.get_layer("embedding").table.reset_rows(np.arange(0, 23, 2), torch.ones(12, 4))
        backup.on_epoch_end(1)
        table_model.save(folder / "model.keras")
        scores = table_model.predict(columns, verbose=0)["click"]
        if rank == 0:
            np.savez(folder / "state.npz", **state)
            np.save(folder / "scores.npy", scores)
        wait_for_all()
    else:
        backup.on_train_begin()
        expected = np.load(folder / "scores.npy")
        np.testing.assert_allclose(table_model.predict(columns, verbose=0)["click"], expected, atol=1e-6)
        loaded = keras.models.load_model(folder / "model.keras")
        assert loaded.get_layer("embedding").table.num_shards == 2
        np.testing.assert_allclose(loaded.predict(columns, verbose=0)["click"], expected, atol=1e-6)
        model.load_weights(folder / "dealt.weights.h5")
        with np.load(folder / "state.npz") as expected:
            for name, value in state_of(layer).items():
                np.testing.assert_array_equal(value, expected[name])
        for callback in callbacks:
            callback.on_train_end()
        assert not (folder / "backup").exists() or rank


def check_rows(layer, state):
    """Rows are read, reset and handed to a larger table wherever they lie."""
    table = state["embeddings"]
    np.testing.assert_array_equal(layer.read_rows([22, 0, 7, 7]), table[[22, 0, 7, 7]])
    larger = FusedEmbedding(ROWS + 6, WIDTH, ADAM(0.01), "zeros", placement="rows")
    larger.build()
    # Two tables of 9 and 14 rows that get 2 and 4 more.
    larger.take_over(layer, [((0, 9), (0, 11)), ((9, 14), (11, 18))])
    moved = state_of(larger)
    for name in ("embeddings", "momentum", "velocity"):
        np.testing.assert_array_equal(moved[name][:9], state[name][:9])
        np.testing.assert_array_equal(moved[name][11:25], state[name][9:])
    assert not moved["embeddings"][9:11].any()
    assert int(larger.iterations) == STEPS
    larger.reset_rows(np.array([3, 12]), np.full((2, WIDTH), 7.0))
    assert (state_of(larger)["embeddings"][[3, 12]] == 7.0).all()
    velocity = state_of(larger)["velocity"]
    assert not velocity[[3, 12]].any()
    assert velocity[4].all()


def check_growth(world):
    """A model of the zoo gets more rows, and the old ones lie elsewhere."""
    model, columns = ranking_model()
    before = model.predict(columns, verbose=0)["click"]
    larger = gr.Schema([gr.Categorical("user", 12), gr.Categorical("ad", 17)], [gr.Task("click")])
    grown = gr.models.grow(model, larger, reset={"ad": [3]})
    assert grown.get_layer("embedding").table.num_shards == world
    after = grown.predict(columns, verbose=0)["click"]
    # The second row alone has the ad that begins anew.
    np.testing.assert_array_equal((before == after).all(axis=-1), np.arange(12) != 1)
    (stack,) = grown.table_stacks
    rows = grown.get_layer("embedding").table.read_rows(np.arange(stack.num_rows))
    with mock.patch("grouprank.layers.embedding.stacked_tables.BLOCK_ROWS", 7):
        np.testing.assert_array_equal(np.concatenate(list(stack.served_rows("float32"))), rows)


def check_refusals(folder, world):
    """What cannot be right raises before a process waits for the others."""
    collection = FusedEmbeddingCollection({"ad": 14}, WIDTH, placement="rows")
    collection.build({"ad": (None,)})
    for read in (lambda: collection.embeddings, lambda: collection.rows_of("ad")):
        with pytest.raises(ValueError, match="Read rows with its `read_rows`"):
            read()
    with (
        mock.patch("torch.distributed.get_world_size", return_value=5),
        pytest.raises(RuntimeError, match=f"dealt over {world} processes .* now there are 5"),
    ):
        collection({"ad": np.zeros(2, int)})
    with pytest.raises(RuntimeError, match=f"dealt over {world} processes, and an export"):
        hand_over(ranking_model()[0], folder)
    with pytest.raises(RuntimeError, match=f"A delta is written by one process. Received: a call in one of {world}"):
        gr.serving.export_delta(ranking_model()[0], folder, folder / "delta")
    larger = FusedEmbedding(ROWS + 1, WIDTH, ADAM(0.01), placement="rows")
    larger.build()
    for file in (folder / "dealt.weights.h5", folder / "whole.weights.h5"):
        with h5py.File(file) as content:
            values = next(group for name, group in content["layers"].items() if name.startswith("fused"))["vars"]
            with pytest.raises(ValueError, match="The file holds 23 rows"):
                larger.load_own_variables(values)


def train_together(rank, world, folder):
    """Reads `FOLDER/whole.weights.h5`, which one process saved of the case "adam"."""
    keras.utils.set_random_seed(1)
    start = f"file://{folder}/store-{world}"
    torch.distributed.init_process_group(
        "gloo", init_method=start, rank=rank, world_size=world, timeout=timedelta(seconds=100)
    )
    results = {}
    for name in CASES:
        found, model, layer = run(name, rank, world)
        if name == "adam":
            state = {key: found[key] for key in layer.state}
            check_rows(layer, state)
            check_files(model, layer, state, folder, rank, world)
            check_growth(world)
            check_refusals(folder, world)
        results[name] = {key: np.asarray(value).tolist() for key, value in found.items()}
    if rank == 0:
        (folder / f"results-{world}.json").write_text(json.dumps(results))
