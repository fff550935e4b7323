"""A loss that is no number stops training, with the step and the task named; what cannot learn is told."""

import warnings

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.models.checks.loss_watch import LossWatch


def with_broken_tower(ads, batch, task="like"):
    """A model whose tower of a task gives NaN from a batch on."""

    class Break(keras.callbacks.Callback):
        def on_train_batch_begin(self, number, logs=None):
            if number == batch:
                bias = self.model.get_layer(f"{task}_tower").trainable_variables[-1]
                bias.assign(np.full(bias.shape, np.nan))

    model = ads.model()
    model.compile(**ads.quick)
    return model, Break()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="a callback cannot reach JAX's weights within an epoch")
@pytest.mark.parametrize("loader", [False, True])
def test_step_and_task_are_named(ads, loader):
    model, breaking = with_broken_tower(ads, batch=2)
    x, y = ads.columns(), ads.labels()
    data = {"x": ads.loader(x, y)} if loader else {"x": x, "y": y, "batch_size": 16}
    message = (
        r"The loss became nan in step 3 of epoch 1. With it the metrics of 'like'.*smaller learning rate \(now 0.001\)"
    )
    with pytest.raises(FloatingPointError, match=message):
        model.fit(**data, verbose=0, callbacks=[breaking])


@pytest.mark.filterwarnings("ignore:The loss runs away")
def test_a_learning_rate_that_diverges(ads):
    model = ads.model()
    model.compile(keras.optimizers.SGD(1e30), **ads.quick)
    with pytest.raises(FloatingPointError, match=r"The loss became (nan|inf) in step \d.* \(now 1e\+30\)"):
        model.fit(ads.columns(), ads.labels(), batch_size=16, epochs=3, verbose=0)


def test_two_towers(ads):
    model = gr.models.TwoTowerModel(ads.schema, "ad_id", embedding_dim=4, tower_units=(8,), output_dim=4)
    model.compile(**ads.quick)
    weight = model.get_layer("user_tower").trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(FloatingPointError, match="The loss became nan in step 1 of epoch 1"):
        model.fit(ads.columns(), ads.labels(), verbose=0)


def test_the_model_is_left_alone_within_an_epoch():
    """Keras calls from a thread, in which `self.model` would disturb the step that JAX runs."""

    class Watch(LossWatch):
        within_an_epoch = False

        @property
        def model(self):
            assert not self.within_an_epoch, "the model is asked for"
            return super().model

    watch = Watch(["click"])
    watch.set_model(keras.Sequential([keras.layers.Dense(1)]))
    watch.on_train_begin()
    watch.on_epoch_begin(0)
    watch.within_an_epoch = True
    with pytest.raises(FloatingPointError, match="The loss became nan in step 3 of epoch 1"):
        watch.on_train_batch_end(2, {"loss": float("nan")})


def watched(*losses, names=("click",), **arguments):
    watch = LossWatch(names, **arguments)
    watch.set_model(keras.Sequential([keras.layers.Dense(1)]))
    watch.on_train_begin()
    watch.on_epoch_begin(0)
    for number, loss in enumerate(losses):
        watch.on_train_batch_end(number, loss if isinstance(loss, dict) else {"loss": loss})
    watch.on_epoch_end(0, {})


def test_a_loss_that_runs_away_is_told_once():
    with pytest.warns(
        UserWarning, match="The loss runs away: 30 after step 3 of epoch 1, where it began at 0.5"
    ) as told:
        watched(0.5, 9.0, 30.0, 40.0)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watched(2.0, 2.6, 9.97)


def test_a_loss_without_a_bad_metric():
    with pytest.raises(FloatingPointError, match="became inf in step 2 .*No task's metrics are"):
        watched({"loss": 1.0, "click_auc": 0.5}, {"loss": float("inf"), "click_auc": 0.5})


@pytest.mark.any_backend
@pytest.mark.parametrize("kind", ["columns", "loader"])
def test_tasks_without_a_label_are_told(ads, kind):
    model = ads.model()
    model.compile(**ads.quick)
    x, y = ads.columns(), ads.labels()
    y["like"] = np.full(ads.rows, np.nan, "float32")
    data = {"x": x, "y": y} if kind == "columns" else {"x": ads.loader(x, y)}
    with pytest.warns(UserWarning, match="No row of the first epoch has a label of 'like': all are NaN"):
        model.fit(**data, verbose=0)
    assert np.isfinite(model.evaluate(x, y, verbose=0)[0])
