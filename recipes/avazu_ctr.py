"""Avazu's click-through rate challenge: clicks on mobile ads.

`python -m grouprank.recipes.avazu_ctr --data DIR`

The file is on Kaggle behind a login; put `train` or `train.gz` into DIR.
"""

from ..datasets import Avazu
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.2, patience=1)

if __name__ == "__main__":
    run_public_dataset("avazu_ctr", Avazu, SETTINGS)
