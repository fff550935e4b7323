"""What users of Keras try: data frames, class weights, clones; and lists without ads."""

import keras
import numpy as np
import pandas
import polars as pl
import pytest

import grouprank as gr


@pytest.fixture(scope="module")
def model(ads):
    keras.utils.set_random_seed(0)
    model = ads.model(("user",))
    model.compile(**ads.quick)
    return model


def frames(library, x, y):
    if library == "polars":
        return tuple(pl.DataFrame({n: c.tolist() if c.ndim > 1 else c for n, c in part.items()}) for part in (x, y))
    return tuple(pandas.DataFrame({n: list(c) if c.ndim > 1 else c for n, c in part.items()}) for part in (x, y))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(ads, model, library):
    x, y = ads.columns(), ads.labels()
    frame, labels = frames(library, x, y)
    weights = np.linspace(0.5, 1.5, ads.rows)
    column = labels["click"] * 0 + weights
    expected = model.evaluate(x, y, sample_weight=weights, verbose=0)
    assert model.evaluate(frame, labels, sample_weight=column, verbose=0) == pytest.approx(expected, rel=1e-5)
    model.fit(frame, labels, validation_data=(frame, labels), verbose=0)
    model.adapt(frame)
    np.testing.assert_array_equal(model.groups(frame)["user"], model.groups(x)["user"])
    np.testing.assert_array_equal(model.predict(frame, verbose=0)["like"], model.predict(x, verbose=0)["like"])
    np.testing.assert_array_equal(model.predict_proba(frame)["click"], model.predict_proba(x)["click"])
    with pytest.raises(ValueError, match=r"'user_id' \(categorical\), row 0: .*Received: 1"):
        model.predict(frames(library, {**x, "user_id": x["user_id"] + 100}, y)[0], verbose=0)


@pytest.fixture(scope="module")
def one_task(ads):
    keras.utils.set_random_seed(0)
    schema = gr.Schema(ads.schema.features, [gr.Task("click")])
    model = ads.model(schema=schema)
    model.compile(**ads.quick)
    return model


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_labels_of_one_task(ads, one_task, library):
    x, y = ads.columns(), {"outcome": ads.labels()["click"]}
    frame, labels = frames(library, x, y)
    expected = one_task.evaluate(x, y["outcome"], verbose=0)
    for given in (labels, labels["outcome"]):
        assert one_task.evaluate(frame, given, verbose=0) == pytest.approx(expected, rel=1e-6)


def test_missing_numbers_of_pandas(ads, one_task):
    click = pandas.array([1, None] * (ads.rows // 2), dtype="Int64")
    expected = one_task.evaluate(ads.columns(), np.tile([1, np.nan], ads.rows // 2), verbose=0)
    given = one_task.evaluate(ads.columns(), pandas.DataFrame({"click": click}), verbose=0)
    assert given == pytest.approx(expected, rel=1e-6)


def test_frames_of_two_towers(ads):
    model = gr.models.TwoTowerModel(ads.schema, "ad_id", embedding_dim=4, tower_units=(8,), output_dim=4)
    model.compile(**ads.quick)
    x, y = ads.columns(), ads.labels()
    frame, labels = frames("polars", x, y)
    model.fit(frame, labels, verbose=0)
    np.testing.assert_array_equal(model.user_vectors(frame), model.user_vectors(x))
    with pytest.raises(ValueError, match="A retrieval model learns from positives alone"):
        model.fit(x, y, class_weight={1: 2.0}, verbose=0)


def test_class_weight_of_one_task(ads, one_task):
    x, y = ads.columns(), ads.labels()["click"].copy()
    y[:5] = np.nan
    one_task.fit(x, y, verbose=0)  # the first `fit` of all also sets the rates
    weights = one_task.get_weights()

    def loss(**arguments):
        one_task.set_weights(weights)
        return one_task.fit(x, y, batch_size=ads.rows, verbose=0, **arguments).history["loss"][0]

    assert loss(class_weight={0: 1.0, 1: 5.0}) == pytest.approx(
        loss(sample_weight=np.where(y == 1, 5.0, 1.0)), rel=1e-6
    )
    assert loss(class_weight={0: 1.0, 1: 5.0}) != pytest.approx(loss(), rel=1e-3)


def test_class_weight_where_it_means_nothing(ads, model, one_task):
    x, y = ads.columns(), ads.labels()
    with pytest.raises(ValueError, match=r"labels of one task.*\['click', 'like'\].*sample_weight=\{task: weights\}"):
        model.fit(x, y, class_weight={1: 5.0}, verbose=0)
    with pytest.raises(ValueError, match=r"With a loader .*\(x, y, sample_weight\)"):
        one_task.fit(ads.loader(x, y), class_weight={1: 5.0}, verbose=0)
    with pytest.raises(ValueError, match="Multiply them into `sample_weight`"):
        one_task.fit(x, y["click"], class_weight={1: 5.0}, sample_weight=np.ones(ads.rows), verbose=0)
    with pytest.raises(ValueError, match="the classes 0 and 1. Received: {2: 5.0}"):
        one_task.fit(x, y["click"], class_weight={2: 5.0}, verbose=0)


def test_a_clone_would_be_a_bare_functional(ads, model):
    with pytest.raises(TypeError, match=r"CTRModel.from_config\(model.get_config\(\)\)"):
        keras.models.clone_model(model)
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    x = ads.columns()
    np.testing.assert_allclose(copy.predict_proba(x)["click"], model.predict_proba(x)["click"], rtol=1e-6)


def test_no_ads_to_rank(ads, model):
    request = {name: ads.columns(2)[name] for name in ("user_id", "age", "history", "hour")}
    none = {"ad_id": np.zeros((2, 0), "int32"), "title": np.zeros((2, 0, 3), "float32")}
    scores = model.rank(request, none)
    assert {task: (found.shape, found.dtype) for task, found in scores.items()} == {
        "click": ((2, 0), np.float32),
        "like": ((2, 0), np.float32),
    }


def test_compile_takes_arguments_in_the_order_of_keras(ads):
    model = ads.model()
    model.compile("sgd", None, None, {"click": [keras.metrics.AUC(from_logits=True, name="auc")]})
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    with pytest.raises(ValueError, match="`task_weights`"):
        model.compile("sgd", None, {"click": 2.0})


def test_a_conversion_model_takes_arguments_in_the_order_of_a_click_model():
    schema = gr.Schema([gr.Categorical("user", 9, side="user")], [gr.Task("click"), gr.Task("buy", given="click")])
    model = gr.models.CVRModel(schema, gr.models.backbones.MLP((4,)), "shared_bottom", ("user",), False, 4)
    assert (list(model.group_concats), model.embedding_dim, model.residual_learning) == (["user"], 4, None)
