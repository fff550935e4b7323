"""A tiny table of ads with every kind of feature, and models that train on it in a moment."""

import keras
import numpy as np
import pytest

import grouprank as gr


class TinyAds:
    """Users, ads and two tasks of which `like` is not always observed."""

    rows = 64
    schema = gr.Schema(
        [
            gr.Categorical("user_id", 20, side="user"),
            gr.Numeric("age", side="user"),
            gr.Sequence("history", 12, 3, side="user", shares="ad_id"),
            gr.Categorical("ad_id", 12),
            gr.Vector("title", 3),
            gr.Categorical("hour", 5, side="context"),
        ],
        [gr.Task("click"), gr.Task("like")],
    )
    # JAX runs one operation after the other far slower than it compiles them all; TensorFlow is the other way round.
    quick = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}

    def columns(self, rows=rows):
        rng = np.random.default_rng(0)
        return {
            "user_id": rng.integers(0, 20, rows).astype("int32"),
            "age": rng.normal(size=rows).astype("float32"),
            "history": rng.integers(0, 12, (rows, 3)).astype("int32"),
            "ad_id": rng.integers(0, 12, rows).astype("int32"),
            "title": rng.normal(size=(rows, 3)).astype("float32"),
            "hour": rng.integers(0, 5, rows).astype("int32"),
        }

    def labels(self, rows=rows):
        rng = np.random.default_rng(1)
        click, like = rng.integers(0, 2, (2, rows)).astype("float32")
        return {"click": click, "like": np.where(rng.random(rows) < 0.4, np.float32("nan"), like)}

    def teacher_columns(self, rows=rows):
        rng = np.random.default_rng(2)
        return {f"teacher_{task}": rng.random(rows).astype("float32") for task in ("click", "like")}

    def groups(self, *placements, **arguments):
        arguments = {"num_levels": 2, "codebook_size": 8, "code_dim": 4, "seed": 0, **arguments}
        return {place: gr.layers.GroupConcat(name=f"{place}_groups", **arguments) for place in placements}

    def model(self, group_structure=(), residual_learning=False, schema=None, **arguments):
        arguments = {
            "backbone": gr.models.backbones.MLPBackbone((8,)),
            "embedding_dim": 4,
            "tower_units": (8,),
            **arguments,
        }
        if group_structure and not isinstance(group_structure, dict):
            group_structure = self.groups(*group_structure)
        return gr.models.CTRModel(
            schema or self.schema, group_structure=group_structure, residual_learning=residual_learning, **arguments
        )

    def loader(self, x, y, batch_size=16):
        return Batches(x, y, batch_size)


class Batches(keras.utils.PyDataset):
    """Batches of columns and labels, as the datasets of this package give them: nothing is checked."""

    def __init__(self, x, y, batch_size):
        super().__init__()
        self.x, self.y, self.batch_size = x, y, batch_size

    def __len__(self):
        return -(-len(self.x["user_id"]) // self.batch_size)

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return {n: c[rows] for n, c in self.x.items()}, {n: c[rows] for n, c in self.y.items()}


@pytest.fixture(scope="session")
def ads():
    return TinyAds()
