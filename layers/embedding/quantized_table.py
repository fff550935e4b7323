"""An embedding table whose rows are kept in 8 or 4 bits."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

BITS = {"int8": 8, "int4": 4}
# A scale is a power of two with this fraction, and the byte that keeps it counts from the smallest one.
_STEPS_PER_OCTAVE, _SMALLEST = 8, -24
# What an offset's byte counts in: 1/128 of the range that a byte's sign leaves.
_HALF = 128
_BLOCK_ROWS = 8_192


@keras.saving.register_keras_serializable(package="grouprank")
class QuantizedTable(keras.layers.Layer):
    """Looks up rows of an embedding table that are kept in 8 or 4 bits a value.

    A served table takes a quarter or an eighth of the memory so. Each row has a scale and an offset of its own: a value
    is read as `scale * code + offset`, of the rows asked for alone. The table cannot be trained. `fill` takes them
    from a trained one.

    Scale and offset take a byte each. So 16 values need 28 % of float32 with 8 bits, and 16 % with 4 bits. The scale is
    a power of two to the eighth part of an octave, and the offset is a multiple of `scale * 2 ** bits / 128`. Two
    numbers of float16 instead would need 31 % and 19 %, and would lower the error by 11 % and 3 %.

    Args:
        num_rows: number of rows.
        width: width of a row.
        dtype_of_rows: `"int8"` or `"int4"`.
        **kwargs: base layer keywords such as `name`.

    Call arguments:
        inputs: integers, numbers of rows.

    Input shape:
        Any.

    Output shape:
        `(*inputs.shape, width)`.

    Raises:
        ValueError: on another `dtype_of_rows`.

    Example:

    >>> table = QuantizedTable(2, 4, "int8")
    >>> table.fill([np.array([[0.1, -0.2, 0.3, 0.0], [0.0, 0.0, 0.0, 0.0]])])
    >>> keras.ops.convert_to_numpy(table(np.array([0]))).round(2)
    array([[ 0.1, -0.2,  0.3,  0. ]], dtype=float32)

    Reference:
        Guan et al., *Post-Training 4-bit Quantization on Embedding Tables*,
        [arXiv:1911.02079](https://arxiv.org/abs/1911.02079), section 3 (a row's clipping range is searched).
    """

    def __init__(self, num_rows: int, width: int, dtype_of_rows: str, **kwargs: Any) -> None:
        super().__init__(**{"trainable": False, **kwargs})
        if dtype_of_rows not in BITS:
            raise ValueError(f"`dtype_of_rows` must be one of {list(BITS)}. Received: {dtype_of_rows!r}.")
        self.num_rows, self.width, self.dtype_of_rows = num_rows, width, dtype_of_rows
        self.bits = BITS[dtype_of_rows]

    def build(self, input_shape: Any = None) -> None:
        """Create the table: a row is a byte of its scale, a byte of its offset, and its codes."""
        self.rows = self.add_weight(
            name="rows",
            shape=(self.num_rows, 2 + -(-self.width * self.bits // 8)),
            dtype="uint8",
            initializer="zeros",
            trainable=False,
        )
        self.built = True

    def fill(self, blocks: Iterable[np.ndarray]) -> None:
        """Keep the rows of a trained table.

        Args:
            blocks: the rows in their order, float32, some `(rows, width)` after the other.
        """
        if not self.built:
            self.build()
        found, first = np.empty(self.rows.shape, "uint8"), 0
        for part in quantized_blocks(blocks, self.bits):
            found[first : first + len(part)] = part
            first += len(part)
        if first != self.num_rows:
            raise ValueError(f"The table has {self.num_rows} rows. Received: {first}.")
        self.rows.assign(found)

    def call(self, inputs: Any) -> Any:
        """Read rows."""
        found = ops.cast(ops.take(self.rows, inputs, axis=0), "float32")
        # `exp` is several times as quick on a CPU as `exp2`, which is a general power there.
        scale = ops.exp(found[..., :1] * (math.log(2) / _STEPS_PER_OCTAVE) + _SMALLEST * math.log(2))
        codes = found[..., 2:]
        if self.bits == 4:
            # The first half of a row lies in the upper four bits.
            upper = ops.floor(codes / 16.0)
            codes = ops.concatenate([upper, codes - 16.0 * upper], axis=-1)[..., : self.width]
        return ops.cast(scale * (codes + (found[..., 1:2] - _HALF) * (2**self.bits / _HALF)), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"num_rows": self.num_rows, "width": self.width, "dtype_of_rows": self.dtype_of_rows}
        return super().get_config() | own


def quantized_blocks(blocks: Iterable[np.ndarray], bits: int) -> Iterator[np.ndarray]:
    """The bytes of rows in smaller blocks, which fit into the processor's caches.

    Args:
        blocks: see `QuantizedTable.fill`.
        bits: 8 or 4.
    """
    for block in blocks:
        for start in range(0, len(block), _BLOCK_ROWS):
            yield quantized(np.asarray(block[start : start + _BLOCK_ROWS], "float32"), bits)


def quantized(vectors: np.ndarray, bits: int) -> np.ndarray:
    """The bytes of some rows.

    The range of a row's codes is as wide as its values with 8 bits. With 4 bits some narrower ranges are tried, each at
    some places, and the one with the least squared error is kept: an outlier may cost less than coarse steps.

    Args:
        vectors: float32, `(rows, width)`.
        bits: 8 or 4.
    """
    top, unit = 2**bits - 1, 2**bits / _HALF
    low, high = vectors.min(axis=1, keepdims=True), vectors.max(axis=1, keepdims=True)
    # The offset may lie up to a unit above the lowest value; then the highest one must still be within.
    widest = np.maximum((high - low) / (top - (unit if unit > 1 else 0.0)), np.abs(low) / (unit * (_HALF - 1)))
    exponent = np.ceil(np.log2(np.maximum(widest, 2.0**_SMALLEST)) * _STEPS_PER_OCTAVE)
    narrower, places = ((0, 1, 2, 3), (0.0, 0.25, 0.5, 0.75, 1.0)) if bits == 4 else ((0,), (0.5,))
    found = np.zeros((len(vectors), vectors.shape[1] + 2), "uint8")
    least = np.full(len(vectors), np.inf, "float32")
    for steps in narrower:
        byte = np.clip(exponent - steps - _SMALLEST * _STEPS_PER_OCTAVE, 0, 255)
        scale = np.exp2(byte / _STEPS_PER_OCTAVE + _SMALLEST).astype("float32")
        scaled = vectors / scale
        slack = top - (high - low) / scale
        for place in places:
            offset = np.clip(np.rint((low / scale - slack * place) / unit), -_HALF, _HALF - 1)
            codes = np.clip(np.rint(scaled - offset * unit), 0, top)
            error = np.square((codes + offset * unit - scaled) * scale).sum(axis=1)
            better = error < least
            least[better] = error[better]
            found[better] = np.concatenate([byte, offset + _HALF, codes], axis=1)[better]
    if bits == 8:
        return found
    half = -(-vectors.shape[1] // 2)
    upper, lower = found[:, 2 : 2 + half], np.zeros((len(vectors), half), "uint8")
    lower[:, : vectors.shape[1] - half] = found[:, 2 + half :]
    return np.concatenate([found[:, :2], upper * 16 + lower], axis=1)
