"""Calls the layers of a ranking model for many candidates of each request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras import ops, tree

from ...layers import HSTU, MLP, GroupConcat, SharedBottom
from ..backbones import DCNv2, HSTUBackbone, MLPBackbone, OneTrans, RankMixer, UserOnceDCN
from ..backbones.token_sequence import TokenSequence
from ..layer_calls import LayerCalls
from .candidate_rows import CandidateRows, Once
from .columns import Columns
from .crosses_by_side import crosses_by_side, least_candidates


class CandidateCalls(LayerCalls):
    """Calls layers on tensors with one row per candidate, on `Once`, and on `Columns` of both.

    What reads `Once` alone runs once per request. A layer of a kind in `_SPLIT` reads both without their being joined.
    Every other layer gets tensors with one row per candidate.

    Args:
        rows: which row belongs to which request.
    """

    def __init__(self, rows: CandidateRows) -> None:
        self.rows = rows

    def layer(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer's outputs; wrapped in `Once` if all inputs are."""
        leaves = tree.flatten((args, kwargs))
        once = [leaf for leaf in leaves if isinstance(leaf, Once)]
        if not once and not any(isinstance(leaf, Columns) for leaf in leaves):
            return layer(*args, **kwargs)
        if not any(isinstance(leaf, Columns) or ops.is_tensor(leaf) for leaf in leaves):
            args, kwargs = _with_tensors((args, kwargs), {})
            return tree.map_structure(Once, layer(*args, **kwargs))
        # Of this very class: a subclass may compute something else.
        split = _SPLIT.get(type(layer))
        outputs = None if split is None else split(layer, self.rows, *args, **kwargs)
        if outputs is None:
            repeated = self.rows.repeat_all([leaf.value for leaf in once])
            args, kwargs = _with_tensors((args, kwargs), dict(zip(once, repeated, strict=True)))
            outputs = layer(*args, **kwargs)
        return outputs

    def concatenate(self, columns: Sequence[Any], name: str) -> Any:
        """Columns of one kind as a tensor, of both kinds as `Columns`."""
        if any(isinstance(part, Once) for part in columns):
            if all(isinstance(part, Once) for part in columns):
                return Once(ops.concatenate([part.value for part in columns], axis=-1))
            return Columns.of(self.rows, columns)
        return ops.concatenate(columns, axis=-1)

    def first_layers(self, networks: Mapping[str, MLP], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the networks' first layers, made by one product if they read the same tensor."""
        firsts = [network.first for network in networks.values() if network.first is not None]
        shared = next(iter(inputs.values()))
        if any(inputs[name] is not shared for name in networks):
            return {name: first(inputs[name]) for name, first in zip(networks, firsts, strict=True)}
        columns = shared if isinstance(shared, Columns) else Columns.of(self.rows, [shared])
        # Four products of 64 columns take about twice the time of one of 256.
        return dict(zip(networks, columns.dense(firsts), strict=True))


def _with_tensors(structure: Any, repeated: Mapping[Once, Any]) -> Any:
    """The structure with `Columns` written out, and in place of each `Once` what is repeated, or else its own value."""

    def tensor(leaf: Any) -> Any:
        if isinstance(leaf, Once):
            return repeated.get(leaf, leaf.value)
        return leaf.value() if isinstance(leaf, Columns) else leaf

    return tree.map_structure(tensor, structure)


def worth_by_side(backbone: Any, fields: Mapping[str, Any]) -> int | None:
    """The number of one request's candidates from which on a backbone is computed by side, or `None` if it never is.

    Args:
        backbone: the layer.
        fields: the fields that it reads, some with one row per request and some with one row per candidate.
    """
    if type(backbone) is not DCNv2 or backbone.projection_dim is not None or not _can_be_split(backbone):
        return None
    once = sum(field.value.shape[-1] for field in fields.values() if isinstance(field, Once))
    each = sum(field.shape[-1] for field in fields.values() if not isinstance(field, Once))
    return least_candidates(len(backbone.crosses), once, each) if once and each else None


# === How each kind of layer reads columns of both kinds. A function returns `None` if its layer needs tensors. ===


def _mlp(layer: MLP, rows: CandidateRows, x: Any, **kwargs: Any) -> Any:
    return x if layer.first is None else layer.after_first(x.dense([layer.first])[0])


def _shared_bottom(layer: SharedBottom, rows: CandidateRows, x: Any, **kwargs: Any) -> Any:
    return dict.fromkeys(layer.task_names, _mlp(layer.mlp, rows, x))


def _group_concat(layer: GroupConcat, rows: CandidateRows, x: Any, concatenate: bool = True) -> Any:
    if layer.first is None:
        return None
    groups = layer.after_first(x.dense([layer.first])[0])
    return x.joined(groups) if concatenate else groups


def _mlp_backbone(layer: MLPBackbone, rows: CandidateRows, fields: Mapping[str, Any]) -> Any:
    return None if layer.mlp.first is None else _mlp(layer.mlp, rows, _side_by_side(rows, fields))


def _dcn_v2(layer: DCNv2, rows: CandidateRows, fields: Any) -> Any:
    if not _can_be_split(layer):
        return None
    columns, deep = before_crosses(layer, rows, fields) if isinstance(fields, Mapping) else fields
    columns = Columns(rows, columns.matrix, None, columns.each, columns.places)
    crossed = crosses_by_side(layer.crosses, columns) if rows.one_request else _first_cross_split(layer, columns)
    if layer.structure == "stacked":
        return _mlp(layer.mlp, rows, crossed) if isinstance(crossed, Columns) else layer.mlp(crossed, training=False)
    return crossed.joined(deep) if isinstance(crossed, Columns) else ops.concatenate([crossed, deep], axis=-1)


def _can_be_split(layer: DCNv2) -> bool:
    """Whether there are crosses, and dense layers too if these stand beside the crosses."""
    return bool(layer.crosses) and (layer.structure == "stacked" or layer.mlp.first is not None)


def before_crosses(layer: DCNv2, rows: CandidateRows, fields: Mapping[str, Any]) -> tuple[Columns, Any]:
    """What the crosses read, and what the dense layers beside them give.

    Both ways of computing the crosses start from it. Where the dense layers stand above the crosses, their output is
    `None`.
    """
    columns = _side_by_side(rows, fields)
    return columns, _mlp(layer.mlp, rows, columns) if layer.structure == "parallel" else None


def _first_cross_split(layer: DCNv2, columns: Columns) -> Any:
    """The crosses, of which the first one alone reads columns that are the same for many candidates."""
    first, *others = layer.crosses
    reader = first.dense if layer.projection_dim is None else first.down_proj_dense
    product = columns.dense([reader])[0]
    x0 = ops.cast(columns.value(), layer.compute_dtype)
    crossed = x0 * (product if layer.projection_dim is None else first.dense(product)) + x0
    for cross in others:
        crossed = cross(x0, crossed)
    return crossed


def _user_once_dcn(layer: UserOnceDCN, rows: CandidateRows, fields: Mapping[str, Any]) -> Any:
    of_request, of_others = layer.halves(fields)
    if layer.mlp.first is None or not all(isinstance(field, Once) for field in of_request):
        return None
    u0 = u = ops.cast(ops.concatenate([field.value for field in of_request], axis=-1), layer.compute_dtype)
    a0 = a = ops.cast(ops.concatenate(_of_candidates(rows, of_others), axis=-1), layer.compute_dtype)
    columns = x0 = Columns.of(rows, [Once(u0), a0])
    for request_cross, cross in zip(layer.request_crosses, layer.crosses, strict=True):
        u, a = u0 * request_cross(u) + u, a0 * columns.dense([cross])[0] + a
        columns = Columns.of(rows, [Once(u), a])
    return columns.joined(_mlp(layer.mlp, rows, x0))


def _hstu(layer: HSTU, rows: CandidateRows, sequence: Any, target: Any = None, mask: Any = None) -> Any:
    """The history is read once, and each ad attends to what its request's blocks kept of it."""
    if not (isinstance(sequence, Once) and isinstance(mask, Once)):
        return None
    _, memory, counted = layer.read_history(sequence.value, mask.value)
    repeated = [(rows.repeat(keys), rows.repeat(values)) for keys, values in memory]
    return layer.read_target(target, repeated, rows.repeat(counted))


def _rank_mixer(layer: RankMixer, rows: CandidateRows, fields: Mapping[str, Any]) -> Any:
    """The request's tokens are made once, and go through the blocks once where they do not read the others."""
    sides = layer.tokens.sides(fields)
    if not all(isinstance(fields[name], Once) for name in sides[0]) or not all(layer.tokens.counts):
        return None
    once = layer.tokens({name: fields[name].value for name in sides[0]}, side=0)
    others = _of_candidates(rows, [fields[name] for name in sides[1]])
    each = layer.tokens(dict(zip(sides[1], others, strict=True)), side=1)
    if not layer.user_once:
        x = ops.concatenate([rows.repeat(once), each], axis=1)
        for block in layer.blocks:
            x = block(x)
        return ops.mean(x, axis=1)
    for block in layer.blocks:
        read = block.heads(once)[:, block.request_tokens :]
        once, each = block.request_half(once), block.other_half(rows.repeat(read), each)
    total = rows.add(ops.sum(each, axis=1), ops.sum(once, axis=1))
    return total / layer.tokens.num_tokens


def _token_sequence(layer: TokenSequence, rows: CandidateRows, fields: Mapping[str, Any]) -> Any:
    """The request is read once, and each ad attends to what the blocks kept of it."""
    request, others = layer.halves(fields)
    if not others or not request or not all(isinstance(value, Once) for value in request.values()):
        return None
    tokens, memory, mask = layer.read_request({name: once.value for name, once in request.items()})
    repeated = [(rows.repeat(keys), rows.repeat(values)) for keys, values in memory]
    others = dict(zip(others, _of_candidates(rows, list(others.values())), strict=True))
    return layer.read_others(others, rows.repeat(tokens), repeated, rows.repeat(mask))


def _of_candidates(rows: CandidateRows, fields: Sequence[Any]) -> list[Any]:
    """Fields with one row per candidate. A backbone may have been told of some of the request's fields alone."""
    return [rows.repeat(field.value) if isinstance(field, Once) else field for field in fields]


def _side_by_side(rows: CandidateRows, fields: Mapping[str, Any]) -> Columns:
    """The fields in the order of `Backbone.concatenate`."""
    return Columns.of(rows, [fields[name] for name in sorted(fields)])


_SPLIT: dict[type, Callable[..., Any]] = {
    MLP: _mlp,
    SharedBottom: _shared_bottom,
    GroupConcat: _group_concat,
    MLPBackbone: _mlp_backbone,
    DCNv2: _dcn_v2,
    HSTU: _hstu,
    OneTrans: _token_sequence,
    HSTUBackbone: _token_sequence,
    RankMixer: _rank_mixer,
    UserOnceDCN: _user_once_dcn,
}
