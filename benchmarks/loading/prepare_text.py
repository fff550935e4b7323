"""From Criteo's text to encoded columns: the whole way, a pass alone, and what no way can avoid."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from ...datasets import CriteoDAC
from ...datasets import prepare as prepare_table
from ...datasets.chunk_reader import ChunkReader
from ...datasets.encode_pass import encode_pass
from ...datasets.fit_pass import fit_pass, fitted
from ..support.prepared import Prepared
from .criteo_text import COLUMNS

_CHUNK_ROWS = 100_000


def prepare(folder: str, stage: str, workers: int | None = None) -> Prepared:
    """One stage over the text in `folder`, a step being the whole file.

    Args:
        folder: folder with `train.txt`.
        stage: `"both"` (both passes, as a user calls it), `"count"` or `"encode"` (a pass alone), `"parse"` (polars'
            `read_csv` of every column as text, nothing else) or `"read"` (the bytes of the file).
        workers: threads of `prepare`. Defaults to `None`, all cores.
    """
    path = Path(folder) / "train.txt"
    dataset = CriteoDAC(folder)
    reader = ChunkReader(dataset, _CHUNK_ROWS, 0, workers or pl.thread_pool_size())

    def both(out: Path) -> None:
        prepare_table(dataset, out / "table", _CHUNK_ROWS, workers=workers)

    def count(out: Path) -> None:
        fit_pass(reader, lambda done: None)

    def encode(out: Path) -> None:
        transforms, rows = found[0]
        encode_pass(reader, transforms, rows, out, lambda done: None)

    def parse(out: Path) -> None:
        schema = dict.fromkeys(COLUMNS, pl.String)
        pl.read_csv(path, has_header=False, separator="\t", quote_char=None, schema=schema)

    def read(out: Path) -> None:
        with path.open("rb", buffering=0) as file:
            buffer = bytearray(4 << 20)
            while file.readinto(buffer):
                pass

    stages: dict[str, Callable[[Path], None]] = {
        "both": both,
        "count": count,
        "encode": encode,
        "parse": parse,
        "read": read,
    }
    found = []
    if stage == "encode":
        sums = fit_pass(reader, lambda done: None)
        found.append((fitted(dataset, sums), sums.rows))

    def once() -> float:
        out = Path(tempfile.mkdtemp(prefix="loader-", dir=path.parent))
        try:
            start = time.perf_counter()
            stages[stage](out)
            return time.perf_counter() - start
        finally:
            shutil.rmtree(out)

    process, main = time.process_time(), time.thread_time()
    once()
    facts = {"cpu seconds": time.process_time() - process, "main thread seconds": time.thread_time() - main}
    return Prepared(lambda steps: [once() for _ in range(steps)], facts)
