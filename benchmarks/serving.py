"""What a request for scores takes.

`python -m grouprank.benchmarks.serving --data DIR`
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..recipes.command import run_command
from .dcn.contenders import TORCH, select
from .dcn.workload import Workload
from .scoring.saved_models import IDS, RAW, STORED, write_log_models, write_network_models
from .scoring.serving_report import FLAT, RANK, serving_report
from .support import Contender, Measurement, run_rounds

# Requests of a round: enough for a 99th percentile over all rounds, and a round of all contenders within a minute.
REQUESTS = {1: 200, 32: 200, 500: 100, 2000: 50}
DEEPCTR = ("tensorflow-cpu==2.12.1", "--no-deps deepctr==0.9.3")
_HERE = "grouprank.benchmarks.scoring"


def main(
    data: Annotated[Path, typer.Option("--data", help="Folder with the official files of KuaiRand-Pure.")],
    sizes: Annotated[str, typer.Option(help="Candidates of a request, comma separated.")] = "1,32,500,2000",
    preset: Annotated[str, typer.Option(help="Preset of the model on KuaiRand's columns.")] = "dcn_v2_gsl_resl",
    embedding_dim: Annotated[int, typer.Option(min=1, help="Its embeddings' width.")] = 16,
    rows: Annotated[int, typer.Option(min=1000, help="Embedding rows of the network that all have.")] = 2_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 10,
    only: Annotated[str, typer.Option(help="Parts of contenders' names, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where environments and logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/benchmarks"),
) -> None:
    """Ask exported models for scores through TensorFlow's C library, and other libraries through theirs."""
    counts = [int(size) for size in sizes.split(",")]
    work = Workload(rows=rows, batch_size=max(counts), batches=1)
    found: dict[str, Measurement] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute(), prefix="serving-") as place:
        log = write_log_models(data, Path(place) / "log", preset, embedding_dim, max(counts))
        network = write_network_models(dataclasses.asdict(work), Path(place) / "network")
        for count in counts:
            contenders = select([*_asked(log, network, count), *_peers(work, count)], only)
            steps = next((number for size, number in REQUESTS.items() if count <= size), min(REQUESTS.values()))
            found |= run_rounds(contenders, repeats, steps, warmup=10, folder=folder)
    settings = {
        **dataclasses.asdict(work),
        "candidates": counts,
        "preset": preset,
        "preset_embedding_dim": embedding_dim,
        "repeats": repeats,
    }
    page = serving_report(found, counts, settings).write(output)
    typer.echo(page.read_text(encoding="utf-8"))


def _asked(log: Mapping[str, Path], network: Mapping[str, Path], count: int) -> list[Contender]:
    """Exported models by signature."""
    calls = [(f"{signature}, {kind}", log[kind], signature) for kind in (RAW, IDS) for signature in (FLAT, RANK)]
    calls += [(f"{FLAT}, {dtype} table", network[dtype], FLAT) for dtype in STORED]
    return [
        Contender(
            f"{name}, {count}",
            f"{_HERE}.saved_model_requests:prepare",
            {"saved_model": str(path), "signature": signature, "candidates": count},
            packages=("keras", "tensorflow", "numpy"),
            memory_bytes=2_000_000_000,
        )
        for name, path, signature in calls
    ]


def _peers(work: Workload, count: int) -> list[Contender]:
    """Other libraries' own prediction of the same network."""
    settings: dict[str, Any] = {"work": dataclasses.asdict(work), "candidates": count}
    return [
        Contender(
            f"FuxiCTR predict, {count}",
            f"{_HERE}.fuxictr_predict:prepare",
            settings,
            environment="fuxictr",
            requirements=(TORCH, "fuxictr==2.3.10"),
            packages=("torch", "fuxictr"),
            memory_bytes=4_000_000_000,
        ),
        *(
            Contender(
                f"{name}, {count}",
                f"{_HERE}.deepctr_predict:prepare",
                {**settings, "whole": whole},
                environment="deepctr",
                requirements=DEEPCTR,
                packages=("tensorflow-cpu", "deepctr"),
                memory_bytes=4_000_000_000,
            )
            for name, whole in (("DeepCTR predict", True), ("DeepCTR predict_on_batch", False))
        ),
    ]


if __name__ == "__main__":
    run_command(main)
