"""KuaiRand-Pure: is_click, long_view, is_like and is_profile_enter of short-video impressions.

`python -m grouprank.recipes.kuairand_ctr --data DIR`

Split by time: training to 4 May 2022, validation 5 – 6 May, test 7 – 8 May. The settings were chosen on
the validation days. With `--history 50` the models also read the last 50 videos that the user liked, watched long or
clicked before the impression; `--histories DIR` names a folder with those of the days before the log.
"""

from pathlib import Path

from ..datasets import Dataset, KuaiRandPure, kuairand_histories
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.3, embedding_l2=1e-3)


def with_history(folder: Path, length: int, earlier: Path | None) -> Dataset:
    """The dataset with histories."""
    return kuairand_histories(KuaiRandPure(folder, by_time=True), length, earlier)


if __name__ == "__main__":
    run_public_dataset("kuairand_ctr", KuaiRandPure, SETTINGS, with_history)
