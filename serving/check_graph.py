"""Refuses SavedModels that a server written in C++ cannot run."""

from collections.abc import Iterable
from pathlib import Path

from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import kernels

# These have kernels only in Python's TensorFlow, or hold one opaque program of another compiler.
REFUSED = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "XlaCallModule", "XlaLaunch"})


def check_graph(saved_model: Path, known: Iterable[str] = ()) -> set[str]:
    """The ops of a SavedModel, each of which a C++ server can run on a CPU.

    Args:
        saved_model: the version folder.
        known: prefixes of ops that the server brings besides TensorFlow's. Defaults to `()`.

    Raises:
        RuntimeError: when an op has no kernel in C++, or is one of `REFUSED`.

    Example:

    ```python
    check_graph(Path("saved_models/my_model/1"))
    ```
    """
    ops = _ops(saved_model)
    ours = {op for op in ops if not any(op.startswith(prefix) for prefix in known)}
    refused = sorted(ours & REFUSED)
    if refused:
        raise RuntimeError(
            f"{saved_model}: the ops {refused} run in Python or are opaque to the server. Write the layer that makes "
            "them with keras.ops."
        )
    without = sorted(op for op in ours if not _has_kernel(op))
    if without:
        raise RuntimeError(f"{saved_model}: TensorFlow has no C++ kernel on CPU for the ops {without}.")
    return ops


def _ops(saved_model: Path) -> set[str]:
    model, ops = SavedModel(), set()
    model.ParseFromString((saved_model / "saved_model.pb").read_bytes())
    for graph in (meta.graph_def for meta in model.meta_graphs):
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        functions = {function.signature.name for function in graph.library.function}
        ops |= {node.op for node in nodes} - functions
    return ops


def _has_kernel(op: str) -> bool:
    return any(kernel.device_type in ("CPU", "DEFAULT") for kernel in kernels.get_registered_kernels_for_op(op).kernel)
