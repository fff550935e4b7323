"""InterFormer against its formula; padding is never read; fields and histories learn from each other."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.wukong import normalized, wukong_by_numpy

import grouprank as gr
from grouprank.layers import FieldSummary, HistorySummary, PersonalizedAttention
from grouprank.models.backbones import InterFormer, get

ROWS, DIM, HEADS, SUMMARIES, RECENT = 6, 4, 2, 2, 2
# Most fields are 4 wide; those that are not are projected.
FIELDS = {
    "ad": wave(ROWS, DIM),
    "hour": wave(ROWS, 2, start=1.0),
    "seen": wave(ROWS, DIM, start=4.0),
    "user": wave(ROWS, DIM, start=2.0),
}
# Of the first history there are fewer positions than are read, and the last row has no position at all.
STEPS = {
    "bought:steps": wave(ROWS, 1, 3, start=5.0),
    "bought:mask": np.array([[1], [1], [0], [0], [1], [0]], bool),
    "seen:steps": wave(ROWS, 4, DIM, start=6.0),
    "seen:mask": np.array([[1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], bool),
}
LENGTHS = [1, 4]
ARGUMENTS = {
    "num_products": 2,
    "num_linear": 2,
    "rank": 2,
    "units": (4,),
    "num_summaries": SUMMARIES,
    "num_pooled": 3,
    "num_recent": RECENT,
    "num_heads": HEADS,
    "map_units": (4,),
}


def built(fields, **arguments):
    backbone = InterFormer(**{**ARGUMENTS, **arguments})
    backbone.build({n: (None, *values.shape[1:]) for n, values in fields.items()})
    set_fixed_weights(backbone)
    return backbone


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(layer, x):
    return x @ as_array(layer.kernel) + (as_array(layer.bias) if layer.use_bias else 0)


def attention(layer, queries, read):
    """Of one row: each query attends to all vectors that are read."""
    total = 0
    for head in range(HEADS):
        q, k, v = (
            x @ as_array(part.kernel)[:, head]
            for part, x in ((layer.query_dense, queries), (layer.key_dense, read), (layer.value_dense, read))
        )
        scores = np.exp(q @ k.T / np.sqrt(q.shape[1]))
        total = total + scores / scores.sum(-1, keepdims=True) @ v @ as_array(layer.output_dense.kernel)[head]
    return total


def fields_by_numpy(layer, x):
    combined = as_array(layer.combine.kernel).T @ x
    return combined * sigmoid(dense(layer.gate, combined))


def history_by_numpy(layer, tokens, counts):
    """Of one row: tokens before the histories, pooled tokens, and the newest positions."""
    found = [tokens[: len(tokens) - sum(LENGTHS)], attention(layer.attention, as_array(layer.queries), tokens[counts])]
    end = len(tokens) - sum(LENGTHS)
    for length in LENGTHS:
        start, end = end, end + length
        newest = tokens[start:end][counts[start:end]][::-1][:RECENT]
        found += [newest, np.zeros((min(RECENT, length) - len(newest), DIM))]
    x = np.concatenate(found)
    return x * sigmoid(dense(layer.gate, x))


def block_by_numpy(layer, tokens, counts, context):
    hidden, output = layer.mlp._stack
    matrix = dense(output, np.maximum(dense(hidden, context.reshape(-1)), 0)).reshape(DIM, DIM)
    tokens = tokens + normalized(tokens, layer._norms[0], 1e-6) @ matrix
    normed = normalized(tokens, layer._norms[1], 1e-6)
    return tokens + attention(layer.attention, normed, normed[counts])


def positions_by_numpy(backbone, row):
    """Positions of one row's histories, masked by themselves, and which of them count."""
    found, counts = [], []
    for name in ("bought", "seen"):
        mask = STEPS[f"{name}:mask"][row]
        for place in range(len(mask)):
            vector = STEPS[f"{name}:steps"][row, place] if mask[place] else np.zeros(STEPS[f"{name}:steps"].shape[2])
            places = as_array(backbone.histories._places[name].embeddings)
            x = dense(backbone.histories._projections[name], vector) + places[mask[place + 1 :].sum()]
            layer = backbone.masked
            made = dense(layer.projection, np.maximum(dense(layer.aggregation, x), 0))
            found.append(normalized(dense(layer.hidden, made * x), layer.normalization))
            counts.append(mask[place])
    return np.array(found), np.array(counts)


def by_numpy(backbone, row, with_histories):
    x = np.stack(
        [
            dense(backbone._projections[name], FIELDS[name][row]) if name == "hour" else FIELDS[name][row]
            for name in sorted(FIELDS)
        ]
    )
    if not with_histories:
        for interaction in backbone.interactions:
            x = wukong_by_numpy(interaction, x[None])[0]
        return fields_by_numpy(backbone.field_summaries[-1], x).reshape(-1)
    positions, counts = positions_by_numpy(backbone, row)
    tokens = np.concatenate([fields_by_numpy(backbone.field_summaries[0], x), positions])
    counts = np.append(np.ones(SUMMARIES, bool), counts)
    for index, interaction in enumerate(backbone.interactions):
        of_fields = fields_by_numpy(backbone.field_summaries[index], x)
        of_histories = history_by_numpy(backbone.history_summaries[index], tokens, counts)
        x = wukong_by_numpy(interaction, np.concatenate([x, of_histories])[None])[0]
        tokens = block_by_numpy(backbone.blocks[index], tokens, counts, of_fields)
    of_histories = history_by_numpy(backbone.history_summaries[-1], tokens, counts)
    return np.concatenate([fields_by_numpy(backbone.field_summaries[-1], x), of_histories]).reshape(-1)


@pytest.mark.parametrize("with_histories", [True, False])
def test_against_numpy(with_histories):
    fields = {**FIELDS, **STEPS} if with_histories else FIELDS
    backbone = built(fields)
    output = as_array(backbone(fields))
    expected = np.stack([by_numpy(backbone, row, with_histories) for row in range(ROWS)])
    assert output.shape == (ROWS, DIM * (2 * SUMMARIES + 3 + 1 + 2 if with_histories else SUMMARIES))
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_padding_is_never_read():
    fields = {**FIELDS, **STEPS}
    backbone = built(fields)
    junk = {
        n: np.where(STEPS[n.replace("steps", "mask")][..., None], values, np.nan).astype("float32")
        for n, values in STEPS.items()
        if n.endswith("steps")
    }
    np.testing.assert_array_equal(as_array(backbone({**fields, **junk})), as_array(backbone(fields)))


def test_fields_and_histories_learn_from_each_other():
    """With one layer, whose histories' and fields' updates read what the other was before it."""
    fields = {**FIELDS, **STEPS}
    backbone = built(fields, num_layers=1)

    def halves(changed):
        found = as_array(backbone({**fields, **changed}))
        return found[:, : SUMMARIES * DIM], found[:, SUMMARIES * DIM :]

    before = halves({})
    of_fields, _ = halves({"seen:steps": STEPS["seen:steps"][::-1]})
    changed = np.abs(of_fields - before[0]).max(axis=1)
    counts = STEPS["seen:mask"].any(axis=1)
    assert changed[counts].min() > 1e-4
    assert changed[~counts].max() == 0
    _, of_histories = halves({"ad": FIELDS["ad"] + 1.0})
    # The newest position, the last but one vector, is updated by the ad, too.
    assert np.abs(of_histories - before[1])[counts, -2 * DIM : -DIM].max(axis=1).min() > 1e-4


@pytest.mark.any_backend
def test_of_a_table():
    schema = gr.Schema(
        [
            gr.Categorical("user", 9, side="user"),
            gr.Sequence("seen", 9, 3, side="user", shares="ad"),
            gr.Categorical("ad", 9),
        ],
        [gr.Task("click")],
    )
    backbone = get("inter_former", schema, dropout=0.3, num_products=2, map_units=(3, 2))
    twin = get(keras.saving.serialize_keras_object(backbone), schema)
    assert (twin.dropout, twin.interactions[0].num_products, twin.map_units) == (0.3, 2, (3, 2))
    model = gr.models.CTRModel(schema, backbone, embedding_dim=4, group_structure=("user",), residual_learning=False)
    columns = {"user": np.arange(4), "seen": 1 + np.arange(12).reshape(4, 3) % 8, "ad": np.arange(4)}
    before = model.predict_proba(columns)["click"]
    # The order of a history tells something: its first two positions are exchanged.
    exchanged = model.predict_proba({**columns, "seen": columns["seen"][:, [1, 0, 2]]})["click"]
    assert np.abs(exchanged - before).max() > 1e-6


@pytest.mark.any_backend
def test_refusals():
    with pytest.raises(ValueError, match="`num_recent` must be a positive integer.*num_recent=0"):
        InterFormer(num_recent=0)
    with pytest.raises(ValueError, match=r"`dropout` must lie in \[0, 1\)"):
        InterFormer(dropout=1.0)
    with pytest.raises(ValueError, match="`num_summaries` must be a positive integer"):
        FieldSummary(0)
    with pytest.raises(ValueError, match=r"`lengths` must hold the length of each history.*lengths=\[\]"):
        HistorySummary([])
    with pytest.raises(ValueError, match="`lengths` must be a positive integer.*lengths=0"):
        HistorySummary([3, 0])
    with pytest.raises(ValueError, match=r"a token for each position.*5 tokens, lengths=\[6\]"):
        HistorySummary([6]).build({"tokens": (None, 5, 4), "mask": (None, 5)})
    with pytest.raises(ValueError, match="`num_heads` must be a positive integer"):
        PersonalizedAttention(num_heads=0)
