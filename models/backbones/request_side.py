"""Which fields all ads of a request share."""

from collections.abc import Iterable


def request_side(names: Iterable[str], request_fields: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of names of fields those of the request, and all others, each in their order.

    Fields of the request are those that are named, and what is made of them alone: the embedding by semantic id of a
    named feature, `FEATURE:semantic_ids`, and the codes of groups of users, `user:groups`.

    Args:
        names: names of all fields.
        request_fields: names of the features of the request. Without any, no field is the request's.

    Example:

    >>> request_side(["ad", "user:groups", "user_id", "user_id:semantic_ids"], ["user_id"])
    (['user:groups', 'user_id', 'user_id:semantic_ids'], ['ad'])
    """
    named = set(request_fields)
    made = {f"{name}:semantic_ids" for name in named} | ({"user:groups"} if named else set())
    ordered = sorted(names)
    return [n for n in ordered if n in named | made], [n for n in ordered if n not in named | made]
