"""Checks the size of a beam search."""

from ...layers.check_arguments import check_positive


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
