"""The SavedModel answers raw user rows with the ads that an exhaustive search over the Keras model's vectors finds."""

import importlib.util
import json
import sys

import keras
import numpy as np
import polars as pl
import pytest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

import grouprank as gr
from grouprank.datasets import NumericTransform, SequenceTransform, TableTransforms, VocabularyTransform
from grouprank.serving.c_session import CSession
from grouprank.serving.layout.server_files import MAX_BATCH_SIZE

NEEDS_TFRS = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorflow_recommenders", "tf_keras")),
    reason="tensorflow-recommenders and tf-keras are not installed (the extra tfrs)",
)
NEEDS_SCANN = pytest.mark.skipif(
    importlib.util.find_spec("scann") is None, reason="scann is not installed (no release for TensorFlow 2.21)"
)
ADS, K = 40, 7
TOKENS = np.array([f"ad {n}é" for n in range(ADS)], dtype=object)
SCHEMA = gr.Schema(
    [
        gr.Categorical("user_id", 21, side="user"),
        gr.Sequence("history", ADS + 2, 3, side="user", shares="ad_id"),
        gr.Categorical("hour", 25, side="context"),
        gr.Categorical("ad_id", ADS + 2),
        gr.Numeric("bid", side="ad"),
    ],
    [gr.Task("click")],
)
TRANSFORMS = TableTransforms(
    SCHEMA,
    {
        "user_id": VocabularyTransform("user", "int64", np.arange(100, 120)),
        "history": SequenceTransform("history", TOKENS, ",", 3),
        "hour": VocabularyTransform("hour", "int64", np.arange(24)),
        "ad_id": VocabularyTransform("ad", "string", TOKENS, unknown_id=1),
        "bid": NumericTransform("bid", "log1p", 0.5, 2.0),
    },
)


def raw_rows(rows=64):
    rng = np.random.default_rng(0)
    return {
        "user": rng.integers(98, 122, rows),
        "history": np.array([",".join(rng.choice(TOKENS, 2)) for _ in range(rows)], dtype=object),
        "hour": rng.integers(0, 26, rows),
        "ad": rng.choice(TOKENS, rows),
        "bid": rng.gamma(1.0, 3.0, rows).astype("float32"),
    }


def raw_ads():
    # One more ad than the vocabulary knows: it is served under its own name.
    rng = np.random.default_rng(1)
    return {"ad": np.append(TOKENS, "brand new"), "bid": rng.gamma(1.0, 3.0, ADS + 1).astype("float32")}


def tiny_model(**arguments):
    keras.utils.set_random_seed(0)
    groups = {"user": gr.layers.GroupConcat(2, 8, 4, seed=0, name="user_groups")}
    arguments = {"group_structure": groups, "embedding_dim": 4, "tower_units": (8,), "output_dim": 5, **arguments}
    model = gr.models.TwoTowerModel(SCHEMA, "ad_id", **arguments)
    model.compile(keras.optimizers.Adam(0.05))
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = tiny_model(embedding_optimizer="adagrad")
    rows = raw_rows()
    labels = np.random.default_rng(2).integers(0, 2, len(rows["ad"])).astype("float32")
    model.fit(TRANSFORMS(rows), labels, batch_size=32, epochs=3, verbose=0)
    path = tmp_path_factory.mktemp("retrieval") / "tiny" / "3"
    report = gr.serving.export_retrieval(
        model,
        path,
        pl.DataFrame(raw_ads()),
        k=K,
        transforms=TRANSFORMS,
        rows=pl.DataFrame(rows),
        provenance={"data": "raw ads"},
    )
    return model, path, report


def exhaustive(model):
    """Scores of all ads for the rows, from the vectors alone."""
    ads = TRANSFORMS({**raw_rows(ADS + 1), **raw_ads()})
    users = model.user_vectors(TRANSFORMS(raw_rows()))
    return users.astype("float64") @ model.ad_vectors(ads).T / model.temperature


@NEEDS_TFRS
class TestBruteForce:
    def test_top_k_is_the_exhaustive_searchs(self, exported):
        model, path, report = exported
        scores = exhaustive(model)
        assert np.ptp(scores, axis=1).min() > 0.1, "equal scores would prove nothing"
        best = np.argsort(-scores, axis=1)[:, :K]
        np.testing.assert_allclose(report.scores, np.take_along_axis(scores, best, axis=1), atol=1e-3)
        same = report.ids == raw_ads()["ad"].astype(str)[best]
        # Scores closer than rounding may change places.
        assert same.mean() > 0.98
        assert (report.path, report.rows, report.recall, report.ids.shape) == (path, 64, 1.0, (64, K))
        assert report.max_difference < 1e-3
        assert "best 7 ads of 64 raw rows" in str(report)

    def test_the_signature_takes_the_users_raw_columns_alone(self, exported):
        _, path, report = exported
        assert set(report.raw) == {"user", "history", "hour"}
        assert [entry.name for entry in path.parent.iterdir() if entry.is_dir()] == ["3"]
        assert not any(name.name == "bid.txt" for name in (path / "assets").iterdir())

    def test_warm_up_and_provenance_lie_in_the_version(self, exported):
        _, path, report = exported
        import tensorflow as tf

        extra, session, seen = path / "assets.extra", CSession(path), []
        for record in tf.data.TFRecordDataset(str(extra / "tf_serving_warmup_requests")).as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            assert request.model_spec.name == "tiny"
            columns = {column: tf.make_ndarray(tensor) for column, tensor in request.inputs.items()}
            outputs = session.run(request.model_spec.signature_name, columns)
            seen.append((request.model_spec.signature_name, len(next(iter(outputs.values())))))
        signatures = ("serving_default", "user_vectors", "groups")
        assert sorted(seen) == sorted((name, size) for name in signatures for size in (1, 32, MAX_BATCH_SIZE))
        known = json.loads((extra / "provenance.json").read_text())
        assert known["model"]["class_name"] == "TwoTowerModel"
        assert known["retrieval"] == {"index": "brute_force", "k": K, "options": {}, "ads": ADS + 1, "recall": 1.0}
        assert known["largest_difference_to_keras"] == report.max_difference
        assert known["data"] == "raw ads"

    def test_ids_without_transforms(self, tmp_path):
        model = tiny_model(group_structure=(), context_in_user_tower=False, normalize=False)
        ads = {"ad_id": np.arange(1, ADS + 1), "bid": np.linspace(-1, 1, ADS)}
        report = gr.serving.export_retrieval(model, tmp_path / "1", ads, k=ADS)
        assert set(report.raw) == {"user_id", "history"}
        ids, scores = model.recommend(report.raw, ads, ADS)
        assert report.rows == 256
        np.testing.assert_allclose(report.scores, scores, atol=1e-5)
        assert (report.ids == ids).mean() > 0.98

    def test_an_existing_version_is_never_touched(self, exported):
        model, path, _ = exported
        before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
        with pytest.raises(FileExistsError, match=r"never overwritten\. Export to .*4"):
            gr.serving.export_retrieval(model, path, raw_ads(), transforms=TRANSFORMS)
        assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before

    def test_a_disagreement_publishes_nothing(self, exported, tmp_path):
        model, _, _ = exported
        with pytest.raises(RuntimeError, match=r"disagrees with the Keras model .*rows differ by more than"):
            gr.serving.export_retrieval(
                model, tmp_path / "other" / "1", raw_ads(), k=K, transforms=TRANSFORMS, tolerance=-1.0
            )
        assert list((tmp_path / "other").iterdir()) == []

    def test_what_the_user_gets_wrong(self, exported, tmp_path):
        model, _, _ = exported
        path, ads = tmp_path / "1", raw_ads()
        export = gr.serving.export_retrieval
        with pytest.raises(ValueError, match=r"`k` must be an integer between 1 and the 41 ads. Received: k=42"):
            export(model, path, ads, k=42, transforms=TRANSFORMS)
        with pytest.raises(ValueError, match=r"lists 1 ads again, e\.g\. id .*brand new.* 2 times"):
            export(model, path, {n: np.append(v, v[-1]) for n, v in ads.items()}, k=K, transforms=TRANSFORMS)
        with pytest.raises(ValueError, match=r"`candidates` lacks the raw columns \['bid'\]"):
            export(model, path, {"ad": ads["ad"]}, k=K, transforms=TRANSFORMS)
        with pytest.raises(ValueError, match=r"`rows` lacks the raw columns \['user', 'hour'\]"):
            export(model, path, ads, k=K, transforms=TRANSFORMS, rows={"history": ["a"]})
        with pytest.raises(ValueError, match=r"`index` must be one of \['brute_force', 'scann'\].*'hnsw'"):
            export(model, path, ads, k=K, index="hnsw", transforms=TRANSFORMS)
        with pytest.raises(ValueError, match=r"`model` must be a TwoTowerModel. Received: Sequential"):
            export(keras.Sequential(), path, ads)
        other = TableTransforms(
            gr.Schema([gr.Numeric("bid")], [gr.Task("click")]), {"bid": NumericTransform("bid", "identity", 0.0, 1.0)}
        )
        with pytest.raises(ValueError, match="fitted for other features"):
            export(model, path, ads, transforms=other)
        assert not path.exists()


@pytest.mark.parametrize(("index", "package"), [("brute_force", "tensorflow_recommenders"), ("scann", "scann")])
def test_a_missing_package_is_named_with_its_remedy(index, package, tmp_path, monkeypatch):
    module = sys.modules["grouprank.serving.export_retrieval"]
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"index='{index}' is written with .*'{package}'.*Install: pip install"):
        gr.serving.export_retrieval(tiny_model(), tmp_path / "1", raw_ads(), index=index)


@NEEDS_TFRS
@NEEDS_SCANN
def test_scann(exported, tmp_path):
    model, _, _ = exported
    report = gr.serving.export_retrieval(
        model,
        tmp_path / "1",
        raw_ads(),
        k=K,
        index="scann",
        transforms=TRANSFORMS,
        rows=raw_rows(),
        index_options={"num_leaves_to_search": 6},
    )
    assert report.recall > 0.9
    scores = exhaustive(model)
    best = np.sort(scores, axis=1)[:, ::-1][:, :K]
    assert (report.scores <= best + 1e-3).all()
