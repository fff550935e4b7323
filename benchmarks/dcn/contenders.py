"""The contenders on one workload."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..support.contender import Contender
from .workload import Workload

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
TABLES = {"per_field": "stock per field", "stacked": "stock stacked", "keras_rs": "keras-rs"}
# Copies of the table that a process holds at most, building included, and what it holds beside them; as measured.
COPIES = {"ours": 2.5, "frozen": 2.2, "stock": 6.8, "torchrec": 2.0, "fuxictr": 4.7, "tfrs": 2.3}
PROCESS_BYTES = 1_000_000_000
TORCH = "torch==2.13.0"
TORCHREC = (
    TORCH,
    "fbgemm-gpu-cpu==1.8.0",
    "torchmetrics==1.0.3",
    "tensordict",
    "tqdm",
    "pyre-extensions",
    "numpy",
    # It asks for fbgemm-gpu, which would replace the CPU build.
    "--no-deps torchrec==1.8.0",
)


def ours(backend: str, work: Workload, optimizer: str = "adagrad", name: str | None = None) -> Contender:
    """Our fused table on a backend."""
    settings = {"optimizer": optimizer}
    return _keras(name or f"ours, {BACKENDS[backend]}", backend, "ours", work, COPIES["ours"], settings)


def frozen(backend: str, work: Workload, name: str | None = None) -> Contender:
    """The floor: our network over a table that is only read."""
    return _keras(name or f"frozen, {BACKENDS[backend]}", backend, "ours", work, COPIES["frozen"], {"trainable": False})


def stock(backend: str, work: Workload, tables: str = "per_field", name: str | None = None) -> Contender:
    """Stock Keras, or keras-rs, on a backend."""
    default = f"{TABLES[tables]}, {BACKENDS[backend]}"
    found = _keras(name or default, backend, "stock_keras", work, COPIES["stock"], {"tables": tables})
    return dataclasses.replace(found, packages=(*found.packages, "keras-rs")) if tables == "keras_rs" else found


def peers(work: Workload, optimizer: str = "adagrad") -> list[Contender]:
    """The libraries with environments of their own."""
    settings = {"work": dataclasses.asdict(work)}
    return [
        Contender(
            "TorchRec fused",
            "grouprank.benchmarks.dcn.torchrec_fused:prepare",
            {**settings, "optimizer": optimizer},
            environment="torchrec",
            requirements=TORCHREC,
            packages=("torch", "torchrec", "fbgemm-gpu-cpu", "numpy"),
            memory_bytes=_memory(work, "torchrec"),
        ),
        Contender(
            "FuxiCTR",
            "grouprank.benchmarks.dcn.fuxictr_model:prepare",
            settings,
            environment="fuxictr",
            requirements=(TORCH, "fuxictr==2.3.10"),
            packages=("torch", "fuxictr", "numpy"),
            memory_bytes=_memory(work, "fuxictr"),
        ),
        Contender(
            "TFRS",
            "grouprank.benchmarks.dcn.tfrs_ranking:prepare",
            {**settings, "optimizer": "adagrad" if optimizer == "rowwise_adagrad" else optimizer},
            environment="tfrs",
            requirements=("tensorflow==2.21.0", "tf-keras==2.21.0", "tensorflow-recommenders==0.7.7"),
            variables={"TF_USE_LEGACY_KERAS": "1"},
            packages=("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy"),
            memory_bytes=_memory(work, "tfrs"),
        ),
    ]


def select(contenders: Sequence[Contender], only: str) -> list[Contender]:
    """Those that `only` names; all of them if it is empty.

    `"torch, fused+jax"` takes what has "torch" in its name, and what has both "fused" and "jax".

    Raises:
        ValueError: if no name does.
    """
    wishes = [wish.strip().lower().split("+") for wish in only.split(",") if wish.strip()]
    found = [
        one
        for one in contenders
        if not wishes or any(all(part.strip() in one.name.lower() for part in wish) for wish in wishes)
    ]
    if not found:
        raise ValueError(f"`only` names none of {[one.name for one in contenders]}. Received: only={only!r}.")
    return found


def _keras(name: str, backend: str, module: str, work: Workload, copies: float, settings: dict[str, Any]) -> Contender:
    return Contender(
        name,
        f"grouprank.benchmarks.dcn.{module}:prepare",
        {"work": dataclasses.asdict(work), **settings},
        variables={"KERAS_BACKEND": backend},
        packages=("keras", backend, "numpy"),
        memory_bytes=PROCESS_BYTES + int(copies * work.table_bytes),
    )


def _memory(work: Workload, library: str) -> int:
    return PROCESS_BYTES + int(COPIES[library] * work.table_bytes)
