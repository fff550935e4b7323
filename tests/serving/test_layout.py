"""What lies beside and inside a version: warm-up requests, provenance, server files; and old versions that go."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import text_format
from support.raw_ads import SCHEMA, TRANSFORMS, raw_rows
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

import grouprank as gr
from grouprank.serving.c_session import CSession
from grouprank.serving.check_graph import check_graph
from grouprank.serving.layout.server_files import MAX_BATCH_SIZE, write_server_files

SIGNATURES = {
    "serving_default",
    "serving_examples",
    "classify",
    "regress_click",
    "regress_like",
    "rank",
    "groups",
    "features",
}


def test_warm_up_runs_every_signature_at_three_sizes(exported):
    _, path, _ = exported
    records = tf.data.TFRecordDataset(str(path / "assets.extra" / "tf_serving_warmup_requests"))
    session, seen = CSession(path), []
    for record in records.as_numpy_iterator():
        log = PredictionLog.FromString(record)
        request = getattr(log, log.WhichOneof("log_type")).request
        name = request.model_spec.signature_name
        assert request.model_spec.name == "tiny"
        if log.HasField("predict_log"):
            columns = {column: tf.make_ndarray(tensor) for column, tensor in request.inputs.items()}
            assert sorted(columns) == sorted(session.signatures[name][0])
        else:
            assert log.HasField("classify_log") == (name == "classify")
            examples = [example.SerializeToString() for example in request.input.example_list.examples]
            columns = {"inputs": np.array(examples, object)}
        outputs = session.run(name, columns)
        shape = next(iter(outputs.values())).shape
        seen.append((name, shape[1] if name == "rank" else shape[0]))
    sizes = [(name, size) for name in SIGNATURES for size in (1, 32, MAX_BATCH_SIZE)]
    assert sorted(seen) == sorted([*sizes, ("explanations", 1)])


def test_the_reference_of_later_logs_is_kept(exported):
    _, path, _ = exported
    reference = gr.reports.LogProfile.load(path / "assets.extra" / "log_profile.json")
    assert reference.to_dict() == gr.reports.LogProfile.fit(raw_rows()).to_dict()
    assert gr.reports.drift(reference, raw_rows()).drifted == ()


def test_what_cannot_be_kept_as_reference(exported, tmp_path):
    model, _, _ = exported
    with pytest.raises(ValueError, match="`reference` must be what `LogProfile.to_dict` gives"):
        gr.serving.export(model, tmp_path / "ads" / "1", reference=gr.reports.LogProfile.fit(raw_rows()))
    with pytest.raises(ValueError, match="An ONNX file has no folder for `reference`"):
        gr.serving.export(model, tmp_path / "ads.onnx", format="onnx", reference={})
    assert list(tmp_path.iterdir()) == []


def test_provenance_says_where_a_model_comes_from(exported):
    model, path, report = exported
    known = json.loads((path / "assets.extra" / "provenance.json").read_text())
    assert gr.Schema.from_dict(known["schema"]) == SCHEMA
    assert known["model"]["class_name"] == "CTRModel"
    assert known["parameters"] == model.count_params()
    assert known["packages"]["keras"]
    assert known["metrics"] == {"click": {"auc": 0.5}}
    assert known["verified_rows"] == report.rows
    assert known["largest_difference_to_keras"] == report.max_difference
    assert known["git"] is None or re.fullmatch("[0-9a-f]{40}", known["git"]["commit"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"schema": 1}, r"names entries that the export writes itself: \['schema'\]"),
        ({"data": object()}, "made of num"),
    ],
)
def test_provenance_that_is_wrong_writes_nothing(exported, tmp_path, given, words):
    model, _, _ = exported
    with pytest.raises(ValueError, match=words):
        gr.serving.export(model, tmp_path / "m" / "1", TRANSFORMS, raw_rows(), provenance=given)
    assert not (tmp_path / "m").exists()


def test_server_files_start_the_model_that_lies_there(exported):
    _, path, _ = exported
    config = text_format.Parse((path.parent / "models.config").read_text(), ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("tiny", "/models/tiny", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1
    service = yaml.safe_load((path.parent / "compose.yaml").read_text())["services"]["tiny"]
    assert service["volumes"] == ["./:/models/tiny:ro"]
    assert re.fullmatch(r"tensorflow/serving:\$\{TF_SERVING_TAG:-[\d.]+\}", service["image"])
    files = {flag.split("=")[1].rsplit("/", 1)[1] for flag in service["command"] if flag.count("_file=")}
    assert files == {"models.config", "batching_parameters.txt", "monitoring.config"}
    batching = (path.parent / "batching_parameters.txt").read_text()
    assert f"max_batch_size {{ value: {MAX_BATCH_SIZE} }}" in batching
    assert "pad_variable_length_inputs: true" in batching


def test_server_files_that_are_there_stay(tmp_path):
    (tmp_path / "My Ads").mkdir()
    (tmp_path / "My Ads" / "compose.yaml").write_text("mine")
    written = write_server_files(tmp_path / "My Ads")
    assert sorted(p.name for p in written) == ["batching_parameters.txt", "models.config", "monitoring.config"]
    assert (tmp_path / "My Ads" / "compose.yaml").read_text() == "mine"
    assert write_server_files(tmp_path / "My Ads") == []


def make_versions(folder, *names):
    for name in names:
        (folder / name / "variables").mkdir(parents=True)
    return folder


def test_prune_keeps_the_newest(tmp_path):
    folder = make_versions(tmp_path / "ads", "1", "2", "9", "10", "notes")
    assert [path.name for path in gr.serving.prune(folder, keep=2)] == ["1", "2"]
    assert sorted(p.name for p in folder.iterdir()) == ["10", "9", "notes"]
    assert gr.serving.prune(folder, keep=2) == []
    with pytest.raises(ValueError, match="`keep` must be at least 1"):
        gr.serving.prune(folder, keep=0)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        gr.serving.prune(tmp_path / "none", keep=1)


def test_prune_as_a_command(tmp_path):
    folder = make_versions(tmp_path / "ads", "1", "2", "3")
    command = [sys.executable, "-m", "grouprank.serving", "prune", str(folder), "--keep", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr
    assert done.stdout.splitlines() == [f"deleted: {folder / '1'}", f"deleted: {folder / '2'}", "kept: 3"]


def test_a_graph_that_needs_python_is_refused(exported, tmp_path):
    _, path, _ = exported
    assert "ParseExampleV2" in check_graph(path)
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def serve(x):
        return {"y": tf.py_function(lambda v: v, [x], tf.float32)}

    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": serve})
    with pytest.raises(RuntimeError, match=r"the ops \['EagerPyFunc'\] run in Python"):
        check_graph(tmp_path / "1")
