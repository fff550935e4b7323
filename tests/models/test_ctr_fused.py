"""CTRModel on a fused embedding table."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.layers import EmbeddingCollection, FusedEmbeddingCollection, embedding_optimizers
from grouprank.models.make_embedder import FUSED_FROM_ROWS

SCHEMA = gr.Schema(
    [
        gr.Categorical("user_id", 40, side="user"),
        gr.Sequence("seen", 12, 3, side="user", shares="ad_id"),
        gr.Categorical("ad_id", 12, side="ad"),
        gr.Numeric("bid", side="ad"),
    ],
    [gr.Task("click"), gr.Task("like")],
)


def columns(rows=256, seed=0):
    rng = np.random.default_rng(seed)
    x = {
        "user_id": rng.integers(0, 40, rows),
        "seen": rng.integers(0, 12, (rows, 3)),
        "ad_id": rng.integers(0, 12, rows),
        "bid": rng.normal(size=rows).astype("float32"),
    }
    return x, {task: rng.integers(0, 2, rows).astype("float32") for task in ("click", "like")}


def make_model(**arguments):
    keras.utils.set_random_seed(0)
    return gr.models.CTRModel(
        SCHEMA,
        **{"backbone": "mlp", "embedding_dim": 4, "tower_units": (4,), "embedding_optimizer": "adam", **arguments},
    )


def test_the_whole_model_learns_and_goes_on_after_a_file(tmp_path):
    x, y = columns()
    # Labels at random are learned by heart, for which the small kernels of a start at the rate are slow.
    model = make_model(embedding_optimizer=embedding_optimizers.Adam(0.02), start_at_rate=False)
    model.compile(keras.optimizers.Adam(0.01))
    before = as_array(model.get_layer("embedding").embeddings).copy()
    history = model.fit(x, y, batch_size=64, epochs=15, verbose=0, shuffle=False)
    assert history.history["click_normalized_entropy"][-1] < history.history["click_normalized_entropy"][0] - 0.1
    after = as_array(model.get_layer("embedding").embeddings)
    # Padding trains nothing: row 0 of the ads is trained as an ad, not by the empty places of histories.
    assert (after != before).any(axis=1).mean() > 0.9
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("embedding"), FusedEmbeddingCollection)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0)["click"], model.predict(x, verbose=0)["click"])


def test_only_ids_of_the_batch_move():
    x, y = columns()
    x = {**x, "user_id": x["user_id"] % 7, "ad_id": x["ad_id"] % 5, "seen": x["seen"] % 5}
    model = make_model(embedding_optimizer=embedding_optimizers.Adam(0.01, weight_decay=0.1))
    model.compile()
    before = as_array(model.get_layer("embedding").embeddings).copy()
    model.fit(x, y, batch_size=64, verbose=0)
    moved = (as_array(model.get_layer("embedding").embeddings) != before).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [*range(7), *range(40, 45)]


def test_auto_fuses_large_tables_that_have_no_regularizer():
    def kind(rows, **arguments):
        schema = gr.Schema([gr.Categorical("id", rows)], [gr.Task("click")])
        model = gr.models.CTRModel(schema, backbone="mlp", embedding_dim=1, group_structure=(), **arguments)
        return type(model.get_layer("embedding"))

    assert kind(FUSED_FROM_ROWS - 1) is EmbeddingCollection
    assert kind(FUSED_FROM_ROWS) is FusedEmbeddingCollection
    assert kind(FUSED_FROM_ROWS, embedding_optimizer=None) is EmbeddingCollection
    assert kind(FUSED_FROM_ROWS, embeddings_regularizer="l2") is EmbeddingCollection
    assert kind(10, embedding_optimizer="sgd") is FusedEmbeddingCollection


@pytest.mark.parametrize(
    "optimizer", ["auto", None, "rowwise_adagrad", embedding_optimizers.Adagrad(0.2, clipnorm=1.0)]
)
def test_the_config_comes_back(optimizer):
    model = make_model(embedding_optimizer=optimizer)
    twin = gr.models.CTRModel.from_config(model.get_config())
    assert twin.get_config() == model.get_config()
    if isinstance(optimizer, embedding_optimizers.RowOptimizer):
        assert twin.get_layer("embedding").table.optimizer.get_config() == optimizer.get_config()


def test_errors():
    with pytest.raises(ValueError, match="Received: 'lion'"):
        make_model(embedding_optimizer="lion")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rows_in_half_precision(dtype, tmp_path):
    model = make_model(embedding_storage_dtype=dtype)
    table = model.get_layer("embedding").embeddings
    assert keras.backend.standardize_dtype(table.dtype) == dtype
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.embedding_storage_dtype == dtype
    x, _ = columns()
    for task, probabilities in loaded.predict_proba(x).items():
        np.testing.assert_array_equal(probabilities, model.predict_proba(x)[task])
    with pytest.raises(ValueError, match="Only a fused table keeps its rows in half precision"):
        make_model(embedding_storage_dtype=dtype, embedding_optimizer=None)
    with pytest.raises(ValueError, match="takes no `embeddings_regularizer`"):
        make_model(embeddings_regularizer="l2")
    with pytest.raises(RuntimeError, match="gradient_accumulation_steps=4"):
        make_model().compile(keras.optimizers.Adam(gradient_accumulation_steps=4))
    make_model(embedding_optimizer=None).compile(keras.optimizers.Adam(gradient_accumulation_steps=4))
