import json

import numpy as np
import pytest
import tensorflow as tf

from grouprank.benchmarks.run_contents import different, run_contents

ROWS = {"ad": np.array([b"a", b"b"], object)}


def write(folder, weights=(1.0, 2.0), seconds=1.0, status="admitted"):
    (folder / "ledger").mkdir(parents=True)
    np.savez(folder / "weights.npz", np.array(weights))
    entry = {"status": status, "seconds": seconds}
    (folder / "ledger" / "1.json").write_text(json.dumps(entry), encoding="utf-8")


def write_saved_model(folder, *values):
    module = tf.Module()
    module.kept = [tf.Variable(value, dtype="float32") for value in values]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="ad")])
    def score(ad):
        kept = tf.stack(module.kept)
        return {"click": tf.cast(tf.strings.length(ad), tf.float32) * tf.reduce_max(kept) + tf.reduce_min(kept)}

    tf.saved_model.save(module, str(folder / "1"), signatures=score.get_concrete_function())


def differences(first, second):
    return different(run_contents(first, ROWS), run_contents(second, ROWS))


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"seconds": 2.0}, []),
        ({"weights": (1.0, 2.5)}, ["weights.npz"]),
        ({"status": "refused"}, ["ledger/1.json"]),
    ],
)
def test_what_differs(tmp_path, change, differing):
    write(tmp_path / "whole")
    write(tmp_path / "killed", **change)
    assert differences(tmp_path / "whole", tmp_path / "killed") == differing


def test_files_that_one_run_lacks(tmp_path):
    write(tmp_path / "whole")
    write(tmp_path / "killed")
    (tmp_path / "killed" / ".unfinished-3").write_bytes(b"")
    assert differences(tmp_path / "whole", tmp_path / "killed") == [".unfinished-3"]


def test_saved_models_of_the_same_values_are_the_same(tmp_path):
    # TensorFlow numbers variables in the order in which it meets them.
    values_of = {"same": (2.0, 1.0), "other": (1.0, np.nextafter(2, 3, dtype="float32")), "whole": (1.0, 2.0)}
    for name, values in values_of.items():
        write_saved_model(tmp_path / name, *values)
    prints = {(tmp_path / name / "1" / "fingerprint.pb").read_bytes() for name in ("whole", "same")}
    assert len(prints) == 2
    assert differences(tmp_path / "whole", tmp_path / "same") == []
    assert differences(tmp_path / "whole", tmp_path / "other") == ["1/saved_model.pb"]
    found, other = (run_contents(tmp_path / name, ROWS)["1/saved_model.pb"] for name in ("whole", "other"))
    assert found["signatures"] == other["signatures"]
    assert set(found["answers"]) == {"serving_default"}
    assert found["answers"] != other["answers"]
