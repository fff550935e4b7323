"""KuaiRand-Pure: is_click, long_view, is_like and is_profile_enter of short-video impressions.

`python -m grouprank.recipes.kuairand_ctr --data DIR`

Split by time: training to 4 May 2022, validation 5 – 6 May, test 7 – 8 May. The settings were chosen on
the validation days.
"""

from ..datasets import KuaiRandPure
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.3, embedding_l2=1e-3)

if __name__ == "__main__":
    run_public_dataset("kuairand_ctr", KuaiRandPure, SETTINGS)
