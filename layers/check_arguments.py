"""Checks of constructor arguments and input shapes that several layers share."""

from collections.abc import Sequence


def checked_task_names(task_names: Sequence[str]) -> list[str]:
    """The names as a list, each of them once.

    Args:
        task_names: names of the tasks.

    Raises:
        ValueError: on no names, names that are not strings, or a name given twice.

    Example:

    >>> checked_task_names(("click", "like"))
    ['click', 'like']
    """
    names = [] if isinstance(task_names, str) else list(task_names)
    if not names or any(not isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(
            f"`task_names` must be a sequence of different strings, at least one. Received: task_names={task_names!r}."
        )
    return names


def check_positive(**numbers: object) -> None:
    """Raise on a number that is not a positive integer, by the name of its argument.

    Raises:
        ValueError: on anything but a positive integer.

    Example:

    >>> check_positive(num_experts=8)
    """
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={number!r}.")


def check_rate(**rates: float) -> None:
    """Raise on a rate outside `[0, 1)`, by the name of its argument.

    Raises:
        ValueError: on a rate below 0, or of 1 or more.

    Example:

    >>> check_rate(dropout=0.1)
    """
    for name, rate in rates.items():
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"`{name}` must lie in [0, 1). Received: {name}={rate}.")


def known_sizes(input_shape: tuple[int | None, ...]) -> tuple[int, int]:
    """The number of embeddings and their width.

    Args:
        input_shape: shape of an interaction's inputs.

    Raises:
        ValueError: if the shape has another rank, or one of the two sizes is unknown.

    Example:

    >>> known_sizes((None, 3, 8))
    (3, 8)
    """
    if len(input_shape) == 3:
        _, embeddings, dim = input_shape
        if embeddings is not None and dim is not None:
            return embeddings, dim
    raise ValueError(
        "`inputs` must have the shape (batch, embeddings, dim), with known embeddings and dim. "
        f"Received: input_shape={input_shape}."
    )
