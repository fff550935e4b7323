"""KuaiRand-Pure as a funnel: what follows a click."""

from collections.abc import Iterator, Sequence

import polars as pl

from ..schema import Task
from .kuairand import KuaiRandPure
from .raw_files.hide_unobserved import hide_unobserved


class KuaiRandFunnel(KuaiRandPure):
    """KuaiRand-Pure with the tasks of a funnel: `long_view` and `is_profile_enter` given `is_click`.

    Files, features and split are those of `KuaiRandPure`. The outcomes after a click are missing where there was no
    click, as purchases are in an ads log. Of 222,444 impressions from 25 April on, 250 have a long view without a click
    and 278 enter the profile without one.

    Args:
        folder: folder with the CSV files (plain or `.gz`), or the one that the official archive was unpacked in.
        by_time: whether the rows are sorted by time, see `KuaiRandPure`. Defaults to `False`.

    Raises:
        FileNotFoundError: naming the file that is missing.

    Example:
    ```python
    table = gr.datasets.prepare(gr.datasets.KuaiRandFunnel("data/kuairand-pure"), "prepared/kuairand-funnel")
    ```
    """

    name = "kuairand-funnel"
    tasks: Sequence[Task] = (
        Task("is_click"),
        Task("long_view", given="is_click"),
        Task("is_profile_enter", given="is_click"),
    )

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0, workers: int = 1) -> Iterator[pl.DataFrame]:
        """Yield joined frames of at most `chunk_rows` rows (see `Dataset.chunks`)."""
        for frame in super().chunks(chunk_rows, max_bad_rows, workers):
            yield hide_unobserved(frame, self.tasks)
