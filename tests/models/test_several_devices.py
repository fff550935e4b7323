"""What trains wrongly on several devices raises before the first step; what is right there still trains."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support.jax_devices import train_as_one
from support.processes import run_together

import grouprank as gr

BACKEND = keras.backend.backend()
MIRRORED = """
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
import numpy as np

import grouprank as gr

features = [gr.Categorical("user_id", 8, side="user"), gr.Categorical("ad_id", 8)]
schema = gr.Schema(features, [gr.Task("click"), gr.Task("buy")])
rng = np.random.default_rng(0)
x = {name: rng.integers(0, 8, 16).astype("int32") for name in ("user_id", "ad_id")}
y = {task: rng.integers(0, 2, 16).astype("float32") for task in ("click", "buy")}
# More labels are missing in one replica's half of a batch than in the other's.
y["buy"][[0, 1, 2, 9, 12, 13]] = np.nan


def refused(what, run):
    try:
        run()
    except RuntimeError as error:
        assert what in str(error), error
    else:
        raise AssertionError(what)


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
    two = gr.models.TwoTowerModel(gr.Schema(features, [gr.Task("click")]), "ad_id")
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


def run(program, *arguments, cwd=None):
    environment = {**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strategies are TensorFlow's")
def test_mirrored_strategy_of_two_replicas():
    run(MIRRORED)


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_processes_train_and_evaluate_as_one(tmp_path, count):
    from support.torch_processes import train_together

    run_together(train_together, count, tmp_path)


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
def test_an_export_by_one_process_alone_says_that_all_must_call_it(tmp_path):
    from support.torch_processes import export_alone

    run_together(export_alone, 2, tmp_path)


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
@pytest.mark.long
def test_the_example_of_the_docs_runs(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "distribution.md").read_text(encoding="utf-8")
    script = tmp_path / "train.py"
    script.write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    torchrun = "import runpy; runpy.run_module('torch.distributed.run', run_name='__main__')"
    run(torchrun, "--standalone", "--nproc-per-node", "2", str(script), cwd=tmp_path)
    assert (tmp_path / "model.keras").exists()


@pytest.mark.skipif(BACKEND != "jax", reason="Keras distributes on JAX alone")
@pytest.mark.long
def test_devices_of_one_process_train_as_one(tmp_path):
    run_together(train_as_one, 1, tmp_path)


@pytest.mark.skipif(BACKEND != "torch", reason="process groups are torch's")
def test_a_process_group_of_one_goes_on(tmp_path):
    import torch

    layer, x = gr.layers.GroupConcat(2, 4, code_dim=2), np.ones((4, 3), "float32")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert layer(x, training=True).shape == (4, 5)
    finally:
        torch.distributed.destroy_process_group()
