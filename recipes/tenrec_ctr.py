"""Tenrec's QK-video: click, like, share and follow of video impressions.

`python -m grouprank.recipes.tenrec_ctr --data DIR`

Each user's last rows are for testing. The files require accepting a licence; `grouprank.datasets.Tenrec` says where.
"""

from ..datasets import Tenrec
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.2, embedding_l2=1e-6, patience=1)

if __name__ == "__main__":
    run_public_dataset("tenrec_ctr", Tenrec, SETTINGS)
