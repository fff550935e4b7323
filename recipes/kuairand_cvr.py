"""KuaiRand-Pure as a funnel: is_click, then long_view and is_profile_enter given a click.

`python -m grouprank.recipes.kuairand_cvr --data DIR`

Files, features, split and settings are those of `kuairand_ctr`.
"""

from ..datasets import KuaiRandFunnel
from .command import run_public_dataset
from .kuairand_ctr import SETTINGS

if __name__ == "__main__":
    run_public_dataset("kuairand_cvr", KuaiRandFunnel, SETTINGS)
