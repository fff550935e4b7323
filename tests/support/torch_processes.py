"""Models that processes of torch train together as one process does; `test_several_devices.py` runs them."""

import re

import keras
import numpy as np
import pytest
import torch

import grouprank as gr

STEPS, ROWS = 20, 6  # steps of an epoch, and rows of a process in each of them
SCHEMA = gr.Schema(
    [gr.Categorical("user_id", 50, side="user"), gr.Categorical("ad_id", 20), gr.Numeric("bid", side="ad")],
    [gr.Task("click"), gr.Task("like")],
)


def table(rng, rows):
    ids = {"user_id": rng.integers(0, 50, rows), "ad_id": rng.integers(0, 20, rows)}
    x = {**ids, "bid": rng.normal(size=rows)}
    y = {"click": 1.0 * (x["bid"] + rng.normal(size=rows) > 0), "like": rng.integers(0, 2, rows).astype(float)}
    # All of some batches of a process are unknown, and a few elsewhere.
    y["like"][(np.arange(rows) // ROWS % 3 == 1) | (rng.random(rows) < 0.2)] = np.nan
    return x, y


def part(values, rank, world):
    """The rows of a process: its batch of each step."""
    if isinstance(values, dict):
        return {name: part(column, rank, world) for name, column in values.items()}
    return values.reshape(-1, world, ROWS, *values.shape[1:])[:, rank].reshape(-1, *values.shape[1:])


def groups(name):
    # Codes die within a few steps and are moved onto rows of the batch in the last one.
    return gr.layers.GroupConcat(2, 16, code_dim=3, ema_decay=0.5, seed=5, name=name)


def make(number, seed):
    arguments = (
        {"group_structure": {name: groups(name) for name in ("user", "user_ad", "representation")}},
        {"task_weighting": "grad_norm", "group_structure": (), "multi_task": "ple"},
        {"task_weighting": "uncertainty", "group_structure": ("user",)},
    )[number]
    keras.utils.set_random_seed(seed)
    model = gr.models.CTRModel(SCHEMA, backbone="mlp", embedding_dim=4, tower_units=(), **arguments)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def trained(model, x, y, size, check_x, check_y, adapt_x, adapt_y):
    model.adapt(adapt_x, y=adapt_y)
    history = model.fit(x, y, size, shuffle=False, verbose=0, validation_data=(check_x, check_y)).history
    evaluated = model.evaluate(check_x, check_y, size, return_dict=True, verbose=0)
    # As Keras averages them over batches, losses of batches that are cut otherwise are others.
    del history["val_loss"], evaluated["loss"]
    return {name: values[0] for name, values in history.items()}, evaluated, model.get_weights()


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.groups = groups("own")
        self.head = keras.layers.Dense(1)

    def call(self, x, training=None):
        return self.head(self.groups(x, training=training, sample_weight=x[:, 2]))


def own(x, y, wrap):
    """A model and a training loop of one's own."""
    keras.utils.set_random_seed(3)
    model = Own()
    model(x[:2])
    wrapped = wrap(model)
    loss, descent, losses = gr.losses.ObservedBinaryCrossentropy(), torch.optim.SGD(model.parameters(), 0.05), []
    for rows in np.split(np.arange(len(x)), STEPS):
        descent.zero_grad()
        value = loss(y[rows], wrapped(x[rows], training=True))
        (value + sum(model.losses)).backward()
        losses.append(float(value.detach()))
        descent.step()
    usage = keras.ops.convert_to_numpy(model.groups.quantizer.codebook_usage)
    assert np.isclose(usage, 2 * 0.03 / 16).any(), "no code was moved"
    return losses, model.get_weights()


def wrap(model):
    if torch.distributed.get_world_size() == 2:
        return torch.nn.parallel.DistributedDataParallel(model)
    gr.distribution.synchronize(model)
    return model


def loaded(model, table, check, rows, rank, world):
    """What a model learns of loaders that deal `table` and `check`, and what it predicts."""
    shared = {"schema": SCHEMA, "rank": rank, "world_size": world}
    train = gr.datasets.BatchLoader(*table, rows, shuffle=True, seed=7, **shared)
    check = gr.datasets.BatchLoader(*check, rows, **shared)
    history = model.fit(train, shuffle=False, epochs=2, verbose=0, validation_data=check).history
    evaluated = model.evaluate(check, return_dict=True, verbose=0)
    del history["val_loss"], evaluated["loss"]
    return (history, evaluated, model.get_weights()), model.predict(check)["click"]


def assert_equal(one, other):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)


def train_together(rank, world, folder):
    """Trains alone in the first process, then in all of them, and compares."""
    rng = np.random.default_rng(0)
    (x, y), (check_x, check_y) = table(rng, STEPS * world * ROWS), table(rng, 7 * world - 1)
    vectors = np.stack([x["bid"], x["ad_id"] / 10.0, x["user_id"] / 50.0], axis=-1).astype("float32")
    checked = [{name: np.array_split(v, world)[rank] for name, v in z.items()} for z in (check_x, check_y)]
    mine = (part(x, rank, world), part(y, rank, world))
    # Of the models that are trained; each takes seconds.
    numbers = (0, 1, 2) if world == 2 else (1,)
    expected = []
    if rank == 0:
        # The rows of one process after those of another, as k-means sees them.
        parts = [[part(columns, of, world) for of in range(world)] for columns in (x, y)]
        ordered = [{name: np.concatenate([part[name] for part in z]) for name in z[0]} for z in parts]
        for number in numbers:
            expected.append(trained(make(number, number), x, y, world * ROWS, check_x, check_y, *ordered))
        expected.append(own(torch.tensor(vectors), y["like"], lambda model: model))
        figures, predicted = loaded(make(0, 4), (x, y), (check_x, check_y), world * ROWS, 0, 1)
        # Every `world`-th batch is the first process'.
        expected += [figures, predicted[np.arange(len(predicted)) // ROWS % world == 0]]

    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    assert (gr.distribution.rank(), gr.distribution.world_size()) == (rank, world)
    # Other weights in each process, of which those of the first count.
    found = [trained(make(n, n + 10 * rank), *mine, ROWS, *checked, *mine) for n in numbers]
    found.append(own(torch.tensor(part(vectors, rank, world)), part(y["like"], rank, world), wrap))
    found += loaded(make(0, 4), (x, y), (check_x, check_y), ROWS, rank, world)
    if rank == 0:
        assert_equal(expected, found)
    # All figures are the same in every process.
    found.pop()
    of_first = [found] if rank == 0 else [None]
    torch.distributed.broadcast_object_list(of_first)
    assert_equal(of_first[0], found)
    check_refusals(rank, world, (x, y), (check_x, check_y), mine)


def refused(kind, what, run):
    with pytest.raises(kind, match=re.escape(what)):
        run()


def check_refusals(rank, world, table, check, mine):
    """What cannot be right raises in all processes, and changes no weight."""
    model = make(2, 0)
    before = [np.copy(w) for w in model.get_weights()]
    refused(ValueError, "steps an epoch: [", lambda: model.fit(*mine, ROWS, verbose=0, steps_per_epoch=5 + rank))
    wrong = {**mine[0], "ad_id": mine[0]["ad_id"] + 30 * rank}
    refused(
        *((ValueError, "expected an id in [0, 20)"), (RuntimeError, "error in the process of rank 1"))[rank == 0],
        lambda: model.fit(wrong, mine[1], ROWS, verbose=0),
    )
    one = gr.datasets.BatchLoader(*table, ROWS, schema=SCHEMA)
    refused(ValueError, "the loader deals the batches of process 0 of 1", lambda: model.fit(one, verbose=0))
    padded = gr.datasets.BatchLoader(*check, ROWS, schema=SCHEMA, rank=rank, world_size=world)
    what = "copies of a row without labels" if padded.padding else "error in the process of rank"
    refused((ValueError, RuntimeError), what, lambda: model.fit(padded, verbose=0))
    refused(ValueError, "must know its number of steps", lambda: model.fit(iter([mine] * 3), verbose=0))
    normalized = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(name="norm")])
    refused(RuntimeError, "the layers ['norm']", lambda: gr.distribution.synchronize(normalized))
    two = gr.models.TwoTowerModel(SCHEMA, "ad_id", positive="click")
    two.compile()
    refused(RuntimeError, "TwoTowerModel.fit takes the candidates", lambda: two.fit(*mine, verbose=0))
    other = keras.Sequential([keras.Input((3 + rank,)), keras.layers.Dense(1)])
    refused(ValueError, "different models", lambda: gr.distribution.synchronize(other))
    assert_equal(before, model.get_weights())


def export_alone(rank, world, folder):
    """The first of two processes exports, and the other one ends."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    torch.distributed.barrier()
    if rank == 0:
        # The other one is named, unless its end is seen first.
        missing = "All 2 processes must call gr.serving.export(?s:.*)(Ranks 1 failed|Connection closed)"
        with pytest.raises(RuntimeError, match=missing):
            gr.serving.export(make(2, 0), folder / "served" / "1")
        assert not (folder / "served").exists()
