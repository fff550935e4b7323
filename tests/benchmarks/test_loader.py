import json

import polars as pl
import pytest

from grouprank.benchmarks import loader
from grouprank.benchmarks.loading import feed, id_map, prepare_text
from grouprank.benchmarks.loading.criteo_text import COLUMNS, write_criteo_text
from grouprank.benchmarks.loading.loader_report import loader_report
from grouprank.benchmarks.support import Measurement
from grouprank.datasets import CriteoDAC, prepare


def read(path):
    schema = dict.fromkeys(COLUMNS, pl.String)
    return pl.read_csv(path, has_header=False, separator="\t", quote_char=None, schema=schema)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("criteo")
    write_criteo_text(folder / "text" / "train.txt", 3000)
    prepare(CriteoDAC(folder / "text"), folder / "table")
    return folder


def test_the_text_is_as_asked_and_grows_by_fresh_tokens(place, tmp_path):
    path = place / "text" / "train.txt"
    table = read(path)
    assert len(table) == 3000
    assert write_criteo_text(tmp_path / "again.txt", 3000).read_bytes() == path.read_bytes()
    assert table["click"].is_in(["0", "1"]).all()
    source = tmp_path / "source.txt"
    source.write_text("\n".join(path.read_text().split("\n")[:5]) + "\n")
    drawn = read(write_criteo_text(tmp_path / "drawn.txt", 2000, source))
    assert drawn["I1"].n_unique() <= 5
    assert drawn["C20"].n_unique() <= 6  # four values in the official file
    assert 300 < drawn["C3"].n_unique() < 600  # ten million: a token in five is new


@pytest.mark.parametrize("stage", ["both", "count", "encode", "parse", "read"])
def test_stages_of_preparing_run_and_leave_nothing(place, stage):
    text = place / "text"
    prepared = prepare_text.prepare(str(text), stage, 1)
    assert len(prepared.run(2)) == 2
    assert prepared.facts["cpu seconds"] > 0
    assert [path.name for path in text.iterdir()] == ["train.txt"]


@pytest.mark.parametrize("case", ["known", "new", "full"])
@pytest.mark.parametrize("dtype", ["string", "int64"])
def test_growing_ids_are_looked_up_or_given_out(case, dtype):
    prepared = id_map.prepare(case, dtype, 100)
    assert len(prepared.run(2)) == 2
    # Each step starts from the same map, so no step is easier than another.
    assert prepared.facts["new"] == {"known": 0, "new": 100, "full": 0}[case]
    assert prepared.facts["handed on"] == {"known": 0, "new": 0, "full": 100}[case]


@pytest.mark.parametrize("kind", ["sequential", "shuffled", "shuffled, no thread"])
def test_feeding_goes_on_over_epochs(place, kind):
    prepared = feed.prepare(str(place / "table"), kind, 512, 4)
    assert len(prepared.run(3)) == 3
    assert prepared.facts["batches per step"] == 4


def test_report(tmp_path):
    places = {1000: tmp_path / "small", 4000: tmp_path / "large"}
    made = [
        *loader._preparing(places),
        *loader._mapping(600_000),
        *loader._feeding(places, 64),
        *loader._fitting(tmp_path, 1_000_000, 4096),
    ]
    contenders = {one.name: one for one in made}
    assert len(contenders) == len(made)
    assert {loader._part(one) for one in made} == set(loader.STEPS)
    found = {name: Measurement(name, rounds=[[2.0], [4.0]]) for name in contenders}
    found["DCNv2, loader, JAX"] = Measurement("DCNv2, loader, JAX", error="boom")
    settings = {"rows": 1000, "larger": 4, "source": "made up", "batch_size": 64, "repeats": 2, "ids": 7}
    settings["growing_ids"] = 600_000
    report = loader_report(contenders, found, settings, loader.BACKENDS)
    page = report.write(tmp_path / "docs").read_text()
    # 1000 rows in 3 s, 4000 in as long
    assert "| prepare, all cores | 333 | 3.00 | 1.00 (1.00–1.00) | 0.00 | 0.00 | 0.00 |" in page
    assert "| prepare, larger text | 1,333 | 3.00 |" in page
    assert "| new tokens, full table | int64 | 200,000 | ≥ 300,000 | **no** |" in page
    # 16 batches of 64 rows against 4 of them and 1, in the same time
    assert "| tf.data from memory, shuffled | 85 | 4.00 (4.00–4.00) |" in page
    assert "| in `fit` ÷ DCNv2, TensorFlow | ≥ 5 | 16.00 (8.00–32.00) | yes |" in page
    assert "| in `fit` ÷ DCNv2, JAX | ≥ 5 | – | not measured |" in page
    assert "boom" in page
    assert json.loads((tmp_path / "docs" / "loader.json").read_text())["settings"]["rows"] == 1000
