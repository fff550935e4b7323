"""From official files to encoded columns on disk, in two passes."""

import json
from pathlib import Path
from typing import Any

from .dataset import Dataset
from .fingerprint import fingerprint_of
from .fit_pass import fitted
from .local_engine import LocalEngine, Progress
from .prepared_table import COLUMNS_FOLDER, REPORT_FILE, TRANSFORMS_FOLDER, PreparedTable, with_oov_share
from .spark_engine import SparkEngine
from .whole_table import whole_table
from .worker_count import worker_count

CHUNK_ROWS = 100_000
ENGINES = ("local", "spark")


def prepare(
    dataset: Dataset,
    destination: str | Path,
    chunk_rows: int = CHUNK_ROWS,
    max_bad_rows: int = 0,
    on_progress: Progress | None = None,
    workers: int | None = None,
    engine: str = "local",
) -> PreparedTable:
    """Fit the transforms on the training rows, encode every split and write it as memory-mappable columns.

    The first pass counts vocabularies and moments, the second encodes. Both parse and work on several chunks at once,
    on threads; the result does not depend on how many. Memory is bounded by the chunks in work and the distinct tokens,
    not by the size of the file. Everything is written into a hidden folder beside the destination, which is renamed
    when complete. So a destination that exists is complete.

    A destination prepared from the same dataset, columns and files (by size and modification time) is
    opened as it is. A destination prepared from anything else raises an error and is never overwritten.

    Args:
        dataset: where the rows come from, e.g. `KuaiRandPure(folder)`.
        destination: folder to write, or its address in another store, such as `s3://bucket/prepared` (extra `remote`).
            There the table is complete when it has its `report.json`, which is written last. It is read from a copy in
            the folder that the environment variable `GROUPRANK_CACHE` names, by default `~/.cache/grouprank`.
        chunk_rows: rows read at a time. Defaults to 100,000.
        max_bad_rows: malformed rows that may be skipped. Defaults to 0.
        on_progress: called after each chunk with the stage (`"fit"`, then `"encode"`), the rows done so far and
            the rows in all (`None` while not known).
        workers: threads that encode, and as many that parse; memory grows by some chunks with each. With Spark, the
            number of parts into which files are cut. Defaults to `None`: the cores that this process may use; with
            Spark a part for each 128 MiB, and at least one for each core.
        engine: `"local"`, or `"spark"`, which runs both passes in tasks of the current Spark session, or of a new one,
            and writes a part of the columns in each. The columns and transforms are those of the local engine to the
            last bit. Executors need grouprank, and the files and the destination under the same paths. A gzip file,
            Tenrec and Ali-CCP are read by one task: the first can only be read from its start, and rows of the others
            depend on other rows of all their files. Defaults to `"local"`.

    Returns:
        The prepared table; its `report` has the rows of each split, the bad rows, the mean of each label,
        imputed values, the share of out-of-vocabulary tokens and the vocabulary sizes.

    Raises:
        ValueError: on malformed rows beyond the limit, a label outside [0, 1], a split without rows, or a
            destination that holds something else.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.KuaiRandPure("data/kuairand-pure"), "prepared/kuairand-pure")
    print(table.report["rows"])
    ```
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {ENGINES}. Received: engine={engine!r}.")
    worker_count(workers)
    fingerprint = fingerprint_of(dataset)

    def write(folder: Path, address: str | None) -> None:
        runner = _engine(engine, dataset, chunk_rows, max_bad_rows, workers, on_progress)
        remote = engine == "spark" and address is not None
        _write(
            dataset, fingerprint, folder, runner, f"{address}/{COLUMNS_FOLDER}" if remote else folder / COLUMNS_FOLDER
        )

    return whole_table(destination, fingerprint, max_bad_rows, write)


def _engine(
    engine: str, dataset: Dataset, chunk_rows: int, max_bad_rows: int, workers: int | None, progress: Progress | None
) -> LocalEngine | SparkEngine:
    progress = progress or (lambda stage, done, total: None)
    if engine == "spark":
        return SparkEngine(dataset, chunk_rows, max_bad_rows, workers, progress)
    return LocalEngine(dataset, chunk_rows, max_bad_rows, worker_count(workers), progress)


def _write(
    dataset: Dataset, fingerprint: dict[str, Any], folder: Path, runner: LocalEngine | SparkEngine, columns: Path | str
) -> None:
    sums = runner.fit()
    transforms = fitted(dataset, sums)
    encoded = runner.encode(transforms, sums, columns)
    report = {
        "fingerprint": fingerprint,
        "rows": sums.rows,
        "bad_rows": sums.bad_rows,
        "vocabulary_sizes": transforms.vocabulary_sizes,
        **encoded.report(transforms),
        **({"parts": runner.parts} if isinstance(runner, SparkEngine) else {}),
    }
    with_oov_share(transforms, report).save(folder / TRANSFORMS_FOLDER)
    (folder / REPORT_FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
