"""A beam search of a generative model, compiled for one size."""

from typing import Any

import keras
import numpy as np

from ...layers.check_arguments import check_positive


class GenerativeSearch:
    """The best items of a model as NumPy.

    Args:
        model: a `GenerativeRetrievalModel`.
        k: number of items.
        beam: number of prefixes kept.

    Example:

    ```python
    items, log_probabilities = GenerativeSearch(model, k=10, beam=20).predict({"history": histories})
    ```
    """

    def __init__(self, model: Any, k: int, beam: int) -> None:
        self._model = _Search(model, k, beam)

    def predict(self, x: Any, batch_size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Items and log probabilities, `(rows, k)` each.

        Args:
            x: the model's inputs, as arrays.
            batch_size: rows searched together. Defaults to `None`, Keras' 32.
        """
        found = self._model.predict(x, batch_size=batch_size, verbose=0)
        return found["items"], found["scores"]


class _Search(keras.Model):
    """What Keras compiles and calls batch by batch."""

    def __init__(self, model: Any, k: int, beam: int) -> None:
        super().__init__(name="search")
        self.model, self.k, self.beam = model, k, beam
        self.built = True

    def call(self, inputs: Any) -> dict[str, Any]:
        return self.model.search(inputs, self.k, self.beam)


def check_beam(k: int, beam: int | None, items: int) -> int:
    """The beam of a search, `2 * k` if it is `None`.

    Args:
        k: number of items wanted.
        beam: number of prefixes kept.
        items: number of items that have codes.

    Raises:
        ValueError: unless `k` is a positive integer, at most `beam` and at most `items`.

    Example:

    >>> check_beam(10, None, items=1000)
    20
    """
    check_positive(k=k)
    beam = 2 * k if beam is None else beam
    check_positive(beam=beam)
    if k > min(beam, items):
        raise ValueError(
            f"`k` items are the best of `beam` prefixes and of the {items} items that have codes, so it can be at most "
            f"{min(beam, items)}. Received: k={k}, beam={beam}."
        )
    return beam
