"""A binary outcome to predict, with an optional parent outcome."""

import dataclasses

from .features import check_name


@dataclasses.dataclass(frozen=True)
class Task:
    """A binary outcome to predict.

    Args:
        name: label column name; labels lie in `[0, 1]`, NaN where unobserved.
        given: name of the parent task (`purchase` given `click`), or `None`.

    Example:

    >>> Task("purchase", given="click").given
    'click'
    """

    name: str
    given: str | None = None

    def __post_init__(self) -> None:
        check_name("task", self.name)
        if self.given is not None and not isinstance(self.given, str):
            raise ValueError(
                f"Task {self.name!r}: `given` must be the name of a task or None. Received: given={self.given!r}."
            )
