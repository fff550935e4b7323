"""A monotone map that calibrates the logits of a trained model."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from .logit_shift import fit_logit_shift


@keras.saving.register_keras_serializable(package="grouprank")
class LogitCalibration(keras.layers.Layer):
    """Corrects the logits of a trained model, so that its mean prediction is the rate of what happens.

    A model that goes on with a log is off when rates change, and where outcomes are rare it may be off by more at
    small predictions than at large ones. This layer stands behind the output and adds a shift to each logit `z`:

        f(z) = z' + s(z'),   z' = z + log(negative_rate)

    `s` is linear between `num_knots` knots and constant outside of them, where the map has slope 1. It is 0 until
    `fit` is called, which takes predictions and what came of them. The map is strictly increasing, so that it changes
    no order, and `inverse` takes it back. Its weights are not trained, and their shapes never change.

    While training (`training=True`) the layer does nothing: the loss is that of the model itself.

    `log(negative_rate)` corrects a model that was trained on a sample of the negatives: the odds that it learned are
    `1 / negative_rate` times those of all rows.

    Args:
        num_knots: number of knots. Defaults to `16`.
        negative_rate: the share of the negatives that training kept, in `(0, 1]`. Defaults to `1.0`.
        **kwargs: base layer keywords such as `name`. The result is float32 under every dtype policy.

    Call arguments:
        inputs: logits.
        training: whether to leave the logits as they are. Defaults to `None`, which is no training.

    Input shape:
        Any, such as `(batch, 1)`.

    Output shape:
        The shape of the inputs.

    Raises:
        ValueError: on fewer than two knots, or a rate outside `(0, 1]`.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(-2.0, 1.0, 50_000)
    >>> labels = rng.random(50_000) < 1 / (1 + np.exp(-(logits - 0.7)))  # every prediction is too high
    >>> calibration = LogitCalibration()
    >>> calibration.fit(logits, labels)
    >>> calibrated = ops.convert_to_numpy(calibration(logits.astype("float32")))
    >>> round(float(np.mean(1 / (1 + np.exp(-calibrated))) / labels.mean()), 2)
    1.0

    Reference:
        McMahan et al., *Ad Click Prediction: a View from the Trenches*, 2013, section 7 (calibration of predictions);
        He et al., *Practical Lessons from Predicting Clicks on Ads at Facebook*, 2014, section 6.3 (negative rate).
    """

    def __init__(self, num_knots: int = 16, negative_rate: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if isinstance(num_knots, bool) or not isinstance(num_knots, int) or num_knots < 2:
            raise ValueError(f"`num_knots` must be an integer of at least 2. Received: num_knots={num_knots!r}.")
        if not 0.0 < negative_rate <= 1.0:
            raise ValueError(f"`negative_rate` must lie in (0, 1]. Received: negative_rate={negative_rate!r}.")
        self.num_knots = num_knots
        self.negative_rate = float(negative_rate)

    def build(self, input_shape: Any = None) -> None:
        """Create the knots and their shifts."""
        knots = np.linspace(-8.0, 0.0, self.num_knots)
        self.knots = self.add_weight(
            name="knots",
            shape=(self.num_knots,),
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(knots, dtype),
            trainable=False,
        )
        self.shifts = self.add_weight(name="shifts", shape=(self.num_knots,), initializer="zeros", trainable=False)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Calibrated logits; while training, the logits as they are."""
        if training:
            return inputs
        if self.negative_rate < 1.0:
            inputs = inputs + math.log(self.negative_rate)
        return _shifted(inputs, self.knots, self.shifts)

    def inverse(self, inputs: Any) -> Any:
        """The logits that the map makes these of: `inverse(layer(z))` is `z`.

        Args:
            inputs: calibrated logits, an array or a tensor.
        """
        if not self.built:
            self.build()
        # The inverse of a map that is linear between knots is linear between their images.
        logits = _shifted(ops.convert_to_tensor(inputs, "float32"), self.knots + self.shifts, -self.shifts)
        return logits - math.log(self.negative_rate) if self.negative_rate < 1.0 else logits

    def fit(self, logits: Any, labels: Any, sample_weight: Any = None, strength: float = 1.0) -> None:
        """Fit the map to logits and what came of them, in place of what was fitted before.

        The shifts maximize the likelihood of the labels under a prior, in which the mean shift is about 0.2 and the
        shift changes by about 0.2 over a unit of the logit. So ten thousand positives are followed closely, a hundred
        move the map as a whole, and few leave it nearly the identity. Take rows that the model was not and will not be
        trained on. Where rates differ from day to day, rows of several days are a better guide than those of one.

        Args:
            logits: logits of the model itself, of any shape. Those of served predictions are taken back by `inverse`.
            labels: in `[0, 1]`, NaN where unobserved, as many as there are logits.
            sample_weight: weights of the rows; a weight of 2 counts as two rows. Defaults to `None`.
            strength: factor of the prior; a larger one holds the map closer to the identity. Defaults to `1.0`.

        Raises:
            ValueError: if lengths differ, nothing is observed, a value is not finite or a label lies outside
                `[0, 1]`, or on a `strength` that is not positive.
        """
        weights = self.estimate(logits, labels, sample_weight, strength)
        if not self.built:
            self.build()
        self.set_weights(weights)

    def estimate(
        self, logits: Any, labels: Any, sample_weight: Any = None, strength: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The weights that `fit` sets, knots and shifts; see there."""
        if not strength > 0.0:
            raise ValueError(f"`strength` must be a positive number. Received: strength={strength!r}.")
        columns = {"logits": logits, "labels": labels}
        if sample_weight is not None:
            columns["sample_weight"] = sample_weight
        found = {name: _host_column(values) for name, values in columns.items()}
        _check_rows(found)
        observed = ~np.isnan(found["labels"])
        weights = found.get("sample_weight", np.ones(len(observed)))[observed]
        if not weights.sum() > 0.0:
            raise ValueError(
                f"`labels` and `sample_weight` leave no row to fit to. Received: {len(observed)} rows, of which "
                f"{int(observed.sum())} have a label. Give rows whose label is known and whose weight is positive."
            )
        given = found["logits"][observed] + math.log(self.negative_rate)
        return fit_logit_shift(given, found["labels"][observed], weights, self.num_knots, strength)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output (see "Output shape")."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_knots": self.num_knots, "negative_rate": self.negative_rate}


def _shifted(z: Any, knots: Any, shifts: Any) -> Any:
    """`z + s(z)` for the shift that is linear between knots and constant outside."""
    gaps = knots[1:] - knots[:-1]
    slopes = (shifts[1:] - shifts[:-1]) / gaps
    passed = ops.minimum(ops.maximum(ops.expand_dims(z, -1) - knots[:-1], 0.0), gaps)
    return z + (shifts[0] + ops.sum(passed * slopes, axis=-1))


def _host_column(values: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(values), "float64").reshape(-1)


def _check_rows(columns: dict[str, np.ndarray]) -> None:
    rows = {name: len(values) for name, values in columns.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"Logits, labels and weights need the same number of rows. Received: {rows}.")
    logits, labels = columns["logits"], columns["labels"]
    weights = columns.get("sample_weight", np.ones(0))
    for name, words, right in (
        ("logits", "finite numbers", np.isfinite(logits)),
        ("labels", "numbers in [0, 1], or NaN where unobserved", ~((labels < 0.0) | (labels > 1.0))),
        ("sample_weight", "finite numbers that are not negative", np.isfinite(weights) & (weights >= 0.0)),
    ):
        wrong = np.flatnonzero(~right)
        if wrong.size:
            values = columns[name]
            raise ValueError(
                f"`{name}` must be {words}. Received: {values[wrong[0]]:g} in row {wrong[0]}; {wrong.size} of "
                f"{values.size} rows are wrong."
            )
