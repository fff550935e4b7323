"""A log whose conversions come late: learned as negatives they make the newest days look poor, as what they are not."""

import keras
import numpy as np
import pytest

import grouprank as gr

# Of four ads: how many clicks convert, and after how many days in the mean. Those that convert most are the slowest.
RATES = np.array([0.35, 0.25, 0.15, 0.1])
DELAYS = np.array([1.5, 1.0, 0.75, 0.5])
DAYS, LAST, CLICKS_PER_DAY = 24, 6, 4_000


class Log:
    """Clicks of some days, each with an ad and, perhaps, a conversion."""

    def __init__(self):
        rng = np.random.default_rng(0)
        rows = DAYS * CLICKS_PER_DAY
        self.click_time = rng.uniform(0, DAYS, rows)
        self.ad = rng.integers(0, 4, rows)
        delay = rng.exponential(DELAYS[self.ad])
        self.conversion_time = np.where(rng.random(rows) < RATES[self.ad], self.click_time + delay, np.nan)
        self.last = self.click_time >= DAYS - LAST

    @property
    def x(self):
        return np.eye(4, dtype="float32")[self.ad]

    def calibration(self, model):
        """Predicted conversions of the last days' clicks over those that came of them in the end."""
        logits = keras.ops.convert_to_numpy(model(np.eye(4, dtype="float32")))[:, 0]
        predicted = (1 / (1 + np.exp(-logits)))[self.ad[self.last]]
        return float(predicted.sum() / np.isfinite(self.conversion_time[self.last]).sum())


@pytest.fixture(scope="module")
def log():
    return Log()


def fitted(x, y, loss, outputs):
    """A bias for each ad and output, which can say whatever the loss makes of an ad's clicks."""
    keras.utils.set_random_seed(0)
    ad = keras.Input((4,))
    model = keras.Model(ad, keras.layers.Dense(outputs, use_bias=False, kernel_initializer="zeros")(ad))
    epochs, batches = 25, 6
    schedule = keras.optimizers.schedules.CosineDecay(0.15, epochs * batches)
    model.compile(keras.optimizers.Adam(schedule), loss=loss)
    model.fit(x, y, batch_size=-(-len(x) // batches), epochs=epochs, verbose=0)
    return model


@pytest.mark.any_backend
def test_the_naive_model_is_low_on_the_last_days(log):
    known = (log.conversion_time <= DAYS).astype("float32")
    model = fitted(log.x[log.last], known[log.last], gr.losses.ObservedBinaryCrossentropy(), 1)
    found = log.calibration(model)
    print(f"naive: {found:.4f}")
    assert found < 0.85


def test_delayed_feedback_is_calibrated_on_the_last_days(log):
    times = gr.losses.conversion_delays(log.click_time, log.conversion_time, observed_at=DAYS)
    model = fitted(log.x[log.last], times[log.last], gr.losses.DelayedFeedbackLoss(), 2)
    found = log.calibration(model)
    print(f"delayed feedback: {found:.4f}")
    assert found == pytest.approx(1, abs=0.02)
    delays = np.exp(-keras.ops.convert_to_numpy(model(np.eye(4, dtype="float32")))[:, 1])
    np.testing.assert_allclose(delays, DELAYS, rtol=0.1)


@pytest.mark.any_backend
def test_elapsed_time_samples_are_calibrated_on_the_last_days(log):
    """Old clicks teach how many convert late, what arrived in the last days how many convert."""
    samples = gr.losses.elapsed_time_samples(log.click_time, log.conversion_time, DAYS, wait=0.5, window=12.0)
    fresh = samples.arrived_at >= DAYS - LAST
    mature = ~np.isnan(samples.targets[:, 1]) & (samples.rows % 3 == 0)  # a third is enough
    targets = samples.targets.copy()
    targets[~fresh, 0] = np.nan
    used = fresh | mature
    model = fitted(log.x[samples.rows[used]], targets[used], gr.losses.ElapsedTimeLoss(), 3)
    found = log.calibration(model)
    print(f"elapsed time: {found:.4f}")
    assert found == pytest.approx(1, abs=0.02)
    positives = np.bincount(log.ad[samples.rows[fresh]], samples.targets[fresh, 0], minlength=4)
    unweighted = positives / np.bincount(log.ad[samples.rows[fresh]], minlength=4)
    assert unweighted @ np.ones(4) < 0.9 * RATES.sum(), "without the weights they are not"
