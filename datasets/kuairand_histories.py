"""KuaiRand-Pure with what each user watched, watched long and liked before an impression."""

from pathlib import Path

import polars as pl

from .dataset import Dataset
from .history import histories
from .kuairand import KuaiRandPure
from .raw_files.official_files import require_file

_SEQUENCES = "user_sequences.parquet"
_REMEDY = "Pass the folder that holds it, or none to take histories from the log alone."
# The strongest first, and the list of the file that says so.
_LISTS = {"is_like": "like_seq", "long_view": "long_watch_seq"}
_WATCHED = "watch"


def kuairand_histories(log: KuaiRandPure, length: int, earlier: str | Path | None = None) -> Dataset:
    """KuaiRand-Pure's rows with the last videos that their user acted on before them, as `histories` makes them.

    A video counts if it was clicked, watched long or liked, and the strongest of these is its kind.

    `earlier` brings what lies before the first day of the log: a file `user_sequences.parquet` with a row for each
    user, whose `watch_seq` holds the last videos that the user watched, oldest first, `like_seq` and `long_watch_seq`
    the liked ones and those watched long, and `last_time_ms` the time of the last one. The other videos' ages are
    unknown. A video that is in none of the two lists has a kind of its own, `watch`, since watching is not the log's
    click: of three videos that are in a list and in the log, two were not clicked. One that was watched twice and
    liked once is taken as liked twice. The last video is seen only by rows after its time.

    Args:
        log: the dataset, opened with `by_time=True`.
        length: largest number of videos.
        earlier: the folder with `user_sequences.parquet`. Defaults to `None`: histories begin with the log.

    Raises:
        FileNotFoundError: if the folder does not have the file.
        ValueError: if the log was opened without `by_time`.

    Example:
    ```python
    log = gr.datasets.KuaiRandPure("data/kuairand-pure", by_time=True)
    dataset = gr.datasets.kuairand_histories(log, length=50, earlier="data/kuairand-history")
    table = gr.datasets.prepare(dataset, "prepared/kuairand-with-history")
    ```
    """
    if not log.settings.get("by_time"):
        raise ValueError(f"Histories need the rows in order of time: pass {type(log).__name__}(folder, by_time=True).")
    names = [task.name for task in log.tasks]
    actions = [action for action in (*_LISTS, "is_click") if action in names]
    start = None if earlier is None else _earlier(require_file(Path(earlier), [_SEQUENCES], _REMEDY))
    return histories(
        log, "user_id", items="video_id", actions=actions, length=length, time="time_ms", start=start, unit="ms"
    )


def _earlier(path: Path) -> pl.DataFrame:
    """The file's lists as events, for `HistoryState`."""
    users = pl.read_parquet(path, columns=["user_id", "last_time_ms", "watch_seq", *_LISTS.values()])
    videos = users.rename({"watch_seq": "video_id"}).filter(pl.col("video_id").list.len() > 0).explode("video_id")
    kind = pl.lit(_WATCHED)
    for action in reversed(_LISTS):
        kind = pl.when(pl.col(_LISTS[action]).list.contains(pl.col("video_id"))).then(pl.lit(action)).otherwise(kind)
    is_last = pl.col("user_id") != pl.col("user_id").shift(-1)
    time = pl.when(is_last.fill_null(True)).then("last_time_ms").otherwise(None)
    return videos.select("user_id", "video_id", time.alias("time_ms"), kind.alias("action"))
