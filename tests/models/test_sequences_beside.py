"""Sequences beside others: their vectors are added up position by position, whatever reads them."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights

import grouprank as gr
from grouprank.models.make_embedder import make_embedder
from grouprank.serving.occlusion import Occlusion

CLICK = [gr.Task("click")]
AD, SEEN = gr.Categorical("ad", 9), gr.Sequence("seen", 9, 3, shares="ad")
ACTION = gr.Sequence("seen_action", 4, 3, beside="seen")
AGE = gr.Sequence("seen_age", 5, 3, beside="seen")
WEIGHTS = gr.Weights("seen_weights", of="seen", length=3)
COLUMNS = {
    "ad": np.array([1, 2, 3, 8], "int32"),
    # The third row's kinds and ages have positions that the items do not have, and lack one that they have.
    "seen": np.array([[2, 3, 4], [5, 0, 0], [7, 8, 0], [0, 0, 0]], "int32"),
    "seen_action": np.array([[1, 2, 3], [3, 0, 0], [2, 0, 3], [0, 0, 0]], "int32"),
    "seen_age": np.array([[4, 3, 1], [2, 0, 0], [1, 2, 4], [3, 0, 0]], "int32"),
    "seen_weights": np.array([[1, -2, 0.5], [3, 1, 1], [0.5, 1, 9], [1, 1, 1]], "float32"),
}


def schema(*more):
    # Parts may stand before their sequence.
    return gr.Schema([AGE, AD, SEEN, ACTION, *more], CLICK)


def vectors_by_numpy(embedder):
    """The sum of the three vectors of each position, and which positions count."""
    # One stack of tables, in the order of the schema.
    table = next(as_array(weight) for weight in embedder.collection.weights if weight.name == "embeddings")
    age, ad, action = np.split(table, [5, 14])
    rows, places = COLUMNS["seen"].shape
    found = np.zeros((rows, places, 2))
    for row in range(rows):
        for place in range(places):
            # Padding of a part has the vector of no id, zeros.
            item, kind, old = (COLUMNS[n][row, place] for n in ("seen", "seen_action", "seen_age"))
            found[row, place] = ad[item] + (action[kind] if kind else 0) + (age[old] if old else 0)
    return found, COLUMNS["seen"] > 0


@pytest.mark.parametrize("optimizer", [None, "adam"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_field_is_the_mean_of_the_sums(weighted, optimizer):
    table = schema(WEIGHTS) if weighted else schema()
    embedder = make_embedder(table, 2, embedding_optimizer=optimizer, with_steps=() if weighted else ("seen",))
    columns = {name: COLUMNS[name] for name in table.feature_names}
    embedder.vectors(columns)
    set_fixed_weights(embedder.collection)
    fields = embedder.fields(*embedder.vectors(columns))
    vectors, mask = vectors_by_numpy(embedder)
    weights = np.where(mask, COLUMNS["seen_weights"] if weighted else 1, 0)
    size = np.maximum(np.abs(weights).sum(axis=1, keepdims=True), 1e-9)
    expected = np.einsum("bl,bld->bd", weights, vectors) / size
    np.testing.assert_allclose(as_array(fields["seen"]), expected, rtol=1e-5, atol=1e-6)
    if weighted:
        assert list(fields) == ["ad", "seen"]
        return
    assert list(fields) == ["ad", "seen", "seen:steps", "seen:mask"]
    np.testing.assert_array_equal(as_array(fields["seen:mask"]), mask)
    np.testing.assert_allclose(as_array(fields["seen:steps"])[mask], vectors[mask], rtol=1e-5)


def model_with(encoder):
    keras.utils.set_random_seed(0)
    arguments = {"embedding_dim": 4, "embedding_optimizer": "adam", "residual_learning": False}
    model = gr.models.CTRModel(schema(), "dcn_v2", sequence_encoder=encoder, **arguments)
    return model, {name: COLUMNS[name] for name in model.schema.feature_names}


# A user's request, and ads to rank for it.
REQUEST = {name: values[:1] for name, values in COLUMNS.items() if name in ("seen", "seen_action", "seen_age")}
ADS = np.array([[1, 4, 8]], "int32")


@pytest.mark.parametrize("encoder", ["mean", "target_attention", "causal_transformer", "hstu"])
def test_every_encoder_reads_them(encoder):
    model, columns = model_with(encoder)
    for layer in (model.get_layer("embedding"), model.backbone):
        set_fixed_weights(layer)
    other = {**columns, "seen_action": np.where(columns["seen_action"] == 3, 1, 2)}
    candidates = {**{name: np.repeat(values, 3, axis=0) for name, values in REQUEST.items()}, "ad": ADS[0]}
    # One batch, so that the model is traced once.
    rows = {name: np.concatenate([part[name] for part in (columns, other, candidates)]) for name in columns}
    found, other, expected = np.split(model.predict_proba(rows)["click"], [4, 8])
    # The last row's history is empty, whatever its parts say.
    assert (np.abs(found - other) > 1e-6).tolist() == [True, True, True, False]
    np.testing.assert_allclose(model.rank(REQUEST, {"ad": ADS})["click"][0], expected, atol=1e-6)


def test_a_trained_model_with_them_survives_a_file(tmp_path):
    model, columns = model_with("target_attention")
    # XLA takes longer to compile a tiny model than TensorFlow to train it.
    model.compile(**({"jit_compile": False} if keras.backend.backend() == "tensorflow" else {}))
    (table,) = (weight for weight in model.get_layer("embedding").weights if weight.name == "embeddings")
    before = as_array(table).copy()
    model.fit(columns, {"click": np.array([1, 0, 1, 0], "float32")}, epochs=2, verbose=0)
    moved = (as_array(table) != before).any(axis=1)
    # One stack of tables, in the order of the schema: the ids of ages, of ads and of kinds that the rows hold.
    assert np.flatnonzero(moved).tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17]
    found = model.predict_proba(columns)["click"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict_proba(columns)["click"], found, atol=1e-6)


@pytest.mark.any_backend
def test_a_part_is_explained_with_its_sequence():
    occlusion = Occlusion.of(schema(WEIGHTS))
    assert occlusion.fields == ("ad", "seen")
    assert occlusion.places == {"ad": 1, **dict.fromkeys(("seen", "seen_action", "seen_age", "seen_weights"), 2)}


@pytest.mark.any_backend
def test_only_a_sequence_of_its_length_and_side_has_parts():
    for wrong in (
        gr.Sequence("part", 4, 3, beside="nothing"),
        gr.Sequence("part", 4, 3, beside="ad"),
        gr.Sequence("part", 4, 3, beside="part"),
        gr.Sequence("part", 4, 2, beside="seen"),
        gr.Sequence("part", 4, 3, side="ad", beside="seen"),
        gr.Sequence("part", 4, 3, beside="seen_age"),
    ):
        with pytest.raises(ValueError, match="Sequence 'part': `beside` must name a Sequence of the same length and"):
            schema(wrong)
    with pytest.raises(ValueError, match="Weights 'part': `of` must name a Sequence .* lies beside none"):
        schema(gr.Weights("part", of="seen_age", length=3))
    with pytest.raises(ValueError, match="`beside` must be the name of a Sequence or None. Received: beside=3"):
        gr.Sequence("part", 4, 3, beside=3)
    with pytest.raises(ValueError, match=r"`sequence_encoder` names \['seen_age'\].*Sequences: \['seen'\]"):
        gr.models.CTRModel(schema(), sequence_encoder={"seen_age": "mean"})
    wide = [gr.layers.TableConfig("seen_age", width=8)]
    with pytest.raises(ValueError, match="'seen_age' lies beside 'seen', so their vectors .* widths of 8 against 4"):
        gr.models.CTRModel(schema(), embedding_dim=4, tables=wide)
    assert gr.Schema.from_json(schema().to_json()) == schema()
    assert '"beside"' not in gr.Schema([AD, SEEN], CLICK).to_json()
