"""What a contender is once it is set up."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A contender that is set up and can be run. Returned by the function that `Contender.target` names.

    Args:
        run: takes a number of steps, runs them and returns the seconds of each. Every step must be over when its
            time is taken (`block_until_ready`, `torch.cuda.synchronize`, a result read on the host).
        facts: anything for the report that is known only here, such as the name of the embedding optimizer or
            the bytes of the table. Plain values that JSON can hold.
    """

    run: Callable[[int], Sequence[float]]
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
