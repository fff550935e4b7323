"""Weights that are no numbers are named before anything is written."""

import importlib.util

import keras
import numpy as np
import pytest
from support.raw_ads import TRANSFORMS, tiny_model

import grouprank as gr


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def broken(model):
    """The model with an id's row of NaN that no row compared has, and its path."""
    table = model.get_layer("embedding").weights[0]
    before = keras.ops.convert_to_numpy(table.value)
    after = before.copy()
    after[7, 1:3] = np.nan, np.inf
    table.assign(after)
    yield table.path
    table.assign(before)


@pytest.mark.parametrize("form", ["tf_saved_model", "onnx"])
def test_a_broken_row_is_named_before_anything_is_written(model, broken, tmp_path, form):
    if form == "onnx" and importlib.util.find_spec("tf2onnx") is None:
        pytest.skip("ONNX is not installed")
    path = tmp_path / "models" / ("m.onnx" if form == "onnx" else "1")
    words = rf"1 weight of the model is NaN or infinite\. {broken}: 2 of \d+ values, the first at \(7, 1\) is nan"
    with pytest.raises(ValueError, match=words):
        gr.serving.export(model, path, None if form == "onnx" else TRANSFORMS, format=form)
    assert not path.parent.exists()


def test_many_broken_weights_are_counted(model):
    before = model.get_weights()
    model.set_weights([np.full_like(w, np.inf) if w.dtype.kind == "f" else w for w in before])
    with pytest.raises(ValueError, match=r"^\d+ weights of the model are NaN .* is inf; and \d+ more\. Training"):
        gr.serving.export(model, "models/1", TRANSFORMS)
    model.set_weights(before)
