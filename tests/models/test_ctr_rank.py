"""Many ads for one user: the same scores as row by row, the user's side computed once."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array

from grouprank import Categorical, Numeric, Schema, Sequence, Task, Vector
from grouprank.layers import SemanticIds, SharedBottom
from grouprank.models import CTRModel, CVRModel
from grouprank.models.backbones import DCNv2, OneTrans, RankMixer, UserOnceDCN
from grouprank.models.ranking import candidate_calls
from grouprank.models.ranking.candidate_calls import CandidateCalls, worth_by_side
from grouprank.models.ranking.candidate_rows import CandidateRows, Once
from grouprank.models.ranking.columns import Columns
from grouprank.models.ranking.crosses_by_side import crosses_by_side, least_candidates

REQUESTS, CANDIDATES = 3, 5
FEATURES = [
    Categorical("user_id", 50, side="user"),
    Numeric("age", side="user"),
    Sequence("history", 20, 4, side="user", shares="ad_id"),
    Sequence("history_age", 6, 4, side="user", beside="history"),
    Categorical("hour", 24, side="context"),
    Categorical("ad_id", 20, side="ad"),
    Numeric("bid", side="ad"),
    Vector("image", 3, side="ad"),
]
CODES_OF_USERS = {"user_id": SemanticIds([[-1, -1], *(np.arange(98).reshape(49, 2) % 7).tolist()], 7)}
SCHEMA = Schema(FEATURES, [Task("click"), Task("buy", given="click")])


def once(*values):
    """A case that one backend runs: the same layers in another arrangement."""
    return pytest.param(*values, marks=pytest.mark.any_backend)


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    request = {
        "user_id": rng.integers(0, 50, REQUESTS),
        "age": rng.normal(size=REQUESTS).astype("float32"),
        "history": rng.integers(0, 20, (REQUESTS, 4)),
        "history_age": rng.integers(0, 6, (REQUESTS, 4)),
        "hour": rng.integers(0, 24, REQUESTS),
    }
    candidates = {
        "ad_id": rng.integers(0, 20, (REQUESTS, CANDIDATES)),
        "bid": rng.normal(size=(REQUESTS, CANDIDATES)).astype("float32"),
        "image": rng.normal(size=(REQUESTS, CANDIDATES, 3)).astype("float32"),
    }
    return request, candidates


def row_by_row(request, candidates):
    once = {name: np.repeat(values, CANDIDATES, axis=0) for name, values in request.items()}
    return once | {name: values.reshape((-1, *values.shape[2:])) for name, values in candidates.items()}


@keras.saving.register_keras_serializable(package="grouprank_tests")
class DoubledDCNv2(DCNv2):
    """A user's own: what is known of its base class does not hold for it."""

    def call(self, fields, training=None):
        return 2 * super().call(fields, training)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (CTRModel, {"backbone": "dcn_v2"}),
        (CTRModel, {"backbone": "mlp", "embedding_optimizer": "adam", "group_structure": ("user",)}),
        (CTRModel, {"backbone": "user_once_dcn"}),
        once(CTRModel, {"backbone": "user_once_dcn", "sequence_encoder": {"history": "target_attention"}}),
        once(CTRModel, {"backbone": UserOnceDCN(["user_id", "age"], units=()), "multi_task": "mmoe"}),
        once(CTRModel, {"backbone": UserOnceDCN(["user_id", "age"], units=(8,)), "semantic_ids": CODES_OF_USERS}),
        once(CTRModel, {"backbone": RankMixer(4, 8, request_fields=["user_id"]), "semantic_ids": CODES_OF_USERS}),
        once(CTRModel, {"backbone": OneTrans(4, 8, request_fields=["user_id"])}),
        (CTRModel, {"backbone": RankMixer(4, 8, request_fields=["user_id", "age", "history", "hour"], user_once=True)}),
        once(CTRModel, {"backbone": "rank_mixer", "sequence_encoder": {"history": "target_attention"}}),
        once(CTRModel, {"backbone": "mlp", "sequence_encoder": {"history": "hstu"}}),
        once(CTRModel, {"backbone": "one_trans", "sequence_encoder": {"history": "target_attention"}}),
        once(CTRModel, {"backbone": "hstu", "group_structure": ("user",)}),
        once(CTRModel, {"backbone": "inter_former", "group_structure": ("user",)}),
        once(CTRModel, {"backbone": "mlp", "sequence_encoder": {"history": "causal_transformer"}}),
        once(CVRModel, {"backbone": "dlrm", "group_structure": ()}),
        once(CTRModel, {"backbone": DCNv2(2, projection_dim=3, structure="stacked", units=(8,), dropout=0.5)}),
        once(CTRModel, {"backbone": DCNv2(0, units=(8,)), "dropout": 0.5}),
        once(CTRModel, {"backbone": DCNv2(1, units=())}),
        once(CTRModel, {"backbone": DCNv2(1, units=(8,), normalization="batch")}),
        once(CTRModel, {"backbone": DoubledDCNv2(1, units=(8,)), "multi_task": "mmoe"}),
        once(CTRModel, {"backbone": "concatenation", "multi_task": "stem"}),
        once(CTRModel, {"backbone": "mlp", "dropout": 0.5, "sequence_encoder": {"history": "target_attention"}}),
    ],
)
def test_scores_are_those_of_single_rows(kind, arguments, columns):
    keras.utils.set_random_seed(0)
    model = kind(SCHEMA, embedding_dim=4, **arguments)
    expected = model.predict_proba(row_by_row(*columns))
    ranked = model.rank(*columns)
    assert list(ranked) == model.prediction_names
    for name, probabilities in ranked.items():
        assert probabilities.shape == (REQUESTS, CANDIDATES)
        np.testing.assert_allclose(probabilities.reshape(-1), expected[name], atol=1e-6)
        assert np.std(probabilities) > 0


def test_what_reads_the_user_alone_runs_once_a_request(columns, monkeypatch):
    model = CTRModel(SCHEMA, backbone="mlp", embedding_dim=4)
    seen = {}
    for name in ("user_groups", "representation_groups", "embedding"):
        layer = model.get_layer(name)

        def spy(inputs, *args, layer=layer, name=name, call=layer.call, **kwargs):
            columns = inputs if isinstance(inputs, dict) else {"x": inputs}
            seen.setdefault(name, []).append({key: ops.shape(x)[0] for key, x in columns.items()})
            return call(inputs, *args, **kwargs)

        monkeypatch.setattr(layer, "call", spy)
    pairs, after_first = model.group_concats["user_ad"], []
    monkeypatch.setattr(
        pairs, "after_first", lambda x, call=pairs.after_first: after_first.append(ops.shape(x)[0]) or call(x)
    )
    model.rank(*columns)
    assert after_first == [REQUESTS * CANDIDATES]
    assert seen["user_groups"] == [{"x": REQUESTS}]
    assert seen["representation_groups"] == [{"x": REQUESTS * CANDIDATES}]
    looked_up = {key: rows for call in seen["embedding"] for key, rows in call.items()}
    once, each = (
        dict.fromkeys(("user_id", "history", "history_age", "hour"), REQUESTS),
        {"ad_id": REQUESTS * CANDIDATES},
    )
    assert looked_up == once | each


def crosses(backbone, count, rng, requests=1):
    """Fields by side of a backbone with biases; widths 15 and 6."""
    request = {name: rng.normal(size=(requests, 5)).astype("float32") for name in ("d", "f", "b")}
    candidates = {name: rng.normal(size=(requests * count, 3)).astype("float32") for name in ("e", "a")}
    backbone.build({name: (None, x.shape[1]) for name, x in {**request, **candidates}.items()})
    for cross in backbone.crosses:
        cross.dense.bias.assign(rng.normal(size=21).astype("float32"))
    alone = {**{name: np.repeat(x, count, axis=0) for name, x in request.items()}, **candidates}
    fields = {name: ops.convert_to_tensor(x) for name, x in candidates.items()}
    fields |= {name: Once(ops.convert_to_tensor(x)) for name, x in request.items()}
    return fields, ops.convert_to_numpy(backbone(alone))


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
@pytest.mark.parametrize("depth", [once(1), 2, once(4)])
@pytest.mark.parametrize(("requests", "by_side"), [(1, False), (1, True), (2, False)])
def test_crosses_of_requests(depth, structure, requests, by_side):
    """The request's half as a linear function of the candidates' is the same polynomial."""
    keras.utils.set_random_seed(0)
    backbone = DCNv2(depth, units=(8,), structure=structure)
    fields, expected = crosses(backbone, 7, np.random.default_rng(1), requests)
    found = CandidateCalls(CandidateRows(requests, 7, one_request=by_side)).layer(backbone, fields)
    assert isinstance(found, Columns) == (by_side and structure == "parallel")
    written = found.value() if isinstance(found, Columns) else found
    np.testing.assert_allclose(ops.convert_to_numpy(written), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_layers_read_crosses_that_are_not_written_out(use_bias, monkeypatch):
    keras.utils.set_random_seed(0)
    backbone, rng = DCNv2(3, units=(8,)), np.random.default_rng(1)
    fields, expected = crosses(backbone, 7, rng)
    more = rng.normal(size=(7, 2)).astype("float32")
    crossed = CandidateCalls(CandidateRows(1, 7, one_request=True)).layer(backbone, fields)
    rows = crossed.joined(ops.convert_to_tensor(more))
    layers = [
        keras.layers.Dense(units, activation="tanh", use_bias=use_bias, bias_initializer="normal") for units in (1, 60)
    ]
    for layer in layers:
        layer.build((None, 31))
    monkeypatch.delattr(Columns, "value")
    for layer, found in zip(layers, rows.dense(layers), strict=True):
        known = layer(np.concatenate([expected, more], axis=1))
        np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(known), rtol=1e-4, atol=1e-4)
        assert np.std(ops.convert_to_numpy(found)) > 0


def test_columns_are_written_out_once():
    keras.utils.set_random_seed(0)
    fields, _ = crosses(DCNv2(1), 7, np.random.default_rng(1))
    columns = Columns.of(CandidateRows(1, 7), list(fields.values()))
    assert columns.value() is columns.value()


def test_from_how_many_candidates_crosses_go_by_side():
    # By hand, widths 15 and 6, three crosses. By candidate: 6 x 21 + 2 x 21 x 21 = 1008 with the first one split, or
    # 6 x 6 x (1 + 2 + 3) + 3 x 6 x 15 = 486; and 3 x 6 x 15 x 21 = 5670 for the request: from 5670 / 522 on.
    assert least_candidates(3, 15, 6) == 11
    # One cross is as much either way, and nothing is gained where the candidates have the most columns.
    assert least_candidates(1, 15, 6) is None
    assert least_candidates(3, 6, 150) is None
    fields = {"a": Once(np.zeros((1, 15))), "b": np.zeros((7, 6))}
    assert worth_by_side(DCNv2(3), fields) == 11
    for backbone in (DCNv2(3, projection_dim=4), DCNv2(0), DCNv2(3, units=()), DoubledDCNv2(3)):
        assert worth_by_side(backbone, fields) is None
    assert worth_by_side(DCNv2(3), {"b": fields["b"]}) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"backbone": "dcn_v2"},
        once({"backbone": DCNv2(2, structure="stacked", units=(8,)), "tower_units": (4, 4)}),
        once({"backbone": DCNv2(2, structure="stacked", units=())}),
        once({"multi_task": "mmoe", "group_structure": ("user", "user_ad")}),
        once({"multi_task": SharedBottom(["click", "buy"], units=(6,)), "tower_units": ()}),
        once({"group_structure": (), "embedding_optimizer": "adam"}),
    ],
)
@pytest.mark.long
def test_one_request_with_many_candidates(arguments, columns, monkeypatch):
    keras.utils.set_random_seed(0)
    model = CTRModel(SCHEMA, **{"embedding_dim": 4, **arguments})
    request = {name: values[:1] for name, values in columns[0].items()}
    candidates = {
        name: np.tile(values.reshape((1, -1, *values.shape[2:]))[:, :10], (1, 6, *[1] * (values.ndim - 2)))
        for name, values in columns[1].items()
    }
    rows = {name: np.repeat(values, 60, axis=0) for name, values in request.items()}
    rows |= {name: values[0] for name, values in candidates.items()}
    expected, asked = model.predict_proba(rows), []
    monkeypatch.setattr(
        candidate_calls, "crosses_by_side", lambda *args: asked.append(args[1].places) or crosses_by_side(*args)
    )
    for name, probabilities in model.rank(request, candidates).items():
        np.testing.assert_allclose(probabilities[0], expected[name], atol=1e-6)
        assert np.std(probabilities) > 0
    assert len(asked) == 1
    # Others go the other way.
    model.rank(columns[0], columns[1])
    assert len(asked) == 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a graph of unknown sizes is TensorFlow's")
def test_a_graph_for_any_number_of_requests_and_candidates(columns):
    """Both ways are in it; TensorFlow's optimizer must not take what holds in one for true in the other."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = CTRModel(SCHEMA, embedding_dim=4)
    specs = [
        {name: tf.TensorSpec([None] * axes + list(x.shape[axes:]), x.dtype) for name, x in part.items()}
        for part, axes in zip(columns, (1, 2), strict=True)
    ]
    graph = tf.function(model.rank_logits, input_signature=specs, autograph=False)
    for requests, times in ((3, 1), (1, 1), (1, 20), (3, 20)):
        request = {name: values[:requests] for name, values in columns[0].items()}
        candidates = {
            name: np.tile(values[:requests], (1, times, *[1] * (values.ndim - 2)))
            for name, values in columns[1].items()
        }
        expected = model.rank(request, candidates)
        for name, logits in graph(request, candidates).items():
            np.testing.assert_allclose(tf.sigmoid(logits), expected[name], atol=1e-6)
            assert np.std(logits) > 0


@pytest.mark.any_backend
def test_a_model_ranks_with_the_weights_that_it_has(columns):
    """Whoever keeps arranged weights keeps them for themselves."""
    keras.utils.set_random_seed(0)
    model, kept = CTRModel(SCHEMA, embedding_dim=4), {}

    def arranged(key, arrange):
        return kept[key] if key in kept else kept.setdefault(key, arrange())

    tensors = [{name: ops.convert_to_tensor(x) for name, x in part.items()} for part in columns]
    before = {name: ops.convert_to_numpy(x) for name, x in model.rank_logits(*tensors, arranged).items()}
    kernel = model.backbone.crosses[0].dense.kernel
    kernel.assign(2 * as_array(kernel))
    expected = model.predict_proba(row_by_row(*columns))
    for name, probabilities in model.rank(*columns).items():
        np.testing.assert_allclose(probabilities.reshape(-1), expected[name], atol=1e-6)
        assert np.abs(before[name] - ops.convert_to_numpy(model.rank_logits(*tensors)[name])).max() > 1e-4
        # Nothing is arranged again.
        again = model.rank_logits(*tensors, arranged)[name]
        np.testing.assert_allclose(ops.convert_to_numpy(again), before[name], atol=1e-6)


@pytest.mark.any_backend
@pytest.mark.parametrize("backbone", ["user_once_dcn", "dcn_v2"])
def test_one_store_keeps_what_rows_and_requests_read(backbone):
    """The columns of this table are in the same order for both, but for rows none of them is a request's."""
    keras.utils.set_random_seed(0)
    schema = Schema([Categorical("a_user", 50, side="user"), Categorical("b_ad", 20, side="ad")], [Task("click")])
    model, kept = CTRModel(schema, backbone, group_structure=(), embedding_dim=4), {}

    def arranged(key, arrange):
        return kept[key] if key in kept else kept.setdefault(key, arrange())

    request, candidates = {"a_user": np.array([7])}, {"b_ad": np.arange(40)[np.newaxis] % 20}
    rows = {"a_user": np.repeat(7, 40), "b_ad": np.arange(40) % 20}
    expected = model.predict_proba(rows)["click"]
    tensors = [{name: ops.convert_to_tensor(x) for name, x in part.items()} for part in (request, candidates, rows)]
    for logits in (model.rank_logits(*tensors[:2], arranged), model.row_logits(tensors[2], arranged)):
        found = ops.convert_to_numpy(ops.sigmoid(logits["click"])).reshape(-1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are served by TensorFlow")
@pytest.mark.parametrize("way", ["few candidates", "many candidates", "rows"])
def test_a_served_graph_arranges_nothing(columns, way):
    """What it reads in another order it reads from variables of its own, whichever way it goes."""
    import tensorflow as tf

    from grouprank.serving.arranged_weights import ArrangedWeights

    model, arranged, asked = CTRModel(SCHEMA, embedding_dim=4), ArrangedWeights(), set()
    split = [model.group_concats["user_ad"].first, model.backbone.mlp.first, model.backbone.crosses[0].dense]
    by_side = [model.group_concats["representation"].first, *(cross.dense for cross in model.backbone.crosses[1:])]
    towers = [model.get_layer(f"{task}_tower").first for task in SCHEMA.task_names]
    layers = {"few candidates": split + towers, "many candidates": split + by_side + towers, "rows": towers}[way]

    def spy(key, arrange):
        asked.update(part for part in key if isinstance(part, str))
        return arranged(key, arrange)

    if way == "rows":
        graph = tf.function(lambda x: model.row_logits(x, spy), autograph=False).get_concrete_function(
            row_by_row(*columns)
        )
    else:
        request = {name: x[:1] for name, x in columns[0].items()}
        times = 20 if way == "many candidates" else 1
        candidates = {name: np.tile(x[:1], (1, times, *[1] * (x.ndim - 2))) for name, x in columns[1].items()}
        graph = tf.function(lambda *x: model.rank_logits(*x, spy), autograph=False).get_concrete_function(
            request, candidates
        )
    read = {id(variable) for variable in graph.variables}
    assert {layer.path for layer in layers} <= asked
    for layer in [*split, *by_side, *towers]:
        assert (id(layer.kernel.value) in read) == (layer not in layers)
        assert (id(layer.bias.value) in read) == (layer not in layers)


def test_columns_are_checked(columns):
    request, candidates = columns
    model = CTRModel(SCHEMA, backbone="mlp", embedding_dim=4)
    with pytest.raises(ValueError, match=r"`request` lacks the columns \['age'\].*Received: \['history'"):
        model.rank({name: values for name, values in request.items() if name != "age"}, candidates)
    with pytest.raises(ValueError, match=r"'image': expected the shape \('requests', 'candidates', 3\).*\(3, 5, 2\)"):
        model.rank(request, {**candidates, "image": candidates["image"][..., :2]})
    with pytest.raises(ValueError, match=r"'ad_id': expected the shape \('requests', 'candidates'\).*\(5,\)"):
        model.rank(request, {**candidates, "ad_id": candidates["ad_id"][0]})
    lonely = CTRModel(Schema([Categorical("ad_id", 5)], [Task("click")]), backbone="mlp", group_structure=())
    with pytest.raises(ValueError, match="a schema needs features of both"):
        lonely.rank({}, {"ad_id": np.zeros((1, 2), int)})
