"""The paper's three places for group structure learning."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..layers import GroupConcat
from ..schema import Schema
from .layer_calls import LayerCalls

# Placement to the sides whose fields it groups; "representation" groups the backbone's output.
PLACEMENTS: dict[str, tuple[str, ...]] = {"user": ("user",), "user_ad": ("user", "ad"), "representation": ()}


def make_group_concats(
    group_structure: str | Iterable[str] | Mapping[str, GroupConcat], schema: Schema, embedding_dim: int
) -> dict[str, GroupConcat]:
    """A `GroupConcat` for each placement asked for, in the order in which data flows through them."""
    if isinstance(group_structure, str):
        group_structure = (group_structure,)
    if not isinstance(group_structure, Iterable):
        raise ValueError(
            f"`group_structure` must be a subset of {tuple(PLACEMENTS)} or a dict of GroupConcat by placement. "
            f"Received: group_structure={group_structure!r}."
        )
    given = dict(group_structure) if isinstance(group_structure, Mapping) else dict.fromkeys(group_structure)
    for placement, layer in given.items():
        if placement not in PLACEMENTS:
            raise ValueError(f"Unknown placement {placement!r} in `group_structure`. Choose from {tuple(PLACEMENTS)}.")
        if layer is not None and not isinstance(layer, GroupConcat):
            raise ValueError(f"Placement {placement!r} takes a GroupConcat. Received: {layer!r}.")
        for side in PLACEMENTS[placement]:
            if not schema.on_side(side):
                raise ValueError(
                    f"Placement {placement!r} groups {side} features, but the schema has none. "
                    f"Give some feature side={side!r}, or leave {placement!r} out of `group_structure` "
                    f"(received: {tuple(given)})."
                )
    return {
        placement: given[placement] or placement_groups(placement, embedding_dim)
        for placement in PLACEMENTS
        if placement in given
    }


def placement_groups(placement: str, embedding_dim: int, **arguments: Any) -> GroupConcat:
    """The layer of a placement as models make it by default.

    Args:
        placement: one of `PLACEMENTS`.
        embedding_dim: width of every feature's embedding.
        **arguments: arguments of `GroupConcat` that take precedence.
    """
    # A representation is several fields wide; it keeps twice a field's width of group code.
    width = 2 * embedding_dim if placement == "representation" else embedding_dim
    return GroupConcat(**{"code_dim": width, "name": f"{placement}_groups", **arguments})


def side_fields(schema: Schema, placement: str, fields: Mapping[str, Any], calls: LayerCalls | None = None) -> Any:
    """The embedded fields that a placement before the backbone groups, side by side."""
    # Raw fields only, not another placement's codes: placements can then be compared one by one.
    own = [fields[name] for name in schema.field_names(*PLACEMENTS[placement])]
    return own[0] if len(own) == 1 else (calls or LayerCalls()).concatenate(own, name=f"{placement}_fields")
