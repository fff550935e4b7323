"""Hierarchical clustering of vectors by a cascade of codebooks."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import replicas
from .check_arguments import check_positive, check_rate
from .codebook_adaptation import collect_rows, fit_codebooks
from .codebook_averages import average_codebooks
from .dead_codes import move_dead_codes
from .quantization_loss import quantization_loss
from .residual_search import residual_search
from .row_weights import row_weight
from .running_variance import RunningVariance

CODEBOOK_UPDATES = ("ema", "gradient")
LOSS_SCALES = ("relative", "absolute")


@keras.saving.register_keras_serializable(package="grouprank")
class ResidualQuantizer(keras.layers.Layer):
    """Quantizes vectors level by level, each codebook on what the last left over.

    Use it where vectors fall into groups and sub-groups that nobody labelled.
    Level 1 names the coarse group, the next levels refine it, and the codes sum
    up to an approximation of the vector. `GroupConcat` wraps it for ranking
    models; use it directly inside an autoencoder, or offline for semantic ids.

    With `r⁽¹⁾ = z`, level `i` picks the code `e⁽ⁱ⁾` of its codebook nearest to
    `r⁽ⁱ⁾` and hands on `r⁽ⁱ⁺¹⁾ = r⁽ⁱ⁾ − sg(e⁽ⁱ⁾)` (eq. 3). In training it adds the
    loss of eq. 2, `Σᵢ ‖r⁽ⁱ⁾ − sg(e⁽ⁱ⁾)‖² + μ‖sg(r⁽ⁱ⁾) − e⁽ⁱ⁾‖²`, summed over
    components and averaged over rows; with `codebook_update="ema"` moving
    averages of the assigned residuals take the place of the `μ` term. By default
    the loss has the gradient of eq. 2, but its value is the mean over levels divided by the
    running variance of `z`: 1.0 is no better than the mean, at any width. The output
    passes gradients straight through to `z` by one estimator on the sum: one per
    level would leave levels 2 and up without a commitment gradient.

    Codes that win too rarely are moved onto random rows of the batch; without
    this most of a codebook stays dead on long-tailed data. Call `adapt` on
    a sample first to start from k-means. The search runs in float32 under every
    dtype policy. In several processes of torch, which must all call the layer, the
    codebooks follow the rows of all processes and stay the same in each of them.

    Args:
        num_levels: number of codebooks `m`. Defaults to `3`.
        codebook_size: number of codes `n` of each codebook. Defaults to `256`.
        codebook_update: `"ema"` (moving averages; the codebooks are not
            trainable) or `"gradient"` (the optimizer, through the `μ` term).
            Defaults to `"ema"`.
        commitment_weight: factor of the first term of eq. 2. Defaults to `1.0`.
        codebook_weight: `μ`, factor of the second term, used by
            `codebook_update="gradient"`. Defaults to `1.0`.
        ema_decay: decay per batch of the moving averages. Defaults to `0.99`.
        reset_dead_codes: move dead codes onto rows of the batch. Defaults to `True`.
        reset_threshold: a code is dead below this fraction of the mean usage of
            its codebook (`0.03` is `0.03 · batch / n` rows). Defaults to `0.03`.
        reset_interval: number of training batches between resets. Defaults to `20`.
        codebook_initializer: initializer of the codebooks before `adapt`.
            Defaults to a normal distribution of standard deviation `0.05`.
        seed: integer seed of the reset's draws and of `adapt`. Defaults to `None`.
        loss_scale: `"relative"` (see above) or `"absolute"`, which shows the value of eq. 2 as printed. Both have the
            same gradient. Defaults to `"relative"`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: vectors `z`, of floating dtype.
        training: update codebooks and add losses only if `True` (and the layer
            is not frozen by `trainable = False`).
        mask: boolean, shape of the inputs' leading axes; `False` rows neither
            move the codebooks nor count in the losses.
        sample_weight: non-negative weights, shape of the inputs' leading axes.
            A row of weight 0 moves nothing.
        return_codes: also return the code indices. Defaults to `False`.

    Input shape:
        `(..., dim)` with any number of leading axes.

    Output shape:
        The input's shape; with `return_codes=True` a pair with int32 codes of
        shape `(..., num_levels)`.

    Raises:
        ValueError: on an argument out of its range, an unknown `codebook_update` or `loss_scale`.
        RuntimeError: in training under several replicas of `tf.distribute`, whose codebooks would drift apart.

    Example:

    >>> import numpy as np
    >>> z = np.random.default_rng(0).normal(size=(1000, 8)).astype("float32")
    >>> quantizer = ResidualQuantizer(num_levels=2, codebook_size=16, seed=0)
    >>> quantizer.adapt(z)
    >>> quantizer(z).shape == z.shape
    True
    >>> tuple(quantizer.encode(z).shape)
    (1000, 2)
    >>> tuple(quantizer.codebooks.shape)
    (2, 16, 8)

    Reference:
        *Learning Disentangled Representations for Ads Ranking*, eq. 2 and 3;
        [Lee et al., 2022](https://arxiv.org/abs/2203.01941).
    """

    def __init__(
        self,
        num_levels: int = 3,
        codebook_size: int = 256,
        codebook_update: str = "ema",
        commitment_weight: float = 1.0,
        codebook_weight: float = 1.0,
        ema_decay: float = 0.99,
        reset_dead_codes: bool = True,
        *,
        reset_threshold: float = 0.03,
        reset_interval: int = 20,
        codebook_initializer: str | keras.initializers.Initializer | None = None,
        seed: int | None = None,
        loss_scale: str = "relative",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(num_levels=num_levels, codebook_size=codebook_size, reset_interval=reset_interval)
        check_rate(ema_decay=ema_decay, reset_threshold=reset_threshold)
        if codebook_update not in CODEBOOK_UPDATES:
            raise ValueError(
                f"`codebook_update` must be one of {CODEBOOK_UPDATES}. Received: codebook_update={codebook_update!r}."
            )
        if loss_scale not in LOSS_SCALES:
            raise ValueError(f"`loss_scale` must be one of {LOSS_SCALES}. Received: loss_scale={loss_scale!r}.")
        for argument, weight in (("commitment_weight", commitment_weight), ("codebook_weight", codebook_weight)):
            if weight < 0:
                raise ValueError(f"`{argument}` must not be negative. Received: {argument}={weight}.")
        self.num_levels = num_levels
        self.codebook_size = codebook_size
        self.codebook_update = codebook_update
        self.commitment_weight = commitment_weight
        self.codebook_weight = codebook_weight
        self.ema_decay = ema_decay
        self.reset_dead_codes = reset_dead_codes
        self.reset_threshold = reset_threshold
        self.reset_interval = reset_interval
        self.codebook_initializer = keras.initializers.get(
            codebook_initializer or keras.initializers.RandomNormal(stddev=0.05, seed=seed)
        )
        self.seed = seed
        self.loss_scale = loss_scale
        # Only what has a loss needs a variance to measure it by.
        relative = loss_scale == "relative" and self.loss_weight > 0
        self._relative = RunningVariance(ema_decay, num_levels, name="running_variance") if relative else None
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the codebooks and the statistics that keep them alive."""
        dim = input_shape[-1]
        if dim is None:
            raise ValueError(f"The last axis of the inputs must be known. Received: input_shape={input_shape}.")
        shape = (self.num_levels, self.codebook_size, dim)
        gradient = self.codebook_update == "gradient"
        # Names differ by update: `load_own_variables` refuses weights of the other.
        self._codebooks = self.add_weight(
            name="codebooks",
            shape=shape,
            initializer=self.codebook_initializer,
            trainable=gradient,
            dtype="float32",
            autocast=False,
        )
        self.codebook_usage = self._statistic("codebook_usage", shape[:2], 1.0 / self.codebook_size)
        if gradient:
            # A layer cannot assign to a trainable variable inside JAX's step, so resets move this shift instead.
            self._shift = self._statistic("codebook_shift", shape, 0.0)
        else:
            self._sums = self._statistic("codebook_sums", shape, 0.0)
            self._sums.assign(self._codebooks / self.codebook_size)
        self.steps = self.add_weight(name="steps", shape=(), initializer="zeros", trainable=False, dtype="int32")
        if self._relative is not None:
            self._relative.build((None, dim))
        self.input_spec = keras.layers.InputSpec(axes={-1: dim})
        self.built = True

    def _statistic(self, name: str, shape: tuple[int, ...], value: float) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.Constant(value),
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    @property
    def loss_weight(self) -> float:
        """Sum of the factors of the losses that the layer adds in training."""
        return self.commitment_weight + self._codebook_factor

    @property
    def _codebook_factor(self) -> float:
        """Factor of the codebook term, which moving averages have no use for."""
        return self.codebook_weight if self.codebook_update == "gradient" else 0.0

    @property
    def codebooks(self) -> Any:
        """The codes, float32 of shape `(num_levels, codebook_size, dim)`."""
        codebooks = ops.convert_to_tensor(self._codebooks)
        return codebooks + self._shift if self.codebook_update == "gradient" else codebooks

    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        sample_weight: Any = None,
        return_codes: bool = False,
    ) -> Any:
        """Quantize; in training also update the codebooks and add the losses."""
        dim = inputs.shape[-1]
        z = ops.cast(ops.reshape(inputs, (-1, dim)), "float32")
        codebooks = self.codebooks
        codes, residuals = residual_search(z, codebooks)
        # The sum of the codes, with the gradient of `z`.
        straight_through = z - residuals[-1][:, :dim]
        if training and self.trainable:
            replicas.refuse_replicas(
                "A residual quantizer", "Each replica would move codebooks of its own, and these would drift apart."
            )
            weight = row_weight(mask, sample_weight)
            if weight is not None:
                # Rows that do not count may hold anything, even NaN, and 0 · NaN is NaN.
                counted = ops.expand_dims(weight > 0, -1)
                z = ops.where(counted, z, 0.0)
                residuals = [ops.where(counted, r, 0.0) for r in residuals]
            factors = (self.commitment_weight, self._codebook_factor)
            loss = quantization_loss(z, codes, residuals, codebooks, weight, *factors)
            if loss is not None:
                self.add_loss(loss if self._relative is None else self._relative(z, loss, weight))
            self._update(codes, residuals[:-1], ops.stop_gradient(codebooks), weight)
        shape = ops.shape(inputs)
        outputs = ops.cast(ops.reshape(straight_through, shape), self.compute_dtype)
        if not return_codes:
            return outputs
        return outputs, ops.reshape(ops.stack(codes, axis=-1), (*shape[:-1], self.num_levels))

    def _update(self, codes: list[Any], residuals: list[Any], codebooks: Any, weight: Any) -> None:
        """Move the averages toward the batch and dead codes onto its rows."""
        ema = self.codebook_update == "ema"
        sums = self._sums if ema else None
        books, usage, seen = average_codebooks(
            codebooks, sums, self.codebook_usage, codes, residuals, weight, self.ema_decay
        )
        self.steps.assign(self.steps + 1)
        if self.reset_dead_codes:
            draws = keras.random.uniform(usage.shape, dtype="float32", seed=self.seed_generator)
            due = ops.logical_and(ops.equal(self.steps % self.reset_interval, 0), seen)
            dead_below = self.reset_threshold / self.codebook_size
            books, usage = move_dead_codes(books, usage, residuals, weight, draws, due, dead_below)
        self.codebook_usage.assign(usage)
        if ema:
            self._codebooks.assign(books)
            self._sums.assign(books * ops.expand_dims(usage, -1))
        elif self.reset_dead_codes:
            self._shift.assign(books - ops.stop_gradient(ops.convert_to_tensor(self._codebooks)))

    def encode(self, inputs: Any) -> Any:
        """Indices of the nearest codes, int32 of shape `(..., num_levels)`."""
        inputs = ops.convert_to_tensor(inputs)
        if not self.built:
            self.build(tuple(inputs.shape))
        z = ops.cast(ops.reshape(inputs, (-1, inputs.shape[-1])), "float32")
        codes, _ = residual_search(z, self.codebooks)
        return ops.reshape(ops.stack(codes, axis=-1), (*ops.shape(inputs)[:-1], self.num_levels))

    def residual_norms(self, inputs: Any) -> Any:
        """Mean length of what each level and those before it leave over, float32 of shape `(num_levels,)`."""
        inputs = ops.convert_to_tensor(inputs)
        if not self.built:
            self.build(tuple(inputs.shape))
        dim = inputs.shape[-1]
        _, residuals = residual_search(ops.cast(ops.reshape(inputs, (-1, dim)), "float32"), self.codebooks)
        return ops.stack([ops.mean(ops.norm(r[:, :dim], axis=-1)) for r in residuals[1:]])

    def code_vectors(self, codes: Any, codebooks: Any = None) -> Any:
        """Codes of each level, float32 of shape `(..., num_levels, dim)`, differentiable in the codebooks.

        Args:
            codes: indices of shape `(..., num_levels)`.
            codebooks: codebooks to look them up in; `None` takes the present ones. Defaults to `None`.
        """
        offsets = ops.arange(self.num_levels, dtype="int32") * self.codebook_size
        codebooks = self.codebooks if codebooks is None else codebooks
        rows = ops.reshape(codebooks, (-1, codebooks.shape[-1]))
        return ops.take(rows, ops.cast(codes, "int32") + offsets, axis=0)

    def decode(self, codes: Any) -> Any:
        """Sum of the codes, float32 of shape `(..., dim)`, for indices of shape `(..., num_levels)`."""
        return ops.sum(self.code_vectors(codes), axis=-2)

    def adapt(self, data: Any, max_rows: int = 50_000) -> None:
        """Start the codebooks from k-means, level by level, on a sample of rows.

        Args:
            data: vectors as a NumPy array of shape `(..., dim)`, a
                `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of
                such batches; of a batch `(x, y, …)` the first element is used.
            max_rows: number of rows kept, drawn uniformly over the data. Defaults to `50_000`.
        """
        self.adapt_to(collect_rows(data, max_rows, self.seed))

    def adapt_to(self, rows: np.ndarray) -> None:
        """Start the codebooks from k-means on all of some rows, the same in every process.

        Args:
            rows: float32 vectors `(rows, dim)`.
        """
        if not self.built:
            self.build(rows.shape)
        if rows.shape[-1] != self._codebooks.shape[-1]:
            raise ValueError(
                f"`adapt` expects vectors of {self._codebooks.shape[-1]} components, as at build. "
                f"Received: {rows.shape[-1]}."
            )
        fitted = fit_codebooks(rows, self.num_levels, self.codebook_size, self.seed)
        codebooks, usage = (ops.convert_to_numpy(replicas.of_first(part)) for part in fitted)
        self._codebooks.assign(codebooks)
        self.codebook_usage.assign(usage)
        if self.codebook_update == "ema":
            self._sums.assign(codebooks * usage[..., np.newaxis])
        else:
            self._shift.assign(np.zeros_like(codebooks))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output without codes (see "Output shape")."""
        return tuple(input_shape)

    def compute_output_spec(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        sample_weight: Any = None,
        return_codes: bool = False,
    ) -> Any:
        """Symbolic outputs, a pair with `return_codes=True`."""
        quantized = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_codes:
            return quantized
        return quantized, keras.KerasTensor((*inputs.shape[:-1], self.num_levels), dtype="int32")

    def save_own_variables(self, store: Any) -> None:
        """Save by name, with the state of the reset's draws, which Keras leaves out.

        A resumed run then moves dead codes onto the rows that an uninterrupted one would.
        """
        for variable in self._own_variables():
            store[variable.name] = ops.convert_to_numpy(variable)

    def _own_variables(self) -> list[Any]:
        update = self._shift if self.codebook_update == "gradient" else self._sums
        return [self._codebooks, self.codebook_usage, update, self.steps, self.seed_generator.state]

    def load_own_variables(self, store: Any) -> None:
        """Inverse of `save_own_variables`."""
        variables = {variable.name: variable for variable in self._own_variables()}
        if set(store.keys()) != set(variables):
            raise ValueError(
                f"The weights of {self.name!r} were saved by another configuration than codebook_update="
                f"{self.codebook_update!r}. Expected: {sorted(variables)}. Received: {sorted(store.keys())}."
            )
        for name, variable in variables.items():
            variable.assign(store[name])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_levels": self.num_levels,
            "codebook_size": self.codebook_size,
            "codebook_update": self.codebook_update,
            "commitment_weight": self.commitment_weight,
            "codebook_weight": self.codebook_weight,
            "ema_decay": self.ema_decay,
            "reset_dead_codes": self.reset_dead_codes,
            "reset_threshold": self.reset_threshold,
            "reset_interval": self.reset_interval,
            "codebook_initializer": keras.initializers.serialize(self.codebook_initializer),
            "seed": self.seed,
            "loss_scale": self.loss_scale,
        }
