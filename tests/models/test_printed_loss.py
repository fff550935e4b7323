"""What `fit` prints as `loss` is what the tasks lose; what else steers training has metrics of its own."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array
from support.gradients import gradients

import grouprank as gr

PLACEMENTS = ("user", "user_ad", "representation")


def learnable(ads):
    """Labels that depend on the user, all known."""
    x = ads.columns(256)
    return x, {task: (x["user_id"] % step == 0).astype("float32") for task, step in (("click", 2), ("like", 3))}


def candidate(ads, **arguments):
    return ads.model(PLACEMENTS, True, start_at_rate=False, **arguments)


@pytest.mark.any_backend
@pytest.mark.parametrize("width", [8, 256])
def test_a_model_whose_ne_falls_prints_a_falling_loss(ads, width):
    x, y = learnable(ads)
    found = {}
    for name, placements in (("baseline", ()), ("candidate", PLACEMENTS)):
        keras.utils.set_random_seed(0)
        groups = {place: gr.layers.GroupConcat(2, 8, code_dim=width, name=f"{place}_groups") for place in placements}
        model = ads.model(
            groups, bool(placements), embedding_dim=width, embeddings_regularizer="l2", start_at_rate=False
        )
        model.compile(keras.optimizers.Adam(0.02 if width == 8 else 0.005), **ads.quick)
        found[name] = model.fit(x, y, batch_size=64, epochs=4, verbose=0).history
    history = found["candidate"]
    for task in ("click", "like"):
        assert history[f"{task}_normalized_entropy"][-1] < history[f"{task}_normalized_entropy"][0]
    assert history["loss"][-1] < history["loss"][0]
    tasks = np.add(history["click_loss"], history["like_loss"])
    np.testing.assert_allclose(history["loss"], tasks, rtol=1e-5)
    # Comparable with the baseline's from the first epoch on.
    assert history["loss"][0] == pytest.approx(found["baseline"]["loss"][0], rel=0.05)
    # No better than the mean would be 1.0, at any width.
    assert all(0.1 < history[f"{place}_groups_loss"][-1] < 4.0 for place in PLACEMENTS)
    assert all(value > 0 for value in history["regularization_loss"])


def test_the_value_is_the_tasks_and_the_gradient_is_that_of_everything(ads):
    model = candidate(ads, embeddings_regularizer="l2")
    x, y = learnable(ads)
    parts = {}

    def printed():
        return model.compute_loss(x=x, y=y, y_pred=model(x, training=True), training=True)

    def minimized():
        total, found = model.training_loss(x, y, model(x, training=True))
        parts.update(
            {name: float(as_array(ops.stop_gradient(value))) for name, value in found.items()} if eager else {}
        )
        return total

    eager = keras.backend.backend() != "jax"
    variables = model.trainable_variables
    value, _, found = gradients(printed, variables=variables)
    total, _, expected = gradients(minimized, variables=variables)
    plain = float(as_array(model.compute_loss(x=x, y=y, y_pred=model(x), training=False)))
    assert value == pytest.approx(plain, rel=1e-5)
    assert total > plain + 1.0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)
    if eager:
        places = {f"{place}_groups_loss" for place in PLACEMENTS}
        assert set(parts) == {*places, "click/residual", "like/residual", "regularization_loss"}


def test_figures_of_an_epoch_are_means_over_its_rows(ads):
    # Without groups, whose codebooks would move.
    model = ads.model((), True, start_at_rate=False)
    model.compile(keras.optimizers.SGD(0.0), metrics={}, **ads.quick)
    x, y = learnable(ads)
    history = model.fit(x, y, batch_size=96, shuffle=False, verbose=0, validation_data=(x, y)).history
    out = {name: as_array(values) for name, values in model(x, training=True).items()}
    label, own = y["click"], 1.0 / (1.0 + np.exp(-out["click"][:, 0]))
    f0, f1 = out["click/residual"].T
    residual = np.where(label == 1, np.logaddexp(0, f1) - (1 - own) * f1, np.logaddexp(0, f0) - own * f0)
    assert history["click_residual_loss"][0] == pytest.approx(residual.mean(), rel=1e-4)
    assert "val_click_residual_loss" not in history
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss"}


def test_absolute_losses_are_shown_as_they_are(ads):
    x, y = learnable(ads)
    groups = ads.groups("user", loss_scale="absolute")
    model = ads.model(groups)
    outputs = model(x, training=True)
    expected = np.mean([float(as_array(value)) for value in groups["user"].losses])
    assert float(as_array(outputs["user_groups_loss"])) == pytest.approx(expected, rel=1e-5)
    _, parts = model.training_loss(x, y, outputs)
    assert set(parts) == {"user_groups_loss"}


def test_frozen_groups_have_no_figure(ads):
    model = ads.model(("user",))
    model.group_concats["user"].trainable = False
    model.compile(metrics={}, **ads.quick)
    assert set(model.fit(*learnable(ads), batch_size=256, verbose=0).history) == {"loss"}


@keras.saving.register_keras_serializable(package="tests")
class Halves(gr.models.MultiTask):
    """A structure of a user's: each task gets a part of the representation."""

    def call(self, inputs, training=None):
        return dict(zip(self.task_names, ops.split(inputs, len(self.task_names), axis=-1), strict=True))


def test_a_structure_of_ones_own(ads):
    model = ads.model(multi_task=Halves(["click", "like"]))
    twin = type(model).from_config(model.get_config())
    assert type(twin.multi_task) is Halves
    assert set(model(ads.columns())) == {"click", "like"}
    with pytest.raises(ValueError, match="was made for the tasks"):
        ads.model(multi_task=Halves(["click", "buy"]))


def test_tasks_in_an_order(ads):
    x, y = learnable(ads)
    model = ads.model(multi_task=gr.layers.AITM(["click", "like"], units=(8,), ordered_weight=0.5))
    outputs = model(x, training=True)
    click, like = (1.0 / (1.0 + np.exp(-as_array(outputs[task])[:, 0])) for task in ("click", "like"))
    excess = np.maximum(like - click, 0.0).mean()
    assert excess > 1e-4
    total, parts = model.training_loss(x, y, outputs)
    plain = model.compute_loss(x=x, y=y, y_pred=outputs, training=False)
    assert float(as_array(parts["ordered"])) == pytest.approx(excess, rel=1e-4)
    assert float(as_array(total)) == pytest.approx(float(as_array(plain)) + 0.5 * excess, rel=1e-5)
    model.compile(metrics={}, **ads.quick)
    assert set(model.fit(x, y, batch_size=256, verbose=0).history) == {"loss", "ordered_loss"}
    assert type(model).from_config(model.get_config()).multi_task.ordered_weight == 0.5
    given = gr.Schema(ads.schema.features, [gr.Task("click"), gr.Task("like", given="click")])
    with pytest.raises(ValueError, match="`ordered_weight` is for tasks whose labels count among all rows"):
        ads.model(schema=given, multi_task=gr.layers.AITM(["click", "like"], ordered_weight=0.5))
