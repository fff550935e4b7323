"""Sequence encoders, semantic ids, multi-task structures and task weightings inside a model."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr

LAYERS = gr.layers


def trained(model, ads, epochs=1):
    model.compile(**ads.quick)
    model.fit(ads.columns(), ads.labels(), epochs=epochs, verbose=0)
    return model


def check_file(model, ads, path):
    model.save(path)
    loaded = keras.models.load_model(path)
    x = ads.columns()
    for name, expected in model.predict_proba(x).items():
        np.testing.assert_allclose(loaded.predict_proba(x)[name], expected, atol=1e-6)
    return loaded


class TestSequenceEncoders:
    @pytest.mark.parametrize("encoder", ["target_attention", "causal_transformer"])
    @pytest.mark.parametrize("optimizer", [None, "adam"])
    def test_encodes_the_history(self, ads, encoder, optimizer, tmp_path):
        model = trained(ads.model(sequence_encoder=encoder, embedding_optimizer=optimizer), ads)
        assert model.sequence_encoders["history"].name == "history_encoder"
        x = ads.columns()
        before = model.predict_proba(x)["click"]
        turned = {**x, "history": x["history"][:, ::-1].copy()}
        after = model.predict_proba(turned)["click"]
        # Attention weighs for the ad whatever the order; a transformer reads it.
        if encoder == "target_attention":
            np.testing.assert_allclose(after, before, atol=1e-6)
        else:
            assert np.abs(after - before).max() > 1e-6
        loaded = check_file(model, ads, tmp_path / "model.keras")
        assert type(loaded.sequence_encoders["history"]) is type(model.sequence_encoders["history"])

    def test_the_target_is_the_ad(self, ads):
        model = ads.model(sequence_encoder={"history": LAYERS.TargetAttention((4,), activation="sigmoid")})
        x = ads.columns()
        vectors = keras.Model(model.input, model.get_layer(model.sequence_encoders["history"].name).output)
        model.get_layer("embedding").embeddings.assign(
            np.sin(np.arange(model.get_layer("embedding").num_rows * 4)).reshape(-1, 4)
        )
        moved = {**x, "ad_id": (x["ad_id"] + 1) % 12}
        assert np.abs(as_array(vectors(x)) - as_array(vectors(moved))).max() > 1e-4

    def test_an_empty_history_is_zero(self, ads):
        model = ads.model(sequence_encoder="causal_transformer")
        x = {**ads.columns(), "history": np.zeros((ads.rows, 3), "int32")}
        vectors = keras.Model(model.input, model.get_layer("history_encoder").output)
        np.testing.assert_array_equal(as_array(vectors(x)), np.zeros((ads.rows, 4)))

    @pytest.mark.parametrize(
        ("encoder", "message"),
        [
            ("maximum", r"must be one of .*'mean'.*Received: 'maximum'"),
            ({"histroy": "mean"}, r"names \['histroy'\], which are no sequences. Sequences: \['history'\]"),
            (LAYERS.MeanPooling(), "a dict by sequence"),
        ],
    )
    def test_errors(self, ads, encoder, message):
        with pytest.raises(ValueError, match=message):
            ads.model(sequence_encoder=encoder)

    def test_target_attention_needs_a_target(self, ads):
        features = [gr.Sequence("history", 12, 3), gr.Categorical("ad_id", 12)]
        schema = gr.Schema(features, ads.schema.tasks)
        message = r"must share the table of the ad's id.*shares=None. Categorical ad features: \['ad_id'\]"
        with pytest.raises(ValueError, match=message):
            ads.model(schema=schema, sequence_encoder="target_attention")


class TestSemanticIds:
    codes = np.array([[-1, -1], *([item % 3, item % 4] for item in range(11))])

    def test_is_one_more_field(self, ads, tmp_path):
        ids = LAYERS.SemanticIds(self.codes, codebook_size=4)
        model = trained(ads.model(semantic_ids={"ad_id": ids}), ads)
        layer = model.get_layer("ad_id_semantic_ids")
        assert layer.embedding_dim == 4
        loaded = check_file(model, ads, tmp_path / "model.keras")
        np.testing.assert_array_equal(
            as_array(loaded.get_layer("ad_id_semantic_ids").prefixes), as_array(layer.prefixes)
        )

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"age": "codes"}, "'age', which is no categorical feature"),
            ({"ad_id": codes}, "must be a SemanticIds or a SemanticIdEmbedding"),
            ({"ad_id": LAYERS.SemanticIdEmbedding(codes[:5], 4)}, "codes for 5 ids, but its vocabulary has 12"),
        ],
    )
    def test_errors(self, ads, given, message):
        with pytest.raises(ValueError, match=message):
            ads.model(semantic_ids=given)


class TestTaskWeighting:
    def test_uncertainty_is_trained_and_saved(self, ads, tmp_path):
        model = trained(ads.model(task_weighting="uncertainty", task_weights={"like": 2.0}), ads, epochs=2)
        assert model.task_weighting.trainable_weights
        learned = [as_array(weight) for weight in model.task_weighting.weights]
        assert max(np.abs(values).max() for values in learned) > 0
        loaded = check_file(model, ads, tmp_path / "model.keras")
        assert loaded.task_weighting.task_weights == {"like": 2.0}
        for ours, theirs in zip(learned, loaded.task_weighting.weights, strict=True):
            np.testing.assert_array_equal(ours, as_array(theirs))

    def test_grad_norm_moves_its_weights(self, ads):
        model = ads.model(["user"], residual_learning=True, task_weighting="grad_norm")
        trained(model, ads, epochs=2)
        weights = model.task_weighting.weights_by_task()
        assert sum(weights.values()) == pytest.approx(2.0, rel=1e-5)
        assert abs(weights["click"] - 1.0) > 1e-5

    @pytest.mark.parametrize("weighting", ["uncertainty", "grad_norm"])
    def test_validation_does_not_see_the_weighting(self, ads, weighting):
        plain, weighed = ads.model(), ads.model(task_weighting=weighting)
        learned = {id(weight) for weight in weighed.task_weighting.weights}
        others = [weight for weight in weighed.weights if id(weight) not in learned]
        for ours, theirs in zip(plain.weights, others, strict=True):
            theirs.assign(as_array(ours))
        losses = []
        for model in (plain, weighed):
            model.compile(metrics={}, **ads.quick)
            losses.append(model.evaluate(ads.columns(), ads.labels(), verbose=0, return_dict=True)["loss"])
        assert losses[1] == pytest.approx(losses[0], rel=1e-5)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"task_weighting": "gradnorm"}, r"must be one of .*'grad_norm'.*Received: task_weighting='gradnorm'"),
            ({"task_weighting": LAYERS.FixedWeighting(["click"])}, r"made for the tasks \['click'\], but the schema"),
            (
                {"task_weighting": LAYERS.FixedWeighting(["click", "like"]), "task_weights": {"like": 2.0}},
                "Give `task_weights` to the TaskWeighting itself",
            ),
        ],
    )
    def test_errors(self, ads, arguments, message):
        with pytest.raises(ValueError, match=message):
            ads.model(**arguments)


class TestStructures:
    def test_a_layer_of_the_users(self, ads, tmp_path):
        mine = LAYERS.MMoE(["click", "like"], num_experts=3, units=(6,), name="mine")
        model = trained(ads.model(["user"], multi_task=mine, residual_learning=True), ads)
        assert model.multi_task is mine
        assert check_file(model, ads, tmp_path / "model.keras").multi_task.num_experts == 3

    def test_each_task_has_its_own_heads_under_experts(self, ads):
        model = ads.model(multi_task="mmoe", residual_learning=True)
        assert {layer.name for layer in model.layers if layer.name.endswith("_heads")} == {"click_heads", "like_heads"}

    def test_aitm_follows_the_funnel(self, ads):
        schema = gr.Schema(ads.schema.features, [gr.Task("like", given="click"), gr.Task("click")])
        model = ads.model(schema=schema, multi_task="aitm")
        assert model.multi_task.parents == {"like": "click"}

    def test_layer_of_other_tasks(self, ads):
        with pytest.raises(ValueError, match=r"`multi_task` was made for the tasks \['click', 'buy'\]"):
            ads.model(multi_task=LAYERS.SharedBottom(["click", "buy"]))

    @pytest.mark.any_backend
    def test_stem_has_an_embedding_for_each_task_and_a_shared_one(self, ads, tmp_path):
        ids = LAYERS.SemanticIds(TestSemanticIds.codes, codebook_size=4)
        groups = {
            place: LAYERS.GroupConcat(2, 8, code_dim=6, seed=0, name=f"{place}_g") for place in ("user", "user_ad")
        }
        arguments = {"backbone": "concatenation", "multi_task": "stem", "semantic_ids": {"ad_id": ids}}
        arguments["tables"] = [LAYERS.TableConfig("user_id", width=6)]
        model = trained(ads.model(groups, True, **arguments), ads)
        embedding = model.get_layer("embedding")
        # Two tasks: three times the `embedding_dim` of 4.
        assert [embedding.rows_of(name)[0].shape[1] for name in ("user_id", "ad_id")] == [6, 12]
        assert model.get_layer("title_projection").units == model.get_layer("ad_id_semantic_ids").embedding_dim == 12
        # Five more columns and the semantic ids, and two groups.
        assert model.backbone.output.shape[-1] == 6 + 6 * 12 + 2 * 6
        assert model.embedding_dim == check_file(model, ads, tmp_path / "model.keras").embedding_dim == 4

    def test_a_task_of_stem_leaves_the_embeddings_of_others_alone(self, ads):
        model = ads.model(backbone="concatenation", multi_task="stem", start_at_rate=False)
        model.compile(keras.optimizers.SGD(0.5), metrics={}, **ads.quick)
        tables = [*model.get_layer("embedding").weights, model.get_layer("title_projection").kernel]
        before = [as_array(table).copy() for table in tables]
        model.fit(ads.columns(), {**ads.labels(), "like": np.full(ads.rows, np.nan, "float32")}, verbose=0)
        for table, start in zip(tables, before, strict=True):
            moved = (as_array(table) != start).any(axis=0)
            assert moved.tolist() == [True, False, True] * 4, table.path

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, r"the fields as they are: pass backbone='concatenation'. Received: .*class MLPBackbone"),
            (
                {"backbone": "concatenation", "tables": [LAYERS.TableConfig("user_id", width=8)]},
                r"a multiple of 3 wide.*Received: fields of the widths \{'user_id': 8\}",
            ),
            (
                {"backbone": "concatenation", "group_structure": ("user", "user_ad")},
                r"the `code_dim` of groups. Received: fields of the widths \{'user:groups': 4, 'user_ad:groups': 4\}",
            ),
        ],
    )
    def test_what_stem_cannot_split(self, ads, arguments, message):
        for structure in ("stem", LAYERS.STEM(["click", "like"])):
            with pytest.raises(ValueError, match=message):
                ads.model(multi_task=structure, **arguments)
