"""Numbers and names as the page shows them."""

from ..statistics import Estimate

NONE = "–"


def signed(value: float, digits: int) -> str:
    """A number with its sign, and a true minus.

    Example:

    >>> signed(0.123, 2), signed(-0.123, 2), signed(-0.001, 2)
    ('+0.12', '−0.12', '0.00')
    """
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if any(digit in text for digit in "123456789") else text[1:]


def percent(value: float | None, digits: int) -> str:
    """A share in percent, without the percent sign.

    Example:

    >>> percent(0.1234, 1), percent(None, 1)
    ('12.3', '–')
    """
    return NONE if value is None else f"{100 * value:.{digits}f}"


def number(value: float | None, digits: int) -> str:
    """A number, or a dash."""
    return NONE if value is None else f"{value:.{digits}f}"


def interval(gain: Estimate, digits: int) -> str:
    """A gain in percent with its 95 % interval.

    Example:

    >>> interval(Estimate(0.012, 0.0, 0.001, None, 1e9), 2)
    '+1.20 (+1.00 to +1.40)'
    """
    value, low, high = (signed(100 * v, digits) for v in (gain.value, gain.low, gain.high))
    return f"{value} ({low} to {high})"


def plus_minus(gain: Estimate, digits: int) -> str:
    """A gain in percent with half the width of its 95 % interval.

    Example:

    >>> plus_minus(Estimate(0.012, 0.0, 0.001, None, 1e9), 2)
    '+1.20 ± 0.20 %'
    """
    return f"{signed(100 * gain.value, digits)} ± {100 * (gain.high - gain.value):.{digits}f} %"


def rate(value: float) -> str:
    """A probability as a short percentage.

    Example:

    >>> rate(0.5), rate(0.0123), rate(0.00004)
    ('50 %', '1.23 %', '0.004 %')
    """
    return f"{100 * value:.3g} %"


def counted(count: int, noun: str) -> str:
    """A number of things.

    Example:

    >>> counted(1, "seed"), counted(1200, "row")
    ('1 seed', '1,200 rows')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
