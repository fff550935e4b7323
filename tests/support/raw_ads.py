"""A table of ads with every kind of column and every kind of bad value, and a tiny model of it."""

import keras
import numpy as np

import grouprank as gr
from grouprank.datasets import (
    NumericTransform,
    SequenceTransform,
    TableTransforms,
    VectorTransform,
    VocabularyTransform,
)

ROWS = 600


def strings(*values):
    return np.array(values, dtype=object)


SCHEMA = gr.Schema(
    [
        gr.Categorical("user_id", 41, side="user"),
        gr.Categorical("hour", 25, side="context"),
        gr.Categorical("os", 6, side="user"),
        gr.Categorical("unknown", 1, side="user"),
        gr.Sequence("tags", 5, 3, side="ad"),
        gr.Numeric("bid", side="ad"),
        gr.Numeric("age", side="ad"),
        gr.Vector("image", 4),
    ],
    [gr.Task("click"), gr.Task("like")],
)
TRANSFORMS = TableTransforms(
    SCHEMA,
    {
        "user_id": VocabularyTransform("user_id", "int64", np.arange(5, 45)),
        "hour": VocabularyTransform("raw_hour", "int64", np.arange(24), modulo=100),
        "os": VocabularyTransform("os", "string", strings("android", "", "iös 9", "a\tb", " x")),
        "unknown": VocabularyTransform("never_seen", "string", strings()),
        "tags": SequenceTransform("tags", strings("a", "b", "c"), ",", 3),
        "bid": NumericTransform("bid", "log1p", 0.5, 2.0),
        "age": NumericTransform("age", "identity", 3.0, 1.5),
        "image": VectorTransform("image", 4),
    },
)


def raw_rows(rows=ROWS):
    rng = np.random.default_rng(0)
    return {
        "user_id": np.append(rng.integers(0, 60, rows - 2), [np.iinfo("int64").max, np.iinfo("int64").min]),
        "raw_hour": rng.integers(14102100, 14102130, rows) * rng.choice([-1, 1], rows),
        "os": rng.choice(strings("android", "", "iös 9", "a\tb", "zzz", "\x1f<empty>\x1f", " x", "日本"), rows),
        "never_seen": rng.choice(strings("", "q"), rows),
        "tags": rng.choice(strings("", ",", "a", "b,,c", "z,a,b,c", "a,b,c,a", "日本"), rows),
        "bid": rng.choice(np.array([0, -3, 1e30, -1e30, np.nan, np.inf, -np.inf, 7.5], "float32"), rows),
        "age": rng.normal(3, 2, rows).astype("float32"),
        "image": rng.choice(np.array([0.5, -1.0, np.nan, np.inf], "float32"), (rows, 4)),
    }


def tiny_model(schema=SCHEMA, backbone="mlp", **arguments):
    keras.utils.set_random_seed(0)
    groups = {p: gr.layers.GroupConcat(2, 8, 4, seed=0, name=f"{p}_groups") for p in ("user", "representation")}
    arguments = {"group_structure": groups, "embedding_dim": 4, "tower_units": (8,), **arguments}
    model = gr.models.CTRModel(schema, backbone, **arguments)
    model.compile()
    return model
