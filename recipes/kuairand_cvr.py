"""KuaiRand-Pure as a funnel: is_click, then long_view and is_profile_enter given a click.

`python -m grouprank.recipes.kuairand_cvr --data DIR`

Files, features, split, settings and the options of histories are those of `kuairand_ctr`.
"""

from pathlib import Path

from ..datasets import Dataset, KuaiRandFunnel, kuairand_histories
from .command import run_public_dataset
from .kuairand_ctr import SETTINGS


def with_history(folder: Path, length: int, earlier: Path | None) -> Dataset:
    """The dataset with histories."""
    return kuairand_histories(KuaiRandFunnel(folder, by_time=True), length, earlier)


if __name__ == "__main__":
    run_public_dataset("kuairand_cvr", KuaiRandFunnel, SETTINGS, with_history)
