"""`compile`, `fit`, `evaluate` and files of a `CTRModel`: metrics, resuming, precision, overfitting."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.reports import task_metrics

PLACEMENTS = ("user", "user_ad", "representation")


class SaveAfterFirstEpoch(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.model.save(self.path)


@pytest.fixture(scope="module")
def trained(ads, tmp_path_factory):
    """A candidate after two compiled epochs, its history, and its file as of the first."""
    keras.utils.set_random_seed(0)
    model = ads.model(PLACEMENTS, True)
    model.compile(keras.optimizers.Adam(0.02))
    path = tmp_path_factory.mktemp("trained") / "first_epoch.keras"
    x, y = ads.columns(), ads.labels()
    history = model.fit(
        x,
        y,
        batch_size=16,
        epochs=2,
        shuffle=False,
        validation_data=(x, y),
        validation_batch_size=ads.rows,
        callbacks=[SaveAfterFirstEpoch(path)],
        verbose=0,
    )
    return model, history.history, path


class TestMetrics:
    def test_names(self, trained):
        _, history, _ = trained
        by_task = {f"{task}_{m}" for task in ("click", "like") for m in ("normalized_entropy", "auc", "calibration")}
        by_task |= {"loss", "click_loss", "like_loss"}
        expected = {*by_task, *(f"val_{name}" for name in by_task)}
        expected |= {f"{place}_groups_{kind}" for place in PLACEMENTS for kind in ("perplexity", "utilization", "loss")}
        expected |= {"click_residual_loss", "like_residual_loss"}
        assert set(history) == expected
        assert all(np.isfinite(values).all() and len(values) == 2 for values in history.values())

    def test_observed_rows_only(self, ads, trained):
        model, history, _ = trained
        x, y = ads.columns(), ads.labels()
        probabilities = model.predict_proba(x)
        for task, labels in y.items():
            expected = task_metrics(labels, probabilities[task])
            found = {name: history[f"val_{task}_{name}"][-1] for name in ("normalized_entropy", "auc", "calibration")}
            assert found["normalized_entropy"] == pytest.approx(expected.normalized_entropy, rel=1e-4)
            assert found["calibration"] == pytest.approx(expected.calibration, rel=1e-4)
            # A thousand thresholds count pairs that lie in the same step as ties.
            assert found["auc"] == pytest.approx(expected.auc, abs=0.02)
            observed = ~np.isnan(labels)
            auc = keras.metrics.AUC(num_thresholds=1000)
            auc.update_state(labels[observed], probabilities[task][observed])
            assert found["auc"] == pytest.approx(float(auc.result()), abs=5e-3)

    def test_validation_loss_is_the_cross_entropies(self, ads, trained):
        model, history, _ = trained
        probabilities = model.predict_proba(ads.columns())
        expected = sum(task_metrics(labels, probabilities[task]).cross_entropy for task, labels in ads.labels().items())
        assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)

    def test_the_loss_of_each_task_is_its_cross_entropy_alone(self, ads, trained):
        model, history, _ = trained
        probabilities = model.predict_proba(ads.columns())
        for task, labels in ads.labels().items():
            expected = task_metrics(labels, probabilities[task]).cross_entropy
            assert history[f"val_{task}_loss"][-1] == pytest.approx(expected, rel=1e-4)

    def test_sample_weight(self, ads):
        model = ads.model()
        model.compile(**ads.quick)
        x, y = ads.columns(), ads.labels()
        rng = np.random.default_rng(5)
        weights = {task: rng.integers(0, 3, ads.rows).astype("float32") for task in y}
        probabilities = model.predict_proba(x)
        # A target column that is no task's label needs no weight.
        found = model.evaluate(
            x,
            {**y, **ads.teacher_columns()},
            sample_weight=weights,
            batch_size=ads.rows,
            verbose=0,
            return_dict=True,
        )
        expected = {task: task_metrics(y[task], probabilities[task], weights[task]) for task in y}
        for task, figures in expected.items():
            assert found[f"{task}_normalized_entropy"] == pytest.approx(figures.normalized_entropy, rel=1e-4)
            assert found[f"{task}_calibration"] == pytest.approx(figures.calibration, rel=1e-4)
        assert found["loss"] == pytest.approx(sum(figures.cross_entropy for figures in expected.values()), rel=1e-4)
        found = model.evaluate(x, y, sample_weight=weights["click"], verbose=0, return_dict=True)
        figures = task_metrics(y["like"], probabilities["like"], weights["click"])
        assert found["like_normalized_entropy"] == pytest.approx(figures.normalized_entropy, rel=1e-4)

    @pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
    def test_of_the_users(self, ads, argument):
        model = ads.model()
        mine = {"like": [keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")]}
        model.compile(**{argument: mine}, **ads.quick)
        x, y = ads.columns(), ads.labels()
        found = model.evaluate(x, y, verbose=0, return_dict=True)
        assert set(found) == {"loss", "like_accuracy"}
        observed = ~np.isnan(y["like"])
        expected = ((model.predict_proba(x)["like"] > 0.5) == y["like"])[observed].mean()
        assert found["like_accuracy"] == pytest.approx(expected, rel=1e-5)

    def test_errors(self, ads):
        model = ads.model()
        with pytest.raises(ValueError, match=r"CTRModel has its own loss.*Received: loss='mse'.*`task_weights`"):
            model.compile(loss="mse")
        with pytest.raises(ValueError, match="either `metrics` or `weighted_metrics`"):
            model.compile(metrics={"click": []}, weighted_metrics={"click": []})


class TestFile:
    def test_predictions_and_compiled_state(self, ads, trained, tmp_path):
        model, _, _ = trained
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        x, y = ads.columns(), ads.labels()
        for task, expected in model.predict_proba(x).items():
            np.testing.assert_allclose(loaded.predict_proba(x)[task], expected, atol=1e-6)
        for placement, expected in model.groups(x).items():
            np.testing.assert_array_equal(loaded.groups(x)[placement], expected)
        assert isinstance(loaded.optimizer, keras.optimizers.Adam)
        assert float(as_array(loaded.optimizer.learning_rate)) == pytest.approx(0.02)
        assert int(loaded.optimizer.iterations) == 8
        expected, found = (m.evaluate(x, y, batch_size=ads.rows, verbose=0, return_dict=True) for m in (model, loaded))
        assert found == pytest.approx(expected, rel=1e-5)
        assert "like_normalized_entropy" in expected

    def test_resumed_training_is_uninterrupted_training(self, ads, trained):
        model, history, path = trained
        resumed = keras.models.load_model(path)
        assert int(resumed.optimizer.iterations) == 4
        x, y = ads.columns(), ads.labels()
        again = resumed.fit(
            x, y, batch_size=16, shuffle=False, validation_data=(x, y), validation_batch_size=ads.rows, verbose=0
        ).history
        assert {name: values[0] for name, values in again.items()} == pytest.approx(
            {name: values[1] for name, values in history.items()}, rel=1e-5, abs=1e-5
        )
        for expected, found in zip(model.weights, resumed.weights, strict=True):
            np.testing.assert_allclose(as_array(found), as_array(expected), rtol=1e-5, atol=1e-5, err_msg=expected.path)


class TestData:
    def test_single_task_with_plain_labels(self, ads):
        schema = gr.Schema(ads.schema.features, [gr.Task("click")])
        model = ads.model(schema=schema, start_at_rate=False)
        model.compile(**ads.quick)
        x, labels = ads.columns(), ads.labels()["click"]
        expected = task_metrics(labels, model.predict_proba(x)["click"])
        found = model.fit(x, labels, batch_size=ads.rows, verbose=0).history
        assert found["loss"][0] == pytest.approx(expected.cross_entropy, rel=1e-4)
        (name,) = [name for name in found if name.endswith("normalized_entropy")]
        assert found[name][0] == pytest.approx(expected.normalized_entropy, rel=1e-4)
        figures = model.evaluate(x, {"click": labels}, verbose=0, return_dict=True)
        assert model.evaluate(x, labels, verbose=0, return_dict=True) == pytest.approx(figures)

    def test_several_tasks_need_a_dict(self, ads):
        model = ads.model()
        model.compile(**ads.quick)
        with pytest.raises(ValueError, match=r"`y` must be a dict of labels by task \['click', 'like'\]"):
            model.fit(ads.columns(), ads.labels()["click"], verbose=0)

    def test_a_loader_equals_arrays_and_may_hold_any_id_without_checks(self, ads):
        x, y = ads.columns(), ads.labels()
        wild = {**x, "user_id": x["user_id"].copy(), "history": x["history"].copy()}
        wild["user_id"][::5], wild["history"][::7, 0] = 10**6, -3
        known = {**x, "user_id": x["user_id"].copy(), "history": x["history"].copy()}
        known["user_id"][::5], known["history"][::7, 0] = 0, 0
        weights = []
        for source in ("arrays", "loader"):
            keras.utils.set_random_seed(0)
            model = ads.model(("user",))
            model.compile(keras.optimizers.SGD(0.1), metrics={"click": []}, **ads.quick)
            if source == "arrays":
                model.fit(known, y, batch_size=16, shuffle=False, verbose=0)
            else:
                losses = model.fit(ads.loader(wild, y), shuffle=False, check=False, verbose=0).history["loss"]
                assert np.isfinite(losses).all()
                assert np.isfinite(model.predict_proba(ads.loader(wild, y), check=False)["click"]).all()
            weights.append([as_array(weight) for weight in model.weights])
        for expected, found in zip(*weights, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data feeds TensorFlow")
    def test_tf_data(self, ads, trained):
        import tensorflow as tf

        model, _, _ = trained
        x, y = ads.columns(), ads.labels()
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
        expected = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
        assert model.evaluate(data, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(model.predict_proba(data)["like"], model.predict_proba(x)["like"], atol=1e-6)
        other = ads.model()
        other.compile(**ads.quick)
        assert np.isfinite(other.fit(data, verbose=0).history["loss"]).all()


class TestLearning:
    @pytest.mark.parametrize("kind", ["baseline", "candidate"])
    def test_overfits_a_few_rows_with_every_weight(self, ads, kind):
        if kind == "candidate":
            learning = gr.models.ResidualLearning("teacher_{task}", distillation_weight=0.1, units=(4,))
            model = ads.model(ads.groups("user", "representation", num_levels=1), learning)
        else:
            model = ads.model()
        model.compile(keras.optimizers.Adam(0.05), metrics={"click": []}, jit_compile=keras.backend.backend() == "jax")
        x, y = ads.columns(), {**ads.labels(), **ads.teacher_columns()}
        before = {weight.path: as_array(weight).copy() for weight in model.trainable_weights}
        start = model.evaluate(x, y, batch_size=ads.rows, verbose=0)
        assert 1.2 < start < 1.6
        model.fit(x, y, batch_size=ads.rows, epochs=2, verbose=0)
        # Adam moves whatever has a gradient, however small.
        dead = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], as_array(w))]
        assert not dead, f"no gradient reaches {dead}"
        # The rows forty times over are forty steps without the ends of as many epochs.
        x40, y40 = ({name: np.concatenate(40 * [values]) for name, values in table.items()} for table in (x, y))
        model.fit(x40, y40, batch_size=ads.rows, shuffle=False, verbose=0)
        assert model.evaluate(x, y, batch_size=ads.rows, verbose=0) < 0.2 * start


class TestMixedPrecision:
    def test_logits_are_float32_and_training_is_finite(self, ads):
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = ads.model(("user", "representation"), True)
        assert model.backbone.compute_dtype == "bfloat16"
        x, y = ads.columns(), ads.labels()
        model.compile(keras.optimizers.SGD(0.05), **ads.quick)
        history = model.fit(x, y, batch_size=ads.rows, epochs=2, verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values())
        assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
        assert all(np.isfinite(as_array(weight)).all() for weight in model.weights)
        for logits in model.predict(x, verbose=0).values():
            assert logits.dtype == np.float32
        probabilities = model.predict_proba(x)["click"]
        assert probabilities.dtype == np.float32
        assert np.isfinite(probabilities).all()
