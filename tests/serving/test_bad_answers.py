"""A server that answers what it should not, or slowly: the client says so in one kind of error."""

import contextlib
import http.server
import json
import threading

import keras
import numpy as np
import polars as pl
import pytest

from grouprank.serving.client import Client, ServingError
from grouprank.serving.client.signature import Signature, TensorSpec, as_text

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a client knows no Keras")
INPUT = {"dtype": "DT_INT32", "tensor_shape": {"dim": [{"size": "-1"}]}}
METADATA = {
    "metadata": {
        "signature_def": {"signature_def": {"serving_default": {"inputs": {"id": INPUT}, "outputs": {"y": {}}}}}
    }
}


@contextlib.contextmanager
def answering(answer, metadata=METADATA, length=None, status=200):
    """The address of a server that answers `predict` with the bytes given."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send(200, json.dumps(metadata).encode(), None)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send(status, answer, length)

        def send(self, status, text, length):
            self.send_response(status)
            self.send_header("Content-Length", str(len(text) if length is None else length))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>", r"INTERNAL: the answer is not JSON: .*begins b'<html>'"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", r"INTERNAL: the answer holds no outputs\. It begins {}"),
        (b"[]", "holds no outputs"),
        (b'{"error": "out of luck"}', "holds no outputs.*out of luck"),
        (b'{"outputs": null}', "holds no outputs"),
        (b'{"outputs": {"y": [[1.0], [1.0, 2.0]]}}', "holds no outputs"),
        (b'{"outputs": {"y": [0.5]}}', r"INTERNAL: 2 rows were sent, and output 'y' is of shape \(1,\)"),
        (b'{"outputs": {"y": [0.5, 0.5, 0.5]}}', r"2 rows were sent, and output 'y' is of shape \(3,\)"),
        (b'{"outputs": {"y": 0.5}}', r"2 rows were sent, and output 'y' is of shape \(\)"),
        (b'{"outputs": {"z": [0.5, 0.5]}}', r"lacks the outputs \['y'\]; it has \['z'\]"),
        (b'{"outputs": {}}', r"lacks the outputs \['y'\]"),
    ],
)
def test_a_bad_answer_is_an_error_of_the_server(answer, words):
    with answering(answer) as address, pytest.raises(ServingError, match=words):
        Client(address, "m", timeout=60.0, retries=0).predict({"id": [1, 2]})


def test_answers_that_break_off():
    for answer, status in ((b'{"outputs": {"y": [0.5, 0.5]}}', 200), (b"no", 500)):
        with answering(answer, length=100, status=status) as address, pytest.raises(ServingError, match="UNAVAILABLE"):
            Client(address, "m", timeout=60.0, retries=0).predict({"id": [1, 2]})


@pytest.mark.parametrize("metadata", [{}, [], {"metadata": 5}, {"metadata": {"signature_def": {"signature_def": [1]}}}])
def test_signatures_that_are_none(metadata):
    with answering(b"", metadata) as address, Client(address, "m", timeout=60.0) as client:
        with pytest.raises(ServingError, match="INTERNAL: the answer holds no signatures"):
            client.predict({"id": [1, 2]})
        with pytest.raises(ServingError, match="INTERNAL: the answer holds no versions"):
            client.states()


def test_the_deadline_is_the_requests():
    """Each byte comes in time, and the answer never ends: a timeout of reads would wait for ever."""
    stop = threading.Event()

    class Dripping(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
                while not stop.wait(0.02):
                    self.wfile.write(b"x")
                    self.wfile.flush()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        # What never ends fails here; it ends by itself all the same, so that the suite goes on.
        ends = threading.Timer(30, stop.set)
        ends.start()
        client = Client(f"http://127.0.0.1:{server.server_address[1]}", "m", timeout=0.3, retries=0)
        with pytest.raises(ServingError, match=r"DEADLINE_EXCEEDED: no answer within 0\.3 s"):
            client.states()
        assert not stop.is_set()
        ends.cancel()
        stop.set()
        server.shutdown()


def test_a_shorter_answer_by_grpc_is_no_answer():
    class Transport:
        def signatures(self, timeout):
            return {"serving_default": Signature({"id": TensorSpec("int32", (None,))}, ("y",))}

        def predict(self, name, signature, columns, timeout):
            return {"y": np.zeros(len(columns["id"]) - 1, "float32")}

    client = Client("grpc://127.0.0.1:1", "m", timeout=60.0, max_batch_size=3)
    client._transport.close()
    client._transport = Transport()
    with pytest.raises(ServingError, match=r"3 rows were sent, and output 'y' is of shape \(2,\)"):
        client.predict({"id": np.arange(5)})


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([84, "84", b"84", None], [b"84", b"84", b"84", b""]),
        (np.array([84, -7]), [b"84", b"-7"]),
        (pl.Series([84, None]), [b"84", b""]),
        (pl.Series(["a", None]), [b"a", b""]),
    ],
)
def test_integer_ids_are_strings_for_a_column_of_strings(column, expected):
    assert as_text(column).tolist() == expected
    found = Signature({"ad": TensorSpec("string", (None,))}).columns({"ad": column}, "`columns`")
    assert found["ad"].tolist() == expected


@pytest.mark.parametrize("column", [[0.5], [84.0], [True], [float("nan")]])
def test_what_is_no_id_is_no_string(column):
    with pytest.raises(ValueError, match="column 'ad': expected strings"):
        Signature({"ad": TensorSpec("string", (None,))}).columns({"ad": column}, "`columns`")
