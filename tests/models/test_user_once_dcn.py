"""The crosses whose user half does not read the ad, against their formula and against DCN V2."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave

import grouprank as gr
from grouprank.models.backbones import DCNv2, UserOnceDCN, get
from grouprank.models.ranking.candidate_calls import CandidateCalls
from grouprank.models.ranking.candidate_rows import CandidateRows, Once
from grouprank.models.ranking.columns import Columns

# In the order of their names the sides are mixed, and the groups of users are the request's without being named.
FIELDS = {
    "ad": wave(6, 3),
    "hour": wave(6, 2, start=1.0),
    "user": wave(6, 3, start=2.0),
    "user:groups": wave(6, 2, start=3.0),
    "user_ad:groups": wave(6, 2, start=4.0),
}
SCHEMA = gr.Schema(
    [gr.Categorical("user", 9, side="user"), gr.Categorical("hour", 24, side="context"), gr.Categorical("ad", 9)],
    [gr.Task("click")],
)


def built(**arguments):
    backbone = UserOnceDCN(["user", "hour"], **{"units": (5, 4), **arguments})
    backbone.build({name: (None, values.shape[1]) for name, values in FIELDS.items()})
    set_fixed_weights(backbone)
    return backbone


def halves():
    return tuple(
        np.concatenate([FIELDS[name] for name in names], axis=-1)
        for names in (("hour", "user", "user:groups"), ("ad", "user_ad:groups"))
    )


def linear(dense, x):
    return x @ as_array(dense.kernel) + as_array(dense.bias)


def test_against_numpy():
    backbone = built()
    u0, a0 = u, a = halves()
    for request_cross, cross in zip(backbone.request_crosses, backbone.crosses, strict=True):
        u, a = u0 * linear(request_cross, u) + u, a0 * linear(cross, np.concatenate([u, a], axis=-1)) + a
    hidden = np.concatenate([u0, a0], axis=-1)
    for name in ("dense_0", "dense_1"):
        kernel, bias = (as_array(w) for w in backbone.mlp.weights if f"{name}/" in w.path)
        hidden = np.maximum(hidden @ kernel + bias, 0)
    expected = np.concatenate([u, a, hidden], axis=-1)
    np.testing.assert_allclose(as_array(backbone(FIELDS)), expected, rtol=1e-4, atol=1e-5)


def test_it_is_dcn_v2_with_zeros_where_the_user_would_read_the_ad():
    """With the weights of one in the other; the fields' names put those of the request first."""
    u0, a0 = halves()
    fields = {"a_request": u0, "b_other": a0}
    shapes = {name: (None, values.shape[1]) for name, values in fields.items()}
    ours, dcn = UserOnceDCN(["a_request"], units=(5,)), DCNv2(units=(5,))
    for backbone in (ours, dcn):
        backbone.build(shapes)
    set_fixed_weights(ours)
    once = u0.shape[1]
    for request_cross, cross, whole in zip(ours.request_crosses, ours.crosses, dcn.crosses, strict=True):
        kernel = np.zeros((u0.shape[1] + a0.shape[1],) * 2, "float32")
        kernel[:once, :once], kernel[:, once:] = as_array(request_cross.kernel), as_array(cross.kernel)
        whole.dense.kernel.assign(kernel)
        whole.dense.bias.assign(np.concatenate([as_array(request_cross.bias), as_array(cross.bias)]))
    dcn.mlp.set_weights([as_array(weight) for weight in ours.mlp.weights])
    np.testing.assert_allclose(as_array(ours(fields)), as_array(dcn(fields)), rtol=1e-5, atol=1e-5)


def test_the_users_half_does_not_read_the_ad():
    other = {**FIELDS, "ad": FIELDS["ad"] + 1.0}
    here, there = (as_array(built()(fields)) for fields in (FIELDS, other))
    once = halves()[0].shape[1]
    np.testing.assert_array_equal(here[:, :once], there[:, :once])
    assert np.abs(here[:, once:] - there[:, once:]).max() > 0.1


@pytest.mark.any_backend
@pytest.mark.parametrize("requests", [1, 2])
def test_a_request_multiplies_its_half_once(requests, monkeypatch):
    backbone = built()
    of_request = {"hour", "user", "user:groups"}
    each = 6 // requests
    fields = {
        name: Once(ops.convert_to_tensor(x[::each])) if name in of_request else ops.convert_to_tensor(x)
        for name, x in FIELDS.items()
    }
    rows = {name: np.repeat(x[::each], each, axis=0) if name in of_request else x for name, x in FIELDS.items()}
    expected, seen = as_array(backbone(rows)), []
    for cross in backbone.request_crosses:
        monkeypatch.setattr(
            cross, "call", lambda x, call=cross.call, **kwargs: seen.append(ops.shape(x)[0]) or call(x, **kwargs)
        )
    found = CandidateCalls(CandidateRows(requests, each)).layer(backbone, fields)
    assert seen == [requests] * 3
    # What reads it, the towers, can multiply the user's half once, too.
    assert isinstance(found, Columns)
    assert found.matrix.shape == (requests, halves()[0].shape[1] + 1)
    np.testing.assert_allclose(as_array(found.value()), expected, rtol=1e-4, atol=1e-5)


def test_the_fields_of_a_table():
    backbone = get("user_once_dcn", SCHEMA, dropout=0.3)
    assert backbone.request_fields == ["user", "hour"]
    assert backbone.mlp.dropout == 0.3
    assert UserOnceDCN.from_schema(SCHEMA, request_fields=["user"]).request_fields == ["user"]


def test_config_of_keras():
    twin = get(keras.saving.serialize_keras_object(UserOnceDCN(["user"], 2, units=(5,))), SCHEMA)
    assert isinstance(twin, UserOnceDCN)
    assert (twin.request_fields, twin.num_cross_layers, twin.mlp.units) == (["user"], 2, (5,))


@pytest.mark.parametrize("wrong", [["usr"], [], ["ad", "user", "hour"]])
def test_fields_that_do_not_separate(wrong):
    backbone = UserOnceDCN(wrong)
    with pytest.raises(ValueError, match=r"must name some, but not all, of the fields \['ad', 'hour', 'user'\].*Recei"):
        backbone.build(dict.fromkeys(("user", "hour", "ad"), (None, 3)))
