"""The data sets that Table 1 is measured on."""

import dataclasses
from pathlib import Path
from typing import Any

from ...datasets import Dataset, KuaiRandPure, SyntheticAds


@dataclasses.dataclass(frozen=True)
class StudyData:
    """A data set and what a study needs to know of it.

    Args:
        name: name in pages and of folders.
        dataset: the raw table.
        ids: columns of the model's user and ad ids.
        user: column of the users' own ids.
        time: column of the day.
        segments: columns that reports cut by, crosses as tuples.
        quantiles: numeric columns that reports cut at quartiles.
        features: columns that describe groups.
        planted: columns of planted groups, by factor.
        space: settings that are tuned; the first of each is where tuning starts.
    """

    name: str
    dataset: Dataset
    ids: tuple[str, str]
    user: str
    time: str
    segments: tuple[tuple[str, ...], ...]
    quantiles: tuple[str, ...]
    features: tuple[str, ...]
    planted: dict[str, str] = dataclasses.field(default_factory=dict)
    space: dict[str, list[Any]] = dataclasses.field(default_factory=dict)


_SPACE: dict[str, list[Any]] = {
    "epochs": [2, 3, 4],
    "backbone": ["mlp", "dcn_v2"],
    "dropout": [0.3, 0.1, 0.5],
    "embedding_l2": [1e-3, 3e-4, 3e-3, 1e-4],
    "learning_rate": [1e-3, 3e-4, 2e-3],
    "batch_size": [1024, 512, 2048],
    "decay": [False, True],
}


def kuairand(folder: Path) -> StudyData:
    """KuaiRand-Pure, its official files in a folder."""
    user = ("user_active_degree", "is_video_author", "follow_user_num_range", "register_days_range")
    video = ("video_type", "upload_type", "music_type")
    return StudyData(
        name="kuairand",
        dataset=KuaiRandPure(folder),
        ids=("user_id", "video_id"),
        user="user",
        time="date",
        segments=(("tab",), *((name,) for name in (*user, *video)), ("hour",), ("tab", "user_active_degree")),
        quantiles=("duration_ms", "register_days", "fans_user_num"),
        features=("tab", *user, *video, "fans_user_num", "register_days", "duration_ms"),
        space=_SPACE,
    )


def synthetic(rows: int = 200_000) -> StudyData:
    """The generated log with planted groups."""
    shown = ("country", "device", "age_bucket", "category", "format", "placement")
    return StudyData(
        name="synthetic",
        dataset=SyntheticAds(rows=rows),
        ids=("user_id", "ad_id"),
        user="user",
        time="day",
        segments=(
            ("country",),
            ("device",),
            ("age_bucket",),
            ("category",),
            ("format",),
            ("placement",),
            ("device", "format"),
        ),
        quantiles=("tenure_days", "bid"),
        features=(*shown, "tenure_days", "bid"),
        planted={
            "user group": "planted_user_group",
            "ad group": "planted_ad_group",
            "user-ad group": "planted_user_ad_group",
        },
        # Crosses of groups, most of what there is to learn here, need larger steps and more than KuaiRand's ids.
        space={
            **_SPACE,
            "epochs": [6, 4, 10],
            "dropout": [0.1, 0.0, 0.3],
            "embedding_l2": [3e-3, 1e-3, 1e-2],
            "learning_rate": [1e-2, 3e-3, 2e-2],
            "decay": [True, False],
        },
    )
