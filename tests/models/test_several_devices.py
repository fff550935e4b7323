"""What trains wrongly on several devices raises before the first step; what is right there still trains."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import grouprank as gr

BACKEND = keras.backend.backend()
MODEL = """
import numpy as np
import grouprank as gr

schema = gr.Schema([gr.Categorical("user_id", 8, side="user"), gr.Categorical("ad_id", 8)], [gr.Task("click")])
rng = np.random.default_rng(0)
x = {name: rng.integers(0, 8, 16).astype("int32") for name in ("user_id", "ad_id")}
y = {"click": rng.integers(0, 2, 16).astype("float32")}


def make(groups=()):
    model = gr.models.CTRModel(
        schema, backbone="lr", group_structure=groups, residual_learning=False, embedding_dim=4, tower_units=()
    )
    model.compile()
    return model


def refused(what, run):
    try:
        run()
    except RuntimeError as error:
        assert what in str(error), error
        print("refused", what)
    else:
        raise AssertionError(what)
"""
MIRRORED = (
    """
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""
    + MODEL
    + """
import keras

y = {"click": y["click"], "buy": rng.integers(0, 2, 16).astype("float32")}
# More labels are missing in one replica's half of a batch than in the other's.
y["buy"][[0, 1, 2, 9, 12, 13]] = np.nan
schema = gr.Schema(schema.features, [gr.Task("click"), gr.Task("buy")])


def make(groups=(), **arguments):
    keras.utils.set_random_seed(1)
    model = gr.models.CTRModel(schema, "mlp", group_structure=groups, embedding_dim=4, tower_units=(), **arguments)
    model.compile(keras.optimizers.SGD(0.3))
    return model


def make_own():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    metrics = [gr.metrics.NormalizedEntropy(from_logits=True)]
    model.compile(keras.optimizers.SGD(0.3), gr.losses.ObservedBinaryCrossentropy(), weighted_metrics=metrics)
    return model


vectors = np.stack(list(x.values()), axis=-1) / 8.0
first = [{name: values[:13] for name, values in columns.items()} for columns in (x, y)]


def figures(model, own):
    history = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history
    evaluated = model.evaluate(*first, batch_size=8, return_dict=True, verbose=0)  # the last batch has 5 rows
    evaluated["probabilities"] = model.predict_proba(first[0], batch_size=8)["click"]
    of_own = own.fit(vectors, y["buy"], batch_size=8, epochs=3, shuffle=False, verbose=0).history
    return history, evaluated, model.get_weights(), of_own, own.get_weights()


def equal(one, other):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)


one = figures(make(task_weighting="uncertainty"), make_own())
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model, own = make(task_weighting="uncertainty"), make_own()
    grouped, balanced, fused = make(("user",)), make(task_weighting="grad_norm"), make(embedding_optimizer="adam")
    layer = gr.layers.GroupConcat(2, 4, code_dim=2)
    inputs = keras.Input((4,))
    quantized = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    quantized.compile("sgd", "mse")
    two = gr.models.TwoTowerModel(gr.Schema(schema.features, [gr.Task("click")]), "ad_id")
    two.compile()
    dealt = gr.layers.FusedEmbedding(8, 2, placement="rows")
    refused("cannot be dealt over devices on TensorFlow. Received: tf.distribute.Mirrored", lambda: dealt.build())
    refused("KERAS_BACKEND=torch and torchrun", lambda: dealt.build())
equal(one, figures(model, own))
before = grouped.get_weights()
found = "Received: tf.distribute.MirroredStrategy with 2 replicas"
instead = "KERAS_BACKEND=jax and keras.distribution.DataParallel, or KERAS_BACKEND=torch and torchrun"
refused(found, lambda: grouped.fit(x, y, batch_size=16, verbose=0))
refused("CTRModel.fit with the layers ['user_groups'] trains in one", lambda: grouped.fit(x, y, verbose=0))
refused(instead, lambda: grouped.train_on_batch(x, y))
refused("CTRModel.fit with the layers", lambda: balanced.fit(x, y, verbose=0))
refused("CTRModel.fit with the layers", lambda: fused.fit(x, y, verbose=0))
refused("TwoTowerModel.fit takes the candidates", lambda: two.fit(x, {"click": y["click"]}, verbose=0))
refused("A residual quantizer", lambda: quantized.fit(np.ones((4, 4)), np.ones(4), batch_size=4, verbose=0))
for one, other in zip(before, grouped.get_weights()):
    np.testing.assert_array_equal(one, other)
with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
    model = make(("user",))
model.fit(x, y, verbose=0)
"""
)
PROCESSES = """
import sys

import keras
import numpy as np
import torch

import grouprank as gr

rank, world, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
STEPS, ROWS = 20, 6  # steps of an epoch, and rows of a process in each of them
rng = np.random.default_rng(0)
schema = gr.Schema(
    [gr.Categorical("user_id", 50, side="user"), gr.Categorical("ad_id", 20), gr.Numeric("bid", side="ad")],
    [gr.Task("click"), gr.Task("like")],
)


def table(rows):
    ids = {"user_id": rng.integers(0, 50, rows), "ad_id": rng.integers(0, 20, rows)}
    x = {**ids, "bid": rng.normal(size=rows)}
    y = {"click": 1.0 * (x["bid"] + rng.normal(size=rows) > 0), "like": rng.integers(0, 2, rows).astype(float)}
    # All of some batches of a process are unknown, and a few elsewhere.
    y["like"][(np.arange(rows) // ROWS % 3 == 1) | (rng.random(rows) < 0.2)] = np.nan
    return x, y


def part(values, of):
    # The rows of a process: its batch of each step.
    if isinstance(values, dict):
        return {name: part(column, of) for name, column in values.items()}
    return values.reshape(-1, world, ROWS, *values.shape[1:])[:, of].reshape(-1, *values.shape[1:])


def split(columns):
    return {name: np.array_split(values, world)[rank] for name, values in columns.items()}


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
    model = gr.models.CTRModel(schema, backbone="mlp", embedding_dim=4, tower_units=(), **arguments)
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
    # A model and a training loop of one's own.
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
    if world == 2:
        return torch.nn.parallel.DistributedDataParallel(model)
    gr.distribution.synchronize(model)
    return model


def loaders(of, count, rows):
    options = {"schema": schema, "rank": of, "world_size": count}
    train = gr.datasets.BatchLoader(x, y, rows, shuffle=True, seed=7, **options)
    return train, gr.datasets.BatchLoader(check_x, check_y, rows, **options)


def loaded(model, train, check):
    history = model.fit(train, shuffle=False, epochs=2, verbose=0, validation_data=check).history
    evaluated = model.evaluate(check, return_dict=True, verbose=0)
    del history["val_loss"], evaluated["loss"]
    return (history, evaluated, model.get_weights()), model.predict(check)["click"]


x, y = table(STEPS * world * ROWS)
check_x, check_y = table(7 * world - 1)
vectors = np.stack([x["bid"], x["ad_id"] / 10.0, x["user_id"] / 50.0], axis=-1).astype("float32")
# The rows of one process after those of another, as k-means sees them.
ordered = [{name: np.concatenate([part(v, of) for of in range(world)]) for name, v in z.items()} for z in (x, y)]
mine = (part(x, rank), part(y, rank))
numbers = (0, 1, 2) if world == 2 else (1,)  # of the models that are trained; each takes seconds
expected = []
if rank == 0:
    for number in numbers:
        expected.append(trained(make(number, number), x, y, world * ROWS, check_x, check_y, *ordered))
    expected.append(own(torch.tensor(vectors), y["like"], lambda model: model))
    figures, predicted = loaded(make(0, 4), *loaders(0, 1, world * ROWS))
    # Every `world`-th batch is the first process'.
    expected += [figures, predicted[np.arange(len(predicted)) // ROWS % world == 0]]

torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=world)
assert (gr.distribution.rank(), gr.distribution.world_size()) == (rank, world)
# Other weights in each process, of which those of the first count.
found = [trained(make(n, n + 10 * rank), *mine, ROWS, split(check_x), split(check_y), *mine) for n in numbers]
found.append(own(torch.tensor(part(vectors, rank)), part(y["like"], rank), wrap))


def equal(one, other):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)


found += loaded(make(0, 4), *loaders(rank, world, ROWS))
if rank == 0:
    equal(expected, found)
# All figures are the same in every process.
found.pop()
of_first = [found] if rank == 0 else [None]
torch.distributed.broadcast_object_list(of_first)
equal(of_first[0], found)


def refused(kind, what, run):
    try:
        run()
    except kind as error:
        assert what in str(error), error
    else:
        raise AssertionError(what)


model = make(2, 0)
before = [np.copy(w) for w in model.get_weights()]
refused(ValueError, "steps an epoch: [", lambda: model.fit(*mine, ROWS, verbose=0, steps_per_epoch=5 + rank))
wrong = {**mine[0], "ad_id": mine[0]["ad_id"] + 30 * rank}
refused(
    *((ValueError, "expected an id in [0, 20)"), (RuntimeError, "error in the process of rank 1"))[rank == 0],
    lambda: model.fit(wrong, mine[1], ROWS, verbose=0),
)
one = gr.datasets.BatchLoader(x, y, ROWS, schema=schema)
refused(ValueError, "the loader deals the batches of process 0 of 1", lambda: model.fit(one, verbose=0))
padded = gr.datasets.BatchLoader(check_x, check_y, ROWS, schema=schema, rank=rank, world_size=world)
what = "copies of a row without labels" if padded.padding else "error in the process of rank"
refused((ValueError, RuntimeError), what, lambda: model.fit(padded, verbose=0))
refused(ValueError, "must know its number of steps", lambda: model.fit(iter([mine] * 3), verbose=0))
normalized = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(name="norm")])
refused(RuntimeError, "the layers ['norm']", lambda: gr.distribution.synchronize(normalized))
two = gr.models.TwoTowerModel(schema, "ad_id", positive="click")
two.compile()
refused(RuntimeError, "TwoTowerModel.fit takes the candidates", lambda: two.fit(*mine, verbose=0))
other = keras.Sequential([keras.Input((3 + rank,)), keras.layers.Dense(1)])
refused(ValueError, "different models", lambda: gr.distribution.synchronize(other))
equal(before, model.get_weights())
"""
SHARDED = (
    """
import os
import sys

count, kind = int(sys.argv[1]), sys.argv[2]
# XLA:CPU runs the devices of a program in threads of one pool, which must have one for each of them.
os.environ["PJRT_NPROC"] = "16"
os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count={count} --xla_backend_optimization_level=0"
)
import keras
"""
    + MODEL
    + """
devices = keras.distribution.list_devices("cpu")
if kind == "data":
    several, shards = keras.distribution.DataParallel(devices=devices), count
else:
    mesh = keras.distribution.DeviceMesh((count // 2, 2), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*embeddings"] = ("model", None)
    several, shards = keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"), count // 2
first = lambda table, n: {name: values[:n] for name, values in table.items()}
ROWS, BATCH = 31, 16  # the last batch has 15 rows
x = {name: rng.integers(0, 8, ROWS + 1).astype("int32") for name in ("user_id", "ad_id")}
y = {"click": rng.integers(0, 2, ROWS + 1).astype("float32")}
rows = BATCH + (ROWS - BATCH) // shards * shards  # those that the devices can share
y["click"][2] = np.nan


def make(groups):
    keras.utils.set_random_seed(1)
    model = gr.models.CTRModel(
        schema, backbone="mlp", group_structure=groups, residual_learning=bool(groups), embedding_dim=4, tower_units=()
    )
    model.compile(keras.optimizers.SGD(0.1))
    return model


def loader(n, **arguments):
    return gr.datasets.BatchLoader(first(x, n), first(y, n), BATCH, schema=schema, **arguments)


def figures(model, trained_rows, groups):
    table, labels = first(x, trained_rows), first(y, trained_rows)
    if groups:
        model.adapt(first(x, ROWS), y=first(y, ROWS))
    model.fit(table, labels, batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
    model.fit(loader(trained_rows), epochs=2, shuffle=False, verbose=0, validation_data=loader(ROWS))
    evaluated = [
        model.evaluate(first(x, ROWS), first(y, ROWS), BATCH, return_dict=True, verbose=0),
        model.evaluate(loader(ROWS), return_dict=True, verbose=0),
    ]
    for answers in evaluated:
        del answers["loss"]  # a mean over batches, which counts the rows that fill one up
    predicted = [model.predict(first(x, ROWS), BATCH, verbose=0), model.predict(loader(ROWS), verbose=0)]
    return evaluated, predicted, model.groups(first(x, ROWS), BATCH), [np.copy(w) for w in model.get_weights()]


def equal(one, other):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)


def refused_generator(model):
    batches = ((first(x, n), first(y, n)) for n in (BATCH, BATCH, 15))
    try:
        model.fit(batches, verbose=0)
    except ValueError as error:
        assert f"rows cannot be cut into {shards} equal parts" in str(error) and "drop_remainder" in str(error), error
    else:
        raise AssertionError("ragged batches of a generator")


groups = ("representation",)
one = figures(make(groups), rows, groups)
keras.distribution.set_distribution(several)
model = make(groups)
equal(one, figures(model, ROWS, groups))
refused_generator(model)
# The step that failed came after two that did not.
assert int(model.optimizer.iterations) == 3 * 2 + 2 * 2 + 2
assert np.isfinite(model.predict(x, verbose=0)["click"]).all()
model.save(sys.argv[3])
equal(model.get_weights(), keras.saving.load_model(sys.argv[3]).get_weights())
# A last batch of fewer rows than devices is left out, and the loader's epochs go on all the same.
data = gr.datasets.BatchLoader(first(x, 25), first(y, 25), 8, shuffle=True, schema=schema)
model.fit(data, epochs=2, shuffle=False, verbose=0)
assert (data.epoch, int(model.optimizer.iterations)) == (2, 12 + 2 * 3)
"""
)


def start(program, *arguments, **options):
    environment = {**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def check_ends_well(process):
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strategies are TensorFlow's")
def test_mirrored_strategy_of_two_replicas():
    check_ends_well(start(MIRRORED))


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_processes_train_and_evaluate_as_one(tmp_path, count):
    store = str(Path(tmp_path) / "store")
    for process in [start(PROCESSES, str(rank), str(count), store) for rank in range(count)]:
        check_ends_well(process)


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
@pytest.mark.long
def test_the_example_of_the_docs_runs(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "distribution.md").read_text(encoding="utf-8")
    script = tmp_path / "train.py"
    script.write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    run = "import runpy; runpy.run_module('torch.distributed.run', run_name='__main__')"
    process = start(run, "--standalone", "--nproc-per-node", "2", str(script), cwd=tmp_path)
    check_ends_well(process)
    assert (tmp_path / "model.keras").exists()


@pytest.mark.skipif(BACKEND != "jax", reason="Keras distributes on JAX alone")
@pytest.mark.long
@pytest.mark.parametrize(("count", "kind"), [(2, "data"), (4, "model")])
def test_devices_of_one_process_train_as_one(tmp_path, count, kind):
    check_ends_well(start(SHARDED, str(count), kind, str(tmp_path / "model.keras")))


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
def test_a_process_group_of_one_goes_on(tmp_path):
    import torch

    layer, x = gr.layers.GroupConcat(2, 4, code_dim=2), np.ones((4, 3), "float32")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert layer(x, training=True).shape == (4, 5)
    finally:
        torch.distributed.destroy_process_group()
