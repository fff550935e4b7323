"""A fused table in everything that Keras can do with a model while it trains."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array
from support.fused_case import FIELDS, IDS, LABELS, ROWS, TABLE, WIDTH, gradient_at, make_model, train_reference
from support.row_reference import RowReference

from grouprank.layers import FusedEmbedding, embedding_optimizers

BACKEND = keras.backend.backend()
ALL_IDS, ALL_LABELS = IDS.reshape(-1, FIELDS), LABELS.reshape(-1, 1)


def fit(model, steps=20, **arguments):
    rows = steps * IDS.shape[1]
    model.fit(ALL_IDS[:rows], ALL_LABELS[:rows], batch_size=IDS.shape[1], shuffle=False, verbose=0, **arguments)


def expect(layer, name="adagrad", steps=20, atol=1e-5, rate=0.1):
    expected = train_reference(RowReference(TABLE, name, rate=rate), range(steps))
    np.testing.assert_allclose(as_array(layer.embeddings), expected, rtol=0, atol=atol)


COMPILED = {
    "default": {},
    "jit": {"jit_compile": True},
    "no_jit": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "several_steps": {"steps_per_execution": 4},
    "several_steps_jit": {"steps_per_execution": 4, "jit_compile": True},
}


@pytest.mark.parametrize("how", COMPILED)
def test_fit_however_it_is_compiled(how):
    if BACKEND == "torch" and how in ("jit", "several_steps", "several_steps_jit"):
        pytest.skip("torch has no steps_per_execution; its compiler is tested on its own")
    model, layer = make_model(embedding_optimizers.Adagrad(0.1), **COMPILED[how])
    fit(model)
    expect(layer)


@pytest.mark.skipif(BACKEND != "torch", reason="the compiler of torch")
def test_fit_compiled_by_torch():
    """The lookup stays outside the compiled graph; the compiler runs here without a code generator."""
    import torch

    model, layer = make_model(embedding_optimizers.Adagrad(0.1))
    model.train_step = torch.compile(model.train_step, backend="aot_eager")
    fit(model, steps=6)
    expect(layer, steps=6)
    torch._dynamo.reset()


def test_batches_of_any_size():
    model, layer = make_model(embedding_optimizers.SGD(0.1))
    reference = RowReference(TABLE, "sgd")
    for rows in (64, 1, 17):
        ids, labels = IDS[0][:rows], LABELS[0][:rows]
        model.train_on_batch(ids, labels)
        reference.train(ids, gradient_at(reference.table, ids, labels))
    np.testing.assert_allclose(as_array(layer.embeddings), reference.table, rtol=0, atol=1e-6)
    assert int(layer.iterations) == 3


@pytest.fixture
def set_policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, set_policy):
    """Float16 trains with a scaled loss; the table sees the gradient unscaled."""
    set_policy(policy)
    model, layer = make_model(embedding_optimizers.SGD(0.1))
    if policy == "mixed_float16":
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    fit(model)
    assert layer.embeddings.dtype == "float32"
    expect(layer, "sgd", atol=0.02)
    assert np.abs(as_array(layer.embeddings) - TABLE).max() > 0.1


def test_a_scaled_loss_in_float32():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1024.0)
    model, layer = make_model(embedding_optimizers.Adagrad(0.1), optimizer=optimizer)
    fit(model)
    expect(layer)


def test_a_step_that_overflows_leaves_the_table(set_policy):
    set_policy("mixed_float16")
    model, layer = make_model(embedding_optimizers.Adam(0.1))
    model.optimizer.build(model.trainable_variables)
    model.optimizer.dynamic_scale.assign(2.0**60)
    model.train_on_batch(IDS[0], LABELS[0])
    np.testing.assert_array_equal(as_array(layer.embeddings), TABLE)
    assert float(ops.convert_to_numpy(model.optimizer.dynamic_scale)) < 2.0**60
    model.optimizer.dynamic_scale.assign(8.0)
    model.train_on_batch(IDS[1], LABELS[1])
    moved = np.abs(as_array(layer.embeddings) - TABLE)
    assert np.isfinite(moved).all()
    assert 0 < moved.max() < 0.5


@pytest.mark.parametrize("name", embedding_optimizers.OPTIMIZERS)
def test_a_saved_model_goes_on_as_if_nothing_had_happened(name, tmp_path):
    whole, layer = make_model(name)
    part, _ = make_model(name)
    for step in range(4):
        whole.train_on_batch(IDS[step], LABELS[step])
        if step < 2:
            part.train_on_batch(IDS[step], LABELS[step])
    part.save(tmp_path / "part.keras")
    part = keras.models.load_model(tmp_path / "part.keras")
    for step in (2, 3):
        part.train_on_batch(IDS[step], LABELS[step])
    np.testing.assert_array_equal(as_array(part.get_layer("fused").embeddings), as_array(layer.embeddings))
    assert int(part.get_layer("fused").iterations) == 4


def test_half_precision_goes_on_with_the_same_draws(tmp_path):
    def make():
        layer = FusedEmbedding(ROWS, WIDTH, "sgd", storage_dtype="bfloat16", seed=3, name="fused")
        model = keras.Sequential([keras.Input((FIELDS,), dtype="int32"), layer, keras.layers.Flatten()])
        layer.embeddings.assign(TABLE)
        model.compile("sgd", lambda y, p: ops.mean(p) + 0 * ops.mean(y), jit_compile=False)
        return model

    whole, part = make(), make()
    for step in range(4):
        whole.train_on_batch(IDS[step], LABELS[step])
        if step < 2:
            part.train_on_batch(IDS[step], LABELS[step])
    part.save_weights(tmp_path / "part.weights.h5")
    part = make()
    part.load_weights(tmp_path / "part.weights.h5")
    for step in (2, 3):
        part.train_on_batch(IDS[step], LABELS[step])
    ours, theirs = (as_array(ops.cast(m.get_layer("fused").embeddings, "float32")) for m in (part, whole))
    np.testing.assert_array_equal(ours, theirs)


class Crash(keras.callbacks.Callback):
    """Ends a run after its first epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise ConnectionError("the machine went away")


def test_backup_and_restore(tmp_path):
    whole, layer = make_model("adam")
    fit(whole, steps=4, epochs=3)
    model, _ = make_model("adam")
    with pytest.raises(ConnectionError):
        fit(model, steps=4, epochs=3, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup"), Crash()])
    model, resumed = make_model("adam")
    fit(model, steps=4, epochs=3, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup")])
    np.testing.assert_array_equal(as_array(resumed.embeddings), as_array(layer.embeddings))


def test_another_optimizers_file_is_refused_and_a_bare_table_is_taken(tmp_path):
    model, _ = make_model("adagrad")
    model.save_weights(tmp_path / "adagrad.weights.h5")
    other, layer = make_model("adam")
    with pytest.raises(
        ValueError, match="The file holds .*'accumulator'.* Load it into a layer with the same optimizer"
    ):
        other.load_weights(tmp_path / "adagrad.weights.h5")
    layer.load_own_variables({"embeddings": TABLE + 1})
    np.testing.assert_array_equal(as_array(layer.embeddings), TABLE + 1)


def test_without_slots_it_serves_and_trains_no_more(tmp_path):
    model, layer = make_model("adam")
    train_once = model.train_on_batch(IDS[0], LABELS[0])
    assert np.isfinite(train_once)
    expected = model.predict(IDS[1], verbose=0)
    table = as_array(layer.embeddings).copy()
    layer.drop_slots()
    size = (
        max(int(np.prod(v.shape)) for v in layer.variables if v is not layer.embeddings) if layer.variables[1:] else 0
    )
    assert size <= 1, "the table, and scalars at most"
    np.testing.assert_array_equal(model.predict(IDS[1], verbose=0), expected)
    model.compile("sgd", "mse")
    model.train_on_batch(IDS[0], LABELS[0])
    np.testing.assert_array_equal(as_array(layer.embeddings), table)
    model.save_weights(tmp_path / "bare.weights.h5")
    other, whole = make_model("sgd")
    other.load_weights(tmp_path / "bare.weights.h5")
    np.testing.assert_array_equal(as_array(whole.embeddings), table)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="Keras' export of other backends is not plain TensorFlow")
def test_keras_own_export_holds_no_slots(tmp_path):
    import tensorflow as tf

    model, layer = make_model("adam")
    model.train_on_batch(IDS[0], LABELS[0])
    model.export(tmp_path / "saved", verbose=False)
    reader = tf.train.load_checkpoint(str(tmp_path / "saved" / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    large = [name for name, shape in shapes.items() if int(np.prod(shape)) >= ROWS and not name.startswith("_CHECK")]
    assert large
    for name in large:
        # Keras' archive names each variable twice; what must not be among them is a moment.
        np.testing.assert_array_equal(reader.get_tensor(name), as_array(layer.embeddings), err_msg=name)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    served = loaded.serve(tf.constant(IDS[1], tf.int32))
    np.testing.assert_allclose(served, model.predict(IDS[1], verbose=0), rtol=1e-6)


class Twice(keras.Model):
    """Two towers on one table."""

    def __init__(self):
        super().__init__()
        self.fused = FusedEmbedding(ROWS, WIDTH, "sgd")

    def call(self, inputs):
        return ops.sum(self.fused(inputs[:, 0]) * self.fused(inputs[:, 1]), axis=-1)


def test_two_lookups_in_a_step_raise():
    model = Twice()
    model.compile("sgd", "mse")
    model.predict(IDS[0], verbose=0)
    model.evaluate(IDS[0], np.zeros(64), verbose=0)
    with pytest.raises(RuntimeError, match="looked up twice in one training step.*Pass all ids of a step in one call"):
        model.train_on_batch(IDS[0], np.zeros(64))


def test_a_model_without_a_training_argument_trains():
    class Plain(keras.Model):
        def __init__(self):
            super().__init__()
            self.fused = FusedEmbedding(ROWS, WIDTH, "sgd")

        def call(self, inputs):
            return ops.sum(self.fused(inputs), axis=(1, 2))

    model = Plain()
    model(IDS[0])
    model.compile("sgd", "mse")
    before = as_array(model.fused.embeddings).copy()
    model.evaluate(IDS[0], np.zeros(64), verbose=0)
    model.predict(IDS[0], verbose=0)
    np.testing.assert_array_equal(as_array(model.fused.embeddings), before)
    model.train_on_batch(IDS[0], np.ones(64))
    assert (as_array(model.fused.embeddings) != before).all()
    assert int(model.fused.iterations) == 1


def test_lookups_without_a_step_do_not_count():
    """Evaluating, predicting and running a model in training mode by hand, between steps."""
    model, layer = make_model(embedding_optimizers.SGD(0.1))
    for step in range(2):
        model.train_on_batch(IDS[step], LABELS[step])
        model(IDS[5], training=False)
        layer(IDS[6])
        model.evaluate(IDS[7], LABELS[7], verbose=0)
    expect(layer, "sgd", steps=2)
    kept = [model(IDS[8], training=True), model(IDS[9])]
    model.train_on_batch(IDS[2], LABELS[2])
    expect(layer, "sgd", steps=3)
    assert len(kept) == 2


def test_gradient_accumulation_raises():
    model, _ = make_model("sgd", optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    with pytest.raises(RuntimeError, match="cannot wait for accumulated gradients. Received: gradient_accumulation_st"):
        model.train_on_batch(IDS[0], LABELS[0])


DEVICES = {
    "jax": """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import keras
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=keras.distribution.list_devices("cpu")))
make = train
""",
    "tensorflow": """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
def make():
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        train()
""",
    "torch": """
import torch, tempfile
from unittest import mock
import keras
torch.distributed.init_process_group("gloo", init_method="file://" + tempfile.mktemp(), rank=0, world_size=1)
def make():
    with mock.patch("torch.distributed.get_world_size", return_value=2):
        train()
""",
}
TRAIN = """
def train():
    import numpy as np
    from grouprank.layers import FusedEmbedding
    model = keras.Sequential([keras.Input((2,), dtype="int32"), FusedEmbedding(5, 2), keras.layers.Flatten()])
    model.compile("sgd", "mse")
    model.fit(np.zeros((4, 2), "int32"), np.zeros((4, 4)), batch_size=4, verbose=0)
"""


def test_several_devices_raise():
    program = TRAIN + DEVICES[BACKEND] + "\nmake()\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "A fused embedding table trains on one device. Received" in done.stderr
