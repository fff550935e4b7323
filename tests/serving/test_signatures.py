"""What the signatures answer: tf.Examples, users with lists of ads, and requests that are wrong."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.raw_ads import SCHEMA, TRANSFORMS, raw_rows
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import grouprank as gr
from grouprank.serving.c_session import CSession, read_signatures
from grouprank.serving.examples import to_examples

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="exports from each backend are compared in test_export; what a signature answers is the same",
)
ROWS = 40
REQUEST = ("user_id", "raw_hour", "os", "never_seen")


@pytest.fixture(scope="module")
def ask(exported):
    """Outputs of one signature for some columns."""
    _, path, _ = exported
    session = CSession(path)
    return lambda signature, **columns: session.run(signature, columns)


def close(found, expected):
    """Equal but for the few rows that rounding tips into another group."""
    assert np.ptp(expected) > 1e-2
    assert np.sort(np.abs(np.asarray(found).reshape(-1) - np.asarray(expected).reshape(-1)))[-2] <= 1e-5


def test_every_signature_says_what_it_takes(exported):
    _, path, _ = exported
    signatures = read_signatures(path)
    assert sorted(signatures) == [
        "classify", "explanations", "features", "groups", "rank", "regress_click", "regress_like", "serving_default",
        "serving_examples",
    ]  # fmt: skip
    for name in ("serving_default", "rank", "groups", "explanations"):
        assert sorted(signatures[name][0]) == sorted(TRANSFORMS.raw_columns)
    assert list(signatures["classify"][0]) == ["inputs"]
    assert sorted(signatures["classify"][1]) == ["classes", "scores"]
    assert list(signatures["regress_like"][1]) == ["outputs"]
    methods = methods_of(path)
    assert methods["classify"] == "tensorflow/serving/classify"
    assert methods["regress_click"] == "tensorflow/serving/regress"
    assert methods["rank"] == methods["serving_default"] == "tensorflow/serving/predict"


def methods_of(path):
    model = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    return {name: signature.method_name for name, signature in model.meta_graphs[0].signature_def.items()}


def test_missing_and_empty_features_are_out_of_vocabulary(exported, ask):
    model, _, _ = exported
    raw = raw_rows(ROWS)
    dropped = ["user_id", "raw_hour", "os", "tags", "bid", "image"]
    kept = {name: values for name, values in raw.items() if name not in dropped}
    inputs = TRANSFORMS(raw)
    for name in ("user_id", "hour", "os", "tags", "bid", "image"):
        # What training gives for unseen tokens; missing numbers are the mean.
        unseen = TRANSFORMS({**raw, "os": np.full(ROWS, "zzz", object), "user_id": np.full(ROWS, 10**9)})
        inputs[name] = unseen[name] if name in ("os", "user_id") else np.zeros_like(inputs[name])
    expected = model.predict_proba(inputs)
    empty = tf.train.Feature(int64_list=tf.train.Int64List())
    for given in (to_examples(kept), [with_feature(e, "user_id", empty) for e in to_examples(kept)]):
        found = ask("serving_examples", examples=np.array(given, object))
        for task in ("click", "like"):
            close(found[task], expected[task])


def with_feature(example, name, feature):
    parsed = tf.train.Example.FromString(example)
    parsed.features.feature[name].CopyFrom(feature)
    return parsed.SerializeToString()


def test_an_unknown_feature_is_ignored(ask):
    raw = raw_rows(ROWS)
    plain = ask("serving_examples", examples=np.array(to_examples(raw), object))
    more = ask("serving_examples", examples=np.array(to_examples({**raw, "new": np.arange(ROWS)}), object))
    np.testing.assert_array_equal(plain["click"], more["click"])


def test_classify_and_regress_give_the_same_scores(exported, ask):
    model, _, _ = exported
    raw = raw_rows(ROWS)
    expected = model.predict_proba(TRANSFORMS(raw))
    examples = np.array(to_examples(raw), object)
    classified = ask("classify", inputs=examples)
    assert classified["classes"].shape == classified["scores"].shape == (ROWS, 2)
    for number, task in enumerate(["click", "like"]):
        assert set(classified["classes"][:, number]) == {task.encode()}
        close(classified["scores"][:, number], expected[task])
        close(ask(f"regress_{task}", inputs=examples)["outputs"], expected[task])


def test_explanations_are_those_of_the_model(exported, ask):
    model, _, _ = exported
    raw = raw_rows(ROWS)
    found, expected = ask("explanations", **raw), gr.serving.explain(model, raw, TRANSFORMS)
    assert sorted(found) == ["click", "fields", "like"]
    assert found["fields"].astype(str).tolist() == [list(expected.fields)] * ROWS
    for task in ("click", "like"):
        close(found[task], expected.contributions[task])
    none = ask("explanations", **{name: values[:0] for name, values in raw.items()})
    assert none["click"].shape == none["fields"].shape == (0, len(expected.fields))


def test_many_ads_for_each_of_several_users(exported, ask):
    model, _, _ = exported
    users, ads = 3, 7
    raw = raw_rows(users * ads)
    request = {name: raw[name][:users] for name in REQUEST}
    candidates = {name: raw[name] for name in raw if name not in REQUEST}
    flat = {name: np.repeat(values, ads, axis=0) for name, values in request.items()} | candidates
    expected = model.predict_proba(TRANSFORMS(flat))
    lists = {name: values.reshape(users, ads, *values.shape[1:]) for name, values in candidates.items()}
    found = ask("rank", **request, **lists)
    for task in ("click", "like"):
        assert found[task].shape == (users, ads)
        close(found[task], expected[task])


@pytest.mark.parametrize(
    ("signature", "change", "words"),
    [
        ("serving_default", {"os": np.array(["x"] * 3, object)}, "columns differ in their number of rows"),
        ("serving_default", {"image": np.zeros((ROWS, 3), "float32")}, "image"),
        ("rank", {"os": np.array(["x"] * 3, object)}, "columns differ in their number of rows"),
        ("rank", {"tags": np.array([["a"] * 3], object)}, "columns differ in their number of candidates"),
    ],
)
def test_columns_that_do_not_fit_are_refused_with_words(ask, signature, change, words):
    raw = raw_rows(ROWS)
    if signature == "rank":
        raw = {n: v[:1] if n in REQUEST else v[np.newaxis] for n, v in raw.items()}
    with pytest.raises(RuntimeError, match=words):
        ask(signature, **{**raw, **change})


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (
            tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2])),
            "Feature user_id of an Example holds none or 1 of int64.*2",
        ),
        (tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"7"])), "user_id.*Expected type: int64"),
    ],
)
def test_malformed_examples_are_refused_with_words(ask, feature, words):
    examples = to_examples(raw_rows(ROWS))
    with pytest.raises(RuntimeError, match=words):
        ask("serving_examples", examples=np.array([*examples, with_feature(examples[0], "user_id", feature)], object))
    with pytest.raises(RuntimeError, match="Could not parse example"):
        ask("serving_examples", examples=np.array([b"\xff\xffno example"], object))


def test_without_two_sides_there_is_no_rank(tmp_path):
    schema = gr.Schema([gr.Categorical("ad_id", 9), gr.Numeric("bid", side="ad")], SCHEMA.tasks)
    model = gr.models.CTRModel(schema, "mlp", group_structure=(), residual_learning=False, embedding_dim=4)
    gr.serving.export(model, tmp_path / "lonely" / "1")
    assert sorted(read_signatures(tmp_path / "lonely" / "1")) == [
        "classify", "regress_click", "regress_like", "serving_default", "serving_examples"
    ]  # fmt: skip
