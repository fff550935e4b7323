"""What a fused table trains, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, wave
from support.fused_case import IDS, LABELS, ROWS, TABLE, WIDTH, make_model, train_reference
from support.row_reference import RowReference

from grouprank.layers import EmbeddingCollection, FusedEmbedding, FusedEmbeddingCollection, embedding_optimizers
from grouprank.layers.embedding import row_tables
from grouprank.layers.embedding.row_tables import Exchange

OPTIMIZERS = embedding_optimizers.OPTIMIZERS


def train(model, steps=range(20)):
    for step in steps:
        model.train_on_batch(IDS[step], LABELS[step])


CASES = [
    (name, options)
    for options in ({}, {"weight_decay": 0.1}, {"clipnorm": 0.02}, {"clipvalue": 0.01})
    for name in OPTIMIZERS
    if (name, *options) != ("ftrl", "weight_decay")
]


@pytest.mark.parametrize(
    ("name", "options"),
    [*CASES, ("ftrl", {"l1": 0.02, "l2": 0.1})],
    ids=lambda o: o if isinstance(o, str) else "-".join(o),
)
def test_twenty_steps_full_of_repeats_equal_numpy(name, options):
    model, layer = make_model(OPTIMIZERS[name](0.1, **options))
    train(model)
    expected = train_reference(RowReference(TABLE, name, **options))
    np.testing.assert_allclose(as_array(layer.embeddings), expected, rtol=0, atol=1e-5)
    assert int(layer.iterations) == 20
    assert np.abs(expected - TABLE).max() > 1e-3


def test_ftrl_by_hand():
    """A row of two components at 0: what does not exceed `l1` stays 0, and the other one is soft-thresholded."""
    optimizer = embedding_optimizers.FTRL(0.5, l1=1.0, l2=2.0, beta=3.0)
    rows = ops.zeros((1, 2))
    slots = dict.fromkeys(("accumulator", "linear"), rows)
    rows, slots = optimizer.step(rows, ops.convert_to_tensor([[1.0, -4.0]]), slots, 0.5, 1)
    # z = (1, −4), n = (1, 16): w₂ = (4 − 1) / ((3 + 4) / 0.5 + 2).
    np.testing.assert_allclose(as_array(rows), [[0.0, 3 / 16]], rtol=1e-6)
    rows, slots = optimizer.step(rows, ops.convert_to_tensor([[-3.0, 3.0]]), slots, 0.5, 2)
    # z₁ = 1 − 3, w₁ = (2 − 1) / ((3 + √10) / 0.5 + 2); z₂ = −4 + 3 − (5 − 4) / 0.5 · 3/16, n₂ = 25.
    np.testing.assert_allclose(as_array(rows), [[1 / (2 * (3 + 10**0.5) + 2), 0.375 / 18]], rtol=1e-5)
    np.testing.assert_allclose(as_array(slots["linear"]), [[-2.0, -1.375]], rtol=1e-6)


def test_ftrl_of_a_mean_over_rows_steps_as_that_of_a_row():
    """Gradients of a mean over four rows are a quarter of a row's; with `batch_size` the paper's values still hold."""
    values = {"l1": 1.0, "l2": 2.0, "beta": 3.0}
    found = {}
    for batch_size in (1, 4):
        optimizer = embedding_optimizers.FTRL(0.5, **values, batch_size=batch_size)
        rows = ops.convert_to_tensor([[0.25, -0.125, 0.0]])
        slots = dict.fromkeys(("accumulator", "linear"), ops.zeros((1, 3)))
        for gradient in ([[1.0, -4.0, 0.5]], [[-3.0, 3.0, 2.0]]):
            gradient = ops.convert_to_tensor(gradient) / batch_size
            rows, slots = optimizer.step(rows, gradient, slots, 0.5, 1)
        found[batch_size] = as_array(rows)
    assert np.abs(found[1]).max() > 0.1
    np.testing.assert_allclose(found[4], found[1], rtol=1e-6)
    copy = type(optimizer).from_config(optimizer.get_config())
    assert copy.get_config() == optimizer.get_config()


def test_ftrl_leaves_rows_at_zero():
    model, layer = make_model(embedding_optimizers.FTRL(0.1, l1=0.3))
    layer.reset_rows(np.arange(ROWS), np.zeros_like(TABLE))
    train(model)
    zeros = as_array(layer.embeddings) == 0
    reference = RowReference(np.zeros_like(TABLE), "ftrl", l1=0.3)
    np.testing.assert_array_equal(zeros, train_reference(reference) == 0)
    assert 0.1 < zeros.mean() < 0.9


def test_ftrl_refuses():
    with pytest.raises(ValueError, match="Use `l2`. Received: weight_decay=0.1"):
        embedding_optimizers.FTRL(weight_decay=0.1)
    with pytest.raises(ValueError, match="`l1` must not be negative. Received: l1=-1"):
        embedding_optimizers.FTRL(l1=-1)
    with pytest.raises(ValueError, match="divides by its `learning_rate`"):
        embedding_optimizers.FTRL(0)
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer. Received: batch_size=0"):
        embedding_optimizers.FTRL(batch_size=0)


class Elsewhere(Exchange):
    """Keeps row `r` at `(7r + 3) mod ROWS`, asks for rows in their order, and speaks for four devices."""

    places = (7 * np.arange(ROWS) + 3) % ROWS

    def request(self, rows):
        order = ops.argsort(rows)
        return ops.take(ops.convert_to_tensor(self.places.astype("int32")), ops.take(rows, order)), order

    def reply(self, vectors, route):
        return ops.take(vectors, ops.argsort(route), axis=0)

    def return_gradient(self, gradient, route):
        return ops.take(gradient, route, axis=0)

    def total(self, value):
        return 4 * value


def test_another_exchange_changes_no_optimizer(monkeypatch):
    """Where rows lie and how they travel is the exchange's alone; of four devices the gradient is twice as long."""
    monkeypatch.setattr(row_tables, "Exchange", Elsewhere)
    model, layer = make_model(embedding_optimizers.Adagrad(0.1, clipnorm=0.02))
    layer.embeddings.assign(TABLE[np.argsort(Elsewhere.places)])
    np.testing.assert_array_equal(as_array(layer(IDS[0], training=False)), TABLE[IDS[0]])
    train(model, range(5))
    expected = train_reference(RowReference(TABLE, "adagrad", clipnorm=0.01), range(5))
    np.testing.assert_allclose(as_array(layer.embeddings)[Elsewhere.places], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_where_each_row_is_touched_once_it_is_keras_optimizer(name):
    """An implementation that is not ours: the stock layer under Keras' optimizer of the same name."""
    ids = np.stack([np.random.default_rng(step).permutation(8) for step in range(10)])
    keras_optimizer = {
        "sgd": keras.optimizers.SGD(0.1),
        "adagrad": keras.optimizers.Adagrad(0.1),
        "adam": keras.optimizers.Adam(0.1),
    }[name]
    tables = []
    for layer in (EmbeddingCollection({"id": 8}, 4), FusedEmbeddingCollection({"id": 8}, 4, OPTIMIZERS[name](0.1))):
        inputs = {"id": keras.Input((), dtype="int32", name="id")}
        dense = keras.layers.Dense(1, use_bias=False, trainable=False)
        model = keras.Model(inputs, dense(layer(inputs)["id"]))
        layer.embeddings.assign(wave(8, 4))
        dense.kernel.assign(wave(4, 1))
        model.compile(keras_optimizer if not tables else "adam", "mse")
        for step in range(10):
            model.train_on_batch({"id": ids[step]}, wave(8, 1, start=float(step)))
        tables.append(as_array(layer.embeddings))
    np.testing.assert_allclose(tables[1], tables[0], rtol=0, atol=1e-5)


def test_rows_that_no_batch_touches_stand_still():
    model, layer = make_model(embedding_optimizers.Adam(0.1, weight_decay=0.1))
    ids = IDS[:5] % 10
    for step in range(5):
        model.train_on_batch(ids[step], LABELS[step])
    np.testing.assert_array_equal(as_array(layer.embeddings)[10:], TABLE[10:])
    assert (as_array(layer.embeddings)[:10] != TABLE[:10]).any(axis=1).all()


def test_a_learning_rate_schedule_counts_the_tables_steps():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.2, decay_steps=1, decay_rate=0.5)
    model, layer = make_model(embedding_optimizers.SGD(schedule))
    train(model, range(4))
    expected = train_reference(RowReference(TABLE, "sgd", rate=lambda step: 0.2 * 0.5**step), range(4))
    np.testing.assert_allclose(as_array(layer.embeddings), expected, rtol=0, atol=1e-6)
    assert float(ops.convert_to_numpy(layer.learning_rate)) == pytest.approx(0.2 * 0.5**4)
    with pytest.raises(ValueError, match="follows a schedule"):
        layer.learning_rate = 0.1


def test_the_learning_rate_can_be_changed_between_compiled_steps():
    model, layer = make_model(embedding_optimizers.SGD(0.1))
    train(model, range(2))
    layer.learning_rate = 0.0
    before = as_array(layer.embeddings).copy()
    train(model, range(2, 4))
    np.testing.assert_array_equal(as_array(layer.embeddings), before)


def test_a_frozen_table_and_inference_train_nothing():
    model, layer = make_model()
    layer.trainable = False
    model.compile("adam", "mse")
    train(model, range(2))
    model.evaluate(IDS[0], LABELS[0], verbose=0)
    layer(IDS[0], training=False)
    np.testing.assert_array_equal(as_array(layer.embeddings), TABLE)
    assert int(layer.iterations) == 0
    layer.trainable = True
    model.compile("adam", "mse")
    train(model, range(2))
    expected = train_reference(RowReference(TABLE, "adagrad", rate=0.01), range(2))
    np.testing.assert_allclose(as_array(layer.embeddings), expected, rtol=0, atol=1e-6)


def test_a_step_whose_loss_does_not_see_the_table_leaves_it():
    """Keras' step on JAX would overwrite the table with its gradient, zero."""
    layer = FusedEmbedding(ROWS, WIDTH, optimizer="adagrad")

    class Beside(keras.Model):
        """Looks up as in inference, and loses by something else."""

        def __init__(self):
            super().__init__()
            self.layer, self.dense = layer, keras.layers.Dense(1)

        def call(self, inputs):
            return (
                self.dense(ops.cast(inputs, "float32"))
                + ops.sum(self.layer(inputs, training=False), axis=(1, 2))[:, None]
            )

    model = Beside()
    model(IDS[0])
    layer.embeddings.assign(TABLE)
    model.compile("sgd", "mse")
    train(model, range(2))
    np.testing.assert_array_equal(as_array(layer.embeddings), TABLE)


@pytest.mark.parametrize("combiner", ["mean", "sum"])
def test_positions_that_do_not_count_are_zero_and_train_nothing(combiner):
    layer = FusedEmbeddingCollection(
        {"user": 6, "seen": 8},
        2,
        embedding_optimizers.Adagrad(0.1, weight_decay=0.5),
        sequences=("seen",),
        combiner=combiner,
        padding_id=None,
    )
    ids = {"user": np.array([1, 1, 2, 3]), "seen": np.array([[1, 1, 5], [2, 5, 5], [5, 5, 5], [0, 3, 7]])}
    counted = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], "bool")
    inputs = {
        "user": keras.Input((), dtype="int32", name="user"),
        "seen": keras.Input((3,), dtype="int32", name="seen"),
    }
    mask = keras.Input((3,), dtype="bool", name="mask")
    fields = layer(inputs, masks={"seen": mask})
    dense = keras.layers.Dense(1, use_bias=False, trainable=False)
    model = keras.Model({**inputs, "mask": mask}, dense(keras.layers.Concatenate()([fields["user"], fields["seen"]])))
    layer.embeddings.assign(wave(14, 2))
    dense.kernel.assign(wave(4, 1, start=2.0))
    model.compile("adam", "mse")
    labels = wave(4, 1, start=4.0)

    table = wave(14, 2).astype("float64")
    number = counted.sum(axis=1, keepdims=True)
    weight = counted / (np.maximum(number, 1) if combiner == "mean" else 1)
    seen = (table[6 + ids["seen"]] * weight[..., None]).sum(axis=1)
    predicted = np.concatenate([table[ids["user"]], seen], axis=1) @ wave(4, 1, start=2.0)
    by_output = 2 * (predicted - labels) / 4 @ wave(4, 1, start=2.0).T
    reference = RowReference(table, "adagrad", weight_decay=0.5)
    by_seen = by_output[:, None, 2:] * weight[..., None]
    rows = np.concatenate([ids["user"], (6 + ids["seen"])[counted]])
    reference.train(rows, np.concatenate([by_output[:, :2], by_seen[counted]]))

    batch = {**ids, "mask": counted}
    np.testing.assert_allclose(as_array(model(batch)), predicted, rtol=1e-5)
    model.train_on_batch(batch, labels)
    np.testing.assert_allclose(as_array(layer.embeddings), reference.table, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(as_array(layer.embeddings)[6 + 5], wave(14, 2)[6 + 5])


def test_not_even_nan_reaches_the_table_from_a_position_that_does_not_count():
    layer = FusedEmbedding(4, 2, optimizer="sgd")
    ids, mask = keras.Input((2,), dtype="int32"), keras.Input((2,), dtype="bool")
    scale = keras.Input((2, 1))
    model = keras.Model([ids, mask, scale], ops.sum(layer(ids, mask=mask) * scale, axis=(1, 2)))
    layer.embeddings.assign(wave(4, 2))
    model.compile("sgd", lambda y, p: ops.sum(p[:1]))
    batch = [np.array([[1, 1], [3, 3]]), np.array([[True, False], [False, False]]), np.array([[[1.0], [1.0]]] * 2)]
    batch[2][0, 1] = np.nan
    model.train_on_batch(batch, np.zeros(2))
    table = as_array(layer.embeddings)
    np.testing.assert_array_equal(table[[0, 2, 3]], wave(4, 2)[[0, 2, 3]])


@pytest.mark.parametrize("wrong", [-1, ROWS, 2**31 - 1])
def test_ids_out_of_range_are_id_zero(wrong):
    layer = FusedEmbedding(ROWS, WIDTH)
    layer.build()
    layer.embeddings.assign(TABLE)
    np.testing.assert_array_equal(as_array(layer(np.array([[wrong, 3]]))), TABLE[[[0, 3]]])


def test_any_shape_of_ids():
    layer = FusedEmbedding(ROWS, WIDTH)
    for shape in ((5,), (2, 3), (2, 3, 2)):
        assert tuple(layer(np.zeros(shape, "int64")).shape) == (*shape, WIDTH)


@pytest.mark.parametrize("storage_dtype", ["bfloat16", "float16"])
def test_half_precision_storage_learns_what_nearest_rounding_loses(storage_dtype):
    """Fifty updates of a hundredth of a rounding step each."""
    rows = 4000
    layer = FusedEmbedding(
        rows,
        2,
        optimizer=embedding_optimizers.SGD(1.0),
        storage_dtype=storage_dtype,
        seed=1,
        embeddings_initializer="ones",
    )
    inputs = keras.Input((rows,), dtype="int32")
    step = 2.0**-8 if storage_dtype == "bfloat16" else 2.0**-11
    model = keras.Model(inputs, ops.sum(layer(inputs), axis=(1, 2)) * (step / 100))
    model.compile("sgd", lambda y, p: ops.sum(p))
    for _ in range(50):
        model.train_on_batch(np.arange(rows)[None], np.zeros(1))
    table = as_array(ops.cast(layer.embeddings, "float32"))
    assert keras.backend.standardize_dtype(layer.embeddings.dtype) == storage_dtype
    # A binomial of 50 draws of p = 1/100 per component: standard error of the mean is .008 steps.
    assert abs((1 - table.mean()) / step - 0.5) < 0.04
    assert len(np.unique(table)) >= 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0, "output_dim": 4}, "`input_dim` must be a positive integer. Received: input_dim=0"),
        ({"input_dim": 4, "output_dim": 2.0}, "`output_dim` must be a positive integer. Received: output_dim=2.0"),
        ({"input_dim": 4, "output_dim": 2, "storage_dtype": "int8"}, "`storage_dtype` must be one of"),
        ({"input_dim": 4, "output_dim": 2, "optimizer": "lion"}, "Received: 'lion'"),
        (
            {"input_dim": 4, "output_dim": 2, "optimizer": keras.optimizers.Adam()},
            "the one of the same name in `grouprank.layers.embedding_optimizers`",
        ),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        FusedEmbedding(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": "fast"}, "`learning_rate` must be a number or a .*Schedule. Received: .*'fast'"),
        ({"learning_rate": -1.0}, "`learning_rate` must not be negative"),
        ({"learning_rate": 0.1, "clipnorm": 1.0, "clipvalue": 1.0}, "Set at most one of"),
        ({"learning_rate": 0.1, "weight_decay": -0.1}, "`weight_decay` must not be negative"),
    ],
)
def test_optimizer_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        embedding_optimizers.SGD(**arguments)


def test_optimizers_come_back_from_their_config():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    for optimizer in (
        embedding_optimizers.SGD(schedule, clipnorm=1.0),
        embedding_optimizers.RowwiseAdagrad(0.2, initial_accumulator_value=0.0, epsilon=1e-5),
        embedding_optimizers.Adam(0.3, beta_1=0.8, weight_decay=0.1),
    ):
        twin = embedding_optimizers.get(keras.saving.serialize_keras_object(optimizer))
        assert type(twin) is type(optimizer)
        assert twin.get_config() == optimizer.get_config()


def test_a_regularizer_is_refused():
    with pytest.raises(ValueError, match="Use the optimizer's `weight_decay`"):
        FusedEmbeddingCollection({"a": 3}, 2, embeddings_regularizer="l2")


@pytest.mark.parametrize("seed", [None, 3])
def test_every_block_of_a_large_table_starts_from_values_of_its_own(seed):
    layer = FusedEmbedding(140_000, 2, "sgd", embeddings_initializer=keras.initializers.RandomNormal(seed=seed))
    layer.build((None,))
    values = as_array(layer.embeddings)
    first, second, third = values[:1000], values[65_536:66_536], values[131_072:132_072]
    for one, other in ((first, second), (first, third), (second, third)):
        assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.2
