"""Models whose embedding tables differ."""

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.layers import TableConfig, embedding_optimizers
from grouprank.models.feature_encoders import make_sequence_encoders
from grouprank.models.make_embedder import make_embedder, make_inputs

SCHEMA = gr.Schema(
    [
        gr.Categorical("user_id", 40, side="user"),
        gr.Sequence("seen", 12, 3, side="user", table="ads"),
        gr.Categorical("ad_id", 12, table="ads"),
        gr.Numeric("bid", side="ad"),
    ],
    [gr.Task("click"), gr.Task("like")],
)
TABLES = [
    TableConfig("ads", rows=20, width=6, optimizer=embedding_optimizers.Adagrad(0.05)),
    TableConfig("user_id", initializer=keras.initializers.RandomUniform(-0.01, 0.01)),
]


def columns(rows=64):
    rng = np.random.default_rng(0)
    return {
        "user_id": rng.integers(0, 40, rows),
        "seen": rng.integers(0, 12, (rows, 3)),
        "ad_id": rng.integers(0, 12, rows),
        "bid": rng.normal(size=rows).astype("float32"),
    }


def make_model(**arguments):
    keras.utils.set_random_seed(0)
    small = {"backbone": "deepfm", "embedding_dim": 4, "tower_units": (4,), "group_structure": ()}
    return gr.models.CTRModel(SCHEMA, residual_learning=False, **{**small, **arguments})


@pytest.mark.any_backend
def test_a_model_trains_and_is_saved(ads, tmp_path):
    """A fused table beside one of `compile`, of other widths, in a backbone that stacks fields of one width."""
    model, x = make_model(tables=TABLES), columns()
    embedding = model.get_layer("embedding")
    table, first, last = embedding.rows_of("seen")
    assert (table.shape, first, last) == ((20, 6), 0, 20)
    assert embedding.rows_of("user_id")[0].shape == (40, 4)
    model.compile(**ads.quick)
    before = [keras.ops.convert_to_numpy(embedding.rows_of(name)[0]).copy() for name in ("ad_id", "user_id")]
    model.fit(x, {task: np.arange(64) % 2 for task in ("click", "like")}, verbose=0)
    after = [keras.ops.convert_to_numpy(embedding.rows_of(name)[0]) for name in ("ad_id", "user_id")]
    for old, new in zip(before, after, strict=True):
        assert (old != new).any(axis=1).sum() >= 12
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config()["tables"] == model.get_config()["tables"]
    expected = model.predict_proba(x)
    for task, probabilities in loaded.predict_proba(x).items():
        np.testing.assert_array_equal(probabilities, expected[task])


def test_target_attention_finds_the_ad_of_the_table():
    encoders = make_sequence_encoders("target_attention", SCHEMA)
    embedder = make_embedder(SCHEMA, 4, sequence_encoders=encoders, tables=TABLES)
    assert embedder.target("seen") == "ad_id"
    assert embedder.fields(*embedder.vectors(make_inputs(SCHEMA)))["seen"].shape == (None, 6)


def test_a_config_of_a_version_without_tables():
    config = make_model().get_config()
    del config["tables"]
    assert gr.models.CTRModel.from_config(config).get_config() == {**config, "tables": []}


def test_a_two_tower_model():
    model = gr.models.TwoTowerModel(
        SCHEMA, "ad_id", tables=TABLES, embedding_dim=4, tower_units=(4,), output_dim=3, group_structure=()
    )
    assert model.get_layer("embedding").rows_of("ad_id")[0].shape == (20, 6)
    assert model.ad_vectors(columns(5)).shape == (5, 3)
    config = model.get_config()
    assert gr.models.TwoTowerModel.from_config(config).get_config() == config
    del config["tables"]
    assert gr.models.TwoTowerModel.from_config(config).tables == ()


def test_auto_counts_the_rows_that_have_no_optimizer_of_their_own():
    def rest_is_fused(**config):
        model = make_model(tables=[TableConfig("ads", rows=100_000, **config)])
        return model.get_layer("embedding").optimizer is not None

    assert rest_is_fused()
    assert not rest_is_fused(optimizer="sgd")


def test_errors():
    with pytest.raises(
        ValueError, match="`tables` configures 'ad_id', which no feature uses. Tables: .'ads', 'user_id"
    ):
        make_model(tables=[TableConfig("ad_id")])
