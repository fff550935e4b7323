"""One exported model for all tests of the room."""

import keras
import numpy as np
import pytest
from support.raw_ads import ROWS, TRANSFORMS, raw_rows, tiny_model

import grouprank as gr


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A model with optimizer slots, its folder and the report of its export."""
    model = tiny_model(embedding_optimizer="adagrad", calibration=["click"], negative_rate={"like": 0.5})
    inputs = TRANSFORMS(raw_rows())
    model.adapt(inputs)
    # Rates that the columns tell, learned: scores that differ by far more than any tolerance, also where the only
    # column given is the age.
    luck = np.random.default_rng(1).logistic(size=(ROWS, 2))
    labels = {
        "click": inputs["age"] + inputs["user_id"] % 2 > luck[:, 0],
        "like": inputs["os"] % 2 - inputs["age"] > luck[:, 1],
    }
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(inputs, {task: y.astype("float32") for task, y in labels.items()}, batch_size=100, epochs=4, verbose=0)
    # Labels that were drawn anew, with more clicks at small predictions: the map bends.
    again = {"click": (np.arange(ROWS) % 3 == 0).astype("float32"), "like": np.full(ROWS, np.nan)}
    model.calibrate(model.predict_proba(inputs), again)
    path = tmp_path_factory.mktemp("export") / "tiny" / "7"
    return (
        model,
        path,
        gr.serving.export(
            model, path, transforms=TRANSFORMS, rows=raw_rows(), provenance={"metrics": {"click": {"auc": 0.5}}}
        ),
    )
