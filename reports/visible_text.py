"""Text of data made safe to show."""


def visible_text(value: object, keep: str = "") -> str:
    r"""Text in which every character is seen: what a terminal or a reader would act upon is spelled out.

    Names and values of a user's table may hold escape sequences that move a terminal's cursor, marks that turn the
    direction of writing, or line breaks that end a comment. They are shown as Python writes them, `\x1b`.

    Args:
        value: what to show, as `str` gives it.
        keep: characters that stay as they are, such as `"\n"` in a message of several lines. Defaults to `""`.

    Example:

    >>> print(visible_text("red \x1b[31m"))
    red \x1b[31m
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in keep else _spelled(sign) for sign in text)


def _spelled(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
