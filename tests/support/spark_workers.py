"""Spark's daemon of Python workers, which imports Keras once and not in each worker that it forks.

Keras and its backend are nearly all that importing grouprank costs. Polars may not be imported before a fork.
"""

import keras  # noqa: F401
from pyspark.daemon import manager

if __name__ == "__main__":
    manager()
