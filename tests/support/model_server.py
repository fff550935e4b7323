"""The real TensorFlow Serving, where this machine has it."""

import shutil
import socket
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from grouprank.serving.client import Client, ServingError

REAL_SERVERS = ("binary", "image")
IMAGE = f"tensorflow/serving:{version('tensorflow-serving-api')}"
START_SECONDS = 120


def why_not(how):
    """Why this machine cannot run it, `None` if it can."""
    program = {"binary": "tensorflow_model_server", "image": "docker"}[how]
    if shutil.which(program) is None:
        return f"{program} is not on the PATH"
    if how == "image":
        found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, text=True, check=False)
        if found.returncode:
            return f"docker has no image {IMAGE}: {(found.stderr.strip().splitlines() or [''])[-1]}"
    return None


class ModelServer:
    """TensorFlow Serving on the folder of one model, with the files that `export` wrote for it.

    Args:
        how: `"binary"` or `"image"`.
        folder: the model's folder.
    """

    def __init__(self, how, folder):
        self.name = folder.name
        ports = _free_ports(2)
        self.grpc, self.rest = f"grpc://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        self._work = tempfile.TemporaryDirectory()
        self._log = Path(self._work.name) / "log"
        inside = f"/models/{folder.name}"
        if how == "binary":
            # The file names the folder as the image sees it.
            config = Path(self._work.name) / "models.config"
            config.write_text((folder / "models.config").read_text().replace(f'"{inside}"', f'"{folder}"'))
            command = ["tensorflow_model_server", f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
            command += [f"--model_config_file={config}", *_files(folder)]
        else:
            published = [f"-p127.0.0.1:{outer}:{inner}" for outer, inner in zip(ports, (8500, 8501), strict=True)]
            command = ["docker", "run", "--rm", *published, f"-v{folder}:{inside}:ro", IMAGE]
            command += [f"--model_config_file={inside}/models.config", *_files(Path(inside))]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        give_up = time.monotonic() + START_SECONDS
        with Client(self.grpc, self.name, timeout=5.0) as client:
            while time.monotonic() < give_up and self._process.poll() is None:
                try:
                    if "AVAILABLE" in client.states().values():
                        return self
                except ServingError:
                    # Not up yet.
                    time.sleep(0.5)
        self.__exit__()
        raise RuntimeError(f"TensorFlow Serving did not start: {self._log.read_text()[-3000:]}")

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()


def _files(folder):
    return [
        "--enable_batching=true",
        f"--batching_parameters_file={folder}/batching_parameters.txt",
        f"--monitoring_config_file={folder}/monitoring.config",
    ]


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
