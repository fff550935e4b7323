"""Many ads for one user: the same scores as row by row, the user's side computed once."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array

from grouprank import Categorical, Numeric, Schema, Sequence, Task, Vector
from grouprank.models import CTRModel, CVRModel
from grouprank.models.backbones import DCNv2
from grouprank.models.backbones.candidate_rows import CandidateRows
from grouprank.models.backbones.crosses_by_side import _least_candidates

REQUESTS, CANDIDATES = 3, 5
FEATURES = [
    Categorical("user_id", 50, side="user"),
    Numeric("age", side="user"),
    Sequence("history", 20, 4, side="user", shares="ad_id"),
    Categorical("hour", 24, side="context"),
    Categorical("ad_id", 20, side="ad"),
    Numeric("bid", side="ad"),
    Vector("image", 3, side="ad"),
]
SCHEMA = Schema(FEATURES, [Task("click"), Task("buy", given="click")])


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    request = {
        "user_id": rng.integers(0, 50, REQUESTS),
        "age": rng.normal(size=REQUESTS).astype("float32"),
        "history": rng.integers(0, 20, (REQUESTS, 4)),
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


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (CTRModel, {"backbone": "dcn_v2"}),
        (CTRModel, {"backbone": DCNv2(2, projection_dim=3, structure="stacked", units=(8,), dropout=0.5)}),
        (CTRModel, {"backbone": DCNv2(0, units=(8,)), "dropout": 0.5}),
        (CTRModel, {"backbone": DCNv2(1, units=())}),
        (CTRModel, {"backbone": "mlp", "dropout": 0.5, "sequence_encoder": {"history": "target_attention"}}),
        (CTRModel, {"backbone": "mlp", "embedding_optimizer": "adam", "group_structure": ("user",)}),
        (CVRModel, {"backbone": "dlrm", "group_structure": ()}),
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
    once, each = dict.fromkeys(("user_id", "history", "hour"), REQUESTS), {"ad_id": REQUESTS * CANDIDATES}
    assert looked_up == once | each


@pytest.mark.parametrize("count", [4, 200])
def test_crosses_of_one_request_with_many_candidates(count):
    """The request's half as a linear function, from some number of candidates on, is the same polynomial."""
    keras.utils.set_random_seed(0)
    rng, backbone = np.random.default_rng(1), DCNv2(4, units=(8,))
    request = {name: rng.normal(size=(1, 5)).astype("float32") for name in ("d", "f", "b")}
    candidates = {name: rng.normal(size=(count, 3)).astype("float32") for name in ("e", "a")}
    backbone.build({name: (None, x.shape[1]) for name, x in {**request, **candidates}.items()})
    for cross in backbone.crosses:
        cross.dense.bias.assign(rng.normal(size=21).astype("float32"))
    # Both ways of computing it are met.
    assert (count >= _least_candidates(4, 15, 6)) == (count == 200)
    rows = CandidateRows(1, count)
    alone = {**{name: np.repeat(x, count, axis=0) for name, x in request.items()}, **candidates}
    found = ops.convert_to_numpy(backbone.rank(request, candidates, rows))
    np.testing.assert_allclose(found, ops.convert_to_numpy(backbone(alone)), rtol=1e-4, atol=1e-4)


def test_kept_weights_give_the_same_scores(columns):
    keras.utils.set_random_seed(0)
    model, held = CTRModel(SCHEMA, embedding_dim=4), []
    rows = row_by_row(*columns)
    before, kernel = (
        (model.rank(*columns), model.predict_proba(rows)),
        as_array(model.backbone.crosses[0].dense.kernel).copy(),
    )
    model.keep_weights(lambda value: held.append(value) or value)
    assert len(held) > 5
    # Nothing is arranged again: the graph reads what is held.
    model.backbone.crosses[0].dense.kernel.assign(np.zeros_like(kernel))
    after = model.rank(*columns)
    model.backbone.crosses[0].dense.kernel.assign(kernel)
    logits = model.row_logits({name: ops.convert_to_tensor(values) for name, values in rows.items()})
    for name in model.prediction_names:
        np.testing.assert_allclose(after[name], before[0][name], atol=1e-6)
        scores = 1 / (1 + np.exp(-ops.convert_to_numpy(logits[name])))
        np.testing.assert_allclose(scores, before[1][name], atol=1e-6)
        assert np.ptp(scores) > 1e-4


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
