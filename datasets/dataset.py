"""What `prepare` needs to know of a raw table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from ..schema import Task
from .kinds import Column

SPLITS = ("train", "validation", "test")


class Dataset(Protocol):
    """A public dataset in its official files: what its columns are and how to read them in chunks.

    Every dataset module offers one class of this shape; `prepare` does the rest. To add a
    dataset, write such a class and a recipe that names it.

    Attributes:
        name: short name, e.g. `"criteo-dac"`; used in run folders and messages.
        columns: the features, not fitted yet, each with its side and its raw column.
        tasks: the outcomes; each task's name is its label column in the chunks.
        extras: raw columns kept beside the prepared ones though no model sees them
            (a teacher's pseudo-labels, planted groups), mapped to their NumPy dtype.

    A dataset may also have these attributes. `prepare` uses the first two to recognise an earlier result (with neither,
    it never reuses a prepared folder) and the third to report skipped rows:

    - `files`: paths of the source files; their sizes and modification times are compared.
    - `settings`: JSON-like mapping of whatever else decides the rows, such as a generator's seed.
    - `bad_rows`: malformed rows skipped by the last complete pass over `chunks`.

    `chunks` may take a third argument, `workers`: how many threads may read ahead (see `DelimitedFile.chunks`).

    An engine such as Spark deals the rows to many tasks if there is a method `parts(size, run)`. It returns datasets
    that can be pickled and whose rows, one after the other, are those of the dataset; each reads about `size` bytes.
    `run(function, items)` is a `map` that the engine runs on many machines, for what must be known beforehand, such as
    the number of lines. Without the method, one task reads all.

    Example:

    ```python
    class MyLog:
        name = "my-log"
        columns = (gr.datasets.CategoricalColumn("country", "user"), gr.datasets.NumericColumn("bid", "ad"))
        tasks = (gr.Task("click"),)
        extras = {}

        def chunks(self, chunk_rows, max_bad_rows=0):
            for frame in my_frames(chunk_rows):  # columns country, bid, click
                yield frame.with_columns(split=pl.lit("train"))

        @classmethod
        def download(cls, folder):
            raise NotImplementedError("Ask the data team.")
    ```
    """

    name: str
    columns: Sequence[Column]
    tasks: Sequence[Task]
    extras: Mapping[str, str]

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0) -> Iterator[pl.DataFrame]:
        """Yield frames of at most about `chunk_rows` rows in file order.

        Each frame has the raw columns of `columns` with the dtype each asks for and the values that stand in the
        file, as a server will get them (what means missing is said by the column's `missing`), the label columns as
        Float32 (null where unobserved), the extras, and a String column `split` with a value of `SPLITS`.
        """
        ...

    @classmethod
    def download(cls, folder: Path) -> Path:
        """Fetch the official files into `folder`; raise with instructions where a login is needed."""
        ...
