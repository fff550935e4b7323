"""The contenders of `serving`, without timing anything."""

import pickle
import shutil

import numpy as np
from support.raw_ads import raw_rows

from grouprank.benchmarks import serving
from grouprank.benchmarks.scoring.saved_model_requests import prepare, request
from grouprank.benchmarks.scoring.saved_models import BFLOAT16, FLOAT32, IDS, RAW, STORED, write_network_models
from grouprank.benchmarks.scoring.serving_report import FLAT, RANK, serving_report
from grouprank.benchmarks.support import Measurement
from grouprank.serving.c_session import CSession

WORK = {"rows": 60, "fields": 3, "batch_size": 8, "batches": 1, "embedding_dim": 4}


def test_a_request_is_one_users():
    columns = {"user": np.array([3, 4, 5]), "ad": np.array([7, 8, 9]), "vector": np.arange(6).reshape(3, 2)}
    of_ads = ("ad", "vector")
    flat = request(columns, of_ads, FLAT, 2)
    assert {name: values.tolist() for name, values in flat.items()} == {
        "user": [3, 3], "ad": [7, 8], "vector": [[0, 1], [2, 3]]
    }  # fmt: skip
    ranked = request(columns, of_ads, RANK, 2)
    assert {name: values.tolist() for name, values in ranked.items()} == {
        "user": [3], "ad": [[7, 8]], "vector": [[[0, 1], [2, 3]]]
    }  # fmt: skip
    assert request(columns, (), FLAT, 2)["user"].tolist() == [3, 4]


def test_both_signatures_are_asked_the_same(exported, tmp_path):
    path = shutil.copytree(exported[1], tmp_path / "tiny" / "1")
    of_ads = ("tags", "bid", "age", "image")
    (path.parent / "requests.pickle").write_bytes(pickle.dumps((raw_rows(), of_ads)))
    session = CSession(path)
    flat, ranked = (session.run(name, request(raw_rows(), of_ads, name, 50)) for name in (FLAT, RANK))
    np.testing.assert_allclose(ranked["click"], flat["click"][np.newaxis], atol=1e-6)
    prepared = prepare(str(path), RANK, 4)
    assert len(prepared.run(3)) == 3
    assert prepared.facts["variables"] > 1000


def test_the_networks_of_other_libraries(tmp_path):
    found = write_network_models(WORK, tmp_path, (FLOAT32, BFLOAT16))
    sizes = {}
    for dtype, path in found.items():
        columns, of_ads = pickle.loads((path.parent / "requests.pickle").read_bytes())
        answer = CSession(path).run(FLAT, request(columns, of_ads, FLAT, 8))
        assert answer["click"].shape == (8,)
        sizes[dtype] = prepare(str(path), FLAT, 8).facts["variables"]
    # 60 rows of 4, two bytes less each; the file's index varies by some bytes.
    assert sizes[FLOAT32] - sizes[BFLOAT16] > 400


def test_report():
    paths = {RAW: "raw", IDS: "ids"} | dict.fromkeys(STORED, "network")
    work = serving.Workload(**WORK)
    contenders = [*serving._asked(paths, paths, 500), *serving._peers(work, 500)]
    assert len({one.name for one in contenders}) == len(contenders) == 11
    found = {one.name: Measurement(one.name, rounds=[[0.010]], facts={"variables": 1e6}) for one in contenders}
    found[f"{RANK}, {RAW}, 500"].rounds = [[0.007]]
    found[f"{FLAT}, {IDS}, 500"].rounds = [[0.009]]
    found[f"{FLAT}, {FLOAT32} table, 500"].facts["variables"] = 4e6
    found["FuxiCTR predict, 500"].error = "pip failed"
    settings = {**WORK, "preset": "dcn_v2_gsl_resl", "preset_embedding_dim": 16}
    text = serving_report(found, [500], settings).to_markdown()
    assert "| `rank` over `serving_default` | ≤ 0.60 | 0.70 (0.70–0.70) | **no** |" in text
    assert "| preprocessing's share of `serving_default` | ≤ 0.25 | 0.10 (0.10–0.10) | yes |" in text
    assert "| 500 | rank | raw columns | 7.00 | 7.00 | 71,429 | 0.70 (0.70–0.70) |" in text
    assert "| 500 | FuxiCTR predict | – | – | – | – |" in text
    assert "| 500 | int4 | 10.00 | 10.00 | 1.00 (1.00–1.00) | 1 | 25.0% |" in text
    assert "**FuxiCTR predict, 500** could not be measured: pip failed" in text
