"""New versions, broken versions and broken requests while a server answers."""

import json
import shutil
import threading
import urllib.error
import urllib.request

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from support.raw_ads import TRANSFORMS, raw_rows
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from grouprank.serving.client import Client
from grouprank.serving.client.requests import examples_request, predict_request
from grouprank.serving.examples import to_examples
from grouprank.serving.loopback import LoopbackServer

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="exports from each backend are compared in test_export; what a server does with one is the same",
)
ROWS = 8
REQUEST = ("user_id", "raw_hour", "os", "never_seen")
DTYPES = {name: tf.as_dtype(dtype) for name, dtype in TRANSFORMS.raw_columns.items()}
# Of each of twenty kinds of malformed requests.
REPEATS = 10


@pytest.fixture
def folder(exported, tmp_path):
    """A model's folder with one version."""
    _, path, _ = exported
    shutil.copytree(path, tmp_path / "tiny" / "7")
    return tmp_path / "tiny"


@pytest.fixture
def light_folder(folder):
    """The same without warm-up requests, which take a server longer than all else."""
    (folder / "7" / "assets.extra" / "tf_serving_warmup_requests").unlink()
    return folder


def publish(folder, version, source="7"):
    """A copy of a version, which appears in one rename."""
    shutil.copytree(folder / source, folder / f".copy-{version}")
    (folder / f".copy-{version}").rename(folder / str(version))


def wait_for(client, states):
    """The server polls; a client looks until it says what is expected."""
    give_up = threading.Event()
    for _ in range(600):
        if client.states() == states:
            return
        give_up.wait(0.1)
    raise AssertionError(f"expected {states}, the server says {client.states()}")


def test_new_versions_lose_no_request(light_folder):
    raw, stop, answers, failures = raw_rows(ROWS), threading.Event(), [], []

    def ask(address):
        with Client(address, "tiny", timeout=60.0, retries=0) as client:
            while not stop.is_set():
                try:
                    answers.append(client.predict(raw)["click"])
                except Exception as error:
                    failures.append(error)

    server = LoopbackServer({"tiny": light_folder}, poll_seconds=0.05)
    with server, Client(server.grpc, "tiny", timeout=60.0) as c:
        threads = [threading.Thread(target=ask, args=(address,)) for address in (server.grpc, server.rest)]
        for thread in threads:
            thread.start()
        for version in (7, 8, 9):
            if version > 7:
                publish(light_folder, version)
            wait_for(c, {version: "AVAILABLE"})
            count = len(answers)
            while len(answers) < count + 11 and not failures:
                stop.wait(0.01)
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(answers) > 30
    for found in answers:
        np.testing.assert_allclose(found, answers[0], atol=1e-6)


def cut(version):
    graph = version / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])


def without_variables(version):
    shutil.rmtree(version / "variables")


def no_model(version):
    shutil.rmtree(version)
    version.mkdir()
    (version / "README").write_text("nothing")


def without_a_vocabulary(version):
    (version / "assets" / "os.txt").unlink()


def with_warm_up_of_another_model(version):
    with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        log = PredictionLog()
        log.predict_log.request.model_spec.signature_name = "another"
        writer.write(log.SerializeToString())


@pytest.mark.long
def test_corrupt_versions_are_refused_and_the_old_one_goes_on(folder):
    raw, work, refused = raw_rows(ROWS), folder / ".work", {}
    ways = (cut, without_variables, no_model, without_a_vocabulary, with_warm_up_of_another_model)
    with LoopbackServer({"tiny": folder}, poll_seconds=0.05) as server, Client(server.rest, "tiny", timeout=60.0) as c:
        before = c.predict(raw)
        for version, corrupt in enumerate(ways, 8):
            shutil.copytree(folder / "7", work)
            corrupt(work)
            work.rename(folder / str(version))
            refused[version] = "END"
            wait_for(c, {7: "AVAILABLE", **refused})
            assert server.models["tiny"].errors[version], corrupt.__name__
            np.testing.assert_array_equal(c.predict(raw)["click"], before["click"])
        newest = version + 1
        publish(folder, newest)
        # What failed is no longer of interest once a newer version answers.
        for _ in range(600):
            if c.states().get(newest) == "AVAILABLE":
                break
            threading.Event().wait(0.1)
        np.testing.assert_allclose(c.predict(raw)["click"], before["click"], atol=1e-6)


def malformed_requests():
    """Twenty kinds of requests that no client should send: name to method and request."""
    raw = raw_rows(ROWS)

    def predict(signature="serving_default", **changes):
        columns = {name: values for name, values in {**raw, **changes}.items() if values is not None}
        request = PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "tiny", signature
        for name, values in columns.items():
            values = values.tolist() if isinstance(values, np.ndarray) and values.dtype == object else values
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        return request

    lists = {name: values[np.newaxis] for name, values in raw.items() if name not in REQUEST}
    ranked = {**{name: raw[name][:1] for name in REQUEST}, **lists}
    cut = predict()
    cut.inputs["bid"].tensor_content = cut.inputs["bid"].tensor_content[:-1]
    shaped = predict()
    shaped.inputs["bid"].tensor_shape.dim[0].size = 1000
    untyped = predict()
    untyped.inputs["bid"].dtype = 0
    filtered = predict()
    filtered.output_filter.append("purchase")
    nameless = predict()
    nameless.model_spec.name = ""
    metadata = GetModelMetadataRequest(metadata_field=["weights"])
    metadata.model_spec.name = "tiny"
    return {
        "a column missing": ("Predict", predict(os=None), "Missing but required: ['os']"),
        "no columns": ("Predict", predict(**dict.fromkeys(raw)), "Missing but required"),
        "a column too many": ("Predict", predict(price=np.zeros(ROWS, "float32")), "Sent extra: ['price']"),
        "an unknown signature": ("Predict", predict("serve"), 'Serving signature key "serve" not found'),
        "strings for numbers": ("Predict", predict(bid=np.array([b"1"] * ROWS, object)), "float32 but string"),
        "numbers for strings": ("Predict", predict(os=np.arange(ROWS)), "'os' to be string but int64"),
        "float64": ("Predict", predict(bid=np.zeros(ROWS)), "'bid' to be float32 but float64"),
        "int32": ("Predict", predict(user_id=np.zeros(ROWS, "int32")), "'user_id' to be int64 but int32"),
        "rows that differ": ("Predict", predict(bid=np.zeros(3, "float32")), "differ in their number of rows"),
        "a table for a column": ("Predict", predict(bid=np.zeros((ROWS, 1), "float32")), "'bid' of shape [-1]"),
        "a number for a column": ("Predict", predict(bid=np.float32(1)), "'bid' of shape [-1]"),
        "a vector of another width": ("Predict", predict(image=np.zeros((ROWS, 9), "float32")), "of shape [-1, 4]"),
        "ads that differ": (
            "Predict", predict("rank", **{**ranked, "bid": ranked["bid"][:, :2]}), "their number of candidates"
        ),
        "rows for lists": ("Predict", predict("rank"), "of shape [-1, -1"),
        "a cut tensor": ("Predict", cut, "tensor parsing error: bid"),
        "a shape that is not the values'": ("Predict", shaped, "tensor parsing error: bid"),
        "no dtype": ("Predict", untyped, "tensor parsing error: bid"),
        "an unknown output": ("Predict", filtered, "output tensor alias not found in signature: ['purchase']"),
        "no model": ("Predict", nameless, "Missing ModelSpec"),
        "no Example": (
            "Predict", predict_request("tiny", "serving_examples", {"examples": [b"\xff"]}, {"examples": tf.string}),
            "Could not parse example",
        ),
        "no examples": ("Classify", examples_request(ClassificationRequest, "tiny", "classify", []), "Input is empty"),
        "rows to classify": (
            "Classify", examples_request(ClassificationRequest, "tiny", "rank", to_examples(raw)),
            "Expected classify signature method_name",
        ),
        "unknown metadata": ("GetModelMetadata", metadata, "is not supported"),
    }  # fmt: skip


def test_malformed_requests_get_words_and_the_server_goes_on(light_folder):
    kinds = malformed_requests()
    assert len(kinds) >= 20
    raw = raw_rows(ROWS)
    with LoopbackServer({"tiny": light_folder}) as server, Client(server.grpc, "tiny", timeout=60.0) as client:
        before = client.predict(raw)
        with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel:
            stub = PredictionServiceStub(channel)
            for method, request, words in list(kinds.values()) * REPEATS:
                with pytest.raises(grpc.RpcError) as caught:
                    getattr(stub, method)(request, timeout=60.0)
                assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value
                assert words in caught.value.details()
        np.testing.assert_array_equal(client.predict(raw)["click"], before["click"])


def test_malformed_json_gets_words(light_folder):
    raw = {
        name: [v.decode() if isinstance(v, bytes) else v for v in values.tolist()] for name, values in finite().items()
    }
    rows = [dict(zip(raw, row, strict=True)) for row in zip(*raw.values(), strict=True)]
    bodies = {
        b"{": "JSON Parse error",
        b"[]": "exactly one of them",
        json.dumps({"inputs": raw, "instances": rows}).encode(): "exactly one of them",
        json.dumps({"instances": []}).encode(): "list that is not empty",
        json.dumps({"instances": [rows[0], {"os": "x"}]}).encode(): "object with the same names",
        json.dumps({"inputs": {**raw, "bid": ["x"] * ROWS}}).encode(): "Failed to process element of input 'bid'",
        json.dumps({"inputs": {**raw, "user_id": [0.5] * ROWS}}).encode(): "with a fraction are not int64",
        json.dumps(
            {"inputs": {**raw, "os": [{"b64": "%"}] * ROWS}}
        ).encode(): "Failed to process element of input 'os'",
        json.dumps({"inputs": {**raw, "image": [[1.0], [1.0, 2.0]]}}).encode(): "'image'",
        json.dumps({"inputs": {**raw, "price": [1]}}).encode(): "Sent extra: ['price']",
    }
    with LoopbackServer({"tiny": light_folder}) as server:

        def post(body, path="/v1/models/tiny:predict"):
            with urllib.request.urlopen(server.rest + path, body, timeout=60) as response:
                return json.load(response)

        by_row = post(json.dumps({"instances": rows}).encode())["predictions"]
        by_column = post(json.dumps({"inputs": raw}).encode())["outputs"]
        assert [row["click"] for row in by_row] == by_column["click"]
        for body, words in bodies.items():
            with pytest.raises(urllib.error.HTTPError) as caught:
                post(body)
            assert caught.value.code == 400
            assert words in json.load(caught.value)["error"]
        for path, code in (("/v1/models/other:predict", 404), ("/v2/models/tiny:predict", 400)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                post(b"{}", path)
            assert caught.value.code == code
        assert post(json.dumps({"inputs": raw}).encode())["outputs"] == by_column


def finite():
    """Rows whose strings are text and whose numbers are JSON's."""
    return {
        n: np.nan_to_num(v, posinf=1.0, neginf=-1.0) if v.dtype.kind == "f" else v for n, v in raw_rows(ROWS).items()
    }
