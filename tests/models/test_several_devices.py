"""What trains wrongly on several devices raises before the first step; what is right there still trains."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

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

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = make()
    layer = gr.layers.GroupConcat(2, 4, code_dim=2)
    inputs = keras.Input((4,))
    own = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    own.compile("sgd", "mse")
before = model.get_weights()
found = "Received: tf.distribute.MirroredStrategy with 2 replicas"
refused("CTRModel.fit trains in one replica. " + found, lambda: model.fit(x, y, batch_size=16, verbose=0))
refused("CTRModel.train_on_batch", lambda: model.train_on_batch(x, y))
refused("CTRModel.compute_loss", lambda: model.evaluate(x, y, batch_size=16, verbose=0))
refused("A residual quantizer", lambda: own.fit(np.ones((4, 4)), np.ones(4), batch_size=4, verbose=0))
for one, other in zip(before, model.get_weights()):
    np.testing.assert_array_equal(one, other)
with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
    model = make(("user",))
model.fit(x, y, verbose=0)
"""
)
PROCESSES = (
    MODEL
    + """
import sys
import torch
import keras

rank, store = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
model = make(("user",))
before = [w.copy() for w in model.get_weights()]
refused("CTRModel.fit trains in one replica. Received: torch.distributed with 2 processes",
        lambda: model.fit(x, y, verbose=0))
for one, other in zip(before, model.get_weights()):
    np.testing.assert_array_equal(one, other)
# It copies the weights of the first process to the others.
ddp = torch.nn.parallel.DistributedDataParallel(model)
before = [w.copy() for w in model.get_weights()]
columns = {name: torch.as_tensor(values) for name, values in x.items()}
refused("A residual quantizer trains in one replica", lambda: ddp(columns, training=True))
for one, other in zip(before, model.get_weights()):
    np.testing.assert_array_equal(one, other)
assert model.predict_proba(x)["click"].shape == (16,)
"""
)
SHARDED = (
    """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
import keras
"""
    + MODEL
    + """
one = make(("user",))
distribution = keras.distribution.DataParallel(devices=keras.distribution.list_devices("cpu"))
keras.distribution.set_distribution(distribution)
two = make(("user",))
two.set_weights([np.copy(w) for w in one.get_weights()])
two.fit(x, y, batch_size=8, shuffle=False, verbose=0)
trained = [np.copy(w) for w in two.get_weights()]


def ragged(run):
    try:
        run()
    except ValueError as error:
        assert "rows cannot be cut into 2 equal parts" in str(error) and "drop_remainder" in str(error), error
    else:
        raise AssertionError("ragged")


first = lambda table, n: {name: values[:n] for name, values in table.items()}
loader = lambda n: gr.datasets.BatchLoader(first(x, n), first(y, n), 4, schema=schema)
ragged(lambda: two.fit(first(x, 7), first(y, 7), batch_size=4, verbose=0))
ragged(lambda: two.fit(loader(7), verbose=0))
ragged(lambda: two.fit(((first(x, n), first(y, n)) for n in (4, 4, 3)), verbose=0))
ragged(lambda: two.evaluate(first(x, 7), first(y, 7), verbose=0))
ragged(lambda: two.predict(first(x, 7), verbose=0))
assert np.isfinite(two.predict(x, verbose=0)["click"]).all()
# The same training on one device.
keras.distribution.set_distribution(None)
three = make(("user",))
three.set_weights(one.get_weights())
three.fit(x, y, batch_size=8, shuffle=False, verbose=0)
for one_, other in zip(trained, three.get_weights()):
    np.testing.assert_allclose(one_, other, rtol=1e-4, atol=1e-6)
"""
)


def start(program, *arguments):
    environment = {**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def check_ends_well(process):
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strategies are TensorFlow's")
def test_mirrored_strategy_of_two_replicas():
    check_ends_well(start(MIRRORED))


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
@pytest.mark.long
def test_two_processes(tmp_path):
    store = str(Path(tmp_path) / "store")
    for process in [start(PROCESSES, str(rank), store) for rank in (0, 1)]:
        check_ends_well(process)


@pytest.mark.skipif(BACKEND != "jax", reason="Keras distributes on JAX alone")
@pytest.mark.long
def test_groups_train_over_two_devices_and_ragged_batches_are_refused():
    check_ends_well(start(SHARDED))


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
def test_a_process_group_of_one_goes_on(tmp_path):
    import torch

    layer, x = gr.layers.GroupConcat(2, 4, code_dim=2), np.ones((4, 3), "float32")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert layer(x, training=True).shape == (4, 5)
        with (
            mock.patch("torch.distributed.get_world_size", return_value=3),
            pytest.raises(RuntimeError, match="A residual quantizer .* torch.distributed with 3 processes"),
        ):
            layer(x, training=True)
    finally:
        torch.distributed.destroy_process_group()
