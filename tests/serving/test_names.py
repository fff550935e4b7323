"""Columns may have any name: those of Python's arguments, of layers, of signatures."""

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.serving.signatures.argument_names import argument_names, column_name

# What Python, Keras, a signature or one of our layers calls something of its own.
NAMES = (
    "self", "class", "lambda", "_hidden", "inputs", "examples", "backbone", "embedding", "numeric_embedding",
    "click_tower", "user_groups", "user_ids", "user_fields", "stack", "get_item", "Stack", "name", "training", "mask",
    "column_73656c66", "user_tower", "ad_vector", "user", "ad", "args", "kwargs",
)  # fmt: skip
TASKS = ("click", "dcn_v2", "task_weighting", "_like")


# What TensorFlow or a signature has of its own.
OF_SIGNATURES = ("self", "class", "_hidden", "inputs", "examples", "stack", "Stack", "column_73656c66")


def features(names=NAMES):
    """A column of each name, of all kinds and sides."""
    for index, name in enumerate(names):
        side = ("user", "ad", "context")[index % 3]
        yield (
            gr.Categorical(name, 5, side=side),
            gr.Numeric(name, side=side),
            gr.Sequence(name, 5, 2, side=side),
            gr.Vector(name, 2, side=side),
        )[index % 4]


SCHEMA = gr.Schema([*features(), gr.Categorical("ad_id", 7)], [gr.Task(task) for task in TASKS])


def columns(schema=SCHEMA, rows=4):
    generator = np.random.default_rng(0)
    return {
        f.name: generator.integers(0, f.vocabulary_size, (rows, *f.shape)).astype("int32")
        if hasattr(f, "vocabulary_size")
        else generator.normal(size=(rows, *f.shape)).astype("float32")
        for f in schema.features
    }


@pytest.mark.any_backend
def test_a_model_is_built_of_columns_of_any_name(tmp_path):
    model = gr.models.CTRModel(SCHEMA, "mlp", embedding_dim=2, tower_units=(2,))
    x = columns()
    model.compile()
    assert len({layer.name for layer in model.layers}) == len(model.layers)
    assert {layer.name for layer in model.layers} >= {*NAMES, *TASKS}
    assert set(model.group_ids_model().output) == {"user", "user_ad", "representation"}
    logits = model({name: keras.ops.convert_to_tensor(values) for name, values in x.items()})
    assert set(logits) == set(TASKS)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    same = again({name: keras.ops.convert_to_tensor(values) for name, values in x.items()})
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(z["_like"]) for z in (logits, same)), atol=1e-6)


def test_towers_are_built_of_columns_of_any_name():
    model = gr.models.TwoTowerModel(SCHEMA, "ad_id", embedding_dim=2, tower_units=(2,), output_dim=2)
    assert {layer.name for layer in model.layers} >= {f.name for f in SCHEMA.features}
    assert set(model.user_model().schema.feature_names) < set(SCHEMA.feature_names)


def test_an_onnx_file_has_one_tensor_of_a_name(tmp_path):
    schema = gr.Schema([gr.Categorical("user_groups", 7, side="user"), gr.Categorical("ad_id", 7)], [gr.Task("click")])
    model = gr.models.CTRModel(schema, "lr", group_structure="user", residual_learning=False, embedding_dim=2)
    with pytest.raises(ValueError, match=r"columns named \['user_groups'\]\. Rename the columns, or export a Saved"):
        gr.serving.export(model, tmp_path / "m.onnx", format="onnx")


def test_arguments_stand_for_columns():
    names = [*NAMES, "Price (EUR)", "日本", "age", "Age", "a b", "a_b"]
    arguments = argument_names(names)
    assert len({argument.lower() for argument in arguments.values()}) == len(names)
    assert all(argument.isascii() and argument.isidentifier() for argument in arguments.values())
    assert [column_name(argument) for argument in arguments.values()] == names
    assert arguments["a_b"] == "a_b"
    assert argument_names(reversed(names)) == arguments


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="signatures are TensorFlow's graphs")
def test_signatures_take_columns_by_their_names(tmp_path):
    """Without a model, which would take its time: each signature returns what it was asked."""
    import tensorflow as tf

    from grouprank.serving.c_session import CSession, CSessionError, read_signatures
    from grouprank.serving.examples import examples_argument, to_examples
    from grouprank.serving.score_rows import score_rows
    from grouprank.serving.signatures.examples import examples_signatures
    from grouprank.serving.signatures.plain_columns import PlainColumns
    from grouprank.serving.signatures.predict import predict_signature
    from grouprank.serving.signatures.rank import rank_signature
    from grouprank.serving.write_saved_model import name_signatures, save_signatures

    small = gr.Schema([*features(OF_SIGNATURES), gr.Categorical("ad_id", 7)], SCHEMA.tasks)

    class Model:
        schema = small

        @staticmethod
        def rank_logits(request, ads, arranged, shape):
            return {task: tf.reshape(tf.cast(ads["ad_id"], tf.float32), shape) for task in TASKS}

    plain, x = PlainColumns(small), columns(small)

    def sums(inputs):
        found = {name: tf.reduce_sum(tf.reshape(tf.cast(v, tf.float32), [4, -1]), 1) for name, v in inputs.items()}
        return {"_like": tf.stack([found[name] for name in small.feature_names], axis=1)}

    signatures = {
        "serving_default": predict_signature(sums, plain),
        **examples_signatures(sums, plain, {"serving_examples": dict, "regress__like": dict}),
        "rank": rank_signature(Model, plain, lambda key, arrange: arrange()),
        "features": predict_signature(dict, plain),
    }
    save_signatures(tf.Module(), signatures, tmp_path)
    path = tmp_path / "saved_model"
    name_signatures(path)
    for name, (inputs, _) in read_signatures(path).items():
        assert set(inputs) == ({examples_argument(name)} if examples_argument(name) else set(small.feature_names))
    session, expected = CSession(path), np.stack([v.reshape(4, -1).sum(1) for v in x.values()], axis=1)
    examples = np.array(to_examples(x), object)
    calls = [
        ("serving_default", x), ("serving_examples", {"examples": examples}), ("regress__like", {"inputs": examples})
    ]  # fmt: skip
    for answer in (*(session.run(*call) for call in calls), *score_rows(str(path), calls)):
        np.testing.assert_allclose(answer["_like"], expected, rtol=1e-5)
    wrong = np.array(to_examples({**x, "ad_id": np.full(4, 2**32 + 1)}), object)
    for name, argument in (("serving_examples", "examples"), ("regress__like", "inputs")):
        with pytest.raises(CSessionError, match="Feature ad_id of an Example holds int32.*4294967297"):
            session.run(name, {argument: wrong})
    made = session.run("features", x)
    assert set(made) == set(small.feature_names)
    np.testing.assert_array_equal(made["self"], x["self"])
    ads = {f.name for f in small.on_side("ad")}
    ranked = session.run("rank", {name: v[np.newaxis] if name in ads else v[:1] for name, v in x.items()})
    np.testing.assert_allclose(ranked["_like"], 1 / (1 + np.exp(-x["ad_id"][np.newaxis])), rtol=1e-5)
    session.close()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="signatures are TensorFlow's graphs")
def test_raw_columns_may_have_any_name(tmp_path):
    import tensorflow as tf

    from grouprank.datasets import NumericTransform, TableTransforms, VocabularyTransform
    from grouprank.serving.c_session import CSession
    from grouprank.serving.examples import to_examples
    from grouprank.serving.signatures.examples import examples_signatures
    from grouprank.serving.signatures.graph_transforms import GraphTransforms
    from grouprank.serving.signatures.predict import predict_signature
    from grouprank.serving.write_saved_model import name_signatures, save_signatures

    tokens, module = np.array(["a", "b"], object), tf.Module()
    transforms = {
        "price": NumericTransform("Price (EUR)", "identity", 0.0, 1.0),
        "os": VocabularyTransform("日本 os", "string", tokens),
    }
    schema = gr.Schema([gr.Numeric("price"), gr.Categorical("os", 3)], [gr.Task("click")])
    module.columns = GraphTransforms(TableTransforms(schema, transforms), tmp_path / "vocabularies")
    signatures = {
        "serving_default": predict_signature(dict, module.columns),
        **examples_signatures(dict, module.columns, {"serving_examples": dict}),
    }
    save_signatures(module, signatures, tmp_path)
    name_signatures(tmp_path / "saved_model")
    session = CSession(tmp_path / "saved_model")
    raw = {"Price (EUR)": np.array([1.0, 2.0], "float32"), "日本 os": np.array([b"b", b"x"], object)}
    examples = np.array(to_examples(raw), object)
    for call in (("serving_default", raw), ("serving_examples", {"examples": examples})):
        found = session.run(*call)
        assert (found["price"].tolist(), found["os"].tolist()) == ([1.0, 2.0], [2, 0])
    session.close()
