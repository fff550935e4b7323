"""What later logs of a published version are compared with."""

from collections.abc import Iterable

import polars as pl

from ..datasets import TableTransforms
from ..models import RankingModel
from ..reports import LogProfile
from .period_rows import Chunk
from .scores import score


def period_profile(
    model: RankingModel,
    transforms: TableTransforms,
    chunks: Iterable[Chunk],
    batch_size: int,
    user: str | None = None,
) -> LogProfile | None:
    """The profile of some rows of a period with the scores of the model that was trained on it.

    Its columns are named as in the requests of the served model, and its scores `served:TASK` as
    `gr.serving.read_request_log` names them. So `gr.reports.drift` compares it with what the version logs.

    Args:
        model: the model.
        transforms: its transforms.
        chunks: the rows.
        batch_size: rows per batch.
        user: column of the chunks' extras that says whose rows they are. Defaults to `None`.

    Returns:
        The profile, or `None` without rows.

    Example:

    ```python
    profile = period_profile(model, transforms, rows.chunks(period), batch_size=4096)
    print(gr.reports.drift(profile, gr.serving.read_request_log("logs/clicks.tfrecord")))
    ```
    """
    kept = [chunk for chunk in chunks if len(chunk.frame)]
    if not kept:
        return None
    found = score(model, transforms, kept, batch_size, user)
    frame = pl.concat([chunk.frame.select(*transforms.raw_columns) for chunk in kept])
    # As a request has them. Integers of a log would else be taken for tokens.
    floats = [name for name, dtype in transforms.raw_columns.items() if dtype == "float32"]
    frame = frame.with_columns(pl.col(name).cast(pl.Float32) for name in floats if frame[name].dtype.is_numeric())
    columns = frame.columns
    scores = {name: f"served:{name}" for name in found.predictions}
    frame = frame.with_columns(
        *(pl.Series(scores[name], values) for name, values in found.predictions.items()),
        *(pl.Series(name, values) for name, values in found.labels.items()),
        *([] if found.users is None or user in columns else [found.users.alias(str(user))]),
    )
    return LogProfile.fit(frame, scores, columns, groups=(), user=user)
