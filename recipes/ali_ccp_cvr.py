"""Ali-CCP: clicks and the purchases that followed, in Taobao's recommender.

`python -m grouprank.recipes.ali_ccp_cvr --data DIR`

The files are on Tianchi behind a login; unpack sample_train.tar.gz and sample_test.tar.gz into DIR. Preparing them
takes about an hour and 40 GB of disk; `grouprank.datasets.AliCCP` has the details.
"""

from ..datasets import AliCCP
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.2, embedding_l2=1e-6, patience=1)

if __name__ == "__main__":
    run_public_dataset("ali_ccp_cvr", AliCCP, SETTINGS)
