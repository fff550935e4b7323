"""One exported model for all tests of the room."""

import numpy as np
import pytest
from support.raw_ads import ROWS, TRANSFORMS, raw_rows, tiny_model

import grouprank as gr


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A model with optimizer slots, its folder and the report of its export."""
    model = tiny_model(embedding_optimizer="adagrad")
    inputs = TRANSFORMS(raw_rows())
    labels = np.random.default_rng(1).integers(0, 2, (ROWS, 2)).astype("float32")
    model.adapt(inputs)
    model.fit(inputs, {"click": labels[:, 0], "like": labels[:, 1]}, batch_size=200, verbose=0)
    path = tmp_path_factory.mktemp("export") / "tiny" / "7"
    return (
        model,
        path,
        gr.serving.export(
            model, path, transforms=TRANSFORMS, rows=raw_rows(), provenance={"metrics": {"click": {"auc": 0.5}}}
        ),
    )
