"""TensorFlow Serving's protocols on this machine."""

import http.server
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import grpc
from tensorflow_serving.apis.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from tensorflow_serving.apis.prediction_service_pb2_grpc import add_PredictionServiceServicer_to_server

from ..client.grpc_transport import MAX_MESSAGE_BYTES
from .grpc_service import GrpcService
from .model_versions import ModelVersions
from .rest_service import make_handler


class LoopbackServer:
    """Serves exported models on free local ports, by gRPC and REST.

    Use it for tests, benchmarks and a first try where the real server is not available. It answers the same requests in
    the same protocol buffers with the same version policy, and runs the SavedModel with TensorFlow's C library. It has
    no batcher, no TLS and no metrics, so it is not a server for production.

    Args:
        models: folder of each model by name, each with version folders.
        poll_seconds: how often new versions are looked for. Defaults to `0.2`.
        threads: requests that run side by side. Defaults to `4`.

    Example:

    ```python
    with LoopbackServer({"my_model": "saved_models/my_model"}) as server, Client(server.grpc, "my_model") as client:
        client.predict(rows)
    ```
    """

    def __init__(self, models: Mapping[str, str | Path], poll_seconds: float = 0.2, threads: int = 4) -> None:
        self.models = {name: ModelVersions(Path(folder), poll_seconds) for name, folder in models.items()}
        sizes = [(f"grpc.max_{way}_message_length", MAX_MESSAGE_BYTES) for way in ("send", "receive")]
        self._grpc = grpc.server(ThreadPoolExecutor(threads), options=sizes)
        service = GrpcService(self.models)
        add_PredictionServiceServicer_to_server(service, self._grpc)
        add_ModelServiceServicer_to_server(service, self._grpc)
        self.grpc = f"grpc://127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), make_handler(self.models))
        self.rest = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the requests that run, and stop."""
        self._grpc.stop(grace=5).wait()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        for versions in self.models.values():
            versions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
