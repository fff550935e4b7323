"""Group structure learning: learned group codes, concatenated back onto their input."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from .codebook_adaptation import collect_rows
from .dense_network import apply_network, build_network, make_network
from .residual_quantizer import ResidualQuantizer
from .row_weights import row_weight, squared_norm, without_junk
from .running_variance import RunningVariance

AGGREGATES = ("sum", "mean", "concat")
OUTPUT_GRADIENTS = ("codebook", "straight_through", "none")


@keras.saving.register_keras_serializable(package="grouprank")
class GroupConcat(keras.layers.Layer):
    """Finds implicit groups of its inputs and appends their codes to them.

    Put it on user features, on user and ad features together, or on the shared
    representation of any Keras ranking model: rows that fall into the same group
    share a learned vector, so the layers above can treat groups differently.

    The input is encoded (`encoder_units`, `code_dim`), quantized by a
    `ResidualQuantizer`, and the aggregated codes are concatenated:
    `concat[x, aggregate(e⁽¹⁾ … e⁽ᵐ⁾)]`. In training the layer adds the
    reconstruction loss of eq. 1, `‖x − decoder(Σ e⁽ⁱ⁾)‖²`, and the quantizer's
    commitment loss of eq. 2, summed over components and averaged over rows. Their
    gradients are those of the equations. Their values are divided by the running
    variance of what they approximate (the commitment is also averaged over levels),
    so that 1.0 is no better than the mean at any width. With `loss_scale="absolute"`
    the values are those of the equations.

    By default these losses see `stop_gradient(x)`: grouping cannot pull the
    trunk toward what is easy to reconstruct. Without an encoder the codes live
    in the input's own space; then eq. 1 trains nothing and is left out.

    Args:
        num_levels: number of codebooks. Defaults to `3`.
        codebook_size: codes per codebook. Few are enough. On two data sets, three
            codebooks of 16 codes are worse than a single small codebook on no task;
            three of 256 codes are worse on three tasks (`docs/table1.md` and
            `docs/table1-synthetic.md`, "Levels × codes a level"). Defaults to `16`.
        code_dim: width of a code. `None` takes the input's width and, with no
            `encoder_units`, no encoder. Defaults to `None`.
        aggregate: `"sum"`, `"mean"` or `"concat"` of the levels' codes.
            Defaults to `"sum"`.
        output_gradient: what the task loss sends back through the appended
            codes. `"codebook"`: they are embeddings and learn from it (with
            `codebook_update="ema"` through an offset per code that starts at 0,
            since averages own the codebooks); `"straight_through"`: it goes to
            the encoder; `"none"`: nothing. Defaults to `"codebook"`.
        input_gradient: let the self-supervised losses (and a straight-through
            gradient) reach the layers below. Defaults to `False`.
        encoder_units: widths of hidden layers before the code. Defaults to `()`.
        decoder_units: widths of hidden layers after the code. Defaults to `()`.
        activation: activation of the hidden layers. Defaults to `"relu"`.
        reconstruction_weight: factor of eq. 1. Defaults to `1.0`.
        zero_init_projection: pass the codes through a linear layer that starts
            at 0, so that a model starts out equal to its baseline. Defaults to `False`.
        codebook_update: `"ema"` or `"gradient"`. Defaults to `"ema"`.
        commitment_weight: factor of the commitment term. Defaults to `1.0`.
        codebook_weight: `μ` of eq. 2. Defaults to `1.0`.
        ema_decay: decay per batch of the moving averages. Defaults to `0.99`.
        reset_dead_codes: move codes that win too rarely. Defaults to `True`.
        seed: integer seed. Defaults to `None`.
        loss_scale: `"relative"` or `"absolute"`, see above. Defaults to `"relative"`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: the representation `x`, of floating dtype.
        training: update codebooks and add losses only if `True`.
        mask: boolean, shape of the inputs' leading axes; `False` rows do not count.
        sample_weight: non-negative weights, shape of the inputs' leading axes.
        concatenate: `False` returns the aggregated codes alone, for a model that
            puts them elsewhere than beside their input. Defaults to `True`.

    Input shape:
        `(..., dim)` with any number of leading axes.

    Output shape:
        `(..., dim + width)`, where `width` is `code_dim`, or
        `num_levels * code_dim` for `aggregate="concat"`; `(..., width)` with
        `concatenate=False`.

    Raises:
        ValueError: on an unknown `aggregate`, `output_gradient`, `codebook_update` or `loss_scale`.
        RuntimeError: in training in several replicas, see `ResidualQuantizer`.

    Example:

    >>> import keras, numpy as np
    >>> x = keras.Input((32,))
    >>> h = GroupConcat(num_levels=2, codebook_size=64, code_dim=16)(x)
    >>> model = keras.Model(x, keras.layers.Dense(1, activation="sigmoid")(h))
    >>> model.compile("adam", "binary_crossentropy")
    >>> data = np.random.default_rng(0).normal(size=(256, 32)).astype("float32")
    >>> history = model.fit(data, data[:, :1] > 0, verbose=0)
    >>> h.shape
    (None, 48)

    Reference:
        *Learning Disentangled Representations for Ads Ranking*, §3.1, eq. 1 – 3.
    """

    def __init__(
        self,
        num_levels: int = 3,
        codebook_size: int = 16,
        code_dim: int | None = None,
        aggregate: str = "sum",
        output_gradient: str = "codebook",
        input_gradient: bool = False,
        encoder_units: Sequence[int] = (),
        decoder_units: Sequence[int] = (),
        activation: str | Callable[[Any], Any] | None = "relu",
        *,
        reconstruction_weight: float = 1.0,
        zero_init_projection: bool = False,
        codebook_update: str = "ema",
        commitment_weight: float = 1.0,
        codebook_weight: float = 1.0,
        ema_decay: float = 0.99,
        reset_dead_codes: bool = True,
        seed: int | None = None,
        loss_scale: str = "relative",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if aggregate not in AGGREGATES:
            raise ValueError(f"`aggregate` must be one of {AGGREGATES}. Received: aggregate={aggregate!r}.")
        if output_gradient not in OUTPUT_GRADIENTS:
            raise ValueError(
                f"`output_gradient` must be one of {OUTPUT_GRADIENTS}. Received: output_gradient={output_gradient!r}."
            )
        if code_dim is not None and (not isinstance(code_dim, int) or code_dim < 1):
            raise ValueError(f"`code_dim` must be a positive integer or None. Received: code_dim={code_dim!r}.")
        self.code_dim = code_dim
        self.aggregate = aggregate
        self.output_gradient = output_gradient
        self.input_gradient = input_gradient
        self.encoder_units = tuple(encoder_units)
        self.decoder_units = tuple(decoder_units)
        self.activation = keras.activations.get(activation)
        self.reconstruction_weight = reconstruction_weight
        self.zero_init_projection = zero_init_projection
        self.commitment_weight = commitment_weight
        self.seed = seed
        self.has_encoder = code_dim is not None or bool(self.encoder_units)
        trains_from_commitment = self.has_encoder or input_gradient
        self.quantizer = ResidualQuantizer(
            num_levels=num_levels,
            codebook_size=codebook_size,
            codebook_update=codebook_update,
            # A constant in the loss would only blur what `fit` prints.
            commitment_weight=commitment_weight if trains_from_commitment else 0.0,
            codebook_weight=codebook_weight,
            ema_decay=ema_decay,
            reset_dead_codes=reset_dead_codes,
            seed=seed,
            loss_scale=loss_scale,
            dtype=self.dtype_policy,
            # The name under which `fit` prints the codebooks' health.
            name=self.name,
        )
        relative = loss_scale == "relative" and self.has_encoder and reconstruction_weight > 0
        self._relative = RunningVariance(ema_decay, name="running_variance") if relative else None
        self.supports_masking = True

    @property
    def loss_weight(self) -> float:
        """Sum of the factors of the losses that the layer adds in training.

        Divided by it, their sum is 1.0 for groups that are no better than the mean, unless `loss_scale="absolute"`.
        """
        return self.quantizer.loss_weight + (self.reconstruction_weight if self.has_encoder else 0.0)

    @property
    def num_levels(self) -> int:
        """Number of codebooks."""
        return self.quantizer.num_levels

    @property
    def codebook_size(self) -> int:
        """Codes per codebook."""
        return self.quantizer.codebook_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create encoder, quantizer, decoder and projection."""
        dim = input_shape[-1]
        if dim is None:
            raise ValueError(f"The last axis of the inputs must be known. Received: input_shape={input_shape}.")
        width = self.code_dim or dim
        code_shape = (*input_shape[:-1], width)
        self._encoder, self._decoder = [], []
        if self.has_encoder:
            options = (self.activation, self.seed, self.dtype_policy)
            self._encoder = make_network("encoder", (*self.encoder_units, width), *options)
            self._decoder = make_network("decoder", (*self.decoder_units, dim), *options)
        build_network(self._encoder, input_shape)
        self.quantizer.build(code_shape)
        build_network(self._decoder, code_shape)
        if self._relative is not None:
            self._relative.build((None, dim))
        self._offsets = None
        if self.output_gradient == "codebook" and self.quantizer.codebook_update == "ema":
            self._offsets = self.add_weight(
                name="group_embedding_offsets", shape=(self.num_levels * self.codebook_size, width), initializer="zeros"
            )
        self._projection = None
        if self.zero_init_projection:
            out = self._aggregate_width(width)
            self._projection = keras.layers.Dense(
                out, use_bias=False, kernel_initializer="zeros", dtype=self.dtype_policy, name="projection"
            )
            self._projection.build((*input_shape[:-1], out))
        self.input_spec = keras.layers.InputSpec(axes={-1: dim})
        self.built = True

    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        sample_weight: Any = None,
        concatenate: bool = True,
    ) -> Any:
        """Append the aggregated codes of the inputs' groups."""
        x = inputs if self.input_gradient else ops.stop_gradient(inputs)
        x = without_junk(x, mask, sample_weight)
        z = self._encode(x)
        # In training the call moves the codebooks (on torch in place); a row gets the codes it was matched with.
        table = self._code_table()
        quantized, codes = self.quantizer(
            z, training=training, mask=mask, sample_weight=sample_weight, return_codes=True
        )
        if training and self.trainable and self._decoder and self.reconstruction_weight:
            self.add_loss(self.reconstruction_weight * self._reconstruction_loss(x, quantized, mask, sample_weight))
        groups = ops.cast(self._groups(z, codes, table), inputs.dtype)
        return ops.concatenate([inputs, groups], axis=-1) if concatenate else groups

    @property
    def first(self) -> keras.layers.Dense | None:
        """The encoder's layer that reads the inputs, `None` without an encoder."""
        return self._encoder[0] if self._encoder else None

    def after_first(self, outputs: Any) -> Any:
        """The aggregated codes alone, in inference, from what the encoder's first layer gives.

        Use it where that layer is computed in another way, for example because a part of the inputs is the same for
        many rows.

        Args:
            outputs: what `first` gives, with its activation.
        """
        outputs = apply_network(self._encoder[1:], outputs)
        groups = self._groups(outputs, self.quantizer.encode(outputs), self._code_table())
        return ops.cast(groups, self.compute_dtype)

    def _groups(self, z: Any, codes: Any, table: Any) -> Any:
        groups = self._aggregate(self._code_vectors(z, codes, table))
        return groups if self._projection is None else self._projection(groups)

    def _encode(self, x: Any) -> Any:
        return apply_network(self._encoder, x)

    def _code_table(self) -> Any:
        """What a code stands for in the output, `(num_levels, codebook_size, width)`, with its gradient."""
        if self.output_gradient != "codebook":
            return ops.copy(ops.stop_gradient(self.quantizer.codebooks))
        if self._offsets is None:
            return ops.copy(self.quantizer.codebooks)
        codebooks = self.quantizer.codebooks
        return codebooks + ops.cast(ops.reshape(self._offsets, codebooks.shape), codebooks.dtype)

    def _code_vectors(self, z: Any, codes: Any, table: Any) -> list[Any]:
        """Each level's code, `(..., width)`, with the chosen gradient."""
        vectors = [ops.take(table[level], codes[..., level], axis=0) for level in range(self.num_levels)]
        if self.output_gradient == "straight_through":
            # Spread over the levels so that the sum passes the gradient exactly once.
            z = ops.cast(z, table.dtype)
            moving = (z - ops.stop_gradient(z)) / self.num_levels
            vectors = [vector + moving for vector in vectors]
        return vectors

    def _aggregate(self, vectors: list[Any]) -> Any:
        if self.aggregate == "concat":
            return ops.concatenate(vectors, axis=-1)
        total = sum(vectors)
        return total / self.num_levels if self.aggregate == "mean" else total

    def _aggregate_width(self, width: int) -> int:
        return width * self.num_levels if self.aggregate == "concat" else width

    def _reconstruction_loss(self, x: Any, quantized: Any, mask: Any, sample_weight: Any) -> Any:
        quantized = apply_network(self._decoder, quantized)
        dim = x.shape[-1]
        original, decoded = (ops.reshape(ops.cast(v, "float32"), (-1, dim)) for v in (x, quantized))
        weight = row_weight(mask, sample_weight)
        loss = squared_norm(original - decoded, weight)
        return loss if self._relative is None else self._relative(original, loss, weight)

    def encode(self, inputs: Any) -> Any:
        """Group ids of the inputs: code indices, int32 of shape `(..., num_levels)`."""
        inputs = ops.convert_to_tensor(inputs)
        if not self.built:
            self.build(tuple(inputs.shape))
        return self.quantizer.encode(self._encode(inputs))

    def residual_norms(self, inputs: Any) -> Any:
        """Mean length of what each level leaves over of the encoded inputs; see `ResidualQuantizer.residual_norms`."""
        inputs = ops.convert_to_tensor(inputs)
        if not self.built:
            self.build(tuple(inputs.shape))
        return self.quantizer.residual_norms(self._encode(inputs))

    def adapt(self, data: Any, max_rows: int = 50_000) -> None:
        """Start the codebooks from k-means on (encoded) data; see `ResidualQuantizer.adapt`."""
        rows = collect_rows(data, max_rows, self.seed)
        if not self.built:
            self.build(rows.shape)
        encoded = ops.convert_to_numpy(ops.cast(self._encode(ops.convert_to_tensor(rows)), "float32"))
        self.quantizer.adapt_to(encoded.reshape(-1, encoded.shape[-1]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return self._output_shape(input_shape, concatenate=True)

    def compute_output_spec(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        sample_weight: Any = None,
        concatenate: bool = True,
    ) -> keras.KerasTensor:
        """Symbolic output."""
        return keras.KerasTensor(self._output_shape(inputs.shape, concatenate), dtype=self.compute_dtype)

    def _output_shape(self, input_shape: tuple[int | None, ...], concatenate: bool) -> tuple[int | None, ...]:
        dim = input_shape[-1]
        if dim is None:
            raise ValueError(f"The last axis of the inputs must be known. Received: input_shape={input_shape}.")
        return (*input_shape[:-1], (dim if concatenate else 0) + self._aggregate_width(self.code_dim or dim))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        quantizer = self.quantizer.get_config()
        shared = ["num_levels", "codebook_size", "codebook_update", "codebook_weight", "ema_decay"]
        shared += ["reset_dead_codes", "loss_scale"]
        return {
            **super().get_config(),
            **{name: quantizer[name] for name in shared},
            "code_dim": self.code_dim,
            "aggregate": self.aggregate,
            "output_gradient": self.output_gradient,
            "input_gradient": self.input_gradient,
            "encoder_units": list(self.encoder_units),
            "decoder_units": list(self.decoder_units),
            "activation": keras.activations.serialize(self.activation),
            "reconstruction_weight": self.reconstruction_weight,
            "zero_init_projection": self.zero_init_projection,
            "commitment_weight": self.commitment_weight,
            "seed": self.seed,
        }
