"""Versions with tables in fewer bits: what they answer, what they hold, and what they cost."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.fixed_weights import as_array
from support.raw_ads import ROWS, TRANSFORMS, raw_rows

import grouprank as gr
from grouprank.layers.embedding.quantized_table import QuantizedTable
from grouprank.serving.compare_scores import compare_scores
from grouprank.serving.quantization_cost import QuantizationCost


def labels_of(rows):
    return {task: (np.arange(rows) % 3 == 0).astype("float32") for task in ("click", "like")}


def rounded_copy(path, table_dtype):
    """The model with the values that a quantized table has."""
    model = keras.models.load_model(path)
    for stack in model.table_stacks:
        table = QuantizedTable(stack.num_rows, stack.config.width, table_dtype)
        table.fill([as_array(stack.embeddings)])
        stack.embeddings.assign(table(np.arange(stack.num_rows)))
    return model


def codes_of(version, stack):
    """The bytes of a version's rows."""
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    (key,) = (key for key, shape in shapes.items() if shape == [stack.num_rows, stack.config.width + 2])
    return reader.get_tensor(key)


@pytest.mark.any_backend
@pytest.mark.long
@pytest.mark.parametrize(("format", "table_dtype"), [("tf_saved_model", "int8"), ("onnx", "int4")])
def test_a_version_answers_as_a_model_with_the_rounded_values(exported, tmp_path, format, table_dtype):
    model, path, _ = exported
    served = format == "tf_saved_model"
    rows = raw_rows() if served else TRANSFORMS(raw_rows())
    report = gr.serving.export(
        model,
        tmp_path / ("1" if served else "model.onnx"),
        TRANSFORMS if served else None,
        {**rows, **labels_of(ROWS)},
        0.5,
        format=format,
        table_dtype=table_dtype,
    )
    rounded = rounded_copy(path.parents[1] / "model.keras", table_dtype)
    expected = rounded.predict_proba(TRANSFORMS(raw_rows()))
    before = model.predict_proba(TRANSFORMS(raw_rows()))
    for task in ("click", "like"):
        # A row on the border between two groups may fall into the other one.
        assert np.sort(np.abs(report.probabilities[task] - expected[task]))[-3] <= 1e-5
        assert np.abs(before[task] - expected[task]).mean() > 1e-5
    cost = report.cost
    assert cost.labelled
    assert cost.max_difference == report.max_difference >= cost.mean_difference > 0
    assert f"{table_dtype} tables change a probability by" in str(report)
    if served:
        kept = {tuple(shape) for _, shape in tf.train.list_variables(str(report.path / "variables" / "variables"))}
        (stack,) = model.table_stacks
        assert (stack.num_rows, stack.config.width + 2) in kept
        # A delta compares the rows as the version holds them.
        assert gr.serving.export_delta(model, report.path, tmp_path / "none", TRANSFORMS).table_rows == 0
        changed = keras.models.load_model(path.parents[1] / "model.keras")
        changed.table_stacks[0].layer.reset_rows(np.array([3]), np.full((1, stack.config.width), 0.5))
        delta = gr.serving.export_delta(changed, report.path, tmp_path / "delta", TRANSFORMS)
        assert delta.table_rows == 1
        before, after = (
            codes_of(path, stack) for path in (report.path, gr.serving.apply_delta(report.path, delta.path))
        )
        assert np.flatnonzero((before != after).any(axis=1)).tolist() == [3]
        assert (stack.num_rows, stack.config.width) not in kept


def test_costs_by_hand():
    before, after = np.array([0.5, 0.25]), np.array([0.5, 0.5])
    cost = QuantizationCost.of("int4", {"click": before}, {"click": after}, {"click": np.array([1.0, 0.0])}, 0.5)
    (click,) = cost.tasks.values()
    old, new, entropy = (np.log(2) - np.log(0.75)) / 2, np.log(2), np.log(2)
    np.testing.assert_allclose(click.loss, new / old - 1)
    np.testing.assert_allclose(click.normalized_entropy, (old / entropy, new / entropy))
    assert click.auc == (1.0, 0.5)
    np.testing.assert_allclose(click.calibration, (0.75, 1.0))
    assert (cost.max_difference, cost.mean_difference, cost.worst) == (0.25, 0.125, click.loss)
    unlabelled = QuantizationCost.of("int4", {"click": before}, {"click": after}, {}, 0.0).tasks["click"]
    # The model's probabilities as labels: 0.5 and 0.25.
    old = (np.log(2) - 0.25 * np.log(0.25) - 0.75 * np.log(0.75)) / 2
    np.testing.assert_allclose(unlabelled.loss, np.log(2) / old - 1)
    # Pairs of a positive and a negative part: 0.5 * 0.75 above, 0.25 * 0.5 below, the rest equal.
    np.testing.assert_allclose(unlabelled.auc[0], (0.5 * 0.75 + 0.5 * (0.5 * 0.5 + 0.25 * 0.75)) / (0.75 * 1.25))


@pytest.mark.any_backend
def test_a_version_that_costs_too_much_or_contradicts_itself_is_refused(exported, tmp_path):
    model, _, _ = exported
    rows = raw_rows()
    inputs = TRANSFORMS(rows)
    scores = model.predict_proba(inputs)
    served = {
        "serving_default": {task: values * np.float32(1.01) for task, values in scores.items()},
        "groups": model.groups(inputs),
    }
    arguments = (model, tmp_path, TRANSFORMS, rows, rows)
    report = compare_scores(*arguments, served, 0.1, table_dtype="int8")
    np.testing.assert_allclose(report.cost.tasks["click"].calibration, (1.0, 1.01), rtol=1e-5)
    with pytest.raises(RuntimeError, match=r"Tables in int8 raise the normalized entropy by 0\.\d+%, which"):
        compare_scores(*arguments, served, 1e-9, table_dtype="int8")
    served["serving_examples"] = {task: values * np.float32(1.02) for task, values in scores.items()}
    with pytest.raises(RuntimeError, match="rows differ by more than 1e-05.*signature 'serving_examples'"):
        compare_scores(*arguments, served, 0.1, table_dtype="int8")
    with pytest.raises(ValueError, match=r"must be one of \('float32', 'int8', 'int4'\). Received: table_dtype='int2'"):
        gr.serving.export(model, tmp_path / "1", table_dtype="int2")
    assert not list(tmp_path.iterdir())
