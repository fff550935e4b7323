"""The loss of a model by NumPy: cross entropies over observed rows, residual and distillation terms (eq. 4 – 8)."""

import json

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.models import ResidualLearning


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-logits.astype("float64")))


def cross_entropy(target, logits):
    logits = logits.astype("float64")
    return np.logaddexp(0.0, logits) - target * logits


def mean_observed(losses, weight=None):
    """Mean over the rows whose loss is a number; missing targets make NaN."""
    weight = np.where(np.isnan(losses), 0.0, 1.0 if weight is None else weight)
    return (weight * np.nan_to_num(losses)).sum() / weight.sum() if weight.sum() else 0.0


def residual(label, pseudo, heads):
    f0, f1 = heads.T
    return np.where(label == 1, cross_entropy(1 - pseudo, f1), cross_entropy(pseudo, f0)) + 0 * label


def outputs_and_loss(model, x, y, sample_weight=None, training=True):
    outputs = model(x, training=training)
    if training:
        loss, _ = model.training_loss(x, y, outputs, sample_weight)
    else:
        loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=False)
    return {name: as_array(values).squeeze() for name, values in outputs.items()}, float(as_array(loss))


class TestCrossEntropy:
    def test_mean_over_observed_rows_and_task_weights(self, ads):
        model = ads.model(task_weights={"like": 2.5})
        x, y = ads.columns(), ads.labels()
        out, loss = outputs_and_loss(model, x, y)
        observed = ~np.isnan(y["like"])
        assert 20 < observed.sum() < 50
        expected = cross_entropy(y["click"], out["click"]).mean()
        expected += 2.5 * cross_entropy(y["like"][observed], out["like"][observed]).mean()
        assert loss == pytest.approx(expected, rel=1e-5)
        as_columns = {task: labels[:, None] for task, labels in y.items()}
        assert outputs_and_loss(model, x, as_columns)[1] == pytest.approx(loss, rel=1e-6)

    @pytest.mark.parametrize("kind", ["array", "column", "dict"])
    def test_sample_weight(self, ads, kind):
        model = ads.model()
        x, y = ads.columns(), ads.labels()
        rng = np.random.default_rng(3)
        weight = rng.uniform(0, 3, ads.rows).astype("float32") * (rng.random(ads.rows) < 0.8)
        other = weight[::-1].copy() if kind == "dict" else weight
        given = {"array": weight, "column": weight[:, None], "dict": {"click": weight, "like": other}}[kind]
        out, loss = outputs_and_loss(model, x, y, given)
        expected = mean_observed(cross_entropy(y["click"], out["click"]), weight)
        expected += mean_observed(cross_entropy(y["like"], out["like"]), other)
        assert loss == pytest.approx(expected, rel=1e-5)

    def test_a_task_nobody_observed_is_zero(self, ads):
        model = ads.model(residual_learning=True)
        nothing = np.full(ads.rows, np.nan, "float32")
        x = ads.columns()
        assert outputs_and_loss(model, x, {"click": nothing, "like": nothing})[1] == 0.0
        y = {"click": ads.labels()["click"], "like": nothing}
        out, loss = outputs_and_loss(model, x, y, training=False)
        assert loss == pytest.approx(cross_entropy(y["click"], out["click"]).mean(), rel=1e-5)

    def test_only_training_has_more(self, ads):
        model = ads.model(
            ("user", "representation"),
            ResidualLearning(distillation_weight=1.0),
            embeddings_regularizer=keras.regularizers.L2(10.0),
        )
        x, y = ads.columns(), ads.labels()
        _, training = outputs_and_loss(model, x, y)
        out, validation = outputs_and_loss(model, x, y, training=False)
        plain = sum(mean_observed(cross_entropy(y[task], out[task])) for task in y)
        assert validation == pytest.approx(plain, rel=1e-5)
        assert training > plain + 0.1

    def test_group_losses_are_added_in_training(self, ads):
        model = ads.model(("user", "representation"))
        x, y = ads.columns(), ads.labels()
        out, loss = outputs_and_loss(model, x, y)
        plain = sum(mean_observed(cross_entropy(y[task], out[task])) for task in y)
        groups = sum(float(as_array(value)) for value in model.losses)
        # Reconstruction and commitment of each placement.
        assert len(model.losses) == 4
        assert groups > 0.01
        assert loss == pytest.approx(plain + groups, rel=1e-5)


class TestTeachers:
    """Eq. 8 with pseudo-labels from everywhere; `like` is not observed on every row."""

    def expected(self, y, out, pseudo, alpha, d, weight=None, task_weights=None):
        total = 0.0
        for task in ("click", "like"):
            loss = mean_observed(cross_entropy(y[task], out[task]), weight)
            if task in pseudo and d:
                loss += d * mean_observed(cross_entropy(pseudo[task], out[f"{task}/pseudo"]), weight)
            if task in pseudo and alpha:
                loss += alpha * mean_observed(residual(y[task], pseudo[task], out[f"{task}/residual"]), weight)
            total += (task_weights or {}).get(task, 1.0) * loss
        return total

    def test_self(self, ads):
        model = ads.model(residual_learning=ResidualLearning(weight=0.7), task_weights={"click": 3.0})
        x, y = ads.columns(), ads.labels()
        out, loss = outputs_and_loss(model, x, y)
        assert set(out) == {"click", "like", "click/residual", "like/residual"}
        pseudo = {task: sigmoid(out[task]) for task in y}
        assert loss == pytest.approx(self.expected(y, out, pseudo, 0.7, 0.0, task_weights={"click": 3.0}), rel=1e-5)

    def test_column(self, ads):
        model = ads.model(residual_learning=ResidualLearning("teacher_{task}", 0.7, distillation_weight=0.4))
        x, y = ads.columns(), {**ads.labels(), **ads.teacher_columns()}
        y["teacher_click"][:9] = np.nan
        weight = np.random.default_rng(4).uniform(0, 2, ads.rows).astype("float32")
        out, loss = outputs_and_loss(model, x, y, weight)
        pseudo = {task: y[f"teacher_{task}"] for task in ("click", "like")}
        assert loss == pytest.approx(self.expected(y, out, pseudo, 0.7, 0.4, weight), rel=1e-5)

    def test_columns_by_task(self, ads):
        model = ads.model(residual_learning=ResidualLearning({"like": "prior"}, 0.7))
        x, y = ads.columns(), {**ads.labels(), "prior": ads.teacher_columns()["teacher_like"]}
        out, loss = outputs_and_loss(model, x, y)
        assert set(out) == {"click", "like", "like/pseudo", "like/residual"}
        assert loss == pytest.approx(self.expected(y, out, {"like": y["prior"]}, 0.7, 1.0), rel=1e-5)

    def test_some_tasks(self, ads):
        model = ads.model(residual_learning=ResidualLearning(weight=0.7, tasks=["click"]))
        x, y = ads.columns(), ads.labels()
        out, loss = outputs_and_loss(model, x, y)
        assert set(out) == {"click", "like", "click/residual"}
        assert loss == pytest.approx(self.expected(y, out, {"click": sigmoid(out["click"])}, 0.7, 0.0), rel=1e-5)

    def test_frozen_model(self, ads):
        teacher = ads.model()
        model = ads.model(residual_learning=ResidualLearning(teacher, 0.7))
        x, y = ads.columns(), ads.labels()
        out, loss = outputs_and_loss(model, x, y)
        pseudo = {task: sigmoid(values[:, 0]) for task, values in teacher.predict(x, verbose=0).items()}
        assert np.abs(pseudo["click"] - sigmoid(out["click"])).max() > 1e-3
        assert loss == pytest.approx(self.expected(y, out, pseudo, 0.7, 1.0), rel=1e-5)

    def test_distillation_alone_is_eq_6(self, ads):
        model = ads.model(residual_learning=ResidualLearning("teacher_{task}", weight=0.0))
        x, y = ads.columns(), {**ads.labels(), **ads.teacher_columns()}
        out, loss = outputs_and_loss(model, x, y)
        assert set(out) == {"click", "like", "click/pseudo", "like/pseudo"}
        pseudo = {task: y[f"teacher_{task}"] for task in ("click", "like")}
        assert loss == pytest.approx(self.expected(y, out, pseudo, 0.0, 1.0), rel=1e-5)

    def test_the_reading_is_the_losss(self, ads):
        model = ads.model(residual_learning=ResidualLearning("teacher_{task}", 0.7, 0.0, reading="signed"))
        x, y = ads.columns(), {**ads.labels(), **ads.teacher_columns()}
        out, loss = outputs_and_loss(model, x, y)
        expected = self.expected(y, out, {}, 0.0, 0.0)
        for task in ("click", "like"):
            f0, f1 = out[f"{task}/residual"].T
            p, label = y[f"teacher_{task}"], y[task]
            rows = np.where(label == 1, (np.tanh(f1) - (1 - p)) ** 2, (np.tanh(f0) + p) ** 2) + 0 * label
            expected += 0.7 * mean_observed(rows)
        assert loss == pytest.approx(expected, rel=1e-5)


class TestFrozenTeacher:
    @pytest.fixture(scope="class")
    @staticmethod
    def taught(ads):
        keras.utils.set_random_seed(0)
        # A plain Keras model of the user's, on one of the columns.
        ad = keras.Input((), dtype="int32", name="ad_id")
        vector = keras.layers.Embedding(12, 2, embeddings_initializer="normal")(ad)
        heads = {task: keras.layers.Dense(1, name=f"t_{task}")(vector) for task in ("click", "like")}
        teacher = keras.Model({"ad_id": ad}, heads)
        model = ads.model(residual_learning=ResidualLearning(teacher, 0.5, units=(4,)), start_at_rate=False)
        before = [as_array(weight).copy() for weight in teacher.weights]
        model.compile(keras.optimizers.Adam(0.05), **ads.quick)
        x = ads.columns()
        y = ads.labels()
        expected = outputs_and_loss(model, x, y)[1]
        history = model.fit(x, y, batch_size=ads.rows, epochs=2, verbose=0)
        found = history.history
        steering = sum(np.array(found[f"{t}_pseudo_loss"]) + 0.5 * np.array(found[f"{t}_residual_loss"]) for t in y)
        return teacher, model, before, found["loss"] + steering, expected

    def test_stays_as_it_is(self, taught):
        teacher, model, before, losses, _ = taught
        assert len(before) == 5
        assert np.isfinite(losses).all()
        for weight, start in zip(teacher.weights, before, strict=True):
            np.testing.assert_array_equal(as_array(weight), start)
        assert not teacher.trainable_weights
        frozen = {id(weight) for weight in teacher.weights}
        assert not frozen & {id(weight) for weight in model.trainable_weights}

    def test_a_compiled_step_uses_it(self, taught):
        *_, losses, expected = taught
        assert losses[0] == pytest.approx(expected, rel=1e-4)

    def test_file(self, ads, taught, tmp_path):
        teacher, model, *_ = taught
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        x = ads.columns()
        np.testing.assert_allclose(
            loaded.teacher.predict({"ad_id": x["ad_id"]}, verbose=0)["like"],
            teacher.predict({"ad_id": x["ad_id"]}, verbose=0)["like"],
            atol=1e-6,
        )
        assert not loaded.teacher.trainable_weights
        y = ads.labels()
        assert outputs_and_loss(loaded, x, y)[1] == pytest.approx(outputs_and_loss(model, x, y)[1], rel=1e-5)

    def test_inference_goes_without(self, taught):
        _, model, *_ = taught
        assert not [w.path for w in model.logits_model().weights if "t_click" in w.path]

    def test_a_teacher_without_a_task(self, ads):
        inputs = keras.Input((), dtype="float32", name="age")
        teacher = keras.Model({"age": inputs}, {"click": keras.layers.Reshape((1,))(inputs)})
        model = ads.model(residual_learning=ResidualLearning(teacher))
        with pytest.raises(ValueError, match=r"teacher gives no logit for task 'like'.*Received outputs: \['click'\]"):
            outputs_and_loss(model, ads.columns(), ads.labels())


class TestPseudoLabelColumns:
    @pytest.fixture(scope="class")
    @staticmethod
    def model(ads):
        model = ads.model(residual_learning=ResidualLearning("teacher_{task}", units=()))
        model.compile(**ads.quick)
        return model

    def test_missing(self, ads, model):
        y = {**ads.labels(), "teacher_click": ads.teacher_columns()["teacher_click"]}
        with pytest.raises(ValueError, match=r"'like'.*'teacher_like', which is missing.*Add the column to `y`"):
            model.fit(ads.columns(), y, verbose=0)
        assert int(model.optimizer.iterations) == 0

    @pytest.mark.parametrize("wrong", [1.5, -0.25, np.inf])
    def test_out_of_range(self, ads, model, wrong):
        y = {**ads.labels(), **ads.teacher_columns()}
        y["teacher_like"][[7, 9]] = wrong
        with pytest.raises(ValueError, match=rf"'teacher_like'.*in \[0, 1\].*{wrong:g} in row 7; 2 of 64"):
            model.fit(ads.columns(), y, verbose=0)
        assert int(model.optimizer.iterations) == 0

    def test_not_needed_outside_of_training(self, ads, model):
        found = model.evaluate(ads.columns(), ads.labels(), verbose=0, return_dict=True)
        assert np.isfinite(found["loss"])


class TestArguments:
    def test_get(self):
        assert ResidualLearning.get(False) is None
        assert ResidualLearning.get(None) is None
        assert ResidualLearning.get(True).teacher == "self"
        learning = ResidualLearning()
        assert ResidualLearning.get(learning) is learning

    def test_distillation_by_default(self):
        assert not ResidualLearning().has_distillation
        assert ResidualLearning("teacher").distillation_weight == 1.0
        assert ResidualLearning(distillation_weight=0.5).has_distillation

    def test_config(self):
        learning = ResidualLearning({"click": "prior"}, 0.3, 0.2, "affine", (4, 3), ("click",))
        config = json.loads(json.dumps(learning.get_config()))
        assert json.loads(json.dumps(ResidualLearning.from_config(config).get_config())) == config

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"teacher": 3}, r"`teacher` must be .*Received: teacher=3"),
            ({"weight": -0.1}, r"`weight` must not be negative. Received: weight=-0.1"),
            ({"distillation_weight": -1.0}, "`distillation_weight` must not be negative"),
            ({"reading": "aloud"}, "`reading` must be one of"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ResidualLearning(**arguments)

    @pytest.mark.parametrize("arguments", [{"tasks": ("clik",)}, {"teacher": {"clik": "prior"}}])
    def test_unknown_tasks(self, ads, arguments):
        with pytest.raises(ValueError, match=r"unknown tasks \['clik'\].*\['click', 'like'\]"):
            ads.model(residual_learning=gr.models.ResidualLearning(**arguments))


def test_unfreezing_the_model_does_not_unfreeze_its_teacher(ads):
    teacher = ads.model(group_structure=(), residual_learning=False)
    model = ads.model(group_structure=(), residual_learning=gr.models.ResidualLearning(teacher=teacher))
    model.trainable = False
    model.trainable = True
    model.compile()
    assert not teacher.trainable_weights
    assert model.trainable_weights
