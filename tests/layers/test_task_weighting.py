"""Task weightings: values and gradients by hand, and what they do under `fit`."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, wave
from support.gradients import gradients

import grouprank as gr
from grouprank.layers.task_weighting import TASK_WEIGHTING

LAYERS = gr.layers
TASKS = ["click", "like"]
LOSSES = {"click": 0.5, "like": 0.25}
ROWS, WIDTH = 5, 3
REPRESENTATIONS = [wave(ROWS, WIDTH), wave(ROWS, WIDTH, start=1.0)]
# What each task's loss sends to its representation.
UPSTREAM = [wave(ROWS, WIDTH, start=2.0), 7.0 * wave(ROWS, WIDTH, start=3.0)]


def built(layer):
    layer.build(dict.fromkeys(layer.task_names, (None, WIDTH)))
    return layer


def number(tensor):
    return float(as_array(tensor))


def softmax(x):
    powers = np.exp(x - np.max(x))
    return powers / powers.sum()


def gradients_through(layer, training=True, scale=1.0):
    """Gradients by the two representations and the trainable weights; task t's loss is Σ upstream_t · h_t."""

    def total(click, like):
        passed = layer({"like": like, "click": click}, training=training)
        losses = {task: ops.sum(ops.multiply(passed[task], up)) for task, up in zip(TASKS, UPSTREAM, strict=True)}
        return scale * layer.combine(losses, training=training)

    return gradients(total, REPRESENTATIONS, layer.trainable_weights)


class TestValues:
    @pytest.mark.parametrize("name", TASK_WEIGHTING)
    def test_start_and_validation(self, name):
        plain, weighted = (built(TASK_WEIGHTING[name](TASKS, task_weights=w)) for w in (None, {"like": 4}))
        for training in (True, False):
            assert number(plain.combine(LOSSES, training=training)) == pytest.approx(0.75)
            assert number(weighted.combine(LOSSES, training=training)) == pytest.approx(1.5)

    @pytest.mark.parametrize("name", TASK_WEIGHTING)
    @pytest.mark.parametrize("training", [True, False, None])
    def test_representations_pass_as_they_are(self, name, training):
        layer = built(TASK_WEIGHTING[name](TASKS))
        inputs = dict(zip(TASKS, REPRESENTATIONS, strict=True))
        out = layer(inputs, training=training)
        assert set(out) == set(TASKS)
        for task in TASKS:
            np.testing.assert_array_equal(as_array(out[task]), inputs[task])

    def test_uncertainty_by_hand(self):
        layer = built(LAYERS.UncertaintyWeighting(TASKS, {"like": 4.0}))
        layer.log_variances.assign(np.log([2.0, 0.5]))
        expected = 0.5 / 2 + np.log(2) / 2 + 4 * (0.25 * 2 - np.log(2) / 2)
        assert number(layer.combine(LOSSES)) == pytest.approx(expected)
        assert number(layer.combine(LOSSES, training=False)) == pytest.approx(1.5)

    def test_losses_of_any_float_dtype(self):
        losses = {task: ops.cast(loss, "bfloat16") for task, loss in LOSSES.items()}
        total = built(LAYERS.FixedWeighting(TASKS)).combine(losses)
        assert (keras.backend.standardize_dtype(total.dtype), number(total)) == ("float32", 0.75)


class TestUncertaintyGradients:
    def test_by_hand(self):
        """By the losses exp(−s), by s: 1/2 − exp(−s) L."""
        layer = built(LAYERS.UncertaintyWeighting(TASKS, {"like": 4.0}))
        s = np.array([0.3, -0.7])
        layer.log_variances.assign(s)
        values = np.array([0.5, 0.25])
        _, by_losses, (by_s,) = gradients(
            lambda click, like: layer.combine({"click": click, "like": like}), list(values), [layer.log_variances]
        )
        np.testing.assert_allclose(by_losses, [1, 4] * np.exp(-s), rtol=1e-5)
        np.testing.assert_allclose(by_s, [1, 4] * (0.5 - np.exp(-s) * values), rtol=1e-5)

    def test_a_task_without_labels_moves_nothing(self):
        layer = built(LAYERS.UncertaintyWeighting(TASKS))
        _, _, (by_s,) = gradients(
            lambda like: layer.combine({"click": 0.0 * like, "like": like}), [0.25], [layer.log_variances]
        )
        np.testing.assert_allclose(by_s, [0.0, 0.25], rtol=1e-6)


class TestGradNormGradients:
    LOGITS = np.array([0.4, -0.9])

    def by_hand(self, layer, targets=(1.0, 1.0), factors=(1.0, 1.0)):
        weights = 2 * softmax(self.LOGITS)
        norms = np.array([np.linalg.norm(upstream) for upstream in UPSTREAM])
        weighted = weights * norms
        by_weights = np.sign(weighted - weighted.mean() * np.array(targets)) * norms
        share = softmax(self.LOGITS)
        by_logits = 2 * share * (by_weights - (share * by_weights).sum())
        by_representations = [f * w * up for f, w, up in zip(factors, weights, UPSTREAM, strict=True)]
        return by_representations, by_logits

    def check(self, layer, targets=(1.0, 1.0), factors=(1.0, 1.0), scale=1.0):
        layer.weight_logits.assign(self.LOGITS)
        _, by_inputs, (by_logits,) = gradients_through(layer, scale=scale)
        expected, expected_logits = self.by_hand(layer, targets, factors)
        np.testing.assert_allclose(by_inputs, scale * np.array(expected), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(by_logits, scale * expected_logits, rtol=1e-5)

    def test_before_the_first_losses(self):
        self.check(built(LAYERS.GradNorm(TASKS)))

    @pytest.mark.parametrize("alpha", [0.0, 0.5, 3.0])
    def test_relative_training_rates(self, alpha):
        """Losses at 1/2 and 1/10 of their start: r = (0.5, 0.1) / 0.3."""
        layer = built(LAYERS.GradNorm(TASKS, alpha=alpha))
        layer.first_losses.assign([0.8, 2.0])
        layer.last_losses.assign([0.4, 0.2])
        self.check(layer, targets=(np.array([0.5, 0.1]) / 0.3) ** alpha)

    def test_the_slower_task_gains(self):
        """Balanced norms, but the first task has fallen less: its weight must rise, the other's fall."""
        layer = built(LAYERS.GradNorm(TASKS))
        norms = np.array([np.linalg.norm(upstream) for upstream in UPSTREAM])
        layer.weight_logits.assign(-np.log(norms))
        layer.first_losses.assign([1.0, 1.0])
        layer.last_losses.assign([0.9, 0.1])
        by_logits = gradients_through(layer)[2][0]
        assert by_logits[0] < 0 < by_logits[1]

    def test_fixed_weights_do_not_enter_the_balance(self):
        self.check(built(LAYERS.GradNorm(TASKS, task_weights={"click": 50.0})), factors=(50.0, 1.0))

    def test_a_scaled_loss(self):
        """What float16 training does to the loss passes through."""
        self.check(built(LAYERS.GradNorm(TASKS)), scale=1024.0)

    def test_many_towers_on_one_representation(self):
        """All that a task sends back is one gradient, of which the norm is taken."""
        layer = built(LAYERS.GradNorm(TASKS))
        layer.weight_logits.assign(self.LOGITS)

        def total(click, like):
            passed = layer({"click": click, "like": like}, training=True)
            halves = [ops.sum(ops.multiply(passed["click"], UPSTREAM[0])) / 2] * 2
            return sum(halves) + ops.sum(ops.multiply(passed["like"], UPSTREAM[1]))

        _, by_inputs, (by_logits,) = gradients(total, REPRESENTATIONS, layer.trainable_weights)
        expected, expected_logits = self.by_hand(layer)
        np.testing.assert_allclose(by_inputs, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(by_logits, expected_logits, rtol=1e-5)

    def test_a_task_without_labels(self):
        """The other is at the mean of those that have a gradient: nothing moves."""
        layer = built(LAYERS.GradNorm(TASKS))
        layer.weight_logits.assign(self.LOGITS)

        def total(click, like):
            return ops.sum(layer({"click": click, "like": like}, training=True)["like"])

        _, (by_click, _), (by_logits,) = gradients(total, REPRESENTATIONS, layer.trainable_weights)
        assert not by_click.any()
        np.testing.assert_allclose(by_logits, 0.0, atol=1e-6)

    @pytest.mark.parametrize("training", [False, None])
    def test_nothing_outside_of_training(self, training):
        layer = built(LAYERS.GradNorm(TASKS, task_weights={"like": 2.0}))
        layer.weight_logits.assign(self.LOGITS)
        _, by_inputs, (by_logits,) = gradients_through(layer, training=bool(training))
        np.testing.assert_allclose(by_inputs, [UPSTREAM[0], 2.0 * UPSTREAM[1]], rtol=1e-6)
        assert not by_logits.any()


class TestGradNormMemory:
    def test_first_and_last_losses(self):
        layer = built(LAYERS.GradNorm(TASKS))
        steps = [(0.0, 4.0), (np.nan, 3.0), (8.0, np.inf), (6.0, 2.0), (0.0, 1.0)]
        for click, like in steps:
            layer.combine({"click": click, "like": like})
        np.testing.assert_allclose(as_array(layer.first_losses), [8.0, 4.0])
        np.testing.assert_allclose(as_array(layer.last_losses), [6.0, 1.0])

    def test_validation_is_not_remembered(self):
        layer = built(LAYERS.GradNorm(TASKS))
        layer.combine(LOSSES, training=False)
        assert not as_array(layer.first_losses).any()
        assert not as_array(layer.last_losses).any()


@keras.saving.register_keras_serializable(package="grouprank_tests")
class TwoTasks(keras.Model):
    """A shared layer, a weighting and two linear towers; squared errors times `scales`."""

    def __init__(self, weighting, scales=(1.0, 1.0), trunk=None):
        inputs = keras.Input((WIDTH,))
        h = inputs if trunk is None else trunk(inputs)
        gated = weighting(dict.fromkeys(TASKS, h))
        towers = {
            task: keras.layers.Dense(1, name=f"{task}_tower", kernel_initializer=keras.initializers.Constant(0.5))
            for task in TASKS
        }
        super().__init__(inputs, {task: towers[task](gated[task]) for task in TASKS})
        self.weighting = weighting
        self.towers = towers
        self.scales = scales

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = {
            task: scale * ops.mean(ops.square(ops.cast(y[task], "float32") - ops.cast(y_pred[task], "float32")))
            for task, scale in zip(TASKS, self.scales, strict=True)
        }
        return self.weighting.combine(losses, training=training)


def data(rows=64):
    x = wave(rows, WIDTH)
    return x, {"click": x[:, :1] + 0.5 * wave(rows, 1, start=5.0), "like": -x[:, 1:2] + 0.2}


def compiled(model, optimizer):
    # torch's compiler needs a C++ toolchain; the other two compile with XLA.
    model.compile(optimizer, jit_compile=keras.backend.backend() != "torch")
    return model


def fit(model, x, y, steps):
    """So many steps on the same batch."""
    repeated = {task: np.tile(labels, (steps, 1)) for task, labels in y.items()}
    model.fit(np.tile(x, (steps, 1)), repeated, batch_size=len(x), shuffle=False, verbose=0)


class TestFit:
    def test_uncertainty_weights_end_where_the_formula_says(self):
        """With losses that stay at L, s ends at log 2L."""
        model = TwoTasks(LAYERS.UncertaintyWeighting(TASKS), scales=(3.0, 0.05))
        for tower in model.towers.values():
            tower.trainable = False
        x, y = data()
        fit(compiled(model, keras.optimizers.SGD(0.5)), x, y, steps=60)
        predicted = model.predict(x, verbose=0)
        stay = [s * np.mean((y[task] - predicted[task]) ** 2) for task, s in zip(TASKS, model.scales, strict=True)]
        np.testing.assert_allclose(as_array(model.weighting.log_variances), np.log(2 * np.array(stay)), atol=1e-3)
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), np.sum(stay), rtol=1e-5)

    def test_grad_norm_brings_norms_together(self):
        """From 100 : 1; the towers are held, so that only the weights can."""
        model = TwoTasks(LAYERS.GradNorm(TASKS, alpha=0.0), scales=(100.0, 1.0))
        for tower in model.towers.values():
            tower.trainable = False
        x, y = data()
        y = dict.fromkeys(TASKS, y["like"])
        fit(compiled(model, keras.optimizers.Adam(0.05)), x, y, steps=300)
        weights = model.weighting.weights_by_task()
        # One task's gradient is exactly a hundred times the other's.
        assert 100 * weights["click"] / weights["like"] == pytest.approx(1.0, abs=0.15)
        assert sum(weights.values()) == pytest.approx(2.0)

    def test_grad_norm_step_by_hand(self):
        """One step of SGD on a shared layer: it learns with the weights, the towers with 1."""
        trunk = keras.layers.Dense(WIDTH, use_bias=False, kernel_initializer=keras.initializers.Constant(0.2))
        weighting = LAYERS.GradNorm(TASKS, alpha=1.5)
        model = TwoTasks(weighting, scales=(10.0, 1.0), trunk=trunk)
        logits = np.array([0.3, -0.5])
        weighting.weight_logits.assign(logits)
        x, y = data()
        rate = 0.01
        fit(compiled(model, keras.optimizers.SGD(rate)), x, y, steps=1)
        h = x @ np.full((WIDTH, WIDTH), 0.2)
        weights, norms, by_trunk, first = 2 * softmax(logits), [], 0, []
        for task, scale, weight in zip(TASKS, (10.0, 1.0), weights, strict=True):
            error = h @ np.full((WIDTH, 1), 0.5) - y[task]
            by_logit = scale * 2 * error / len(x)
            tower = model.towers[task]
            np.testing.assert_allclose(as_array(tower.kernel), 0.5 - rate * h.T @ by_logit, rtol=1e-4)
            by_h = by_logit @ np.full((1, WIDTH), 0.5)
            norms.append(np.linalg.norm(by_h))
            by_trunk = by_trunk + weight * x.T @ by_h
            first.append(scale * np.mean(error**2))
        np.testing.assert_allclose(as_array(trunk.kernel), 0.2 - rate * by_trunk, rtol=1e-4)
        weighted = weights * norms
        by_weights = np.sign(weighted - weighted.mean()) * norms
        by_logits = weights * (by_weights - (weights * by_weights).sum() / 2)
        np.testing.assert_allclose(as_array(weighting.weight_logits), logits - rate * by_logits, rtol=1e-4)
        np.testing.assert_allclose(as_array(weighting.first_losses), first, rtol=1e-4)
        np.testing.assert_allclose(as_array(weighting.last_losses), first, rtol=1e-4)

    def test_first_losses_outlive_an_epoch_and_a_file(self, tmp_path):
        weighting = LAYERS.GradNorm(TASKS)
        model = TwoTasks(weighting, trunk=keras.layers.Dense(WIDTH))
        x, y = data()
        fit(compiled(model, keras.optimizers.Adam(0.05)), x, y, steps=1)
        first = as_array(weighting.first_losses).copy()
        model.fit(x, y, validation_data=(x, y), batch_size=64, epochs=5, verbose=0)
        np.testing.assert_array_equal(as_array(weighting.first_losses), first)
        assert (as_array(weighting.last_losses) != first).all()
        model.save_weights(tmp_path / "model.weights.h5")
        twin = TwoTasks(LAYERS.GradNorm(TASKS), trunk=keras.layers.Dense(WIDTH))
        twin.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(as_array(twin.weighting.first_losses), first)

    @pytest.mark.parametrize("name", TASK_WEIGHTING)
    def test_all_of_them_learn(self, name):
        keras.utils.set_random_seed(0)
        model = TwoTasks(TASK_WEIGHTING[name](TASKS), scales=(1.0, 0.01), trunk=keras.layers.Dense(WIDTH))
        x, y = data()
        before = compiled(model, keras.optimizers.Adam(0.05)).evaluate(x, y, verbose=0)
        fit(model, x, y, steps=120)
        assert model.evaluate(x, y, verbose=0) < 0.5 * before

    def test_grad_norm_in_half_precision(self):
        """Scaled losses and float16 gradients move the weights the same way."""
        keras.utils.set_random_seed(0)
        with_policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = TwoTasks(LAYERS.GradNorm(TASKS, alpha=0.0), scales=(10.0, 1.0))
            for tower in model.towers.values():
                tower.trainable = False
            x, y = data()
            fit(compiled(model, keras.optimizers.Adam(0.05)), x, dict.fromkeys(TASKS, y["like"]), steps=150)
        finally:
            keras.config.set_dtype_policy(with_policy)
        weights = model.weighting.weights_by_task()
        assert 10 * weights["click"] / weights["like"] == pytest.approx(1.0, abs=0.15)


class TestErrors:
    @pytest.mark.parametrize("name", TASK_WEIGHTING)
    @pytest.mark.parametrize(
        ("task_weights", "message"),
        [({"buy": 1}, r"unknown tasks \['buy'\]"), ({"like": -1}, "must not be negative"), ({"like": np.nan}, "nan")],
    )
    def test_task_weights(self, name, task_weights, message):
        with pytest.raises(ValueError, match=message):
            TASK_WEIGHTING[name](TASKS, task_weights=task_weights)

    def test_grad_norm_arguments(self):
        with pytest.raises(ValueError, match="`alpha` must not be negative. Received: alpha=-1"):
            LAYERS.GradNorm(TASKS, alpha=-1)
        with pytest.raises(ValueError, match="has no gradient to balance. Leave it out"):
            LAYERS.GradNorm(TASKS, task_weights={"like": 0})

    def test_widths(self):
        with pytest.raises(ValueError, match=r"GradNorm compares representations of one width.*3.*4"):
            LAYERS.GradNorm(TASKS).build({"click": (None, 3), "like": (None, 4)})

    def test_other_tasks(self):
        layer = LAYERS.FixedWeighting(TASKS)
        with pytest.raises(ValueError, match=r"a representation for each of \['click', 'like'\].*\['click'\]"):
            layer.build({"click": (None, 3)})
        with pytest.raises(ValueError, match=r"a loss for each of \['click', 'like'\].*\['buy', 'click'\]"):
            layer.combine({"click": 1.0, "buy": 1.0})

    def test_a_weighting_without_a_loss(self):
        with pytest.raises(NotImplementedError, match="TaskWeighting must implement `training_loss`"):
            LAYERS.TaskWeighting(TASKS).combine(LOSSES)
