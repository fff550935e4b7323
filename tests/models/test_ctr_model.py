"""What `CTRModel` is before any training: graph, placements, inference, k-means start, and what it refuses."""

import itertools
import json
import subprocess
import sys

import keras
import numpy as np
import polars as pl
import pytest
from support.fixed_weights import as_array

import grouprank as gr

PLACEMENTS = ("user", "user_ad", "representation")
SUBSETS = [s for size in range(4) for s in itertools.combinations(PLACEMENTS, size)]


@pytest.fixture(scope="module")
def candidate(ads):
    """All placements and residual learning, weights as at the start."""
    keras.utils.set_random_seed(0)
    return ads.model(PLACEMENTS, gr.models.ResidualLearning(teacher="teacher_{task}"))


def user_input(model, x):
    """What the placement "user" groups, from the weights of the embedding layers."""
    table = as_array(model.get_layer("embedding").embeddings)
    numbers = model.get_layer("numeric_embedding")
    ages = x["age"][:, None] * as_array(numbers.vectors)[0] + as_array(numbers.bias)[0]
    history = table[20 + x["history"]] * (x["history"] > 0)[..., None]
    history = history.sum(axis=1) / np.maximum((x["history"] > 0).sum(axis=1, keepdims=True), 1)
    return np.concatenate([table[x["user_id"]], ages, history], axis=-1)


class TestOutputs:
    def test_inference(self, ads, candidate):
        outputs = candidate(ads.columns())
        assert list(outputs) == ["click", "like"]
        assert {tuple(values.shape) for values in outputs.values()} == {(ads.rows, 1)}

    def test_training_adds_the_heads(self, ads, candidate):
        outputs = candidate(ads.columns(), training=True)
        shapes = {name: tuple(values.shape) for name, values in outputs.items()}
        assert shapes == {
            "click": (64, 1),
            "click/pseudo": (64, 1),
            "click/residual": (64, 2),
            "like": (64, 1),
            "like/pseudo": (64, 1),
            "like/residual": (64, 2),
            # What steers training beside the tasks, for the metrics of `fit`.
            **{f"{placement}_groups_loss": () for placement in candidate.group_concats},
        }

    def test_heads_change_nothing_but_training(self, ads):
        model = ads.model(residual_learning=True)
        training, inference = model(ads.columns(), training=True), model(ads.columns())
        for task, values in inference.items():
            np.testing.assert_array_equal(as_array(training[task]), as_array(values))

    def test_inference_model_has_no_heads(self, ads, candidate):
        served = candidate.logits_model()
        assert set(served.output) == {"click", "like"}
        assert not [w.path for w in served.weights if "_head" in w.path]
        assert [w.path for w in candidate.weights if "_head" in w.path]
        x = ads.columns()
        np.testing.assert_allclose(
            served.predict(x, verbose=0)["like"], candidate.predict(x, verbose=0)["like"], atol=1e-6
        )

    def test_the_order_of_columns_does_not_matter(self, ads, candidate):
        x = {"unknown column": np.zeros(ads.rows), **ads.columns()}
        x = dict(reversed(x.items()))
        np.testing.assert_allclose(
            candidate.predict_proba(x)["click"], candidate.predict_proba(ads.columns())["click"], atol=1e-7
        )

    def test_defaults_are_the_papers(self, ads):
        model = gr.models.CTRModel(ads.schema)
        assert isinstance(model.backbone, gr.models.backbones.DCNv2)
        assert list(model.group_concats) == list(PLACEMENTS)
        # Six fields and two groups of 16, crosses beside 128 dense units, 32 of the group of representations.
        assert model.get_layer("representation_groups").output.shape == (None, 8 * 16 + 128 + 32)
        assert set(model.output) == {"click", "like", "click/residual", "like/residual"}


class TestFeatures:
    def test_one_row_of_the_table_an_id(self, ads, candidate):
        assert candidate.get_layer("embedding").embeddings.shape == (20 + 12 + 5, 4)

    def test_sequences_are_bags_without_padding(self, ads, candidate):
        x = ads.columns(3)
        x = {name: np.repeat(values[:1], 3, axis=0) for name, values in x.items()}
        x["history"] = np.array([[3, 7, 0], [0, 7, 3], [3, 7, 7]], "int32")
        first, second, third = candidate.predict_proba(x)["click"]
        assert first == pytest.approx(second, abs=1e-7)
        assert first != third

    @pytest.mark.parametrize("name", ["user_id", "age", "history", "ad_id", "title", "hour"])
    def test_every_column_counts(self, ads, candidate, name):
        x = ads.columns()
        other = {**x, name: (x[name] + 1) % 5}
        assert np.abs(candidate.predict_proba(x)["click"] - candidate.predict_proba(other)["click"]).max() > 1e-5

    def test_ids_out_of_range_in_tensors_are_out_of_vocabulary(self, ads, candidate):
        wild, known = ads.columns(), ads.columns()
        wild["user_id"][:3], known["user_id"][:3] = [20, -1, 2**31 - 1], 0
        wild["history"][:2, 1], known["history"][:2, 1] = [12, -5], 0
        found = candidate(keras.tree.map_structure(keras.ops.convert_to_tensor, wild))
        expected = candidate(keras.tree.map_structure(keras.ops.convert_to_tensor, known))
        np.testing.assert_array_equal(as_array(found["click"]), as_array(expected["click"]))
        assert np.isfinite(as_array(found["click"])).all()


@pytest.mark.any_backend
class TestPlacements:
    @pytest.mark.parametrize("subset", SUBSETS, ids=lambda s: "+".join(s) or "none")
    def test_every_subset(self, ads, subset):
        model = ads.model(tuple(reversed(subset)))
        assert tuple(model.group_concats) == subset
        names = {layer.name for layer in model.layers if isinstance(layer, gr.layers.GroupConcat)}
        assert names == {f"{placement}_groups" for placement in subset}
        # The MLP sees six fields of 4 and 4 of each group before it.
        kernel = model.backbone.mlp.weights[0]
        assert kernel.shape == (24 + 4 * len(set(subset) - {"representation"}), 8)
        x = ads.columns(5)
        assert all(np.isfinite(as_array(values)).all() for values in model(x).values())
        assert {p: ids.shape for p, ids in model.groups(x).items()} == dict.fromkeys(subset, (5, 2))

    def test_by_name(self, ads):
        model = gr.models.CTRModel(ads.schema, "mlp", group_structure="user", embedding_dim=4)
        concat = model.group_concats["user"]
        assert (concat.num_levels, concat.codebook_size, concat.code_dim) == (3, 16, 4)

    def test_a_layer_of_the_users_is_used_as_it_is(self, ads):
        concat = gr.layers.GroupConcat(1, 5, code_dim=3, aggregate="concat", name="mine")
        model = ads.model({"user_ad": concat})
        assert model.group_concats["user_ad"] is concat
        assert model.get_layer("mine") is concat
        # Before the backbone the codes are one more field: their raw fields go there by themselves.
        assert concat.input.shape == (None, 5 * 4)
        assert concat.output.shape == (None, 3)

    def test_zero_init_projection_starts_as_the_baseline(self, ads):
        model = ads.model(ads.groups(*PLACEMENTS, zero_init_projection=True))
        x = ads.columns()
        for placement, width in (("user", 0), ("user_ad", 0), ("representation", 8)):
            part = keras.Model(model.input, model.get_layer(f"{placement}_groups").output)
            output = as_array(part(x))
            assert output.shape == (ads.rows, width + 4)
            np.testing.assert_array_equal(output[:, width:], np.zeros((ads.rows, 4)))
            assert not width or np.abs(output[:, :width]).max() > 0

    @pytest.mark.parametrize(
        ("structure", "message"),
        [
            (["users"], r"Unknown placement 'users'.*Choose from \('user', 'user_ad', 'representation'\)"),
            ({"user": keras.layers.Dense(3)}, "Placement 'user' takes a GroupConcat. Received: <Dense"),
            (3, r"`group_structure` must be a subset of .*Received: group_structure=3"),
            (None, "`group_structure` must be a subset of"),
        ],
    )
    def test_errors(self, ads, structure, message):
        with pytest.raises(ValueError, match=message):
            gr.models.CTRModel(ads.schema, "mlp", group_structure=structure)

    @pytest.mark.parametrize(
        ("side", "placement", "missing"), [("ad", "user", "user"), ("user", "user_ad", "ad"), ("ad", "user_ad", "user")]
    )
    def test_a_side_without_features(self, side, placement, missing):
        schema = gr.Schema([gr.Categorical("id", 5, side=side)], [gr.Task("click")])
        with pytest.raises(ValueError, match=f"groups {missing} features.*side='{missing}'.*leave '{placement}' out"):
            gr.models.CTRModel(schema, "mlp", group_structure=[placement])


@pytest.mark.any_backend
class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"schema": {"click": 1}}, r"`schema` must be a grouprank.Schema. Received: .*of type dict"),
            ({"multi_task": "moe"}, r"`multi_task` must be one of .*'mmoe'.*Received: multi_task='moe'"),
            ({"task_weights": {"click": 1.0, "clik": 2.0}}, r"unknown tasks \['clik'\].*\['click', 'like'\]"),
            ({"residual_learning": "self"}, r"`residual_learning` must be True, False or .*'self'"),
            ({"backbone": "mlpp"}, r"`backbone` must be one of"),
        ],
    )
    def test_errors(self, ads, arguments, message):
        with pytest.raises(ValueError, match=message):
            gr.models.CTRModel(**{"schema": ads.schema, "backbone": "mlp", "group_structure": (), **arguments})

    def test_config(self, ads):
        model = ads.model(
            PLACEMENTS,
            gr.models.ResidualLearning(teacher="teacher_{task}", weight=0.3, reading="signed", tasks=("click",)),
            task_weights={"like": 2.0},
            embeddings_regularizer=keras.regularizers.L2(1e-3),
            dropout=0.1,
            name="mine",
        )
        config = json.loads(json.dumps(model.get_config()))
        twin = gr.models.CTRModel.from_config(json.loads(json.dumps(config)))
        assert json.loads(json.dumps(twin.get_config())) == config
        assert twin.schema == ads.schema
        assert twin.name == "mine"
        assert [w.shape for w in twin.weights] == [w.shape for w in model.weights]

    def test_regularizer(self, ads):
        model = ads.model(embeddings_regularizer=keras.regularizers.L2(0.5))
        table = as_array(model.get_layer("embedding").embeddings)
        assert float(as_array(model.losses[0])) == pytest.approx(0.5 * (table**2).sum(), rel=1e-4)


class TestInference:
    def test_predict_proba(self, ads, candidate):
        x = ads.columns()
        logits = candidate.predict(x, verbose=0)
        found = candidate.predict_proba(x, batch_size=7)
        assert list(found) == ["click", "like"]
        for task, probabilities in found.items():
            assert (probabilities.shape, probabilities.dtype) == ((ads.rows,), np.float32)
            np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits[task][:, 0])), rtol=1e-5)
            assert (probabilities >= 0).all()
            assert (probabilities <= 1).all()

    def test_huge_logits(self, ads):
        model = ads.model()
        output = model.get_layer("click_tower").weights[-1]
        with np.errstate(over="raise"):
            for bias, expected in ((1e4, 1.0), (-1e4, 0.0)):
                output.assign([bias])
                np.testing.assert_array_equal(model.predict_proba(ads.columns(4))["click"], np.full(4, expected))

    def test_a_loader(self, ads, candidate):
        x = ads.columns()
        found = candidate.predict_proba(ads.loader(x, ads.labels()))
        np.testing.assert_allclose(found["like"], candidate.predict_proba(x)["like"], atol=1e-6)

    def test_columns_of_polars(self, ads):
        model = ads.model(schema=gr.Schema([gr.Categorical("user_id", 20, side="user")], [gr.Task("click")]))
        ids = np.arange(20, dtype="int32")
        found = model.predict_proba({"user_id": pl.Series(ids)})["click"]
        np.testing.assert_allclose(found, model.predict_proba({"user_id": ids})["click"], atol=1e-7)
        with pytest.raises(ValueError, match=r"'user_id' .*row 1: expected an id in \[0, 20\)"):
            model.predict_proba({"user_id": pl.Series([3, 20])})

    def test_groups(self, ads, candidate):
        x = ads.columns()
        groups = candidate.groups(x, batch_size=10)
        assert set(groups) == set(PLACEMENTS)
        for ids in groups.values():
            assert (ids.shape, ids.dtype) == ((ads.rows, 2), np.int32)
            assert ((ids >= 0) & (ids < 8)).all()
        vectors = user_input(candidate, x)
        np.testing.assert_array_equal(groups["user"], as_array(candidate.group_concats["user"].encode(vectors)))
        part = keras.Model(candidate.input, candidate.backbone.output)
        encoded = candidate.group_concats["representation"].encode(part.predict(x, verbose=0))
        np.testing.assert_array_equal(groups["representation"], as_array(encoded))

    def test_residual_norms(self, ads, candidate):
        norms = candidate.residual_norms(ads.columns(24))
        assert {placement: found.shape for placement, found in norms.items()} == dict.fromkeys(PLACEMENTS, (2,))
        assert all(np.isfinite(found).all() and (found > 0).all() for found in norms.values())

    def test_no_groups(self, ads):
        assert ads.model().groups(ads.columns()) == {}


@pytest.mark.any_backend
class TestAdapt:
    @pytest.mark.parametrize("source", ["columns", "loader"])
    def test_lower_error_and_more_groups(self, ads, source):
        # Without an encoder the codes live in the space of the placement's input, where the error can be measured.
        model = ads.model(ads.groups("user", "representation", code_dim=None))
        x = ads.columns(256)

        def measure():
            vectors, concat = user_input(model, x), model.group_concats["user"]
            codes = as_array(concat.encode(vectors))
            error = ((vectors - as_array(concat.quantizer.decode(codes))) ** 2).sum(axis=1).mean()
            shares = np.bincount(codes[:, 0], minlength=8) / len(codes)
            return error, np.exp(-sum(share * np.log(share) for share in shares if share > 0))

        (error, perplexity), used = measure(), len(np.unique(model.groups(x)["representation"][:, 0]))
        model.adapt(x if source == "columns" else ads.loader(x, {"click": np.zeros(256)}, 128))
        adapted_error, adapted_perplexity = measure()
        assert adapted_error < 0.5 * error
        assert adapted_perplexity > max(perplexity, 4)
        assert len(np.unique(model.groups(x)["representation"][:, 0])) >= max(used, 6)

    def test_checks_columns(self, ads, candidate):
        x = ads.columns()
        x["ad_id"][5] = 12
        with pytest.raises(ValueError, match=r"'ad_id' .*row 5: expected an id in \[0, 12\)"):
            candidate.adapt(x)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend")
def test_importing_grouprank_imports_no_tensorflow():
    code = "import sys, grouprank.reports; sys.exit(any(name.split('.')[0] == 'tensorflow' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
