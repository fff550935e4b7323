"""Asks TensorFlow Serving for scores."""

import functools
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import numpy as np

from ..examples import to_examples
from ..layout.server_files import MAX_BATCH_SIZE
from .grpc_transport import GrpcTransport
from .rest_transport import RestTransport
from .serving_error import ServingError
from .signature import Signature, as_text

_Answer = TypeVar("_Answer")


class Client:
    """Scores rows with a model that TensorFlow Serving serves.

    The client takes raw columns under the names that the exported schema has. It reads from the server what they must
    be, and refuses columns that do not fit before anything is sent. Many rows are sent as several requests.

    A request has a deadline. It is repeated while the server is `UNAVAILABLE` and the deadline allows, after pauses
    that double; every other failure is raised at once, since repeating the request would only add load.

    Args:
        address: `"grpc://host:8500"`, or `"http://host:8501"` for REST.
        model: name of the model.
        version: which version answers. `None` takes the newest. Defaults to `None`.
        timeout: deadline of a request in seconds, its repetitions included. Defaults to `1.0`.
        retries: largest number of repetitions of a request. Defaults to `3`.
        backoff: pause before the first repetition in seconds; a random half of it is left out, so that many clients
            do not come back at once. Defaults to `0.05`.
        max_batch_size: largest number of rows in one request. Defaults to `512`, the size that exported models warm up.

    Raises:
        ValueError: on an address of another kind, or columns that do not fit the signature.
        ServingError: when the server refuses or does not answer.

    Example:

    ```python
    with gr.serving.Client("grpc://localhost:8500", "my_model") as client:
        scores = client.predict({"user_id": ["u1", "u1"], "ad_id": ["a7", "a9"], "bid": [0.5, 0.2]})
        scores["click"]  # float32 (2,)
        client.rank({"user_id": ["u1"]}, {"ad_id": [["a7", "a9", "a3"]], "bid": [[0.5, 0.2, 0.1]]})["click"]  # (1, 3)
    ```
    """

    def __init__(
        self,
        address: str,
        model: str,
        version: int | None = None,
        timeout: float = 1.0,
        retries: int = 3,
        backoff: float = 0.05,
        max_batch_size: int = MAX_BATCH_SIZE,
    ) -> None:
        scheme, _, place = address.partition("://")
        if scheme not in ("grpc", "http", "https") or not place:
            raise ValueError(
                f'`address` must start with "grpc://", "http://" or "https://". Received: address={address!r}.'
            )
        if timeout <= 0 or retries < 0 or backoff < 0 or max_batch_size < 1:
            raise ValueError(
                "`timeout` and `max_batch_size` must be positive, `retries` and `backoff` not negative. Received: "
                f"timeout={timeout}, retries={retries}, backoff={backoff}, max_batch_size={max_batch_size}."
            )
        self.model, self.timeout, self.retries, self.backoff = model, timeout, retries, backoff
        self.max_batch_size = max_batch_size
        transport: type[GrpcTransport] | type[RestTransport] = GrpcTransport if scheme == "grpc" else RestTransport
        self._transport = transport(place if scheme == "grpc" else address, model, version)
        self._signatures: dict[str, Signature] | None = None

    def predict(self, columns: Any, signature: str = "serving_default") -> dict[str, np.ndarray]:
        """Outputs of a signature that takes rows: probabilities by task, `(rows,)` each.

        Args:
            columns: raw columns, a polars frame or a dict.
            signature: its name. Defaults to `"serving_default"`.
        """
        return self._in_batches(signature, self._signature(signature).columns(columns, "`columns`"))

    def groups(self, columns: Any) -> dict[str, np.ndarray]:
        """Learned group ids by placement, `(rows, num_levels)` each.

        Args:
            columns: raw columns, a polars frame or a dict.
        """
        return self.predict(columns, "groups")

    def predict_examples(self, columns: Any) -> dict[str, np.ndarray]:
        """Probabilities by task of rows sent as `tf.Example`s: columns may be missing, a value may be `None`.

        Args:
            columns: raw columns, a polars frame or a dict.
        """
        given = {name: columns[name] for name in (columns.columns if hasattr(columns, "columns") else columns)}
        for name, spec in self._signature("serving_default").inputs.items():
            if spec.dtype == "string" and name in given:
                given[name] = _text_or_missing(given[name])
        examples = np.array(to_examples(given), object)
        return self._in_batches("serving_examples", {"examples": examples})

    def rank(self, request: Mapping[str, Any], candidates: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Probabilities of many ads for one user each: `(requests, ads)` by task.

        A single ad per request is sent to `serving_default`, which gives the same scores and is faster for it.

        Args:
            request: columns of users and context, `(requests, ...)`.
            candidates: columns of the ads, `(requests, ads, ...)`; without ads there are no scores.
        """
        columns = self._signature("rank").columns({**request, **candidates}, "`request` and `candidates`")
        lists = {name: v.shape[1] for name, v in columns.items() if name in candidates}
        if len(set(lists.values())) > 1:
            raise ValueError(f"`candidates`: the columns differ in their number of ads. Received: {lists}.")
        count = next(iter(lists.values()))
        if not count:
            requests = len(next(iter(columns.values())))
            return {name: np.zeros((requests, 0), "float32") for name in self._signature("rank").outputs}
        if count == 1:
            rows = {name: values[:, 0] if name in candidates else values for name, values in columns.items()}
            return {name: scores[:, np.newaxis] for name, scores in self._in_batches("serving_default", rows).items()}
        answer = self._in_batches("rank", columns)
        for name, scores in answer.items():
            if scores.ndim != 2 or scores.shape[1] < count:
                raise ServingError(
                    "INTERNAL", f"{count} ads per request were sent, and output {name!r} is of shape {scores.shape}"
                )
        # The rest is padding: the server's batcher makes all lists of ads in a batch equally long.
        return {name: scores[:, :count] for name, scores in answer.items()}

    def signatures(self) -> dict[str, Signature]:
        """What the server's model takes, by signature; asked once."""
        if self._signatures is None:
            self._signatures = self._repeat(self._transport.signatures)
        return self._signatures

    def states(self) -> dict[int, str]:
        """State of each version that the server knows, such as `{3: "AVAILABLE"}`."""
        return self._repeat(self._transport.states)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _signature(self, name: str) -> Signature:
        found = self.signatures()
        if name not in found:
            raise ValueError(f"Model {self.model!r} has no signature {name!r}. It has: {sorted(found)}.")
        return found[name]

    def _in_batches(self, name: str, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows, signature = len(next(iter(columns.values()))), self._signature(name)
        if not rows:
            raise ValueError("There are no rows to score.")
        parts = []
        for start in range(0, rows, self.max_batch_size):
            part = {column: values[start : start + self.max_batch_size] for column, values in columns.items()}
            answer = self._repeat(functools.partial(self._transport.predict, name, signature, part))
            _check_answer(answer, signature, min(self.max_batch_size, rows - start))
            parts.append(answer)
        return {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}

    def _repeat(self, call: Callable[[float], _Answer]) -> _Answer:
        """Call again with the remaining time until there is an answer."""
        deadline, pause = time.monotonic() + self.timeout, self.backoff
        for attempt in range(self.retries + 1):
            try:
                return call(deadline - time.monotonic())
            except ServingError as error:
                wait = pause * random.uniform(0.5, 1.0)
                out_of_time = time.monotonic() + wait >= deadline
                if error.code != "UNAVAILABLE" or attempt == self.retries or out_of_time:
                    if attempt:
                        error.add_note(f"Asked {attempt + 1} times within the deadline of {self.timeout:g} s.")
                    raise
                time.sleep(wait)
                pause *= 2
        raise AssertionError("the loop returns or raises")


def _check_answer(answer: Mapping[str, np.ndarray], signature: Signature, rows: int) -> None:
    """Raise if an answer is not one of as many rows: scores would go to the rows of others."""
    missing = sorted(set(signature.outputs) - set(answer))
    if missing or not answer:
        raise ServingError("INTERNAL", f"the answer lacks the outputs {missing}; it has {sorted(answer)}")
    for name, values in answer.items():
        if not values.ndim or len(values) != rows:
            raise ServingError("INTERNAL", f"{rows} rows were sent, and output {name!r} is of shape {values.shape}")


def _text_or_missing(values: Any) -> list[Any]:
    """A column of strings for examples: integers are their decimal text, what is missing stays missing."""
    return [None if value is None else text for value, text in zip(values, as_text(values), strict=True)]
