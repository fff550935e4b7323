"""Many ads for one user: the same scores as row by row, the user's side computed once."""

import keras
import numpy as np
import pytest
from keras import ops

from grouprank import Categorical, Numeric, Schema, Sequence, Task, Vector
from grouprank.models import CTRModel, CVRModel
from grouprank.models.backbones import DCNv2

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
    for name in ("user_groups", "user_ad_groups", "embedding"):
        layer = model.get_layer(name)

        def spy(inputs, *args, layer=layer, name=name, call=layer.call, **kwargs):
            columns = inputs if isinstance(inputs, dict) else {"x": inputs}
            seen.setdefault(name, []).append({key: ops.shape(x)[0] for key, x in columns.items()})
            return call(inputs, *args, **kwargs)

        monkeypatch.setattr(layer, "call", spy)
    model.rank(*columns)
    assert seen["user_groups"] == [{"x": REQUESTS}]
    assert seen["user_ad_groups"] == [{"x": REQUESTS * CANDIDATES}]
    looked_up = {key: rows for call in seen["embedding"] for key, rows in call.items()}
    once, each = dict.fromkeys(("user_id", "history", "hour"), REQUESTS), {"ad_id": REQUESTS * CANDIDATES}
    assert looked_up == once | each


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
