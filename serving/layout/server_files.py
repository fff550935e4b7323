"""The files that a TensorFlow Serving process is started with."""

import os
import re
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

# Most rows that the server's batcher puts into one call; warm-up requests have up to as many.
MAX_BATCH_SIZE = 512

_MODELS = """\
# One entry per model; the server polls this file. `latest` serves the newest version; to pin or roll back, replace it:
# model_version_policy {{ specific {{ versions: 3 }} }}
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_BATCHING = f"""\
max_batch_size {{ value: {MAX_BATCH_SIZE} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: 4 }}
# Lists of ads of different lengths become one batch of `rank`; a client drops the scores of the padding.
pad_variable_length_inputs: true
"""

_MONITORING = """\
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

_COMPOSE = """\
# docker compose up: gRPC on 8500, REST on 8501, metrics on 8501/monitoring/prometheus/metrics.
services:
  {service}:
    image: tensorflow/serving:${{TF_SERVING_TAG:-{tag}}}
    ports: ["8500:8500", "8501:8501"]
    volumes: ["./:/models/{name}:ro"]
    command:
      - --model_config_file=/models/{name}/models.config
      - --model_config_file_poll_wait_seconds=60
      - --enable_batching=true
      - --batching_parameters_file=/models/{name}/batching_parameters.txt
      - --monitoring_config_file=/models/{name}/monitoring.config
    restart: unless-stopped
"""


def server_files(name: str) -> Mapping[str, str]:
    """Contents of a model's server files by file name.

    Args:
        name: the model's, as clients name it.

    Example:

    >>> sorted(server_files("ads"))
    ['batching_parameters.txt', 'compose.yaml', 'models.config', 'monitoring.config']
    """
    service = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "model"
    return MappingProxyType(
        {
            "models.config": _MODELS.format(name=name),
            "batching_parameters.txt": _BATCHING,
            "monitoring.config": _MONITORING,
            "compose.yaml": _COMPOSE.format(name=name, service=service, tag=version("tensorflow-serving-api")),
        }
    )


def write_server_files(folder: Path) -> list[Path]:
    """Write the server files that a model's folder lacks; files that exist are not changed.

    Args:
        folder: the model's folder, `saved_models/NAME`. The server skips files that are not versions.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in server_files(folder.resolve().name).items():
        path = folder / name
        if not path.exists():
            # A process of another container may have this one's number.
            partial = path.with_name(f".{name}.{uuid.uuid4().hex}")
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
            written.append(path)
    return written
