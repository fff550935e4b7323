"""Requests that no client sends: each gets a status, and the server goes on."""

import http.client
import json
import socket
import types

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from support.plain_model import write_plain_model
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from grouprank.serving.c_session import CSession, CSessionError
from grouprank.serving.client import Client
from grouprank.serving.client.tensor_values import MAX_REPEATED, tensor_values
from grouprank.serving.loopback import LoopbackServer

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a server knows no Keras")
ROWS = {"id": [1, 2], "bid": [0.5, 0.25], "os": ["a", "b"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    write_plain_model(folder).rename(folder / "1")
    with LoopbackServer({"plain": folder, "a b": folder}) as server:
        yield server


@pytest.fixture(params=["grpc", "rest"])
def client(server, request):
    with Client(getattr(server, request.param), "plain", timeout=60.0) as client:
        yield client


@pytest.fixture(autouse=True)
def _answers_afterwards(server):
    yield
    with Client(server.rest, "plain", timeout=60.0) as client:
        np.testing.assert_array_equal(client.predict(ROWS)["click"], [1.0, 2.0])


def post(server, body, path="/v1/models/plain:predict", **headers):
    """Status and error of a body that is sent as it is, with headers as they are."""
    connection = http.client.HTTPConnection(server.rest.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", path)
    for name, value in headers.items() or {"Content-Length": str(len(body))}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    if headers.get("Content_Length") == "50":
        connection.sock.shutdown(socket.SHUT_WR)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())["error"]
    connection.close()
    return found


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Content_Length": "abc"}, 400, "number of bytes. Received: 'abc'"),
        ({"Content_Length": "-5"}, 400, "number of bytes. Received: '-5'"),
        ({"Content_Length": "²"}, 400, "number of bytes"),
        ({"Content_Length": "9" * 5000}, 413, "at most 268435456 bytes"),
        ({"Content_Length": str(2**40)}, 413, "at most 268435456 bytes"),
        ({"Content_Length": "50"}, 400, "Expected 50 bytes, and 2 came"),
        ({"Transfer_Encoding": "chunked"}, 411, "Content-Length"),
    ],
)
def test_headers_that_are_wrong_get_a_status(server, headers, status, words):
    found, error = post(server, b"{}", **headers)
    assert found == status
    assert words in error


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (DEEP, "JSON Parse error"),
        (b'{"inputs": {"os": ' + b"[" * 900 + b"]" * 900 + b"}}", "element of input 'os'"),
        (b'{"inputs": {"id": ' + b"[" * 900 + b"]" * 900 + b"}}", "element of input 'id'"),
        (json.dumps({"signature_name": 5, "inputs": ROWS}).encode(), "'signature_name' to be a string"),
        (json.dumps({"signature_name": ["rank"], "inputs": ROWS}).encode(), "'signature_name' to be a string"),
        (json.dumps({"signature_name": {}, "inputs": ROWS}).encode(), "'signature_name' to be a string"),
        (json.dumps({"signature_name": "\ud800", "inputs": ROWS}).encode(), "not found"),
        (json.dumps({"inputs": {**ROWS, "\ud800": [1, 2]}}).encode(), "Sent extra"),
        (json.dumps({"inputs": {**ROWS, "os": ["\ud800", "b"]}}).encode(), "element of input 'os'"),
        (json.dumps({"inputs": {**ROWS, "id": [2**32 + 1, 1]}}).encode(), "4294967297 at 0 is no int32"),
        (json.dumps({"inputs": {**ROWS, "id": [2**63, 1]}}).encode(), "9223372036854775808 at 0 is no int32"),
        (json.dumps({"inputs": {**ROWS, "id": [2**70, 1]}}).encode(), "element of input 'id'"),
        (json.dumps({"instances": [{**dict.fromkeys(ROWS, 1), "os": "a", "id": -(2**31) - 1}]}).encode(), "no int32"),
    ],
)
def test_json_that_is_wrong_gets_words(server, body, words):
    status, error = post(server, body)
    assert status == 400, error
    assert words in error


def tensor(values, dims, dtype=tf.float32):
    found = tf.make_tensor_proto(values, dtype)
    found.tensor_shape.ClearField("dim")
    for size in dims:
        found.tensor_shape.dim.add(size=size)
    return found


@pytest.mark.parametrize("dims", [[2**38], [2**62], [2**32, 2**32], [-1], [0, 2**40], [MAX_REPEATED + 1]])
@pytest.mark.parametrize("values", [[], [1.0]], ids=["none", "one"])
def test_few_bytes_claim_no_memory(server, dims, values):
    claim = tensor(values, dims)
    if not values:
        claim.ClearField("tensor_content")
        claim.ClearField("float_val")
    request = PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "plain", "rank" if len(dims) == 2 else ""
    request.inputs["bid"].CopyFrom(claim)
    request.inputs["id"].CopyFrom(tensor([1], [1], tf.int32))
    request.inputs["os"].CopyFrom(tensor([b"a"], [1], tf.string))
    assert request.ByteSize() < 289
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel, pytest.raises(grpc.RpcError) as caught:
        PredictionServiceStub(channel).Predict(request, timeout=60.0)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "tensor parsing error: bid" in caught.value.details()


def test_a_value_may_stand_for_some():
    np.testing.assert_array_equal(tensor_values(tensor([2.0], [3])), [2.0, 2.0, 2.0])
    assert tensor_values(tensor([b"x"], [2, 2], tf.string)).tolist() == [[b"x", b"x"], [b"x", b"x"]]
    with pytest.raises(ValueError, match=r"shape \[3\] has 3 elements, and 2 came"):
        tensor_values(tensor([1.0, 2.0], [3]))
    untyped = tf.make_tensor_proto([1.0, 2.0])
    untyped.dtype = 0
    with pytest.raises(ValueError, match="0 to a TensorFlow DType"):
        tensor_values(untyped)


def test_memory_that_is_not_there_is_an_error(server):
    session = CSession(next(iter(server.models.values())).folder / "1")
    session._library = types.SimpleNamespace(TF_AllocateTensor=lambda *_: None)
    with pytest.raises(CSessionError, match=r"Input 'bid' of shape \(1,\) does not fit into memory") as caught:
        session._tensor("bid", np.zeros(1, "float32"), 1)
    assert caught.value.code == 8


def test_integers_that_do_not_fit_are_not_sent(client):
    for wrong in ([2**32 + 1, 1], np.array([2**63, 1], "uint64"), [-(2**31) - 1, 1]):
        with pytest.raises(ValueError, match=r"`columns`, column 'id': -?\d+ at 0 is no int32"):
            client.predict({**ROWS, "id": wrong})
    assert client.predict({**ROWS, "id": [2**31 - 1, -(2**31)]})["click"].tolist() == [2.0**31, -(2.0**31)]


def test_no_ads_have_no_scores(client):
    found = client.rank({"os": ["a", "b"]}, {"id": np.zeros((2, 0)), "bid": np.zeros((2, 0), "float32")})
    assert {name: scores.shape for name, scores in found.items()} == {"click": (2, 0)}


def test_a_request_without_ads_is_answered(server):
    body = json.dumps({"signature_name": "rank", "inputs": {"os": ["a"], "id": [[]], "bid": [[]]}}).encode()
    connection = http.client.HTTPConnection(server.rest.removeprefix("http://"), timeout=60)
    connection.request("POST", "/v1/models/plain:predict", body)
    assert json.loads(connection.getresponse().read()) == {"outputs": [[]]}
    connection.close()


def test_names_are_quoted(server):
    with Client(server.rest, "a b", timeout=60.0) as client:
        assert client.predict(ROWS)["like"].tolist() == [0.5, 0.25]
