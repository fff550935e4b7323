"""Spark's daemon of Python workers, which imports grouprank once and not in each worker that it forks."""

from pyspark.daemon import manager

import grouprank.datasets.spark_engine  # noqa: F401

if __name__ == "__main__":
    manager()
