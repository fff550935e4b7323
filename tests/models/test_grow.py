"""Models that are moved to a schema whose ids went on."""

import dataclasses

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, wave

import grouprank as gr
from grouprank.datasets.batch_loader import BatchLoader
from grouprank.layers import FusedEmbedding, TableConfig, embedding_optimizers
from grouprank.models import grow
from grouprank.models.make_embedder import FUSED_FROM_ROWS

# What users, ads and histories have room for when they have outgrown their tables.
LARGER = {"user_id": 25, "ad_id": 18, "history": 18}
TABLES = (
    TableConfig("ad_id", rows=14, width=6, optimizer=embedding_optimizers.Adagrad(0.05), storage_dtype="bfloat16"),
    TableConfig("user_id", optimizer="adam"),
)


def later(schema, vocabulary, **sizes):
    """The schema of extended transforms: other fingerprints of ids, and more of them where sizes say so."""

    def moved(feature):
        if not isinstance(feature, gr.Categorical | gr.Sequence):
            return feature
        size = sizes.get(feature.name, feature.vocabulary_size)
        return dataclasses.replace(feature, vocabulary=vocabulary, vocabulary_size=size)

    return gr.Schema([moved(feature) for feature in schema.features], schema.tasks)


@pytest.fixture(scope="module")
def monday(ads):
    return later(ads.schema, "monday")


def numbers(model):
    """Copies of all arrays of a model and its optimizers, those with a row for each id cut into its features' rows.

    Keys are position, name and feature; the last two are empty where the array belongs to no table.
    """
    embedding = model.get_layer("embedding")
    features = {name: embedding.rows_of(name) for name in embedding.vocabulary_sizes}
    found = {}
    for position, variable in enumerate(variables_of(model)):
        values, name = np.array(as_array(variable)), variable.name
        if name == "counts":
            found[position, name, "ad_id"] = values
        elif values.ndim and (name.startswith("embedding") or name in ("accumulator", "momentum", "velocity")):
            for feature, (table, first, last) in features.items():
                if table.shape[0] == len(values):
                    found[position, name, feature] = values[first:last]
        elif name != "claims":
            found[position, "", ""] = values
    return found


def variables_of(model):
    """All variables of a model and its optimizers; on JAX slots of fused tables come twice."""
    optimizers = model.optimizer.variables if model.compiled else []
    fused = [layer for layer in model._flatten_layers() if isinstance(layer, FusedEmbedding)]
    return [*model.variables, *optimizers, *(variable for layer in fused for variable in layer.state.values())]


def assert_same(model, other, atol=0.0):
    """Assert that models hold the same numbers, the second perhaps in larger tables."""
    expected, found = numbers(model), numbers(other)
    assert list(expected) == list(found)
    for (key, values), theirs in zip(expected.items(), found.values(), strict=True):
        old = theirs[: len(values)] if key[2] else theirs
        np.testing.assert_allclose(old, values, rtol=0, atol=atol, err_msg=str(key))


def mixed(ads, schema, **arguments):
    """Fused tables of two kinds, one of them in half precision, beside a stock one; groups; seeds in dropout."""
    return ads.model(("user",), False, schema, **{"tables": TABLES, "dropout": 0.2, **arguments})


def retrieval(ads, schema, **arguments):
    arguments = {"embedding_dim": 4, "tower_units": (8,), "output_dim": 4, "group_structure": (), **arguments}
    return gr.models.TwoTowerModel(schema, "ad_id", **arguments)


def fill(model):
    """Numbers that no initializer draws, in place of training."""
    for position, variable in enumerate(variables_of(model)):
        # A hook is always zero: it only brings a fused table its gradient.
        if variable.dtype.startswith(("float", "bfloat")) and variable.name != "gradient_hook":
            variable.assign(1.0 + wave(*variable.shape, start=position) / 2)
    return model


def test_a_larger_model_takes_the_same_steps(ads, monday):
    x, y = ads.columns(), ads.labels()
    model = mixed(ads, monday)
    model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), **ads.quick)
    model.fit(x, y, batch_size=64, verbose=0)
    model.optimizer.learning_rate = 0.003
    model.get_layer("embedding").stacks[0].layer.learning_rate = 0.2
    tuesday = later(monday, "tuesday", **LARGER)
    grown = grow(model, tuesday)
    assert grown is not model
    assert (grown.schema, model.schema) == (tuesday, monday)
    embedding = grown.get_layer("embedding")
    for feature, size in LARGER.items():
        _, first, last = embedding.rows_of(feature)
        assert last - first == size
    assert_same(model, grown)
    before = numbers(grown)
    # The old model trains last: it lives on its own.
    for each in (grown, model):
        # On torch, Keras' dropout draws from the generator of the process.
        keras.utils.set_random_seed(3)
        each.fit(x, y, batch_size=64, shuffle=False, verbose=0)
    assert_same(model, grown, atol=1e-6)
    trained = {key[2] for key, values in numbers(grown).items() if (values != before[key]).any()}
    assert trained >= {"user_id", "ad_id", "history", "hour"}, "this proves nothing"


def test_a_model_with_room_stays(ads, monday):
    """Nothing compiles again, and ids that were handed on begin anew: rows and slots, of stock and fused tables."""
    x, y = ads.columns(), ads.labels()
    calls = []

    class Counted(gr.models.backbones.MLPBackbone):
        def call(self, fields, training=None):
            calls.append(training)
            return super().call(fields, training=training)

    model = ads.model((), False, monday, backbone=Counted((4,)), tables=TABLES)
    model.compile(keras.optimizers.Adagrad(0.05), run_eagerly=False)
    model.fit(x, y, batch_size=64, verbose=0)
    function, traced, before = model.train_function, calls.count(True), numbers(model)
    tuesday = later(monday, "tuesday")
    reset = {"ad_id": np.array([3, 7], "int32"), "history": [7, 11], "hour": [0, 4], "user_id": []}
    assert grow(model, tuesday, reset, seed=1) is model
    assert model.schema == tuesday
    expected = {"ad_id": [3, 7, 11], "history": [3, 7, 11], "hour": [0, 4]}
    for key, values in numbers(model).items():
        rows = expected.get(key[2], [])
        others = np.setdiff1d(np.arange(len(values)), rows) if values.ndim else ()
        np.testing.assert_array_equal(values[others], before[key][others], err_msg=str(key))
        if rows and key[1].startswith("embeddings"):
            assert (values[rows] != before[key][rows]).any(axis=1).all()
            assert np.abs(values[rows]).max() < 0.06
        elif rows:
            np.testing.assert_array_equal(values[rows], np.float32(0.1), err_msg=str(key))
    model.fit(x, y, batch_size=64, verbose=0)
    assert model.train_function is function
    if keras.backend.backend() != "torch":
        assert calls.count(True) == traced


ARCHITECTURES = {
    "all groups": lambda ads, schema: ads.model(("user", "user_ad", "representation"), True, schema),
    "grad_norm": lambda ads, schema: ads.model((), True, schema, task_weighting="grad_norm", multi_task="mmoe"),
    "target_attention": lambda ads, schema: ads.model((), False, schema, sequence_encoder="target_attention"),
    "rowwise_adagrad": lambda ads, schema: ads.model((), False, schema, embedding_optimizer="rowwise_adagrad"),
    "dhen": lambda ads, schema: ads.model((), False, schema, backbone="dhen", task_weighting="uncertainty"),
    "ncf": lambda ads, schema: ads.model((), False, schema, backbone="ncf", multi_task="ple"),
    "tables": lambda ads, schema: mixed(ads, schema, embedding_optimizer=embedding_optimizers.SGD(0.1)),
    "two towers": retrieval,
    "conversions": lambda ads, schema: gr.models.CVRModel(
        gr.Schema(schema.features, [gr.Task("click"), gr.Task("buy", given="click")]), "lr", group_structure=()
    ),
}


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_number_is_copied(ads, monday, name):
    model = ARCHITECTURES[name](ads, monday)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Ftrl(0.1, use_ema=True)))
    model.optimizer.build(model.trainable_variables)
    fill(model)
    grown = grow(model, later(model.schema, "tuesday", **LARGER))
    assert_same(model, grown)
    assert type(grown) is type(model)
    rest = {"schema": None, "embedding_optimizer": None, "tables": None}
    assert {**grown.get_config(), **rest} == {**model.get_config(), **rest}


@pytest.mark.any_backend
@pytest.mark.parametrize("sizes", [{}, LARGER], ids=["in place", "larger"])
def test_a_calibration_moves_along(ads, monday, sizes):
    model = ads.model((), False, monday, calibration=True)
    for task, layer in model.calibrations.items():
        layer.fit(wave(200) * 3.0 - 1.0, np.arange(200) % (3 + len(task)) == 0)
    expected = {task: [np.array(as_array(v)) for v in layer.weights] for task, layer in model.calibrations.items()}
    grown = grow(model, later(monday, "tuesday", **sizes))
    assert (grown is model) == (not sizes)
    for task, (knots, shifts) in expected.items():
        assert np.abs(shifts).max() > 0
        found = grown.calibrations[task]
        np.testing.assert_array_equal(as_array(found.knots), knots)
        np.testing.assert_array_equal(as_array(found.shifts), shifts)
    x = ads.columns()
    for task, probabilities in model.predict_proba(x).items():
        np.testing.assert_allclose(grown.predict_proba(x)[task], probabilities, atol=1e-6)


@pytest.mark.any_backend
def test_new_ids_begin_as_ids_that_are_handed_on(ads, monday):
    """Their rows are drawn by the seed, their slots are initial, and a moving average is the row itself."""

    def grown(seed, reset=None):
        keras.utils.set_random_seed(seed + 100)
        model = ads.model((), False, monday)
        model.compile(keras.optimizers.Adagrad(0.1, use_ema=True))
        model.optimizer.build(model.trainable_variables)
        return numbers(grow(fill(model), later(monday, "tuesday", **LARGER), reset, seed))

    one, again, other = grown(1, {"ad_id": [5]}), grown(1, {"ad_id": [5]}), grown(2)
    tables = {key[1]: values for key, values in one.items() if key[2] == "ad_id" and values.dtype == np.float32}
    rows = [5, *range(12, 18)]
    np.testing.assert_array_equal(tables["embedding_embeddings_accumulator"][rows], np.float32(0.1))
    np.testing.assert_array_equal(tables["embedding_embeddings_average"][rows], tables["embeddings"][rows])
    for key, values in one.items():
        np.testing.assert_array_equal(again[key], values)
        if key[1:] == ("embeddings", "ad_id"):
            assert (values[12:] != other[key][12:]).all()
            assert len(np.unique(values[rows])) == 28
            assert np.abs(values[rows]).max() < 0.06


@pytest.mark.any_backend
def test_the_schema_is_replaced_everywhere(ads, monday, tmp_path):
    x, y = ads.columns(), ads.labels()
    tuesday = later(monday, "tuesday")
    days = {schema: BatchLoader(x, y, 32, schema=schema) for schema in (monday, tuesday)}
    model, towers = ads.model((), False, monday), retrieval(ads, monday)
    towers.ad_model(), towers.user_model()
    expected = model(x)["click"]
    for each in (model, towers):
        assert grow(each, tuesday) is each
        assert each.get_config()["schema"] == tuesday.to_dict()
        with pytest.raises(ValueError, match="were fitted on different rows"):
            each.predict(days[monday], verbose=0)
    np.testing.assert_array_equal(model.predict(days[tuesday], verbose=0)["click"].shape, expected.shape)
    assert towers.ad_vectors(days[tuesday]).shape == towers.user_vectors(days[tuesday]).shape == (64, 4)
    with pytest.raises(ValueError, match="were fitted on different rows"):
        towers.ad_vectors(days[monday])
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").schema == tuesday


@pytest.mark.any_backend
def test_room_ahead_and_what_lies_beyond_it(ads, monday):
    """New ids within `TableConfig.rows` change nothing; beyond it a table gets as many rows as the schema asks for."""
    model = ads.model((), False, monday, tables=[TableConfig("ad_id", rows=16)])
    weights = [np.array(as_array(variable)) for variable in model.weights]
    assert grow(model, later(monday, "tuesday", ad_id=15, history=15)) is model
    for variable, expected in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(as_array(variable), expected)
    assert model.get_layer("embedding").vocabulary_sizes["ad_id"] == 15
    grown = grow(model, later(monday, "tuesday", ad_id=17, history=17))
    assert [table.rows for table in grown.tables] == [17]
    assert [table.rows for table in model.tables] == [16]
    assert gr.models.CTRModel.from_config(grown.get_config()).get_layer("embedding").rows_of("history")[1:] == (20, 37)


@pytest.mark.any_backend
def test_tables_stay_stock_or_fused():
    """`"auto"` would take a fused table at this size, and lose what the optimizer of `compile` knows of the rows."""
    first = gr.Schema([gr.Categorical("id", FUSED_FROM_ROWS - 1)], [gr.Task("click")])
    model = gr.models.CTRModel(first, "mlp", embedding_dim=1, group_structure=(), residual_learning=False)
    grown = grow(model, gr.Schema([gr.Categorical("id", FUSED_FROM_ROWS + 1)], [gr.Task("click")]))
    assert type(grown.get_layer("embedding")) is gr.layers.EmbeddingCollection
    assert grown.embedding_optimizer is None


@pytest.mark.any_backend
def test_frozen_layers_and_an_untrained_optimizer(ads, monday):
    model = ads.model((), False, monday)
    model.get_layer("embedding").trainable = False
    model.compile(keras.optimizers.Adam(0.1))
    grown = grow(model, later(monday, "tuesday", **LARGER), {"hour": [1]})
    assert not grown.get_layer("embedding").trainable
    assert len(grown.trainable_variables) == len(model.trainable_variables)
    assert_same(model, grow(model, later(monday, "tuesday", user_id=21)))


@pytest.mark.any_backend
def test_counts_of_ads(ads, monday):
    """Counts of ads whose id was handed on are taken from the total; a table with room may have too few of them."""
    model = retrieval(ads, monday, tables=[TableConfig("ad_id", rows=16)])
    frequency = model.sampling_frequency
    frequency.counts.assign(np.arange(12.0))
    frequency.total.assign(66.0)
    assert grow(model, monday, {"ad_id": [3, 11]}) is model
    expected = np.arange(12.0)
    expected[[3, 11]] = 0.0
    np.testing.assert_array_equal(as_array(frequency.counts), expected)
    assert float(as_array(frequency.total)) == 52.0
    grown = grow(model, later(monday, "tuesday", ad_id=15, history=15)).sampling_frequency
    np.testing.assert_array_equal(as_array(grown.counts), [*expected, 0, 0, 0])
    assert float(as_array(grown.total)) == 52.0


@pytest.mark.any_backend
def test_a_teacher_moves_along(ads, monday):
    """In place with its pupil, or as another model; it keeps its size and may know fewer features."""
    known = gr.Schema([feature for feature in monday.features if feature.name != "hour"], monday.tasks)
    teacher = ads.model((), False, known)
    pupil = ads.model((), gr.models.ResidualLearning(teacher), monday)
    tuesday = later(monday, "tuesday")
    before = numbers(teacher)
    assert grow(pupil, tuesday, {"ad_id": [4], "hour": [2]}) is pupil
    assert pupil.teacher is teacher
    assert teacher.schema == later(known, "tuesday")
    for key, values in numbers(teacher).items():
        moved = (values != before[key]).any(axis=1) if key[2] else np.zeros(1)
        assert np.flatnonzero(moved).tolist() == ([4] if key[2] in ("ad_id", "history") else [])
    wednesday = later(monday, "wednesday", **LARGER)
    old = numbers(teacher)
    grown = grow(pupil, wednesday, {"ad_id": [5, 17]})
    assert grown.teacher is not teacher
    assert (grown.teacher.schema, teacher.schema) == (later(known, "wednesday"), later(known, "tuesday"))
    assert not grown.teacher.trainable
    for key, values in numbers(teacher).items():
        np.testing.assert_array_equal(values, old[key])
    assert gr.models.CTRModel.from_config(pupil.get_config()).schema == tuesday


def replaced(schema, name, **arguments):
    features = [dataclasses.replace(f, **arguments) if f.name == name else f for f in schema.features]
    return gr.Schema(features, schema.tasks)


REFUSED = {
    "side": (lambda s: replaced(s, "hour", side="user"), r"Feature 'hour': .*but side differ: .*'context'.*'user'"),
    "moments": (lambda s: replaced(s, "age", moments="b"), r"Feature 'age': .*but moments differ"),
    "kind": (
        lambda s: gr.Schema([*s.features[:-1], gr.Numeric("hour")], s.tasks),
        r"Feature 'hour': .*but kind differ: Categorical.*Numeric",
    ),
    "removed": (lambda s: gr.Schema(s.features[:-1], s.tasks), r"same features and tasks.*model: \[.*'hour'\]"),
    "task": (lambda s: gr.Schema(s.features, s.tasks[:1]), r"Tasks of the model: \[.*'like'"),
    "shrunk": (lambda s: replaced(s, "user_id", vocabulary_size=19), r"'user_id'.*cannot shrink.*=19.*has 20"),
    "no schema": (lambda s: s.to_dict(), "`schema` must be a grouprank.Schema"),
}


@pytest.mark.any_backend
@pytest.mark.parametrize("name", REFUSED)
def test_other_differences_are_refused(refusing, monday, name):
    change, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        grow(refusing, change(monday))
    assert refusing.schema == monday


@pytest.fixture(scope="module")
def refusing(ads, monday):
    codes = gr.layers.SemanticIds(np.array([[-1, -1], [0, 1], [0, 2], [1, 1], [1, 2]]), 3)
    return ads.model((), False, monday, semantic_ids={"hour": codes})


@pytest.mark.any_backend
def test_ids_that_cannot_be_reset(refusing, monday):
    before = numbers(refusing)
    tuesday = later(monday, "tuesday")
    for reset, message in (
        ({"ad_id": [3, 12]}, r"`reset` of 'ad_id': expected ids in \[0, 12\). Received: 12; 1 of 2 ids are wrong"),
        ({"ad_id": [-1]}, "Received: -1"),
        ({"ad_id": [0.5]}, "must hold integers. Received: values of dtype float64"),
        ({"ad_id": [3], "age": [1]}, r"`reset` names 'age', which is no feature of ids. .*\['user_id'"),
    ):
        with pytest.raises(ValueError, match=message):
            grow(refusing, tuesday, reset)
    with pytest.raises(ValueError, match=r"'hour' has semantic ids, codes for its 5 ids, and none for the 6"):
        grow(refusing, later(monday, "tuesday", hour=6), {"ad_id": [3]})
    with pytest.raises(ValueError, match="`model` must be a CTRModel"):
        grow(keras.Sequential(), tuesday)
    assert refusing.schema == monday
    for key, values in numbers(refusing).items():
        np.testing.assert_array_equal(values, before[key])
