"""ONNX files of the core model, run by onnxruntime."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from support.raw_ads import SCHEMA, TRANSFORMS, raw_rows, tiny_model

import grouprank as gr
from grouprank.serving import export_onnx


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = tiny_model(
        backbone="dcn_v2", tower_units=(8, 4), embedding_optimizer="adam", calibration=True, negative_rate={"like": 0.5}
    )
    inputs = TRANSFORMS(raw_rows())
    model.adapt(inputs)
    labels = (np.arange(len(inputs["age"])) % 5 == 0).astype("float32")
    model.calibrate(model.predict_proba(inputs), {"click": labels, "like": labels})
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    report = gr.serving.export(model, path, rows=inputs, provenance={"data": "raw ads"}, format="onnx")
    return model, inputs, path, report


def test_onnxruntime_answers_as_keras_does(exported):
    model, inputs, path, report = exported
    assert report.path == path
    assert report.rows == 600
    assert report.max_difference <= 1e-5
    assert "scored by onnxruntime in a fresh process" in str(report)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == sorted(SCHEMA.feature_names)
    expected, groups = model.predict_proba(inputs), model.groups(inputs)
    for rows in (1, 7, 600):
        asked = {f.name: np.asarray(inputs[f.name][:rows], f.dtype) for f in SCHEMA.features}
        click, like, users = session.run(["click", "like", "user_groups"], asked)
        assert click.shape == (rows,)
        np.testing.assert_allclose(click, expected["click"][:rows], atol=1e-5)
        np.testing.assert_allclose(like, expected["like"][:rows], atol=1e-5)
        assert (users == groups["user"][:rows]).all(axis=1).mean() > 0.99
    assert np.ptp(expected["click"]) > 1e-4


def test_the_file_says_where_it_comes_from(exported):
    model, _, path, _ = exported
    proto = onnx.load(str(path))
    onnx.checker.check_model(proto)
    known = json.loads({entry.key: entry.value for entry in proto.metadata_props}["provenance"])
    assert known["data"] == "raw ads"
    assert gr.Schema.from_dict(known["schema"]) == model.schema
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]


def test_refusals_leave_nothing_behind(exported, tmp_path, monkeypatch):
    model, inputs, path, _ = exported
    with pytest.raises(ValueError, match=r"is the file to create, such as model.onnx. Received: .*/1"):
        gr.serving.export(model, tmp_path / "1", format="onnx")
    with pytest.raises(ValueError, match=r"`format` must be one of \('tf_saved_model', 'onnx'\)"):
        gr.serving.export(model, tmp_path / "m.pt", format="torchscript")
    with pytest.raises(ValueError, match="leave `transforms` out"):
        gr.serving.export(model, tmp_path / "m.onnx", transforms=TRANSFORMS, format="onnx")
    with pytest.raises(FileExistsError, match="is never overwritten"):
        gr.serving.export(model, path, format="onnx")
    with pytest.raises(RuntimeError, match="Onnxruntime disagrees with the Keras model"):
        gr.serving.export(model, tmp_path / "m.onnx", rows=inputs, tolerance=-1.0, format="onnx")
    monkeypatch.setattr(export_onnx, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 2 GiB, and this model has 0.0 GiB"):
        gr.serving.export(model, tmp_path / "m.onnx", format="onnx")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name))
    with pytest.raises(ImportError, match=r"ONNX needs tf2onnx.*pip install 'grouprank\[onnx\]'"):
        gr.serving.export(model, tmp_path / "m.onnx", format="onnx")
    assert not list(tmp_path.iterdir())
