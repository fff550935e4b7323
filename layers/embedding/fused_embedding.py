"""An embedding table that trains the rows a batch touches."""

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from . import optimizers
from .blockwise_initializer import BlockwiseInitializer
from .move_rows import Span, move_rows
from .row_noise import row_noise
from .row_tables import make_row_table
from .row_tables.base_row_store import BLOCK_ROWS
from .row_tables.base_row_table import refuse_accumulation
from .stochastic_rounding import stochastic_round
from .table_config import PLACEMENTS, STORAGE_DTYPES

# 1 to 8, 10, 12, 14, 15, 16 and further numbers of devices up to 64 divide it.
_DIVISIBLE = 6720


@keras.saving.register_keras_serializable(package="grouprank")
class FusedEmbedding(keras.layers.Layer):
    """An embedding table whose training cost does not grow with its size.

    Keras trains an embedding table like any weight: its optimizer reads and
    writes every row at every step, which at millions of rows takes longer than
    the network. This layer has an optimizer of its own. Its backward pass sums
    the gradients of repeated ids, updates the rows (and optimizer slots) that
    the batch looked up, in place, and hands nothing on; the rest of the model
    keeps the optimizer of `compile`. It works in any model under `fit`,
    `train_on_batch`, `jit_compile`, mixed precision and, where Keras has it
    (TensorFlow and JAX), `steps_per_execution`.

    One training lookup of a table per step: put all ids of a step into one call
    (`EmbeddingCollection` and `CTRModel` do). A second one raises, as do gradient
    accumulation and distribution over several devices without `placement="rows"`: the
    update cannot wait for them. A loss scaled against underflow (`keras.optimizers.LossScaleOptimizer`)
    is unscaled here by way of a layer loss of value 0; a step whose gradient
    overflowed leaves the table as it was.

    With `placement="rows"` a table lies on all devices of JAX's `keras.distribution`, or in
    all processes of torch, and trains as on one device. Under `torch.distributed` every process takes part in every
    call, so all of them take equal numbers of steps, each with its part of the batch. A
    row's gradient is the mean of the processes' gradients, as
    `torch.nn.parallel.DistributedDataParallel` averages those of other weights: a process
    divides the loss of its rows by the mean number of rows of the processes. All
    processes save together, and the first one writes the file: the models of this package
    see to it, and in a model of your own each process saves to a path of its own. A file
    resumes with any number of devices or processes. `embeddings` is what they keep, and not in
    the order of the rows; `read_rows` reads any rows.

    Weights: `embeddings`. On JAX the slots are trainable weights too (Keras' step
    is a function of its weights), on TensorFlow and torch they are kept beside
    them and a scalar `gradient_hook` connects the table to the loss. `.keras`
    files hold table, slots and step on each backend and load on the others.

    Args:
        input_dim: number of rows. An id outside `[0, input_dim)` is read as 0.
        output_dim: width of an embedding.
        optimizer: `"adam"`, `"adagrad"`, `"rowwise_adagrad"`, `"sgd"`, `"ftrl"` or one of
            `grouprank.layers.embedding_optimizers`. Defaults to `"adam"`.
        embeddings_initializer: initializer of the table, called for blocks of rows.
            Defaults to a normal distribution of standard deviation `0.01`.
        storage_dtype: `"float32"`, `"bfloat16"` or `"float16"`: how rows are kept.
            Updates are computed in float32 and rounded up or down at random in
            proportion, so that small ones are not lost on average. Defaults to `"float32"`.
        placement: `"device"` keeps the table on one device. `"rows"` deals its rows over the devices of
            `keras.distribution.DataParallel` (JAX) or the processes of `torch.distributed` (torch): row `r` lies on
            device `r mod N`. Defaults to `"device"`, and so does `"rows"` where there is one device.
        seed: integer seed of that rounding. Defaults to `None`.
        **kwargs: base layer keywords such as `name` and `dtype`.

    Call arguments:
        inputs: integer ids.
        training: `False` only looks ids up. Otherwise a backward pass through the
            output trains the rows, unless the layer is frozen by `trainable = False`.
        mask: boolean, shape of the ids; `False` looks up zeros and trains nothing.

    Input shape:
        Any, `(...)`.

    Output shape:
        `(..., output_dim)`.

    Raises:
        ValueError: on a size below 1 or an unknown optimizer, `storage_dtype` or `placement`.
        RuntimeError: in training, on a second lookup in a step, gradient accumulation,
            or several devices without `placement="rows"`.

    Example:

    >>> import numpy as np
    >>> layer = FusedEmbedding(1_000, 4, optimizer=optimizers.RowwiseAdagrad(0.05))
    >>> model = keras.Sequential([layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.array([[1, 2], [2, 3]]), np.array([0.0, 1.0]), verbose=0)
    >>> int(layer.iterations)
    1

    Reference:
        Khudia et al., *FBGEMM*, [arXiv:2101.05615](https://arxiv.org/abs/2101.05615), whose library
        fuses backward pass and update on torch.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        optimizer: str | optimizers.RowOptimizer = "adam",
        embeddings_initializer: str | keras.initializers.Initializer | None = None,
        *,
        storage_dtype: str = "float32",
        placement: str = "device",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for argument, value in (("input_dim", input_dim), ("output_dim", output_dim)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"`{argument}` must be a positive integer. Received: {argument}={value!r}.")
        if storage_dtype not in STORAGE_DTYPES:
            raise ValueError(f"`storage_dtype` must be one of {STORAGE_DTYPES}. Received: {storage_dtype!r}.")
        if placement not in PLACEMENTS:
            raise ValueError(f"`placement` must be one of {PLACEMENTS}. Received: placement={placement!r}.")
        self.input_dim = int(input_dim)
        self.output_dim = int(output_dim)
        self.optimizer = optimizers.get(optimizer)
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.01)
        )
        self.storage_dtype = storage_dtype
        self.placement = placement
        self.supports_masking = True
        self.seed = seed
        self._rounding_seed = random.randint(1, 2**30) if seed is None else seed
        self._saves_slots = True

    def build(self, input_shape: Any = None) -> None:
        """Create table and slots."""
        constant = keras.initializers.Constant
        self._table = make_row_table(
            self,
            self.placement,
            self.input_dim,
            self.output_dim,
            BlockwiseInitializer(self.embeddings_initializer),
            self.storage_dtype,
            {
                name: (width, BlockwiseInitializer(constant(value)))
                for name, (width, value) in self.optimizer.slots(self.output_dim).items()
            },
        )
        self._store, self._exchange = self._table.store, self._table.exchange
        self.embeddings = self._store.embeddings
        self._learning_rate: Any = None
        if not self.optimizer.scheduled:
            self._learning_rate = self.add_weight(
                name="learning_rate",
                shape=(),
                initializer=constant(self.optimizer.learning_rate),
                trainable=False,
                dtype="float32",
                autocast=False,
            )
        self.built = True

    @property
    def iterations(self) -> Any:
        """Number of training steps so far."""
        return self._store.iterations

    @property
    def num_shards(self) -> int:
        """Number of devices or processes that the rows are dealt over; 1 for a table on one device."""
        return int(self._store.num_shards)

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step; assign to it to change a constant one."""
        if self.optimizer.scheduled:
            return self.optimizer.learning_rate(self.iterations)
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self.optimizer.scheduled:
            raise ValueError("The learning rate follows a schedule and cannot be set. Pass a number to the optimizer.")
        self._learning_rate.assign(value)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Look ids up; in training, leave it to the backward pass to train their rows."""
        ids = ops.convert_to_tensor(inputs)
        inside = ops.logical_and(ids >= 0, ids < self.input_dim)
        rows = ops.cast(ops.where(inside, ids, ops.zeros_like(ids)), "int32")
        if mask is not None:
            rows = ops.where(ops.cast(mask, "bool"), rows, self.input_dim)
        rows = ops.reshape(rows, (-1,))
        trains = self.trainable and self._store.iterations is not None
        if training is None:
            # The backward pass tells, as for Keras' own weights.
            trains = trains and self._table.may_train()
        if training is False or not trains:
            vectors = self._table.lookup(rows, mask is not None)
        else:
            rate = None if self.optimizer.scheduled else ops.convert_to_tensor(self._learning_rate)
            vectors, zero = self._table.train_lookup(rows, mask is not None, self._update, rate, self._make_check())
            self.add_loss(zero)
        return ops.reshape(ops.cast(vectors, self.compute_dtype), (*ops.shape(ids), self.output_dim))

    def _update(
        self,
        rows: Any,
        gradient: Any,
        slots: dict[str, Any],
        iteration: Any,
        numbers: Any,
        learning_rate: Any,
        loss_scale: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """New rows and slots of the rows touched; every backend calls this."""
        # A model that leaves out the layers' losses gives 0, and then nothing is known of a scale.
        gradient = gradient / ops.where(loss_scale == 0, ops.ones_like(loss_scale), loss_scale)
        rows = ops.cast(rows, "float32")
        if learning_rate is None:
            learning_rate = self.optimizer.learning_rate(iteration - 1.0)
        new, new_slots = self.optimizer.update(rows, gradient, slots, learning_rate, iteration, self._exchange.total)
        if self.compute_dtype == "float16":
            wrong = ops.sum(ops.cast(ops.logical_not(ops.isfinite(gradient)), "int32"))
            finite = self._exchange.total(wrong) == 0
            new = ops.where(finite, new, rows)
            new_slots = {name: ops.where(finite, value, slots[name]) for name, value in new_slots.items()}
        if self.storage_dtype != "float32":
            noise = row_noise(numbers, self.output_dim, self._rounding_seed, iteration)
            new = stochastic_round(new, noise, self.storage_dtype)
        return new, new_slots

    def _make_check(self) -> Callable[[], None]:
        """What the backward pass asks before it trains."""
        # The outermost layer of the call: the model, where Keras calls it as a layer (not on JAX).
        optimizer = getattr(self._get_call_context().entry_layer, "optimizer", None)

        def check() -> None:
            self._exchange.check()
            self.check_optimizer(optimizer)

        return check

    def check_optimizer(self, optimizer: Any) -> None:
        """Raise if the table cannot be trained beside this optimizer of `compile`."""
        refuse_accumulation(optimizer)

    def drop_slots(self) -> None:
        """Forget the optimizer's slots: the layer serves, and trains no more.

        Frees their memory, and on JAX keeps them out of `model.export` (`grouprank.serving.export` and the other
        backends leave them out by themselves).
        """
        self.trainable = False
        dropped = [*self._store.drop_slots(), self._learning_rate]
        self._learning_rate = None
        for variable in self.variables:
            if any(variable is other for other in dropped):
                self._untrack_variable(variable)

    @contextlib.contextmanager
    def without_slots(self) -> Iterator[None]:
        """Let files that are written in the block hold the table alone.

        The layer keeps its slots. One that loads such a file begins with their initial values.
        """
        self._saves_slots = False
        try:
            yield
        finally:
            self._saves_slots = True

    def save_own_variables(self, store: Any) -> None:
        """Save table, slots and step by name."""
        state = self.state if self._saves_slots else {"embeddings": self.embeddings}
        for name, variable in state.items():
            for key, value in self._store.blocks(name, variable):
                store[key] = value

    def load_own_variables(self, store: Any) -> None:
        """Load them; slots keep their initial values if the file holds a table alone."""
        state = self.state
        keys = sorted(store.keys())
        saved = {key.split(".")[0] for key in keys}
        if saved != {"embeddings"} and saved != set(state):
            raise ValueError(
                f"The file holds {sorted(saved)}, but {self.name!r} expects {sorted(state)}. Load it into a layer with "
                "the same optimizer."
            )
        self._check_rows(keys, store)
        for key in keys:
            self._store.take_block(state[key.split(".")[0]], key, store[key])

    def _check_rows(self, keys: list[str], store: Any) -> None:
        """Raise if the rows of a file's blocks are not as many as the table's."""
        blocks = [key.partition(".") for key in keys if "." in key]
        for name in {name for name, _, _ in blocks}:
            last = max(int(first) for of, _, first in blocks if of == name)
            rows = last + len(store[f"{name}.{last}"])
            if rows != self.input_dim:
                raise ValueError(
                    f"The file holds {rows} rows of {name!r}, but {self.name!r} has {self.input_dim}. Load it into a "
                    "layer of as many rows."
                )

    def state_in_order(self) -> dict[str, Any]:
        """`state` as arrays with the rows in their order, as checkpoints of Orbax hold them.

        With `placement="rows"` rows of zeros follow, up to a number of rows that many numbers of devices divide: JAX
        lays an array over devices in equal parts.
        """
        multiple = _DIVISIBLE if self.placement == "rows" else 1
        return {
            name: self._store.in_order(variable, multiple) if len(variable.shape) else variable.value
            for name, variable in self.state.items()
        }

    def take_in_order(self, values: Mapping[str, Any]) -> None:
        """Read what `state_in_order` of a layer on any devices gave.

        Args:
            values: arrays by name; names that `state` does not have are left out.
        """
        for name, variable in self.state.items():
            if name not in values:
                continue
            value = values[name]
            if not len(variable.shape):
                variable.assign(value)
            elif len(value) >= self.input_dim and tuple(value.shape[1:]) == (variable.shape[-1],):
                self._store.take_in_order(variable, value)
            else:
                raise ValueError(
                    f"The state holds {name!r} of shape {tuple(value.shape)}, but {self.name!r} has {self.input_dim} "
                    f"rows of width {variable.shape[-1]}. Load it into a layer of as many rows and the same optimizer."
                )

    @property
    def state(self) -> dict[str, keras.Variable]:
        """What a file keeps, by name: `embeddings`, the optimizer's slots, `iterations`, `learning_rate`."""
        state = {"embeddings": self.embeddings}
        if self._store.iterations is not None:
            state |= {**self._store.slots, "iterations": self._store.iterations}
        if self._learning_rate is not None:
            state["learning_rate"] = self._learning_rate
        return state

    def read_rows(self, rows: Any) -> Any:
        """The vectors of some rows as they are kept, wherever they lie.

        Where rows are dealt over processes, all processes ask for the same ones.

        Args:
            rows: numbers of rows.

        Returns:
            A tensor of shape `(number of rows, output_dim)`.
        """
        return self._store.read(self.embeddings, ops.convert_to_tensor(rows, dtype="int32"))

    def reset_rows(self, rows: np.ndarray, vectors: Any) -> None:
        """Give rows new vectors, and their slots the initial values; nothing else is read or written.

        Args:
            rows: numbers of rows, each of them once.
            vectors: `(number of rows, output_dim)`.
        """
        numbers = ops.convert_to_tensor(rows, dtype="int32")
        self._store.write(self.embeddings, numbers, ops.cast(vectors, self.storage_dtype))
        initial = self.optimizer.slots(self.output_dim)
        for name, slot in self._store.slots.items():
            width, value = initial[name]
            self._store.write(slot, numbers, ops.full((len(rows), width), value, dtype="float32"))

    def take_over(self, other: "FusedEmbedding", tables: Iterable[tuple[Span, Span]] = ()) -> None:
        """Go on where another layer was: its rows, slots, step and learning rate.

        Args:
            other: a layer of the same arguments, with as many rows or fewer.
            tables: where each of the tables in it lies in the other layer and in this one, see `move_rows`. It matters
                only where the numbers of rows differ. Defaults to `()`.
        """
        tables = list(tables)
        self._rounding_seed = other._rounding_seed
        mine = self.state
        for name, variable in other.state.items():
            if variable.shape and self.input_dim != other.input_dim and self.num_shards > 1:
                self._take_rows(other, name, tables)
            else:
                move_rows(variable, mine[name], tables)

    def _take_rows(self, other: "FusedEmbedding", name: str, tables: Iterable[tuple[Span, Span]]) -> None:
        """Take a variable's rows over, a block after the other, where they lie in another process from now on."""
        for (first, rows), (new_first, _) in tables:
            for start in range(0, rows, BLOCK_ROWS):
                numbers = ops.arange(start, min(start + BLOCK_ROWS, rows), dtype="int32")
                values = other._store.read(other.state[name], numbers + first)
                self._store.write(self.state[name], numbers + new_first, values)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """`None`, since what is masked is zero in the output."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output (see "Output shape")."""
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "storage_dtype": self.storage_dtype,
            "placement": self.placement,
            "seed": self.seed,
        }
