"""Both passes of `prepare` in the tasks of Spark."""

import gc
import itertools
import os
import pickle
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from ..extras import require_extra
from .chunk_reader import ChunkReader
from .dataset import SPLITS, Dataset
from .encode_pass import EncodeSums, encode_pass
from .fit_pass import FitSums, fit_pass
from .kinds import Column
from .local_engine import Progress
from .raw_files.bad_rows import BadRowError
from .remote_files import put
from .split_file import part_folder
from .transforms.table_transforms import TableTransforms
from .transforms.token_counts import PIECES, TokenCounts
from .transforms.transform_fitter import TransformFitter

# About how many bytes of a file a task reads at most, as Spark's own readers do.
_TASK_BYTES = 128 << 20
# What a task sends: a number that says which task adds it up, and a pickled pair.
_SENT = "key long, pair binary"

Sent = tuple[int, tuple[Any, Any]]


class SparkEngine:
    """Runs each pass over parts of a dataset, in the tasks of the current Spark session.

    Each part is summarized and encoded by the code that runs locally, and written into a folder of its own. The sums
    are added up in tasks too. A task adds up a piece of one feature's tokens at a time, those of some hashes, so none
    ever holds all tokens of a feature; the driver gets each token that may enter the vocabulary once. Spark runs a task
    that was lost again: only the sums of a task that ended count, and the folder of a part appears whole.

    Args:
        dataset: where the rows come from. A dataset that has `parts`, and a `Tabular` of a Spark data frame, are dealt
            to many tasks; another is read by one. Executors find files and the destination under the driver's paths.
        chunk_rows: rows worked on at a time.
        max_bad_rows: malformed rows that may be skipped, in all parts together.
        workers: number of parts of a file, or `None`: one for each 128 MiB and at least one for each core.
        progress: called after each pass.

    Raises:
        ModuleNotFoundError: if pyspark is not installed.
    """

    def __init__(
        self, dataset: Dataset, chunk_rows: int, max_bad_rows: int, workers: int | None, progress: Progress
    ) -> None:
        require_extra("spark", 'engine="spark"')
        from pyspark.sql import SparkSession

        self._dataset, self._max_bad_rows, self._progress = dataset, max_bad_rows, progress
        if SparkSession.getActiveSession() is None:
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # a session of this machine has this environment
        self._spark = SparkSession.builder.getOrCreate()
        self._frame = getattr(dataset, "spark_frame", None)
        self._reading = _Reading(self._cut(workers), chunk_rows, max_bad_rows, self._frame is not None)
        self.parts: list[dict[str, int]] = []

    def fit(self) -> FitSums:
        """The first pass."""
        fitter = TransformFitter(self._dataset.columns, self._dataset.tasks)
        columns = {column.name: column for column in self._dataset.columns}
        found: dict[int, FitSums | Exception] = {}
        # A task gets a key's sums one after the other, so that it holds those of one key. Without the second exchange
        # the tasks would add up one after the other, whenever the iterator comes to them.
        sent = (
            self._tasks(_fit, self._reading)
            .repartition("key")
            .sortWithinPartitions("key")
            .mapInArrow(lambda batches: _add(columns, batches), _SENT)
            .repartition("key")
        )
        for row in sent.toLocalIterator():
            name, value = pickle.loads(row.pair)
            if isinstance(name, int):
                found[name] = value
            else:
                fitter.add({name: value})
        sums = self._without_errors([found[number] for number in sorted(found)])
        self._check_bad_rows([part.bad_rows for part in sums])
        self.parts = [part.rows for part in sums]
        rows = {split: sum(part[split] for part in self.parts) for split in SPLITS}
        self._progress("fit", sum(rows.values()), None)
        return FitSums(rows, sum(part.bad_rows for part in sums), fitter.summary)

    def encode(self, transforms: TableTransforms, sums: FitSums, folder: Path | str) -> EncodeSums:
        """The second pass; each task writes a part of the columns.

        Args:
            transforms: the fitted transforms.
            sums: what the first pass found.
            folder: where to write: a folder that the executors see too, or an address in another store.
        """
        if isinstance(folder, Path):
            folder.mkdir()
            folder = folder.absolute()
        shared = self._spark.sparkContext.broadcast(transforms)
        found = self._collect(_encode, self._reading, shared, self.parts, folder)
        shared.unpersist()
        encoded = EncodeSums()
        for part in found:
            encoded.add(part)
        if isinstance(folder, Path):
            for left in folder.glob(".part-*"):  # of tasks that were lost
                shutil.rmtree(left, ignore_errors=True)
            if absent := [part for part in range(len(self.parts)) if not part_folder(folder, part).is_dir()]:
                raise FileNotFoundError(
                    f"Tasks of Spark wrote the parts {absent} into {folder.parent.parent} of their own machines. "
                    "Choose a destination in a folder that all machines share, or an address such as "
                    "s3://bucket/prepared."
                )
        total = sum(sums.rows.values())
        self._progress("encode", total, total)
        return encoded

    def _cut(self, workers: int | None) -> Sequence[Any]:
        dataset: Any = self._dataset
        if self._frame is not None:
            return dataset.spark_parts(self._collect(_count))
        if not hasattr(dataset, "parts"):
            return [dataset]
        size = sum(Path(path).stat().st_size for path in getattr(dataset, "files", ()))  # none if rows are made
        count = workers or max(self._spark.sparkContext.defaultParallelism, -(-size // _TASK_BYTES))
        return dataset.parts(-(-size // count), self._map)

    def _map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return self._collect(_call, function, items, source=self._numbers(len(items)))

    def _numbers(self, count: int) -> Any:
        """A frame of one number a task."""
        return self._spark.range(0, count, 1, count)

    def _tasks(self, work: Callable[..., Iterator[Sent]], *shared: Any, source: Any = None) -> Any:
        """A frame of what the tasks send, one for each part."""
        numbered = source is not None or self._frame is None
        if source is None:
            source = self._numbers(len(self._reading.parts)) if self._frame is None else self._frame
        return source.mapInArrow(lambda batches: _task(work, shared, numbered, batches), _SENT)

    def _collect(self, *task: Any, source: Any = None) -> list[Any]:
        """What the tasks of all parts return, in the order of the parts."""
        rows = [(row.key, row.pair) for row in self._tasks(*task, source=source).collect()]
        return self._without_errors([pickle.loads(pair)[1] for _, pair in sorted(rows, key=lambda row: row[0])])

    def _without_errors(self, results: Sequence[Any]) -> list[Any]:
        """The results of all parts; the first error among them is raised."""
        for result in results:
            if isinstance(result, Exception):
                raise self._located(result)
        return list(results)

    def _located(self, error: Exception) -> Exception:
        """The error of a row of a Spark data frame, with the row's file and its place there if Spark read it in one."""
        if self._frame is None or not isinstance(error, BadRowError):
            return error
        from pyspark.sql import functions

        # The number that Spark gives a row: its partition's, in the upper bits, and its place in the partition.
        first, part = max(
            (part.first_row, number) for number, part in enumerate(self._reading.parts) if part.first_row <= error.line
        )
        row = (part << 33) + error.line - first
        names = self._frame.select(
            functions.input_file_name().alias("file"),
            functions.input_file_block_start().alias("start"),
            functions.monotonically_increasing_id().alias("row"),
        )
        blocks = names.groupBy("file", "start").agg(functions.min("row"), functions.count("row")).collect()
        for file, start, first, count in blocks:
            if file and first <= row < first + count:
                before = sum(block[3] for block in blocks if block[0] == file and block[1] < start)
                return ValueError(f"{file}, row {before + row - first + 1}: {error.problem}")
        return error

    def _check_bad_rows(self, counts: Sequence[int]) -> None:
        """Raise where all parts together skipped too many rows, naming the first one beyond the limit."""
        before = 0
        for number, count in enumerate(counts):
            if before + count > self._max_bad_rows:
                try:
                    self._collect(_problem, self._reading._replace(max_bad_rows=self._max_bad_rows - before), number)
                except ValueError as error:
                    raise ValueError(f"{error} In the parts before, {before} more were skipped.") from error
            before += count


class _Reading(NamedTuple):
    """How tasks read their parts."""

    parts: Sequence[Any]
    chunk_rows: int
    max_bad_rows: int
    of_frame: bool

    def reader(self, number: int, frames: Iterable[pl.DataFrame]) -> ChunkReader:
        part = self.parts[number].over(frames) if self.of_frame else self.parts[number]
        return ChunkReader(part, self.chunk_rows, self.max_bad_rows, workers=1)


def _task(
    work: Callable[..., Iterator[Sent]], shared: Sequence[Any], numbered: bool, batches: Iterator[Any]
) -> Iterator[Any]:
    """What a task does: `work` on one part, whose results are sent as batches of Arrow."""
    from pyspark import TaskContext

    if not gc.get_freeze_count():
        gc.freeze()  # Spark collects garbage after each task: a quarter of a second, with what the frameworks hold
    if numbered:
        number = next(batches).column(0)[0].as_py()
        next(batches, None)
        frames: Iterator[pl.DataFrame] = iter(())
    else:
        number = TaskContext.get().partitionId()
        frames = (pl.DataFrame(pl.from_arrow(batch)) for batch in batches)
    try:
        yield from map(_batch, work(number, frames, *shared))
    except (ValueError, FileNotFoundError) as error:  # of the data; Spark would only run the task again
        if isinstance(error, FileNotFoundError):
            error = FileNotFoundError(
                f"{error.filename or error} is not on {socket.gethostname()}, where a task of Spark ran. Put the raw "
                "files into a folder that all machines see under one path (the environment variable GROUPRANK_CACHE "
                "names the one for files of an address), or let Spark read the table: "
                "Tabular(spark.read.csv(...), ...)."
            )
        yield _batch((0 if work is _fit else number, (number, error)))


def _batch(sent: Sent) -> Any:
    import pyarrow as pa

    key, pair = sent
    return pa.RecordBatch.from_pydict({"key": pa.array([key], pa.int64()), "pair": [pickle.dumps(pair)]})


def _count(number: int, frames: Iterable[pl.DataFrame]) -> Iterator[Sent]:
    yield number, (number, sum(map(len, frames)))


def _call(
    number: int, frames: Iterable[pl.DataFrame], function: Callable[[Any], Any], items: Sequence[Any]
) -> Iterator[Sent]:
    yield number, (number, function(items[number]))


def _fit(number: int, frames: Iterable[pl.DataFrame], reading: _Reading) -> Iterator[Sent]:
    sums = fit_pass(reading.reader(number, frames), lambda done: None)
    yield 0, (number, sums._replace(summary={}))
    for place, (name, summary) in enumerate(sums.summary.items()):
        for piece, part in _pieces(summary):
            yield 1 + place * PIECES + piece, (name, part)


def _problem(number: int, frames: Iterable[pl.DataFrame], reading: _Reading, part: int) -> Iterator[Sent]:
    """Reads a part again, for its error."""
    if number == part:
        fit_pass(reading.reader(number, frames), lambda done: None)
    yield number, (number, None)


def _pieces(summary: Any) -> Iterable[tuple[int, Any]]:
    """A summary in the parts in which it is sent, each with its number among those of the feature."""
    return summary.pieces() if isinstance(summary, TokenCounts) else [(0, summary)]


def _add(columns: Mapping[str, Column], batches: Iterator[Any]) -> Iterator[Any]:
    """Adds up what has one key, a piece of one feature's sums, and sends on what the parts say of themselves."""
    for (key, name), sent in itertools.groupby(_received(batches), key=lambda sent: (sent[0], sent[1][0])):
        total = _total(summary for _, (_, summary) in sent)
        for _, part in _pieces(columns[name].thinned(total)) if key else [(0, total)]:
            yield _batch((key, (name, part)))


def _total(summaries: Iterator[Any]) -> Any:
    total = next(summaries)
    for summary in summaries:
        total.add(summary)
    return total


def _received(batches: Iterator[Any]) -> Iterator[Sent]:
    for batch in batches:
        for key, pair in zip(batch.column(0), batch.column(1), strict=True):
            yield key.as_py(), pickle.loads(pair.as_buffer())


def _encode(
    number: int, frames: Iterable[pl.DataFrame], reading: _Reading, transforms: Any, rows: Any, columns: Path | str
) -> Iterator[Sent]:
    folder = part_folder(columns if isinstance(columns, Path) else Path(tempfile.gettempdir()), number)
    partial = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        sums = encode_pass(reading.reader(number, frames), transforms.value, rows[number], partial, lambda done: None)
        if isinstance(columns, str):
            put(partial, f"{columns}/{folder.name}")
        elif not folder.exists():  # an attempt that was taken for lost may have written the same
            partial.rename(folder)
        yield number, (number, sums)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
