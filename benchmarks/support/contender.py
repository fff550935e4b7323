"""One thing to be measured."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Contender:
    """One thing to be measured, in a process of its own.

    Args:
        name: how tables and pictures call it; unique in a benchmark.
        target: `"module:function"`, e.g. `"grouprank.benchmarks.dcn.torchrec_fused:prepare"`. The function is called
            with `settings` as keywords and returns a `Prepared`. In a peer's environment `grouprank` itself is not
            installed: only modules of `grouprank.benchmarks` that import nothing else of ours can be named there.
        settings: keywords of the function; plain values that JSON can hold.
        environment: name of the peer's environment, `None` for the current interpreter.
        requirements: what pip installs into that environment.
        variables: environment variables of the process, such as `{"KERAS_BACKEND": "jax"}`.
        packages: distributions whose versions the report lists.
        memory_bytes: most memory that its process will hold, estimated; decides which contenders stay alive
            side by side.
    """

    name: str
    target: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: str | None = None
    requirements: tuple[str, ...] = ()
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    packages: tuple[str, ...] = ()
    memory_bytes: int = 2**30

    def __post_init__(self) -> None:
        if ":" not in self.target:
            raise ValueError(f"`target` must be 'module:function'. Received: target={self.target!r}.")
        if bool(self.requirements) != (self.environment is not None):
            raise ValueError(
                f"Contender {self.name!r}: `environment` and `requirements` go together. Received: "
                f"environment={self.environment!r}, requirements={self.requirements!r}."
            )
