"""Scores explained by occlusion: against additive models, and with groups, funnels, weights and unknown tokens."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights
from support.raw_ads import SCHEMA, TRANSFORMS, raw_rows, strings, tiny_model

import grouprank as gr
from grouprank.datasets import SequenceTransform, TableTransforms, VocabularyTransform
from grouprank.serving.compare_explanations import EXPLAINED, compare_explanations
from grouprank.serving.occlusion import Occlusion

ROWS = 100
FEATURES = [
    gr.Categorical("os", 4, side="user"),
    gr.Sequence("tags", 5, 3),
    gr.Sequence("interests", 6, 3),
    gr.Weights("interests_weights", of="interests", length=3),
    gr.Numeric("bid"),
    gr.Numeric("age"),
    gr.Vector("image", 2),
]
INPUTS = {
    "os": np.array([3, 0, 1], "int32"),
    "tags": np.array([[2, 4, 0], [0, 0, 0], [1, 0, 0]], "int32"),
    "interests": np.array([[5, 1, 0], [2, 3, 4], [0, 0, 0]], "int32"),
    "interests_weights": np.array([[0.5, -2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0]], "float32"),
    "bid": np.array([0.5, 0.0, -2.0], "float32"),
    "age": np.array([1.5, 2.5, -0.5], "float32"),
    "image": np.array([[0.5, 1.0], [0.0, 0.0], [-1.0, 3.0]], "float32"),
}


def additive_model(schema, kind=gr.models.CTRModel):
    model = kind(
        schema, "lr", embedding_dim=2, group_structure=(), residual_learning=False, tower_units=(), start_at_rate=False
    )
    set_fixed_weights(model)
    return model


def fields_of(model):
    """The vectors of the rows' fields, and of the same fields where they are unknown: `(rows, fields, width)`."""
    weights = {weight.path.partition("/")[2]: as_array(weight) for weight in model.weights if "/" in weight.path}
    table, vectors = weights["embeddings"], weights["vectors"]
    os, tags, interests = np.split(table, [4, 9])
    rows = len(INPUTS["os"])
    found, unknown = np.zeros((2, rows, 6, 2))
    for row in range(rows):
        found[row, 0], unknown[row, 0] = os[INPUTS["os"][row]], os[0]
        items = [tags[i] for i in INPUTS["tags"][row] if i]
        found[row, 1] = np.mean(items, axis=0) if items else 0
        weighted = list(zip(INPUTS["interests_weights"][row], INPUTS["interests"][row], strict=True))
        size = sum(abs(w) for w, i in weighted if i)
        found[row, 2] = sum(w * interests[i] for w, i in weighted if i) / size if size else 0
        found[row, 3], found[row, 4] = INPUTS["bid"][row] * vectors[0], INPUTS["age"][row] * vectors[1]
        found[row, 5] = INPUTS["image"][row] @ weights["kernel"]
    return found, unknown


@pytest.mark.parametrize("batch_size", [8192, 8, 1])
def test_contributions_of_an_additive_model_are_its_weights(batch_size):
    schema = gr.Schema(FEATURES, [gr.Task("click"), gr.Task("like")])
    model = additive_model(schema)
    found, unknown = fields_of(model)
    explained = gr.serving.explain(model, INPUTS, batch_size=batch_size)
    assert explained.fields == ("os", "tags", "interests", "bid", "age", "image")
    for task in ("click", "like"):
        kernel = as_array(next(w for w in model.weights if w.path == f"{task}_tower/output/kernel"))
        expected = ((found - unknown) @ kernel)[..., 0]
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(explained.contributions[task], expected, atol=1e-5)
        p = model.predict_proba(INPUTS)[task]
        np.testing.assert_allclose(explained.probabilities[task], p, atol=1e-6)
        logits = np.log(p / (1 - p))[:, np.newaxis] - expected
        np.testing.assert_allclose(explained.without[task], 1 / (1 + np.exp(-logits)), atol=1e-5)
    np.testing.assert_array_equal(
        explained.as_unknown,
        [[0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 0, 0]],
    )


def test_other_references_than_zero():
    model = additive_model(gr.Schema(FEATURES, [gr.Task("click")]))
    references = {"age": 2.5, "image": [1.0, -1.0], "os": 2}
    explained = gr.serving.explain(model, INPUTS, references=references)
    plain = gr.serving.explain(model, INPUTS)
    means = {name: np.broadcast_to(value, INPUTS[name].shape) for name, value in references.items()}
    of_means = gr.serving.explain(model, {**INPUTS, **means})
    for name, place in (("age", 4), ("image", 5), ("os", 0), ("bid", 3)):
        expected = plain.contributions["click"][:, place]
        if name in references:
            expected = expected - of_means.contributions["click"][:, place]
        np.testing.assert_allclose(explained.contributions["click"][:, place], expected, atol=1e-5)
    assert explained.as_unknown[:, 4].tolist() == [False, True, False]


def test_joint_outcomes_are_products_without_a_field_too():
    model = additive_model(
        gr.Schema(FEATURES, [gr.Task("click"), gr.Task("purchase", given="click")]), gr.models.CVRModel
    )
    explained = gr.serving.explain(model, INPUTS)
    assert list(explained.contributions) == ["click", "purchase", "click_and_purchase"]
    with_all, without = explained.probabilities, explained.without
    joint, joint_without = (part["click"] * part["purchase"] for part in (with_all, without))
    np.testing.assert_allclose(without["click_and_purchase"], joint_without, atol=1e-6)
    log_odds = np.log(joint / (1 - joint))[:, np.newaxis] - np.log(joint_without / (1 - joint_without))
    assert np.abs(log_odds).max() > 0.05
    np.testing.assert_allclose(explained.contributions["click_and_purchase"], log_odds, atol=1e-5)


def test_raw_rows_with_unknown_tokens_and_groups():
    model = tiny_model()
    set_fixed_weights(model)
    raw = raw_rows(ROWS)
    inputs = TRANSFORMS(raw)
    codes = model.groups(inputs)
    labels = {"click": (np.arange(ROWS) % 4 == 0).astype("float32")}
    report = gr.reports.group_report("user", codes["user"], 8, {"os": raw["os"].astype(str)}, labels)
    explained = gr.serving.explain(model, raw, TRANSFORMS, {"user": report})
    for name in codes:
        np.testing.assert_array_equal(explained.groups[name], codes[name])
    for place, name in enumerate(SCHEMA.feature_names):
        without = {**inputs, name: np.zeros_like(inputs[name])}
        np.testing.assert_allclose(explained.without["like"][:, place], model.predict_proba(without)["like"], atol=1e-5)
        same = (inputs[name] == 0).reshape(ROWS, -1).all(axis=1)
        np.testing.assert_array_equal(explained.as_unknown[:, place], same)
        assert not explained.contributions["like"][same, place].any()
    assert explained.as_unknown[:, :6].any(axis=0).all()
    frame = explained.to_frame(most=3)
    assert frame.shape == (ROWS * 2 * 3, 8)
    for task, contributions in explained.contributions.items():
        listed = frame.filter(task=task)["contribution"].to_numpy().reshape(ROWS, 3)
        np.testing.assert_array_equal(np.abs(listed), np.sort(np.abs(contributions), axis=1)[:, :-4:-1])
    assert set(explained.to_frame()["field"]) == set(SCHEMA.feature_names)
    text = explained.describe(0, most=2)
    first = frame.row(0, named=True)
    assert f"{first['value']}" in text
    assert f"{first['contribution']:+.3f}  without it {first['without']:.4g}" in text
    group = ".".join(map(str, codes["user"][0]))
    assert f"group {group} of user: {report.describe(codes['user'][0, 0])}" in text
    assert "6 more fields, each of" in text
    assert str(explained).startswith(explained.describe(0))
    assert str(explained).endswith(f"{ROWS - 3} more rows")


def test_rounding_is_no_contribution(additive, monkeypatch):
    predict = additive.predict

    def rounded(copies, *args, **kwargs):
        return {task: z + np.linspace(0, 1e-6, len(z))[:, np.newaxis] for task, z in predict(copies, **kwargs).items()}

    monkeypatch.setattr(additive, "predict", rounded)
    explained = gr.serving.explain(additive, INPUTS)
    as_unknown = explained.as_unknown
    assert not explained.contributions["click"][as_unknown].any()
    expected = np.broadcast_to(explained.probabilities["click"][:, np.newaxis], as_unknown.shape)[as_unknown]
    np.testing.assert_array_equal(explained.without["click"][as_unknown], expected)


def test_values_are_shown_on_one_line():
    model = tiny_model()
    raw = {name: values[:1] for name, values in raw_rows().items()}
    text = str(gr.serving.explain(model, {**raw, "os": strings("a\x1b[31m\n" + "b" * 99)}, TRANSFORMS))
    assert "'a\\x1b[31m\\nbbbb" in text
    assert "b" * 32 not in text
    assert len(text.splitlines()) == 1 + 2 * 9 + 2


def test_a_token_out_of_a_shared_vocabulary_is_id_1():
    tokens = strings("a", "b")
    shared = TableTransforms(
        gr.Schema([gr.Categorical("ad", 4), gr.Sequence("seen", 4, 2, shares="ad")], [gr.Task("click")]),
        {
            "ad": VocabularyTransform("ad", "string", tokens, unknown_id=1),
            "seen": SequenceTransform("seen", tokens, ",", 2),
        },
    )
    references = Occlusion.of(shared.schema, shared).references
    assert references["ad"].tolist() == 1
    assert references["seen"].tolist() == [0, 0]
    model = additive_model(shared.schema)
    explained = gr.serving.explain(model, {"ad": ["zzz", "a"], "seen": ["", "zzz"]}, shared)
    assert explained.as_unknown.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": keras.Sequential()}, "`model` must be a CTRModel or CVRModel. Received: Sequential"),
        ({"rows": {**INPUTS, "os": np.array([9, 0, 0])}}, "os"),
        ({"rows": {"os": INPUTS["os"]}}, "`rows` lacks the raw columns"),
        ({"rows": {name: values[:0] for name, values in INPUTS.items()}}, "`rows` is empty"),
        ({"transforms": TRANSFORMS}, "other features than the model's"),
        ({"group_reports": {"user": None}}, r"placements \['user'\]. The model's placements: \[\]"),
        ({"references": {"ages": 1.0}}, r"names \['ages'\], which are no features"),
        ({"references": {"image": [1.0]}}, r"'image' has values of the shape \(2,\)"),
        ({"references": {"os": 4}}, "os"),
        ({"references": {"age": np.nan}}, "age"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused_with_words(additive, change, words):
    with pytest.raises(ValueError, match=words):
        gr.serving.explain(**{"model": additive, "rows": INPUTS, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"place": (1, 2), "by": 1e-6}, None),
        ({"place": (1, 2), "by": 1e-3}, r"1 of \d+ probabilities .* row 1 without 'os', difference .*e-04"),
        ({"place": (1, 2), "by": np.nan}, "1 of .* row 1 without 'os', difference nan"),
        ({"place": (1, 2), "by": 1e-3, "border": True}, None),
        ({"place": (1, 2), "by": 1e-3, "groups": True}, None),
        ({"place": (slice(1, 3), 2), "by": 1e-3, "groups": True}, "2 of"),
        ({"fields": True}, "The SavedModel explains the fields"),
        ({"by": 1e-3, "table_dtype": "int8"}, None),
        ({"by": 3.0, "table_dtype": "int8"}, "Without single fields, tables in int8 raise the normalized entropy by"),
    ],
)
def test_served_explanations_are_compared(change, words):
    model = tiny_model(group_structure=["user"] if change.get("groups") else ())
    raw = raw_rows()
    explained = gr.serving.explain(model, {name: values[:EXPLAINED] for name, values in raw.items()}, TRANSFORMS)
    served = {task: values.copy() for task, values in explained.contributions.items()}
    served["like"][change.get("place", np.s_[:])] += change.get("by", 0.0)
    fields = explained.fields[::-1] if change.get("fields") else explained.fields
    served["fields"] = np.array([[name.encode() for name in fields]] * EXPLAINED, object)
    border = (np.arange(len(raw["os"])) == 1) & change.get("border", False)
    table_dtype = change.get("table_dtype", "float32")
    limit = 1e-5 if table_dtype == "float32" else 1e-4
    arguments = (model, TRANSFORMS, raw, served, border, limit, table_dtype)
    if words is None:
        compare_explanations(*arguments)
    else:
        with pytest.raises(RuntimeError, match=words):
            compare_explanations(*arguments)


@pytest.mark.parametrize(
    ("tasks", "format", "words"),
    [
        (["click"], "onnx", "An ONNX file has no signatures"),
        (["fields"], "tf_saved_model", "has an output 'fields', and a task has that name"),
    ],
)
def test_exports_that_cannot_explain_say_so(tmp_path, tasks, format, words):
    model = additive_model(gr.Schema([gr.Categorical("os", 4)], [gr.Task(name) for name in tasks]))
    with pytest.raises(ValueError, match=words):
        gr.serving.export(model, tmp_path / "1", format=format, explanations=True)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def additive():
    return additive_model(gr.Schema(FEATURES, [gr.Task("click")]))
