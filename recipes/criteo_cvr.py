"""Criteo's two logs with conversions: sales of clicks, or clicks and conversions of impressions.

`python -m grouprank.recipes.criteo_cvr --dataset conversion_log --data DIR`
`python -m grouprank.recipes.criteo_cvr --dataset attribution --data DIR`

`conversion_log` (the default) is the Sponsored Search Conversion Log: every row is a click, and the one task is the
sale. `attribution` is Attribution Modeling for Bidding: clicks, and conversions given a click.
"""

import argparse
import sys

from ..datasets import CriteoAttribution, CriteoConversionLog
from .command import run_public_dataset
from .study_settings import StudySettings

SETTINGS = StudySettings(dropout=0.2, embedding_l2=1e-6, patience=1)
DATASETS = {"conversion_log": CriteoConversionLog, "attribution": CriteoAttribution}


def main() -> None:
    """Take `--dataset` off the command line; the other options are those of every recipe."""
    parser = argparse.ArgumentParser(prog="criteo_cvr", add_help=False, allow_abbrev=False)
    parser.add_argument("--dataset", choices=list(DATASETS), default="conversion_log")
    chosen, others = parser.parse_known_args()
    if "--help" in others:
        parser.print_help()
    sys.argv[1:] = others
    run_public_dataset(f"criteo_cvr_{chosen.dataset}", DATASETS[chosen.dataset], SETTINGS)


if __name__ == "__main__":
    main()
