"""Criteo's Display Advertising Challenge: clicks, 13 counts and 26 hashed categories.

`python -m grouprank.recipes.criteo_ctr --data DIR`

The columns are anonymous; `grouprank.datasets.CriteoDAC` says which side each is taken for and why.
"""

from ..datasets import CriteoDAC
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.2, patience=1)

if __name__ == "__main__":
    run_public_dataset("criteo_ctr", CriteoDAC, SETTINGS)
