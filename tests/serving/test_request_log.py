"""Logs of TensorFlow Serving, written with its own messages and read back."""

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

import grouprank as gr
from grouprank.serving import read_request_log

COLUMNS = {
    "os": np.array([b"ios", b""], object),
    "seen": np.array([[b"a", b"b"], [b"c", b""]], object),
    "hour": np.array([3, 4]),
    "bid": np.array([0.5, 1.5], "float32"),
}
# As they are read back.
READ = {"os": ["ios", None], "seen": [["a", "b"], ["c"]], "hour": [3, 4], "bid": [0.5, 1.5]}


def predicted(inputs, outputs, signature="serving_default"):
    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for part, columns in ((log.predict_log.request.inputs, inputs), (log.predict_log.response.outputs, outputs)):
        for name, values in columns.items():
            values = np.asarray(values)
            part[name].CopyFrom(tf.make_tensor_proto(values.tolist() if values.dtype == object else values))
    return log


@pytest.fixture
def write(tmp_path):
    def write(*logs, name="log.tfrecord"):
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            for log in logs:
                writer.write(log if isinstance(log, bytes) else log.SerializeToString())
        return tmp_path / name

    return write


def rows_of(*arguments, **options):
    frames = list(read_request_log(*arguments, **options))
    assert len(frames) == 1
    return frames[0].to_dict(as_series=False)


def test_columns_and_scores_of_requests(write):
    path = write(predicted(COLUMNS, {"click": np.array([0.25, 0.5], "float32")}))
    assert rows_of(path, name="ours") == {**READ, "ours:click": [0.25, 0.5]}


def test_what_has_no_scores_is_skipped(write):
    session = PredictionLog()
    session.session_run_log.SetInParent()
    skipped = [
        predicted(COLUMNS, {"user": np.zeros((2, 3), "int32")}, "groups"),
        predicted(COLUMNS, {"os": [1, 2]}, "features"),
        predicted(COLUMNS, {}),
        session,
        PredictionLog(),
    ]
    assert list(read_request_log(write(*skipped))) == []
    assert rows_of(write(*skipped, predicted({"os": [b"web"]}, {"click": [0.5]}))) == {
        "os": ["web"],
        "served:click": [0.5],
    }


@pytest.mark.parametrize("signature", ["serving_examples", "classify", "regress_click"])
def test_examples(write, signature):
    examples = gr.serving.to_examples({**COLUMNS, "os": np.array(["ios", None], object)})
    if signature == "serving_examples":
        log = predicted(
            {"examples": np.array(examples, object)}, {"click": np.array([0.25, 0.5], "float32")}, signature
        )
    else:
        log = PredictionLog()
        part = log.classify_log if signature == "classify" else log.regress_log
        part.request.model_spec.signature_name = signature
        part.request.input.example_list.examples.extend(map(tf.train.Example.FromString, examples))
        for score in (0.25, 0.5):
            if signature == "classify":
                part.response.result.classifications.add().classes.add(label="click", score=score)
            else:
                part.response.result.regressions.add(value=score)
    assert rows_of(write(log)) == {**READ, "served:click": [0.25, 0.5]}


def test_examples_with_a_context(write):
    log = text_format.Parse(
        """regress_log {
          request { model_spec { signature_name: "regress_click" } input { example_list_with_context {
            context { features { feature { key: "hour" value { int64_list { value: 7 } } } } }
            examples { features { feature { key: "bid" value { float_list { value: 0.5 } } } } }
            examples { }
          } } }
          response { result { regressions { value: 0.25 } regressions { value: 0.5 } } }
        }""",
        PredictionLog(),
    )
    assert rows_of(write(log)) == {"hour": [7, 7], "bid": [0.5, None], "served:click": [0.25, 0.5]}


def test_rank_has_a_row_for_each_ad(write):
    inputs = {"user": [b"u", b"v"], "seen": np.arange(6).reshape(2, 3), "ad": np.array([[1, 2, 3], [4, 5, 6]])}
    path = write(predicted(inputs, {"click": np.arange(6.0).reshape(2, 3) / 8}, "rank"))
    assert rows_of(path, ad_columns=["ad"]) == {
        "user": ["u"] * 3 + ["v"] * 3,
        "seen": [[0, 1, 2]] * 3 + [[3, 4, 5]] * 3,
        "ad": [1, 2, 3, 4, 5, 6],
        "served:click": [0.0, 0.125, 0.25, 0.375, 0.5, 0.625],
    }
    with pytest.raises(ValueError, match=r"record 0: a request of `rank` .* has: \['ad', 'seen', 'user'\]"):
        list(read_request_log(path))


def test_several_files_in_frames_of_some_requests(write):
    log = predicted(COLUMNS, {"click": [0.25, 0.5]})
    paths = [write(log, log, name="1"), write(log, name="2")]
    assert [len(frame) for frame in read_request_log(paths, requests=2)] == [4, 2]


def test_errors_name_the_file_and_the_record(write, tmp_path):
    good = predicted(COLUMNS, {"click": [0.25, 0.5]})
    torn = tmp_path / "torn"
    torn.write_bytes(write(good).read_bytes()[:-3])
    with pytest.raises(ValueError, match="torn cannot be read to its end as TFRecords; is it still being written"):
        list(read_request_log(torn))
    with pytest.raises(ValueError, match="log.tfrecord, record 1: "):
        list(read_request_log(write(good, b"no message")))
    with pytest.raises(ValueError, match="log.tfrecord, record 0: "):
        list(read_request_log(write(predicted(COLUMNS, {"click": [0.25]}))))
    with pytest.raises(ValueError, match="`requests` must be at least 1"):
        list(read_request_log(torn, requests=0))


def test_a_log_is_compared_with_its_reference(write):
    rng = np.random.default_rng(0)

    def request(bids):
        hours = rng.integers(0, 24, 100)
        return predicted({"bid": bids, "hour": hours}, {"click": rng.random(100)})

    reference = gr.reports.LogProfile.fit(
        pl.concat(read_request_log(write(*(request(rng.gamma(2.0, size=100)) for _ in range(20))))),
        scores={"click": "served:click"},
    )
    now = write(*(request(rng.gamma(2.0, 2.0, size=100)) for _ in range(20)))
    assert gr.reports.drift(reference, read_request_log(now)).drifted == ("bid",)
