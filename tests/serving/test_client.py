"""The client against a server of TensorFlow Serving's protocols that runs the real SavedModel."""

import http.server
import socket
import threading
import time
import urllib.request

import grpc
import keras
import numpy as np
import polars as pl
import pytest
from support.model_server import REAL_SERVERS, ModelServer, why_not
from support.raw_ads import TRANSFORMS, raw_rows

import grouprank as gr
from grouprank.serving.client import Client, ServingError
from grouprank.serving.client.requests import examples_request
from grouprank.serving.client.signature import TensorSpec
from grouprank.serving.loopback import LoopbackServer

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="exports from each backend are compared in test_export; what a client asks is the same",
)
ROWS = 50
REQUEST = ("user_id", "raw_hour", "os", "never_seen")
# The server is on this machine, which runs other tests beside it.
PATIENT = {"timeout": 60.0}


MISSING = {how: why_not(how) for how in REAL_SERVERS}


@pytest.fixture(scope="module", params=["loopback", *(how for how in REAL_SERVERS if MISSING[how] is None)])
def server(exported, request):
    _, path, _ = exported
    if request.param == "loopback":
        with LoopbackServer({"tiny": path.parent}) as server:
            yield server
        return
    with ModelServer(request.param, path.parent) as server:
        yield server


@pytest.fixture(params=["grpc", "rest"])
def client(server, request):
    with Client(getattr(server, request.param), "tiny", **PATIENT) as client:
        yield client


@pytest.mark.parametrize(
    "server",
    [pytest.param(how, marks=pytest.mark.skipif(bool(MISSING[how]), reason=str(MISSING[how]))) for how in REAL_SERVERS],
    indirect=True,
)
def test_the_real_server_is_asked_too(server):
    """Every test of this file runs against it where it is at hand; says why where it is not."""
    assert isinstance(server, ModelServer)
    with Client(server.grpc, "tiny", **PATIENT) as client:
        assert client.states() == {7: "AVAILABLE"}
    # Metrics that the loopback server does not have.
    with urllib.request.urlopen(server.rest + "/monitoring/prometheus/metrics", timeout=60) as page:
        assert b":tensorflow:" in page.read()


def close(found, expected):
    np.testing.assert_allclose(found.reshape(-1), expected.reshape(-1), rtol=0, atol=1e-5)


def same_groups(model, client, raw):
    """Rows that the server puts into the same groups as Keras: rounding may decide which of two codes is nearest."""
    served, expected = client.groups(raw), model.groups(TRANSFORMS(raw))
    assert set(served) == set(expected)
    same = np.all([(served[placement] == ids).all(axis=1) for placement, ids in expected.items()], axis=0)
    assert (~same).sum() <= 1
    return same


def test_raw_rows_get_the_keras_models_probabilities(exported, client):
    model, _, _ = exported
    raw = raw_rows(ROWS)
    expected = model.predict_proba(TRANSFORMS(raw))
    found = client.predict(raw)
    assert list(found) == ["click", "like"]
    assert found["click"].dtype == np.float32
    same = same_groups(model, client, raw)
    for task, probabilities in expected.items():
        close(found[task][same], probabilities[same])
    frame = pl.DataFrame({name: v.tolist() if v.ndim > 1 else v for name, v in raw.items() if name != "image"})
    frame = frame.with_columns(pl.Series("image", raw["image"], pl.Array(pl.Float32, 4)))
    np.testing.assert_array_equal(client.predict(frame)["like"], found["like"])
    assert client.groups(raw)["user"].shape == (ROWS, 2)


def test_what_the_model_takes_is_read_from_the_server(client):
    inputs = client.signatures()["rank"].inputs
    assert inputs["user_id"] == TensorSpec("int64", (None,))
    assert inputs["image"] == TensorSpec("float32", (None, None, 4))
    assert inputs["tags"] == TensorSpec("string", (None, None))
    assert client.states() == {7: "AVAILABLE"}


def test_many_rows_go_as_several_requests(exported, server):
    raw = raw_rows(ROWS)
    with (
        Client(server.grpc, "tiny", **PATIENT) as whole,
        Client(server.grpc, "tiny", max_batch_size=7, **PATIENT) as cut,
    ):
        sent, call = [], cut._transport.predict
        cut._transport.predict = lambda name, signature, columns, left: (
            sent.append(len(columns["os"])),
            call(name, signature, columns, left),
        )[1]
        np.testing.assert_allclose(cut.predict(raw)["click"], whole.predict(raw)["click"], atol=1e-6)
    assert sent == [7] * 7 + [1]


def test_many_ads_for_one_user(exported, client):
    model, _, _ = exported
    raw = raw_rows(ROWS)
    request = {name: raw[name][:1] for name in REQUEST}
    ads = {name: values for name, values in raw.items() if name not in REQUEST}
    flat = {name: np.repeat(values, ROWS, axis=0) for name, values in request.items()} | ads
    found = client.rank(request, {name: values[np.newaxis] for name, values in ads.items()})
    assert found["like"].shape == (1, ROWS)
    same = same_groups(model, client, flat)
    close(found["like"][0, same], model.predict_proba(TRANSFORMS(flat))["like"][same])


def test_one_ad_is_asked_as_a_row(exported, client, monkeypatch):
    model, _, _ = exported
    raw = raw_rows(ROWS)
    asked, call = [], client._transport.predict
    monkeypatch.setattr(client._transport, "predict", lambda name, *rest: (asked.append(name), call(name, *rest))[1])
    request = {name: raw[name] for name in REQUEST}
    ads = {name: values[:, np.newaxis] for name, values in raw.items() if name not in REQUEST}
    found = client.rank(request, ads)
    assert asked == ["serving_default"]
    assert set(found) == set(client.signatures()["rank"].outputs)
    assert found["like"].shape == (ROWS, 1)
    same = same_groups(model, client, raw)
    close(found["like"][same, 0], model.predict_proba(TRANSFORMS(raw))["like"][same])


def test_examples_may_lack_columns(client):
    raw = raw_rows(ROWS)
    whole = client.predict_examples(raw)
    close(whole["click"], client.predict(raw)["click"])
    os = np.where(np.arange(ROWS) % 2 == 0, None, raw["os"])
    some = client.predict_examples({**raw, "os": os})
    np.testing.assert_allclose(some["click"][1::2], whole["click"][1::2], atol=1e-6)
    without = client.predict_examples({name: values for name, values in raw.items() if name != "os"})
    np.testing.assert_allclose(some["click"][::2], without["click"][::2], atol=1e-6)


def test_classify_and_regress_by_their_own_apis(server, exported):
    from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
    from tensorflow_serving.apis.regression_pb2 import RegressionRequest

    raw = raw_rows(ROWS)
    examples = gr.serving.to_examples(raw)
    with (
        grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as channel,
        Client(server.grpc, "tiny", **PATIENT) as c,
    ):
        expected, stub = c.predict(raw), PredictionServiceStub(channel)
        classified = stub.Classify(examples_request(ClassificationRequest, "tiny", "classify", examples))
        regressed = stub.Regress(examples_request(RegressionRequest, "tiny", "regress_like", examples, version=7))
        with pytest.raises(grpc.RpcError, match="(?i)regress"):
            stub.Regress(examples_request(RegressionRequest, "tiny", "classify", examples))
    rows = [{one.label: one.score for one in row.classes} for row in classified.result.classifications]
    close(np.array([row["click"] for row in rows]), expected["click"])
    close(np.array([one.value for one in regressed.result.regressions]), expected["like"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"os": None}, r"`columns` lacks the columns \['os'\]\. Expected: \['age'"),
        ({"bid": np.array(["a"] * ROWS)}, r"column 'bid': expected numbers\. Received: 'a'"),
        ({"user_id": np.full(ROWS, 0.5)}, r"column 'user_id': expected integers\. Received: .*0\.5"),
        ({"os": [0.5] * ROWS}, r"column 'os': expected strings\. Received: 0\.5"),
        ({"image": np.zeros((ROWS, 3), "float32")}, r"'image': expected the shape \('any', 4\)\. Received: \(50, 3\)"),
        ({"age": np.zeros(3, "float32")}, r"differ in their number of rows\. Received: .*'age': 3"),
    ],
)
def test_columns_that_do_not_fit_are_refused_before_they_are_sent(client, change, words):
    columns = {name: values for name, values in {**raw_rows(ROWS), **change}.items() if values is not None}
    with pytest.raises(ValueError, match=words):
        client.predict(columns)


def test_what_the_user_gets_wrong(client, server):
    raw = raw_rows(4)
    with pytest.raises(ValueError, match=r"has no signature 'serve'\. It has: \['classify'"):
        client.predict(raw, "serve")
    with pytest.raises(ValueError, match="no rows to score"):
        client.predict({name: values[:0] for name, values in raw.items()})
    lists = {name: values[np.newaxis] for name, values in raw.items() if name not in REQUEST}
    with pytest.raises(ValueError, match=r"differ in their number of ads\. Received: .*'bid': 2"):
        client.rank({name: raw[name][:1] for name in REQUEST}, {**lists, "bid": lists["bid"][:, :2]})
    for address in ("localhost:8500", "ftp://x", "grpc://"):
        with pytest.raises(ValueError, match='must start with "grpc://"'):
            Client(address, "tiny")
    with pytest.raises(ValueError, match="must be positive"):
        Client("grpc://localhost:1", "tiny", timeout=0)
    for address in (server.grpc, server.rest):
        with Client(address, "other", **PATIENT) as other, pytest.raises(ServingError, match=r"NOT_FOUND.*other"):
            other.predict(raw)
        with (
            Client(address, "tiny", version=6, **PATIENT) as old,
            pytest.raises(ServingError, match=r"Specific\(tiny, 6\)"),
        ):
            old.predict(raw)


class Refusing:
    """A transport that fails a number of times."""

    def __init__(self, code, times):
        self.code, self.times, self.calls = code, times, 0

    def states(self, timeout):
        self.calls += 1
        if self.calls <= self.times:
            raise ServingError(self.code, "no")
        return {1: "AVAILABLE"}


def client_of(transport, **arguments):
    client = Client("http://127.0.0.1:1", "tiny", backoff=0.001, **arguments)
    client._transport = transport
    return client


def test_only_unavailable_is_asked_again():
    transport = Refusing("UNAVAILABLE", 2)
    assert client_of(transport, **PATIENT).states() == {1: "AVAILABLE"}
    assert transport.calls == 3
    for code in ("INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL"):
        transport = Refusing(code, 1)
        with pytest.raises(ServingError, match=code):
            client_of(transport, **PATIENT).states()
        assert transport.calls == 1
    transport = Refusing("UNAVAILABLE", 9)
    with pytest.raises(ServingError, match="UNAVAILABLE") as caught:
        client_of(transport, retries=2, **PATIENT).states()
    assert transport.calls == 3
    assert caught.value.__notes__ == ["Asked 3 times within the deadline of 60 s."]


def test_pauses_double_and_stay_within_the_deadline(monkeypatch):
    now, pauses = [100.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    transport = Refusing("UNAVAILABLE", 99)
    client = client_of(transport, retries=50, timeout=0.1)
    with pytest.raises(ServingError):
        client.states()
    assert sum(pauses) < 0.1
    assert all(0.001 * 2**k / 2 <= pause <= 0.001 * 2**k for k, pause in enumerate(pauses))
    assert 5 <= len(pauses) <= 8


def test_a_server_that_is_not_there_or_does_not_answer():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for scheme in ("grpc", "http"):
            client = Client(f"{scheme}://127.0.0.1:{port}", "tiny", timeout=0.3, retries=0)
            with client, pytest.raises(ServingError, match="DEADLINE_EXCEEDED|UNAVAILABLE"):
                client.states()
    for scheme in ("grpc", "http"):
        client = Client(f"{scheme}://127.0.0.1:{port}", "tiny", timeout=5.0, retries=0)
        with client, pytest.raises(ServingError, match="UNAVAILABLE"):
            client.states()


def test_what_a_proxy_says_is_passed_on():
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(502 if "bad" in self.path else 503)
            self.end_headers()
            self.wfile.write(b"<html>no upstream</html>")

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        with pytest.raises(ServingError, match=r"UNAVAILABLE: <html>no upstream"):
            Client(address, "good", retries=1, **PATIENT).states()
        with pytest.raises(ServingError, match=r"INTERNAL: <html>no upstream"):
            Client(address, "bad", **PATIENT).states()
        proxy.shutdown()
