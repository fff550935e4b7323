"""Tables prepared on Spark are those that this machine prepares, to the last bit."""

import datetime
import decimal
import os
import signal
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import CategoricalColumn, CriteoDAC, NumericColumn, TableDescription, Tabular, prepare
from grouprank.datasets.encode_pass import EncodeSums
from grouprank.datasets.spark_engine import SparkEngine, _add, _batch, _call, _fit, _Reading, _received, _task
from grouprank.datasets.transforms.token_counts import TokenCounts

pytest.importorskip("pyspark", reason="pyspark is not installed (pip install 'grouprank[spark]')")

DAY = datetime.datetime(2022, 5, 1, 12, 30)
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def spark():
    """A session whose tasks may fail twice."""
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        settings = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": "2",
            # Most of the time would go into starting: imports in each worker, and compilers of Java for a few rows.
            "spark.python.daemon.module": "support.spark_workers",
            "spark.sql.codegen.wholeStage": "false",
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        }
        session = SparkSession.builder.master("local[2,3]").config(map=settings).getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


def assert_equal(found, expected):
    def files(table):
        folder = table.folder / "transforms"
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(found) == files(expected)
    report = dict(found.report)
    parts = report.pop("parts")
    assert report == expected.report
    assert [sum(part[split] for part in parts) for split in SPLITS] == [expected.rows(split) for split in SPLITS]
    names = [*expected.schema.feature_names, *expected.schema.task_names]
    for split in SPLITS:
        for name in names:
            values, theirs = (np.asarray(table.column(split, name)) for table in (found, expected))
            assert (values.dtype, values.tobytes()) == (theirs.dtype, theirs.tobytes())
    assert not list(found.folder.rglob(".*"))
    return len(parts)


def test_a_task_adds_up_one_key_after_the_other():
    read = []

    def batches():
        for key, name, tokens in [(0, 3, None), (1, "os", "ab"), (1, "os", "bc"), (2, "os", "d"), (9, "price", 5.0)]:
            read.append(key)
            yield _batch((key, (name, TokenCounts.of(pl.Series([*tokens])) if name == "os" else tokens)))

    columns = {"os": CategoricalColumn("os", "user", min_count=2), "price": NumericColumn("price", "ad")}
    sent, found = _add(columns, batches()), {}
    for key, (name, part) in _received(sent):
        assert len(read) <= {0: 2, 1: 4, 2: 5, 9: 5}[key]
        found[key, name] = part.tokens(1, None).tolist() if name == "os" else part
    # Of the rare ones only their kind is sent on.
    assert found == {(0, 3): None, (1, "os"): ["b"], (2, "os"): [], (9, "price"): 5.0}


@pytest.mark.parametrize("workers", [1, 5])
def test_a_file_is_prepared_alike_however_it_is_cut(spark, criteo, tmp_path, workers):
    calls = []
    expected = prepare(CriteoDAC(criteo), tmp_path / "local", 32, 4)
    at = "file://" if workers == 1 else ""
    found = prepare(
        CriteoDAC(f"{at}{criteo}"),
        f"{at}{tmp_path}/spark",
        50,
        4,
        lambda *call: calls.append(call),
        workers,
        engine="spark",
    )
    assert assert_equal(found, expected) == workers
    assert calls == [("fit", 696, None), ("encode", 696, 696)]
    if workers == 5:
        with pytest.raises(
            ValueError, match=r"train.txt, line 641: expected 40 .* In the parts before, 3 more were sk"
        ):
            prepare(CriteoDAC(criteo), tmp_path / "bad", 50, 3, workers=workers, engine="spark")
        with pytest.raises(ValueError, match=r"train.txt, line 10: expected 40 tab-separated fields. Received: 39"):
            prepare(CriteoDAC(criteo), tmp_path / "bad", 50, workers=workers, engine="spark")
        assert not list(tmp_path.glob("*bad*"))
        assert prepare(CriteoDAC(criteo), tmp_path / "spark", max_bad_rows=4).rows("train") == expected.rows("train")


def test_a_task_that_is_lost_changes_nothing(spark, criteo, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()

    # A class of a function is sent to the tasks with its code.
    class MortalColumn(CategoricalColumn):
        """Whose tokens end the process that adds up a piece of them, once."""

        def thinned(self, summary):
            mark = killed / "added"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().thinned(summary)

    class Mortal(CriteoDAC):
        """Whose third part ends its process in the middle of each of the two passes, once."""

        def __init__(self, folder):
            super().__init__(folder)
            self.columns = [
                MortalColumn(column.name, column.side, min_count=10) if column.name == "C1" else column
                for column in self.columns
            ]

        def chunks(self, chunk_rows, max_bad_rows=0, workers=1):
            for number, frame in enumerate(super().chunks(chunk_rows, max_bad_rows, workers)):
                mark = killed / str((tmp_path / "fitted").exists())
                if self._within and 200 < self._within.first_line < 400 and number == 1 and not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                yield frame

    def on_progress(stage, done, total):
        (tmp_path / "fitted").touch()

    expected = prepare(CriteoDAC(criteo), tmp_path / "local", max_bad_rows=4)
    found = prepare(Mortal(criteo), tmp_path / "spark", 40, 4, on_progress, workers=4, engine="spark")
    assert len(list(killed.iterdir())) == 3
    found.report["fingerprint"] = expected.report["fingerprint"]
    assert assert_equal(found, expected) == 4


def test_a_data_frame_of_spark_with_any_kind_of_feature(spark, tmp_path):
    kinds = {
        "country": {"kind": "categorical", "side": "user"},
        "ad": {"kind": "growing", "side": "ad", "capacity": 30, "min_count": 2},
        "price": {"kind": "numeric", "side": "ad"},
        "age": {"kind": "bucketized", "side": "user", "buckets": 4},
        "site": {"kind": "hashed", "side": "context", "buckets": 50},
        "seen": {"kind": "sequence", "side": "user", "length": 3, "shares": "ad", "separator": ","},
        "image": {"kind": "vector", "side": "ad", "dim": 2},
    }
    features = [{"name": name, **kind} for name, kind in kinds.items()]
    random = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "country": random.choice(["de", "fr", "é", None], 200).tolist(),
            "ad": random.integers(0, 60, 200).astype(str),
            "price": random.exponential(size=200),
            "age": random.integers(10, 80, 200),
            "site": random.integers(0, 99, 200).astype(str),
            "seen": [[str(n) for n in random.integers(0, 60, length)] for length in random.integers(0, 5, 200)],
            "image": random.normal(size=(200, 2)).tolist(),
            "click": random.integers(0, 2, 200),
            "day": random.permutation(200),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    rows = spark.createDataFrame(frame.to_arrow()).repartitionByRange(4, "day").sortWithinPartitions("day")
    local = frame.sort("day")
    local.write_parquet(tmp_path / "sorted.parquet")
    for number, more in enumerate(({}, {"time": "day"})):
        description = TableDescription.from_dict({"features": features, "tasks": ["click"], **more})
        expected = prepare(Tabular(tmp_path / "sorted.parquet", description), tmp_path / f"local{number}")
        table = Tabular(tmp_path / "sorted.parquet" if more else rows, description)
        found = prepare(table, tmp_path / f"spark{number}", engine="spark")
        assert len(found.report["parts"]) == (2 if more else 4)
        found.report["fingerprint"] = expected.report["fingerprint"]
        assert_equal(found, expected)
    wrong = frame.with_columns(click=pl.when(pl.col("day") == 150).then(7).otherwise("click")).sort("day").to_arrow()
    with pytest.raises(ValueError, match="line 151: column 'click': expected a label"):
        prepare(Tabular(spark.createDataFrame(wrong), description), tmp_path / "bad", engine="spark")
    with pytest.raises(ValueError, match='table of Spark, which this process cannot read. Pass engine="spark"'):
        prepare(Tabular(rows, description), tmp_path / "bad")
    with pytest.raises(ValueError, match="the path of a table or a data frame of Spark. Received"):
        Tabular(frame, description)
    with pytest.raises(ValueError, match="`engine` must be one of"):
        prepare(Tabular(tmp_path / "t.parquet", description), tmp_path / "bad", engine="dask")
    assert not Path(tmp_path / "bad").exists()


def test_what_spark_reads_is_prepared_as_it_stands(spark, tmp_path):
    description = TableDescription.from_dict(
        {
            "features": [
                {"name": "country", "kind": "categorical", "side": "user"},
                {"name": "price", "kind": "numeric", "side": "ad"},
            ],
            "tasks": ["click"],
            "time": "day",
        }
    )
    random = np.random.default_rng(2)
    prices = [decimal.Decimal(int(cents)) / 4 for cents in random.integers(0, 99, 90)]
    frame = pl.DataFrame(
        {
            "country": random.choice(["de", "fr", None], 90).tolist(),
            "price": pl.Series(prices, dtype=pl.Decimal(10, 2)),
            "click": random.integers(0, 2, 90),
            "day": pl.Series(range(90)).cast(pl.Duration("ms")) * 86_400_000 + pl.Series([DAY] * 90),
        }
    )
    rows = spark.createDataFrame(frame.to_arrow()).repartition(3)
    rows.write.orc(str(tmp_path / "orc"))
    rows.write.csv(str(tmp_path / "csv"), header=True)
    rows.write.saveAsTable("clicks", path=str(tmp_path / "warehouse"))
    spark.read.csv(str(tmp_path / "csv"), header=True).createOrReplaceTempView("as_text")
    for name, source in {
        "orc": spark.read.orc(str(tmp_path / "orc")),
        "table": spark.table("clicks"),
        "view": spark.sql("select * from as_text where price is not null"),
    }.items():
        pl.DataFrame(source.toArrow()).write_parquet(tmp_path / f"{name}.parquet")
        expected = prepare(Tabular(tmp_path / f"{name}.parquet", description), tmp_path / f"local-{name}")
        found = prepare(Tabular(source, description), tmp_path / f"spark-{name}", engine="spark")
        found.report["fingerprint"] = expected.report["fingerprint"]
        assert_equal(found, expected)
        assert found.rows("train") == 72


def test_a_bad_row_is_named_by_its_file_and_its_place_there(spark, tmp_path):
    features = [{"name": "price", "kind": "numeric", "side": "ad"}]
    description = TableDescription.from_dict({"features": features, "tasks": ["click"]})
    for number, rows in enumerate((40, 10, 30)):
        prices = [str(row) for row in range(rows)]
        if number == 2:
            prices[21] = "cheap"
        part = pl.DataFrame({"price": prices, "click": [0.0] * rows})
        (tmp_path / "t").mkdir(exist_ok=True)
        part.write_parquet(tmp_path / "t" / f"{number}.parquet", row_group_size=5)
    message = r"t/2.parquet, {} 22: column 'price': expected a number or nothing. Received: 'cheap'"
    table = Tabular(tmp_path / "t" / "2.parquet", description)
    with pytest.raises(ValueError, match=message.format("line")):
        prepare(table, tmp_path / "bad", workers=4, engine="spark")
    for size in ("1g", "1k"):  # the files together, and each in several blocks
        spark.conf.set("spark.sql.files.maxPartitionBytes", size)
        frame = spark.read.parquet(str(tmp_path / "t"))
        with pytest.raises(ValueError, match=message.format("row")):
            prepare(Tabular(frame, description), tmp_path / "bad", engine="spark")
        assert (frame.rdd.getNumPartitions() > 3) == (size == "1k")
    spark.conf.unset("spark.sql.files.maxPartitionBytes")


def test_files_that_tasks_do_not_find_are_named(tmp_path, criteo, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    reading = _Reading([CriteoDAC(criteo)], 50, 4, of_frame=False)
    (criteo / "train.txt").unlink()
    source = [pa.RecordBatch.from_pydict({"id": [0]})]
    for work, shared in ((_fit, (reading,)), (_call, (Path.read_bytes, [criteo / "train.txt"]))):
        [(key, (number, error))] = _received(_task(work, shared, True, iter(source)))
        assert (key, number) == (0, 0)
        with pytest.raises(FileNotFoundError, match=r"train.txt is not on .*GROUPRANK_CACHE"):
            raise error
    # A folder that only the executors see.
    engine = object.__new__(SparkEngine)
    engine._spark, engine._reading, engine.parts = MagicMock(), reading, [{"train": 1}, {"train": 2}]
    monkeypatch.setattr(engine, "_collect", lambda *task: [EncodeSums(), EncodeSums()])
    with pytest.raises(FileNotFoundError, match=r"wrote the parts \[0, 1\] into .* of their own machines. Choose"):
        engine.encode(None, None, tmp_path / "columns")
