"""LR, FM, DeepFM, NCF and DLRM against their papers' formulas; `tests/peers` compares them with other libraries."""

import itertools

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.gradients import gradients

import grouprank as gr
from grouprank.layers import BiInteractionPooling, FactorizationMachine
from grouprank.models.backbones import DLRM, FM, LR, NCF, DeepFM, get

FIELDS = {name: wave(6, 4, start=float(index)) for index, name in enumerate(["user", "age", "ad", "hour"])}
GROUPS = {"user:groups": wave(6, 3, start=9.0)}
SIDES = {"user_fields": ["user", "age"], "ad_fields": ["ad"]}
NAMES = ("deepfm", "dlrm", "fm", "lr", "ncf")


def built(backbone, fields):
    backbone.build({name: (None, field.shape[1]) for name, field in fields.items()})
    set_fixed_weights(backbone)
    return backbone


def mlp_by_numpy(mlp, x):
    weights = [as_array(weight) for weight in mlp.weights]
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        x = np.maximum(x @ kernel + bias, 0)
    return x


def brought_to_width(backbone, fields):
    """The fields in the order of their names, learned groups times the matrix of theirs."""
    kernels = {"user:groups": as_array(backbone._projections["user:groups"].kernel)} if "user:groups" in fields else {}
    return {n: fields[n] @ kernels[n] if n in kernels else fields[n] for n in sorted(fields)}


def factorized_by_numpy(fields):
    """`Σ w` and, by its definition, `Σ_{i<j} vᵢ ⊙ vⱼ`."""
    weights = sum(field[:, :1] for field in fields.values())
    pairs = sum(a[:, 1:] * b[:, 1:] for a, b in itertools.combinations(fields.values(), 2))
    return np.concatenate([weights, pairs], axis=-1)


def assert_representation(backbone, fields, expected):
    np.testing.assert_allclose(as_array(backbone(fields)), expected, rtol=1e-5, atol=1e-5)


with_and_without_groups = pytest.mark.parametrize("fields", [FIELDS, {**FIELDS, **GROUPS}], ids=["alone", "groups"])


def test_a_pair_by_hand():
    rows = np.array([[[1, 2, 0.5], [3, -1, 4], [-2, 5, 2]]], "float32")
    # 1·3 + 1·(−2) + 3·(−2); 2·(−1) + 2·5 + (−1)·5; 0.5·4 + 0.5·2 + 4·2.
    np.testing.assert_allclose(as_array(BiInteractionPooling()(rows)), [[-5, 3, 11]])
    np.testing.assert_allclose(as_array(FactorizationMachine()(rows)), [[2, 3, 11]])


def test_pooling_in_bfloat16_keeps_small_fields():
    rows = np.array([[[100.0], [0.5]]], "float32")
    pooled = BiInteractionPooling(dtype="mixed_bfloat16")(rows)
    assert keras.backend.standardize_dtype(pooled.dtype) == "bfloat16"
    assert as_array(pooled).item() == 50.0


@with_and_without_groups
def test_lr_against_numpy(fields):
    backbone = built(LR(), fields)
    assert_representation(backbone, fields, sum(brought_to_width(backbone, fields).values()))


@with_and_without_groups
def test_fm_against_numpy(fields):
    backbone = built(FM(), fields)
    assert_representation(backbone, fields, factorized_by_numpy(brought_to_width(backbone, fields)))


@with_and_without_groups
def test_deepfm_against_numpy(fields):
    backbone = built(DeepFM((5, 3)), fields)
    rows = brought_to_width(backbone, fields)
    factors = np.concatenate([row[:, 1:] for row in rows.values()], axis=-1)
    expected = np.concatenate([factorized_by_numpy(rows), mlp_by_numpy(backbone.mlp, factors)], axis=-1)
    assert_representation(backbone, fields, expected)


@with_and_without_groups
def test_ncf_against_numpy(fields):
    backbone = built(NCF(**SIDES, units=(5, 3)), fields)
    factorization = (fields["user"] + fields["age"])[:, :2] * fields["ad"][:, :2]
    # Fields of no side go to the dense layers whole.
    halves = [field[:, 2:] if name in ("user", "age", "ad") else field for name, field in sorted(fields.items())]
    hidden = mlp_by_numpy(backbone.mlp, np.concatenate(halves, axis=-1))
    assert_representation(backbone, fields, np.concatenate([factorization, hidden], axis=-1))


@with_and_without_groups
@pytest.mark.parametrize("dense_fields", [["hour", "age"], []])
def test_dlrm_against_numpy(fields, dense_fields):
    backbone = built(DLRM(dense_fields, bottom_units=(5,), top_units=(6, 3)), fields)
    others = {name: field for name, field in fields.items() if name not in dense_fields}
    vectors = list(brought_to_width(backbone, others).values())
    dense = []
    if dense_fields:
        hidden = mlp_by_numpy(backbone.bottom, np.concatenate([fields["age"], fields["hour"]], axis=-1))
        dense = [mlp_by_numpy(backbone.bottom_output, hidden)]
    vectors = [*dense, *vectors]
    products = [np.sum(vectors[i] * vectors[j], axis=-1, keepdims=True) for i in range(len(vectors)) for j in range(i)]
    assert_representation(backbone, fields, mlp_by_numpy(backbone.top, np.concatenate([*dense, *products], axis=-1)))


def test_dlrm_makes_a_vector_of_dense_fields_of_any_width():
    fields = {"user": wave(6, 4), "title": wave(6, 7), "age": wave(6, 1)}
    backbone = built(DLRM(["title", "age"], bottom_units=(), top_units=(3,)), fields)
    assert backbone.bottom_output.kernel.shape == (8, 4)
    # One product beside the vector of 4.
    assert as_array(backbone.top.weights[0]).shape == (5, 3)


def test_a_logit_of_lr_is_a_weight_per_id():
    """What a task adds for an id is the same whatever the row's other ids are."""
    model = model_of("lr", embedding_dim=1, tower_units=())
    ids = {
        name: values.reshape(-1) for name, values in zip(("user", "ad"), np.meshgrid(range(4), range(3)), strict=True)
    }
    logits = as_array(model(ids)["click"]).reshape(3, 4)
    np.testing.assert_allclose(np.diff(logits, axis=0), np.diff(logits, axis=0)[:, :1].repeat(4, axis=1), atol=1e-6)
    assert np.ptp(logits) > 0.1


def test_several_tasks_of_lr_have_the_rank_of_the_embedding():
    rng = np.random.default_rng(0)
    for dim, rank in ((1, 1), (2, 2), (4, 3)):
        model = model_of("lr", tasks=("a", "b", "c"), embedding_dim=dim, tower_units=())
        users = {"user": np.arange(4), "ad": np.zeros(4, "int32")}
        for weight in model.weights:
            weight.assign(rng.normal(size=weight.shape))
        logits = np.concatenate([as_array(part) for part in model(users).values()], axis=-1)
        assert np.linalg.matrix_rank(logits - logits[:1], tol=1e-5) == rank


def test_the_representation_of_fm_is_the_papers_prediction():
    """With a tower of ones, a gradient in a factor is the sum of the other fields' factors, as in the paper's eq. 4."""
    fields = {name: FIELDS[name] for name in ("user", "ad", "hour")}
    backbone = built(FM(), fields)

    def prediction(user, ad, hour):
        return keras.ops.sum(backbone({"user": user, "ad": ad, "hour": hour}))

    _, (by_user, by_ad, by_hour), _ = gradients(prediction, list(fields.values()))
    total = sum(fields.values())[:, 1:]
    for found, field in ((by_user, "user"), (by_ad, "ad"), (by_hour, "hour")):
        np.testing.assert_allclose(found[:, 1:], total - fields[field][:, 1:], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found[:, :1], 1)


def model_of(backbone, tasks=("click",), **arguments):
    schema = gr.Schema([gr.Categorical("user", 4, side="user"), gr.Categorical("ad", 3)], map(gr.Task, tasks))
    model = gr.models.CTRModel(schema, backbone, group_structure=(), residual_learning=False, **arguments)
    set_fixed_weights(model)
    return model


@pytest.mark.any_backend
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_the_name(name, ads, tmp_path):
    """With every kind of feature, groups of another width, a file and training."""
    model = ads.model(ads.groups("user", "user_ad", code_dim=3), backbone=name, dropout=0.1)
    x = ads.columns()
    before = model(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.backbone.get_config() == model.backbone.get_config()
    after = loaded(x)
    for task, expected in before.items():
        np.testing.assert_allclose(as_array(after[task]), as_array(expected), atol=1e-6)
    model.compile(**ads.quick)
    assert np.isfinite(model.fit(x, ads.labels(), batch_size=32, verbose=0).history["loss"]).all()


def test_what_a_schema_decides(ads):
    ncf = get("ncf", ads.schema, dropout=0.3)
    assert (ncf.user_fields, ncf.ad_fields) == (["user_id", "age", "history"], ["ad_id", "title"])
    dlrm = get("dlrm", ads.schema, dropout=0.3)
    assert dlrm.dense_fields == ["age", "title"]
    deepfm = get("deepfm", ads.schema, dropout=0.3)
    assert [mlp.dropout for mlp in (ncf.mlp, dlrm.top, dlrm.bottom, deepfm.mlp)] == [0.3] * 4
    assert type(get("lr", ads.schema, dropout=0.3)) is LR
    assert type(get("fm", ads.schema, dropout=0.3)) is FM


@pytest.mark.parametrize("make", [LR, FM, DeepFM, lambda: NCF(**SIDES), lambda: DLRM(["age"])])
def test_the_order_of_fields_does_not_matter(make):
    fields = {**FIELDS, **GROUPS}
    backbone = built(make(), fields)
    reverse = dict(reversed(fields.items()))
    np.testing.assert_array_equal(as_array(backbone(reverse)), as_array(backbone(fields)))


@pytest.mark.parametrize("make", [FM, DeepFM])
def test_fields_without_factors(make):
    with pytest.raises(ValueError, match=r"at least 2 wide: a weight and one factor\. Received: width 1\."):
        built(make(), {"user": wave(6, 1), "ad": wave(6, 1)})


def test_ncf_of_a_side_without_fields():
    with pytest.raises(ValueError, match=r"`ad_fields` must name at least one field\. .* side='ad'"):
        NCF(["user"], [])
    no_users = gr.Schema([gr.Categorical("ad", 3), gr.Categorical("hour", 3, side="context")], [gr.Task("click")])
    with pytest.raises(ValueError, match=r"`user_fields` must name at least one field\. .* side='user'"):
        get("ncf", no_users)


def test_ncf_of_a_field_on_both_sides():
    with pytest.raises(ValueError, match=r"Received in both lists: \['user'\]"):
        NCF(["user", "age"], ["user"])


def test_ncf_of_fields_that_are_not_there():
    with pytest.raises(ValueError, match=r"lacks the fields \['ad'\] .*Received: \['age', 'user'\]"):
        built(NCF(**SIDES), {"user": wave(6, 4), "age": wave(6, 4)})


def test_ncf_of_widths_that_it_cannot_halve():
    with pytest.raises(ValueError, match=r"width must be even\. Received: width 3\."):
        built(NCF(["user"], ["ad"]), {"user": wave(6, 3), "ad": wave(6, 3)})
    with pytest.raises(ValueError, match=r"must have one width\. Received: \{'user': 4, 'ad': 2\}"):
        built(NCF(["user"], ["ad"]), {"user": wave(6, 4), "ad": wave(6, 2)})


def test_dlrm_of_fields_that_are_not_there():
    with pytest.raises(
        ValueError, match=r"`dense_fields` names \['bid'\], which are no fields\. Received fields: \['ad', 'user'\]"
    ):
        built(DLRM(["bid"]), {"user": wave(6, 4), "ad": wave(6, 4)})


@pytest.mark.parametrize(("fields", "dense_fields"), [(["user"], []), (["age", "bid"], ["age", "bid"])])
def test_dlrm_of_nothing_to_multiply(fields, dense_fields):
    with pytest.raises(ValueError, match=r"needs two fields that are not dense, or one beside dense fields\. Received"):
        built(DLRM(dense_fields), {name: wave(6, 4) for name in fields})
