"""Which columns a part of the model reads, in which form, and what flows back to them."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array
from support.gradients import gradients

import grouprank as gr
from grouprank.models import ResidualLearning


def test_lists_columns_with_an_axis_and_columns_of_no_feature(ads):
    model = ads.model()
    x = ads.columns()
    expected = model.predict_proba(x)["click"]
    forms = {
        "lists": {name: values.tolist() for name, values in x.items()},
        "with an axis": {name: values.reshape(ads.rows, -1) for name, values in x.items()},
        "with company": {**x, "comment": np.array(["text"] * ads.rows)},
    }
    for form, columns in forms.items():
        np.testing.assert_allclose(model.predict_proba(columns)["click"], expected, rtol=1e-6, err_msg=form)


def test_a_model_of_some_columns_is_trained_on_batches_of_all(ads):
    """What stands beside its columns must not be taken for one of them, in whatever order they come."""
    x, y = ads.columns(), ads.labels()
    chosen = [feature for feature in ads.schema.features if feature.name not in ("age", "history")]
    fewer = gr.Schema(chosen, ads.schema.tasks)
    models = []
    for columns, schema in (({f.name: x[f.name] for f in chosen}, fewer), (dict(sorted(x.items())), ads.schema)):
        keras.utils.set_random_seed(0)
        model = ads.model(schema=fewer)
        model.compile(keras.optimizers.SGD(0.1), **ads.quick)
        batches = gr.datasets.BatchLoader(columns, y, 16, schema=schema)
        model.fit(batches, validation_data=batches, verbose=0)
        models.append((model, model.predict_proba(batches), model.evaluate(batches, return_dict=True, verbose=0)))
    (first, expected, figures), (second, found, others) = models
    for task in expected:
        np.testing.assert_allclose(found[task], expected[task], rtol=1e-6)
    np.testing.assert_allclose(others["loss"], figures["loss"], rtol=1e-6)
    np.testing.assert_allclose(as_array(second.weights[0]), as_array(first.weights[0]), rtol=1e-6)


def test_a_placement_groups_its_sides_alone(ads):
    model = ads.model(("user", "user_ad"))
    (table,) = model.get_layer("embedding").weights
    # Embeddings start so small that another id would rarely change a group.
    table.assign(100 * as_array(table))
    x = ads.columns()
    model.adapt(x)
    groups = model.groups(x)
    shuffled = np.random.default_rng(3).permutation(ads.rows)

    def with_other(*names):
        return model.groups({name: values[shuffled] if name in names else values for name, values in x.items()})

    np.testing.assert_array_equal(with_other("ad_id", "title", "hour")["user"], groups["user"])
    np.testing.assert_array_equal(with_other("hour")["user_ad"], groups["user_ad"])
    assert (with_other("ad_id", "title")["user_ad"] != groups["user_ad"]).any()
    assert (with_other("user_id", "age", "history")["user"] != groups["user"]).any()


def test_one_layer_cannot_stand_at_two_placements(ads):
    layer = gr.layers.GroupConcat(2, 8, code_dim=4)
    with pytest.raises(ValueError, match="expected axis -1 of input shape"):
        ads.model({"user": layer, "user_ad": layer})


def test_negative_task_weights(ads):
    with pytest.raises(ValueError, match="`task_weights` must not be negative"):
        ads.model(task_weights={"click": -1.0})


def test_the_model_is_not_pulled_toward_its_own_residual_heads(ads):
    """Pseudo-labels are under stop_gradient: with `teacher="self"` a tower learns from its labels alone."""

    def gradient(weight):
        keras.utils.set_random_seed(0)
        model = ads.model(residual_learning=ResidualLearning(weight=weight))
        # The same weights whatever heads were made in between.
        for index, variable in enumerate(v for v in model.trainable_variables if "_head" not in v.path):
            values = np.sin(np.arange(np.prod(variable.shape)) + index).reshape(variable.shape)
            variable.assign(0.5 * values.astype("float32"))
        x, y = ads.columns(), ads.labels()

        def loss():
            columns = {name: ops.convert_to_tensor(values) for name, values in x.items()}
            targets = {name: ops.convert_to_tensor(values) for name, values in y.items()}
            return model.compute_loss(columns, targets, model(columns, training=True), None, training=True)

        parts = {
            "tower": model.get_layer("click_tower").trainable_variables,
            "trunk": model.get_layer("embedding").trainable_variables,
        }
        return {name: np.concatenate([g.ravel() for g in gradients(loss, [], v)[2]]) for name, v in parts.items()}

    plain, taught = gradient(1e-9), gradient(5.0)
    np.testing.assert_allclose(taught["tower"], plain["tower"], rtol=1e-4, atol=1e-6)
    assert np.abs(taught["trunk"] - plain["trunk"]).max() > 1e-3
