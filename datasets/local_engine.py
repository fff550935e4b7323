"""Both passes of `prepare` on the threads of this process."""

from collections.abc import Callable
from pathlib import Path

from .chunk_reader import ChunkReader
from .dataset import Dataset
from .encode_pass import EncodeSums, encode_pass
from .fit_pass import FitSums, fit_pass
from .transforms.table_transforms import TableTransforms

# The stage ("fit" or "encode"), the rows done so far, and the rows in all if they are known.
Progress = Callable[[str, int, int | None], None]


class LocalEngine:
    """Runs each pass over the whole dataset, on threads.

    Args:
        dataset: where the rows come from.
        chunk_rows: rows worked on at a time.
        max_bad_rows: malformed rows that may be skipped.
        workers: number of threads.
        progress: called after each chunk.
    """

    def __init__(self, dataset: Dataset, chunk_rows: int, max_bad_rows: int, workers: int, progress: Progress) -> None:
        self._reader = ChunkReader(dataset, chunk_rows, max_bad_rows, workers)
        self._progress = progress

    def fit(self) -> FitSums:
        """The first pass."""
        return fit_pass(self._reader, lambda done: self._progress("fit", done, None))

    def encode(self, transforms: TableTransforms, sums: FitSums, folder: Path | str) -> EncodeSums:
        """The second pass; writes the columns.

        Args:
            transforms: the fitted transforms.
            sums: what the first pass found.
            folder: where to write.
        """
        total = sum(sums.rows.values())
        return encode_pass(
            self._reader, transforms, sums.rows, Path(folder), lambda done: self._progress("encode", done, total)
        )
