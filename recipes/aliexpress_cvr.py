"""AliExpress's search in one country: clicks and the conversions that followed.

`python -m grouprank.recipes.aliexpress_cvr --data AliExpress_NL`

`grouprank.datasets.AliExpress` says where to get the files.
"""

from ..datasets import AliExpress
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.2, patience=1)

if __name__ == "__main__":
    run_public_dataset("aliexpress_cvr", AliExpress, SETTINGS)
