"""Tables whose rows are dealt over JAX devices train as on one device: against NumPy, and against one device.

The tests need eight virtual devices. Where there is one, a single test runs this file again in a process that has them.
"""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array
from support.fused_case import IDS, LABELS, ROWS, TABLE, WIDTH, gradient_at, make_model, train_reference
from support.ranking_case import (
    BATCH,
    STEPS,
    assert_states_equal,
    everything_of,
    ranking_columns,
    ranking_model,
    results_of,
    state_of,
)
from support.row_reference import RowReference
from support.xla_flags import XLA_FLAGS

from grouprank.layers import FusedEmbedding, embedding_optimizers

if keras.backend.backend() != "jax":
    pytest.skip("torch has its own tests, and TensorFlow refuses", allow_module_level=True)

import jax

from grouprank.layers.embedding.row_tables import jax_sharded_store, jax_sharded_table

DEVICES = 8
sharded = pytest.mark.skipif(jax.device_count() < DEVICES, reason="run by the process with eight devices")
OPTIMIZERS = embedding_optimizers.OPTIMIZERS


@pytest.mark.skipif(jax.device_count() >= DEVICES, reason="this is the process with eight devices")
@pytest.mark.long
def test_on_eight_virtual_devices():
    flags = f"{XLA_FLAGS} --xla_force_host_platform_device_count={DEVICES}"
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "XLA_FLAGS": flags, "PJRT_NPROC": "16"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d\d passed, 1 skipped", done.stdout), done.stdout


@pytest.fixture
def over():
    """Sets the number of devices that models made from then on train on."""

    def set_devices(number):
        devices = keras.distribution.list_devices("cpu")[:number]
        several = keras.distribution.DataParallel(devices=devices) if number > 1 else None
        keras.distribution.set_distribution(several)

    yield set_devices
    set_devices(1)


def train(model, steps=range(20), ids=IDS):
    return [float(model.train_on_batch(ids[step], LABELS[step])) for step in steps]


@sharded
@pytest.mark.parametrize(
    ("name", "options", "devices"),
    [
        ("sgd", {}, 2),
        ("adagrad", {"clipnorm": 0.02}, 4),
        ("rowwise_adagrad", {"weight_decay": 0.1}, 4),
        ("adam", {"clipvalue": 0.002}, 8),
        ("ftrl", {"l1": 0.02}, 2),
    ],
)
def test_twenty_steps_full_of_repeats_equal_numpy(over, name, options, devices):
    over(devices)
    model, layer = make_model(OPTIMIZERS[name](0.1, **options), "rows")
    assert layer.embeddings.shape == (devices, -(-ROWS // devices), WIDTH)
    train(model)
    reference = RowReference(TABLE, name, **options)
    expected = train_reference(reference)
    found = state_of(layer)
    np.testing.assert_allclose(found["embeddings"], expected, rtol=0, atol=1e-5)
    slots = {"sgd": {}, "adagrad": {"accumulator": reference.squares}}
    slots |= {"rowwise_adagrad": {"accumulator": reference.row_squares}}
    slots |= {"adam": {"momentum": reference.first, "velocity": reference.second}}
    slots |= {"ftrl": {"accumulator": reference.n, "linear": reference.z}}
    for slot, values in slots[name].items():
        np.testing.assert_allclose(found[slot], values, rtol=0, atol=1e-5)
    assert int(layer.iterations) == 20
    np.testing.assert_allclose(as_array(layer(IDS[0], training=False)), expected[IDS[0]], rtol=0, atol=1e-5)


@sharded
@pytest.mark.parametrize("options", [{}, {"clipnorm": 0.02}], ids=["plain", "clipnorm"])
def test_rows_that_all_live_on_one_device_are_trained_in_rounds(over, monkeypatch, options):
    monkeypatch.setattr(jax_sharded_table, "round_capacity", lambda positions, shards: 2)
    over(4)
    model, layer = make_model(OPTIMIZERS["adagrad"](0.1, **options), "rows")
    # The four devices, of 16 lines each, ask for different rows of the first one: for 0 to 12, 4 to 16 and so on.
    one_owner = 4 * (IDS % 4 + np.arange(64)[:, None] // 16)
    train(model, ids=one_owner)
    reference = RowReference(TABLE, "adagrad", **options)
    for step in range(20):
        reference.train(one_owner[step], gradient_at(reference.table, one_owner[step], LABELS[step]))
    np.testing.assert_allclose(state_of(layer)["embeddings"], reference.table, rtol=0, atol=1e-5)


@sharded
@pytest.mark.parametrize("storage_dtype", ["bfloat16", "float16"])
def test_half_precision_is_rounded_as_on_one_device(over, storage_dtype):
    states = []
    for devices in (1, 4):
        over(devices)
        model, layer = make_model("adagrad", "rows", storage_dtype=storage_dtype, seed=3)
        train(model, range(5))
        states.append(state_of(layer))
    assert_states_equal(*states)


@sharded
def test_a_step_that_overflows_on_one_device_is_left_out_on_all(over):
    over(2)
    keras.config.set_dtype_policy("mixed_float16")
    # Without other weights, whose gradients would tell Keras to leave the step out.
    _, layer = make_model("sgd", "rows")
    inputs = keras.Input((3,), dtype="int32")
    outputs = keras.layers.Dense(1, use_bias=False, trainable=False)(keras.layers.Flatten()(layer(inputs)))
    model = keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(outputs))
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=2.0**10), "mse")
    before = state_of(layer)["embeddings"]
    ids, labels = np.array(IDS[0]), np.array(LABELS[0])
    # The first device keeps the rows of the line that overflows, and the second one must know of it.
    ids[0], labels[0] = 2, 1e6
    model.train_on_batch(ids, labels)
    np.testing.assert_array_equal(state_of(layer)["embeddings"], before)
    model.train_on_batch(IDS[0], LABELS[0])
    assert np.abs(state_of(layer)["embeddings"] - before).max() > 1e-4


@sharded
def test_ids_that_do_not_count_train_nothing(over):
    over(4)
    _, layer = make_model("sgd", "rows")
    mask = np.zeros((8, 3), bool)
    inputs = (keras.Input((3,), dtype="int32"), keras.Input((3,), dtype="bool"))
    masked = keras.Model(inputs, keras.layers.Flatten()(layer(inputs[0], mask=inputs[1])))
    masked.compile("sgd", "mse")
    before = state_of(layer)["embeddings"]
    masked.train_on_batch((np.zeros((8, 3), "int32"), mask), np.ones((8, 12)))
    np.testing.assert_array_equal(state_of(layer)["embeddings"], before)
    mask[5, 1] = True
    masked.train_on_batch((np.full((8, 3), 9, "int32"), mask), np.ones((8, 12)))
    assert np.flatnonzero((state_of(layer)["embeddings"] != before).any(-1)).tolist() == [9]


@sharded
def test_a_ranking_model_with_groups_equals_one_device(over, tmp_path, monkeypatch):
    """With unknown labels, sequences, resets of codes and a last batch of half the size; saved on 4, resumed on 2."""
    monkeypatch.setattr(jax_sharded_store, "BLOCK_ROWS", 7)
    x, y = ranking_columns(STEPS * BATCH - 16)
    first, their = ({name: values[:64] for name, values in columns.items()} for columns in (x, y))
    found, results = [], []
    for devices in (1, 4):
        over(devices)
        model = ranking_model()
        results.append(results_of(model, x, y))
        found.append(everything_of(model))
    assert_states_equal(*found)
    assert_states_equal(*results, atol=1e-4)
    model.save(tmp_path / "four.keras")
    model.fit(first, their, batch_size=BATCH, shuffle=False, verbose=0)
    expected = everything_of(model)
    over(1)
    assert_states_equal(everything_of(keras.models.load_model(tmp_path / "four.keras")), found[1], atol=0)
    over(2)
    resumed = keras.models.load_model(tmp_path / "four.keras")
    assert_states_equal(everything_of(resumed), found[1], atol=0)
    resumed.fit(first, their, batch_size=BATCH, shuffle=False, verbose=0)
    assert_states_equal(everything_of(resumed), expected)


@sharded
def test_a_table_of_one_device_is_taken_over_by_several(over, tmp_path):
    model, layer = make_model("adagrad", placement="rows")
    train(model, range(3))
    model.save_weights(tmp_path / "one.weights.h5")
    expected = state_of(layer)
    over(4)
    model, layer = make_model("adagrad", placement="rows")
    model.load_weights(tmp_path / "one.weights.h5")
    assert_states_equal(state_of(layer), expected, atol=0)


@sharded
def test_initial_rows_are_those_of_one_device(over, monkeypatch):
    monkeypatch.setattr("grouprank.layers.embedding.blockwise_initializer.BLOCK_ROWS", 8)
    states = []
    for devices in (1, 4):
        over(devices)
        layer = FusedEmbedding(29, 3, embeddings_initializer=keras.initializers.RandomNormal(seed=2), placement="rows")
        layer.build()
        states.append(state_of(layer))
    assert_states_equal(*states, atol=0)


@sharded
def test_training_under_another_distribution_raises(over):
    over(2)
    model, _ = make_model("sgd", "rows")
    over(4)
    with pytest.raises(RuntimeError, match="dealt over 2 devices, but the distribution is now"):
        train(model, range(1))


@sharded
def test_a_step_copies_no_shard_and_sends_little_more_than_the_distinct_rows(over):
    """Counted in the compiled program, with the number of its rounds."""
    over(4)
    rows, batch, fields = 1_000_000, 4096, 39
    layer = FusedEmbedding(rows, 16, "rowwise_adagrad", placement="rows")
    layer.build()
    # Ids of each field as frequent as those of a log: of 160,000, a quarter are distinct.
    ids = (3 * np.random.default_rng(0).pareto(0.5, (batch, fields))).astype("int64").clip(max=rows // fields - 1)
    ids = (ids + np.arange(fields) * (rows // fields)).astype("int32").reshape(-1)
    store, table = layer._store, layer._table
    plan = table.plan(ids)

    def step(values, plan, gradient):
        def rule(rows, gradient, slots, iteration, numbers, learning_rate, loss_scale):
            return layer.optimizer.update(rows, gradient, slots, 0.1, iteration, table.exchange.total)

        vectors = table.look_up(values, plan, False)
        return table.trained(values, plan, False, vectors + gradient, rule, (None, None))

    values = store.values()
    gradient = np.zeros((len(ids), 16), "float32")
    compiled = jax.jit(step, donate_argnums=0).lower(values, plan, gradient).compile()
    shard = rows // 4 * (16 + 1) * 4
    memory = compiled.memory_analysis()
    activations = len(ids) // 4 * 16 * 4
    assert memory.alias_size_in_bytes > 0.99 * shard
    assert memory.temp_size_in_bytes < 0.05 * shard + 5 * activations
    sent = 0
    for found in re.findall(r"= \((.*?)\) all-to-all\(", compiled.as_text()):
        for dtype, shape in re.findall(r"(s32|f32)\[([\d,]*)\]", found):
            assert dtype in ("s32", "f32")
            sent += 4 * int(np.prod([int(size) for size in shape.split(",")]))

    def rounds(distinct, bounds):
        return table._in_rounds(lambda count, *_: count + 1, 0, distinct, bounds)[None]

    number = int(store.on_devices(rounds, (True, True), True)(*plan[:2])[0])
    needed = np.mean([len(np.unique(part)) for part in np.split(ids, 4)]) * (4 + 2 * 16 * 4)
    assert number > 5
    assert sent * number <= 1.2 * needed, (sent, number, needed)
