"""Exports a model that several processes have trained together."""

import contextlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import rank, replicas
from ..distribution.meet import meet
from .custom_modules import custom_modules, import_custom_modules
from .fresh_process import run_fresh_process
from .unfinished_folder import unfinished_folder
from .version_folder import check_version

_PROGRAM = "import sys; from grouprank.serving.export_together import export_loaded; export_loaded(sys.argv[1])"


def export_together(model: Any, path: Path, arguments: Mapping[str, Any]) -> Any:
    """Save the model in all processes, and let the first one start a process that loads, exports and checks it.

    That process runs on the CPU of the first process' machine, under the backend that trained the model.

    Args:
        model: the model.
        path: `path` of `export`.
        arguments: the other arguments of `export`, by name.

    Returns:
        The report of `export`, in every process.

    Raises:
        Exception: what `export` raises, in every process.
        RuntimeError: if not all processes call this, see `meet`.
    """
    meet("gr.serving.export")
    with contextlib.ExitStack() as stack:
        with replicas.together("The export"):
            if arguments["format"] == "tf_saved_model":
                check_version(path)
            modules = json.dumps(custom_modules(model))
            work = stack.enter_context(unfinished_folder(path.parent)) if rank() == 0 else path.parent
            if rank() == 0:
                (work / "modules.json").write_text(modules, encoding="utf-8")
                (work / "arguments.pickle").write_bytes(pickle.dumps({"path": path, **arguments}))
        model.save(work / "model.keras", include_optimizer=False)
        answer = _export(work) if rank() == 0 else None
    # The others have no bytes to add.
    own = np.frombuffer(pickle.dumps(answer) if rank() == 0 else b"", "uint8")
    answer = pickle.loads(ops.convert_to_numpy(replicas.gather_rows(own)).tobytes())
    if isinstance(answer, Exception):
        raise answer
    return answer


def _export(work: Path) -> Any:
    """The report, or the error, of a process that has the whole model."""
    variables = {"KERAS_BACKEND": keras.backend.backend(), "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    try:
        run_fresh_process(["-c", _PROGRAM, str(work)], "The model was not exported", variables)
        return pickle.loads((work / "answer.pickle").read_bytes())
    except Exception as error:
        return error


def export_loaded(folder: str) -> None:
    """Export the model of a folder that `export_together` filled, and leave the report, or the error, there."""
    from .export import export

    work = Path(folder)
    try:
        import_custom_modules(json.loads((work / "modules.json").read_text(encoding="utf-8")))
        model = keras.models.load_model(work / "model.keras", compile=False)
        answer: Any = export(model, **pickle.loads((work / "arguments.pickle").read_bytes()))
    except Exception as error:
        answer = error
    (work / "answer.pickle").write_bytes(pickle.dumps(answer))
