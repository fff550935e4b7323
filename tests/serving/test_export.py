"""The SavedModel answers raw rows as the Keras model answers prepared ones, and nothing half-written is seen.

`tests/models/test_zoo.py` exports a model that was trained on each backend.
"""

import itertools
import sys
import textwrap

import keras
import numpy as np
import pytest
from support.raw_ads import ROWS, SCHEMA, TRANSFORMS, raw_rows

import grouprank as gr
from grouprank.datasets import NumericTransform, TableTransforms


@pytest.mark.any_backend
def test_raw_rows_get_the_keras_models_probabilities(exported):
    model, path, report = exported
    assert report.path == path
    assert report.rows == ROWS
    assert report.max_difference <= 1e-5
    assert report.border_rows <= 1
    expected = model.predict_proba(TRANSFORMS(raw_rows()))
    for task in ("click", "like"):
        assert np.ptp(expected[task]) > 1e-3, "a constant would prove nothing"
        found = np.abs(report.probabilities[task] - expected[task])
        assert np.sort(found)[-2] <= 1e-5
    assert list(report.probabilities) == ["click", "like"]
    # What training sees has neither the calibration of one task nor the correction of the other.
    weights = model.get_weights()
    own = model(TRANSFORMS(raw_rows()), training=True)
    model.set_weights(weights)  # other tests want the codebooks that were exported
    moved = {
        task: np.log(p / (1 - p)) - keras.ops.convert_to_numpy(own[task])[:, 0]
        for task, p in report.probabilities.items()
    }
    np.testing.assert_allclose(moved["like"], np.log(0.5), atol=1e-3)
    assert np.ptp(moved["click"]) > 0.05
    assert "largest difference" in str(report)


@pytest.mark.any_backend
def test_only_the_version_appears(exported):
    _, path, _ = exported
    beside = ["7", "batching_parameters.txt", "compose.yaml", "models.config", "monitoring.config"]
    assert sorted(entry.name for entry in path.parent.iterdir()) == beside
    assert sorted(p.name for p in (path / "assets").iterdir()) == ["hour.txt", "os.txt", "tags.txt", "user_id.txt"]


@pytest.mark.any_backend
def test_an_existing_version_is_never_touched(exported):
    model, path, _ = exported
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    with pytest.raises(FileExistsError, match=r"never overwritten\. Export to .*8"):
        gr.serving.export(model, path, transforms=TRANSFORMS)
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads the graph with TensorFlow")
def test_the_graph_is_plain_and_holds_only_what_it_serves(exported):
    import tensorflow as tf
    from tensorflow.python.saved_model import loader_impl

    model, path, _ = exported
    meta = loader_impl.parse_saved_model(str(path)).meta_graphs[0]
    nodes = itertools.chain(meta.graph_def.node, *(f.node_def for f in meta.graph_def.library.function))
    ops = {node.op for node in nodes}
    assert {"LookupTableFindV2", "MatMul", "ArgMax"} <= ops
    assert not {op for op in ops if "PyFunc" in op or "Xla" in op}

    loaded = tf.saved_model.load(str(path))
    specs = loaded.signatures["serving_default"].structured_input_signature[1]
    assert {name: spec.dtype.name for name, spec in specs.items()} == TRANSFORMS.raw_columns
    assert all(spec.shape[0] is None for spec in specs.values())
    assert set(loaded.signatures["groups"].structured_outputs) == {"user", "representation"}
    sizes = {True: 0, False: 0}
    for v in loaded.variables_read:
        sizes[v.name.startswith("arranged")] += int(np.prod(v.shape))
    served, arranged = sizes[False], sizes[True]
    rows = model.get_layer("embedding").num_rows
    assert [tuple(v.shape) for v in loaded.variables_read if rows in v.shape] == [(rows, 4)], (
        "the table, once, no slots"
    )
    heads = [layer for layer in model.layers if layer.name.endswith("_heads")]
    assert heads
    slots = sum(int(np.prod(v.shape)) for v in model.optimizer.variables)
    everything = sum(int(np.prod(w.shape)) for w in model.weights)
    assert served <= everything - sum(layer.count_params() for layer in heads)
    assert 0 < arranged <= served - rows * 4, "copies of dense layers, none of the table"
    size = (path / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert size < 4 * (everything + slots)


@pytest.mark.any_backend
def test_a_disagreement_publishes_nothing(exported, tmp_path):
    model, _, _ = exported
    with pytest.raises(RuntimeError, match=r"disagrees with the Keras model .* rows differ by more than -1"):
        gr.serving.export(model, tmp_path / "other" / "1", transforms=TRANSFORMS, tolerance=-1.0)
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.any_backend
def test_what_the_user_gets_wrong(exported, tmp_path):
    model, path, _ = exported
    with pytest.raises(ValueError, match=r"a version in it must be an integer.*Received: .*latest"):
        gr.serving.export(model, path.parent / "latest", transforms=TRANSFORMS)
    with pytest.raises(ValueError, match="`model` must be a grouprank model"):
        gr.serving.export(keras.Sequential(), tmp_path / "1")
    other = TableTransforms(
        gr.Schema([gr.Numeric("bid")], [gr.Task("click")]), {"bid": NumericTransform("bid", "identity", 0.0, 1.0)}
    )
    with pytest.raises(ValueError, match="fitted for other features"):
        gr.serving.export(model, tmp_path / "1", transforms=other)
    with pytest.raises(ValueError, match=r"`rows` lacks the raw columns \['raw_hour'"):
        gr.serving.verify(model, path, TRANSFORMS, {"user_id": [1]})
    with pytest.raises(ValueError, match="`rows` is empty"):
        gr.serving.verify(model, path, TRANSFORMS, raw_rows(3) | {n: v[:0] for n, v in raw_rows(3).items()})
    assert not (tmp_path / "1").exists()


@pytest.mark.any_backend
def test_a_backbone_from_a_module_of_the_users(tmp_path, monkeypatch):
    (tmp_path / "my_backbones.py").write_text(
        textwrap.dedent(
            """
            import keras
            import grouprank as gr

            @keras.saving.register_keras_serializable(package="my_project")
            class SumOfFields(gr.models.Backbone):
                def call(self, fields, training=None):
                    return sum(fields.values())
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from my_backbones import SumOfFields

    model = gr.models.CTRModel(SCHEMA, SumOfFields(), group_structure=(), residual_learning=False, embedding_dim=4)
    # Without transforms the signature takes ids and floats, on rows drawn from the schema.
    report = gr.serving.export(model, tmp_path / "models" / "1")
    assert report.rows == 256
    assert report.max_difference <= 1e-5
    assert set(report.raw) == set(SCHEMA.feature_names)
    del sys.modules["my_backbones"]
