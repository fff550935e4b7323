"""`TwoTowerModel`: its graph, what it learns, what it finds, files, and what it refuses."""

import json

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr
from grouprank.layers import FusedEmbeddingCollection, embedding_optimizers
from grouprank.metrics import InBatchRecall
from grouprank.models.retrieval import CandidateIndex

SIZES = {"embedding_dim": 4, "tower_units": (8,), "output_dim": 5}


def make_model(ads, group_structure=("user",), schema=None, **arguments):
    if group_structure and not isinstance(group_structure, dict):
        group_structure = ads.groups(*group_structure)
    return gr.models.TwoTowerModel(
        schema or ads.schema, "ad_id", group_structure=group_structure, **{**SIZES, **arguments}
    )


@pytest.fixture(scope="module")
def model(ads):
    keras.utils.set_random_seed(0)
    return make_model(ads)


@pytest.fixture(scope="module")
def trained(ads, tmp_path_factory):
    """A model after two compiled epochs, their history, and its file as of the first."""
    keras.utils.set_random_seed(0)
    model = make_model(ads)
    model.compile(keras.optimizers.Adam(0.01))
    x, y = ads.columns(), ads.labels()
    path = tmp_path_factory.mktemp("two_tower") / "first_epoch.keras"
    run = {
        "batch_size": 16,
        "shuffle": False,
        "validation_data": (x, y),
        "validation_batch_size": ads.rows,
        "verbose": 0,
    }
    first = model.fit(x, y, **run).history
    model.save(path)
    second = model.fit(x, y, **run).history
    return model, first, second, path


class TestGraph:
    def test_two_vectors_of_length_one(self, ads, model):
        vectors = model.predict(ads.columns(), verbose=0)
        assert {side: values.shape for side, values in vectors.items()} == {"user": (64, 5), "ad": (64, 5)}
        for values in vectors.values():
            np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1.0, rtol=1e-5)

    def test_a_tower_sees_its_side_alone(self, ads, model):
        x = ads.columns()
        before = model.predict(x, verbose=0)
        sides = {"user": ("user_id", "age", "history", "hour"), "ad": ("ad_id", "title")}
        for side, names in sides.items():
            other = "ad" if side == "user" else "user"
            for name in names:
                after = model.predict({**x, name: (x[name] + 1) % 5}, verbose=0)
                assert np.abs(after[side] - before[side]).max() > 1e-6, name
                np.testing.assert_allclose(after[other], before[other], atol=1e-7, err_msg=name)

    def test_vectors_of_one_side_need_its_columns_alone(self, ads, model):
        x = ads.columns()
        both = model.predict(x, verbose=0)
        user, ad = ({n: x[n] for n in names} for names in (("user_id", "age", "history", "hour"), ("ad_id", "title")))
        np.testing.assert_allclose(model.user_vectors(user), both["user"], atol=1e-6)
        np.testing.assert_allclose(model.ad_vectors(ad, batch_size=7), both["ad"], atol=1e-6)
        loader = ads.loader(x, ads.labels())
        np.testing.assert_allclose(model.user_vectors(loader), both["user"], atol=1e-6)

    def test_the_history_reads_the_ads_rows(self, ads, model):
        embedding = model.get_layer("embedding")
        assert embedding.num_rows == 20 + 12 + 5
        # One call of the one table, since a fused table takes no second a step.
        assert len(embedding._inbound_nodes) == 1

    def test_groups_are_a_further_field_of_the_user_tower(self, ads, model):
        assert model.get_layer("user_tower").mlp.weights[0].shape == (4 * 4 + 4, 8)
        assert make_model(ads, ()).get_layer("user_tower").mlp.weights[0].shape == (4 * 4, 8)
        x = ads.columns()
        groups = model.groups(x)
        assert {p: (ids.shape, ids.dtype) for p, ids in groups.items()} == {"user": ((64, 2), np.dtype("int32"))}
        assert make_model(ads, ()).groups(x) == {}
        shuffled = np.random.default_rng(0).permutation(ads.rows)
        with_other_hours = model.groups({**x, "hour": x["hour"][shuffled]})
        np.testing.assert_array_equal(with_other_hours["user"], groups["user"])
        np.testing.assert_array_equal(model.groups(ads.loader(x, ads.labels()))["user"], groups["user"])

    def test_a_layer_of_the_users_and_names(self, ads):
        concat = gr.layers.GroupConcat(1, 5, code_dim=3, name="mine")
        assert make_model(ads, {"user": concat}).get_layer("mine") is concat
        by_name = gr.models.TwoTowerModel(ads.schema, "ad_id", group_structure="user", **SIZES)
        assert by_name.group_concats["user"].codebook_size == 16

    def test_without_context(self, ads):
        model = make_model(ads, (), context_in_user_tower=False)
        x = {name: values for name, values in ads.columns().items() if name != "hour"}
        assert set(model.input) == set(x)
        assert model.user_vectors(x).shape == (64, 5)

    def test_without_normalization(self, ads):
        model = make_model(ads, (), normalize=False)
        assert model.temperature == 1.0
        assert np.ptp(np.linalg.norm(model.user_vectors(ads.columns()), axis=1)) > 1e-5

    def test_adapt(self, ads, model):
        table = model.get_layer("embedding").embeddings
        start = as_array(table).copy()
        for source in (ads.columns(256), ads.loader(ads.columns(256), {"click": np.zeros(256)}, 128)):
            table.assign(100 * start)
            model.adapt(source)
            assert len(np.unique(model.groups(ads.columns(256))["user"][:, 0])) >= 6
        table.assign(start)


class TestTraining:
    def test_loss_and_metrics_by_numpy(self, ads, trained):
        model, _, history, _ = trained
        x, y = ads.columns(), ads.labels()
        vectors = model.predict(x, verbose=0)
        scores = vectors["user"].astype("float64") @ vectors["ad"].T / 0.05
        counts, total = as_array(model.sampling_frequency.counts), float(as_array(model.sampling_frequency.total))
        assert total == pytest.approx(2 * ads.rows, rel=1e-2)
        accidental = (x["ad_id"][:, None] == x["ad_id"]) & ~np.eye(ads.rows, dtype=bool)
        scores[accidental] = -np.inf
        corrected = scores - np.log(np.maximum(counts[x["ad_id"]], 1) / total)
        losses = np.log(np.exp(corrected).sum(axis=1)) - np.diag(corrected)
        assert history["val_loss"][-1] == pytest.approx((losses * y["click"]).sum() / y["click"].sum(), rel=1e-4)
        for k in (1, 10):
            hits = (scores >= np.diag(scores)[:, None]).sum(axis=1) <= k
            expected = (hits * y["click"]).sum() / y["click"].sum()
            assert history[f"val_in_batch_recall_at_{k}"][-1] == pytest.approx(expected, abs=1e-6)
        expected = {f"in_batch_recall_at_{k}" for k in (1, 10)} | {"loss"}
        expected |= {f"val_{name}" for name in expected} | {
            f"user_groups_{n}" for n in ("perplexity", "utilization", "loss")
        }
        assert set(history) == expected

    def test_missing_labels_and_weights(self, ads):
        model = make_model(ads, (), positive="like", sampling_probability=None)
        model.compile(**ads.quick)
        x, y = ads.columns(), ads.labels()
        assert np.isnan(y["like"]).any()
        run = {"batch_size": ads.rows, "verbose": 0, "return_dict": True}
        found = model.evaluate(x, y, **run)
        assert model.evaluate(x, np.nan_to_num(y["like"]), **run) == pytest.approx(found)
        weight = np.random.default_rng(0).random(ads.rows)
        weighted = model.evaluate(x, y, sample_weight={"like": weight, "click": np.zeros(ads.rows)}, **run)
        assert model.evaluate(x, np.nan_to_num(y["like"]) * weight, **run) == pytest.approx(weighted, rel=1e-5)
        assert weighted["loss"] != pytest.approx(found["loss"], rel=1e-4)

    def test_probabilities_from_a_column(self, ads):
        x, labels = ads.columns(), ads.labels()["click"]
        probability = np.random.default_rng(0).uniform(0.01, 0.2, ads.rows)
        losses = []
        for column, y in (("share", {"click": labels, "share": probability}), (None, {"click": labels})):
            keras.utils.set_random_seed(0)
            model = make_model(ads, (), sampling_probability=column)
            assert model.sampling_frequency is None
            model.compile(metrics=[], **ads.quick)
            losses.append(model.evaluate(x, y, batch_size=ads.rows, verbose=0))
            model.fit(x, y, batch_size=ads.rows, verbose=0)
        # A factor common to all probabilities would change nothing.
        assert abs(losses[0] - losses[1]) > 1e-3
        with pytest.raises(ValueError, match=r"`y` lacks the target columns \['share'\].*Received: \['click'\]"):
            make_compiled(ads, sampling_probability="share").fit(x, {"click": labels}, verbose=0)
        y = {"click": labels, "share": np.append(2.0, probability[1:])}
        with pytest.raises(ValueError, match=r"`share`, row 0: expected a probability .* Received: 2; 1 of 64"):
            make_compiled(ads, sampling_probability="share").fit(x, y, verbose=0)

    def test_every_weight_learns(self, ads):
        model = make_model(ads)
        model.compile(keras.optimizers.Adam(0.01), **ads.quick)
        before = {weight.path: as_array(weight).copy() for weight in model.trainable_weights}
        model.fit(ads.columns(), ads.labels(), batch_size=ads.rows, epochs=2, verbose=0)
        dead = [w.path for w in model.trainable_weights if np.array_equal(before[w.path], as_array(w))]
        assert not dead, f"no gradient reaches {dead}"

    def test_a_planted_problem_on_a_fused_table(self):
        keras.utils.set_random_seed(0)
        x, y, ads = planted()
        model = gr.models.TwoTowerModel(
            PLANTED,
            "ad_id",
            group_structure={"user": gr.layers.GroupConcat(1, 8, 4, seed=0, name="user_groups")},
            embedding_optimizer=embedding_optimizers.Adam(0.03),
            embedding_dim=8,
            tower_units=(16,),
            output_dim=8,
            temperature=0.1,
        )
        assert isinstance(model.get_layer("embedding"), FusedEmbeddingCollection)
        model.compile(keras.optimizers.Adam(0.01))
        start = model.evaluate_recall(x, y, candidates=ads, k=5)["recall_at_5"]
        model.fit(x, y, batch_size=128, epochs=4, verbose=0)
        # Five of forty ads are of a user's own kind: 1/8 by chance, near 1 if the kinds are found.
        assert start < 0.3
        assert model.evaluate_recall(x, y, candidates=ads, k=5)["recall_at_5"] > 0.8

    @pytest.mark.any_backend
    def test_popularity_is_corrected_for(self):
        """Users click what they are shown alike, whatever it is: corrected scores owe nothing to popularity."""
        rng = np.random.default_rng(0)
        popularity = np.array([0.7] + 14 * [0.3 / 14])
        x = {"user_id": rng.integers(1, 9, 4096), "ad_id": rng.choice(np.arange(1, 16), 4096, p=popularity)}
        schema = gr.Schema([gr.Categorical("user_id", 9, side="user"), gr.Categorical("ad_id", 16)], [gr.Task("click")])
        lead = {}
        for probability in ("online", None):
            keras.utils.set_random_seed(0)
            model = gr.models.TwoTowerModel(
                schema,
                "ad_id",
                group_structure=(),
                sampling_probability=probability,
                temperature=1.0,
                normalize=False,
                **SIZES,
            )
            model.compile(keras.optimizers.Adam(0.02), metrics=[])
            model.fit(x, np.ones(4096), batch_size=128, epochs=3, verbose=0)
            scores = model.index({"ad_id": np.arange(1, 16)}).scores(model.user_vectors({"user_id": np.arange(1, 9)}))
            lead[probability] = scores[:, 0].mean() - scores[:, 1:].mean()
        # The softmax that fits is log(click rate) with the correction: here the same for all, exposure removed; a model
        # without it is pushed away from the ad that is a candidate all the time.
        assert lead["online"] > lead[None] + 1.0

    def test_mixed_precision(self, ads):
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = make_model(ads)
        assert model.get_layer("user_tower").compute_dtype == "bfloat16"
        model.compile(keras.optimizers.Adam(0.01), **ads.quick)
        history = model.fit(ads.columns(), ads.labels(), batch_size=ads.rows, verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values())
        assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
        vectors = model.user_vectors(ads.columns())
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)

    def test_a_loader_equals_arrays(self, ads):
        x, y = ads.columns(), ads.labels()
        weights = []
        for source in ((x, y), (ads.loader(x, y),)):
            model = make_compiled(ads, optimizer=keras.optimizers.SGD(0.1))
            model.fit(*source, batch_size=None if len(source) == 1 else 16, shuffle=False, verbose=0)
            weights.append([as_array(weight) for weight in model.weights])
        for expected, found in zip(*weights, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


PLANTED = gr.Schema(
    [
        gr.Categorical("user_id", 81, side="user"),
        gr.Sequence("history", 41, 3, side="user", shares="ad_id"),
        gr.Categorical("ad_id", 41),
    ],
    [gr.Task("click")],
)


def planted(rows=4096):
    """Eight kinds of users and ads; a click where they agree."""
    rng = np.random.default_rng(0)
    user, ad = rng.integers(1, 81, rows), rng.integers(1, 41, rows)
    history = 1 + 8 * rng.integers(0, 5, (rows, 3)) + ((user - 1) % 8)[:, None]
    click = ((user - 1) % 8 == (ad - 1) % 8).astype("float32")
    return {"user_id": user, "history": history, "ad_id": ad}, {"click": click}, {"ad_id": np.arange(1, 41)}


def make_compiled(ads, optimizer=None, **arguments):
    keras.utils.set_random_seed(0)
    model = make_model(ads, (), **arguments)
    model.compile(optimizer, metrics=[], **ads.quick)
    return model


class TestRetrieval:
    def test_recommend_by_numpy(self, ads, model):
        x = ads.columns()
        corpus = model.distinct_ads(x)
        assert sorted(corpus) == ["ad_id", "title"]
        assert corpus["ad_id"].tolist() == sorted(set(x["ad_id"].tolist()))
        first = [x["ad_id"].tolist().index(i) for i in corpus["ad_id"]]
        np.testing.assert_array_equal(corpus["title"], x["title"][first])
        ids, scores = model.recommend(x, corpus, k=4)
        expected = model.user_vectors(x).astype("float64") @ model.ad_vectors(corpus).T / 0.05
        np.testing.assert_allclose(scores, np.sort(expected, axis=1)[:, ::-1][:, :4], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            scores, np.take_along_axis(expected, np.searchsorted(corpus["ad_id"], ids), axis=1), rtol=1e-4, atol=1e-4
        )
        index = model.index(corpus)
        assert isinstance(index, CandidateIndex)
        np.testing.assert_array_equal(model.recommend(x, index, k=4)[0], ids)

    def test_evaluate_recall_by_hand(self, ads, model):
        x, y = ads.columns(), {"click": ads.labels()["click"].copy()}
        y["click"][:3] = np.nan, 0.5, 0.0
        corpus = model.distinct_ads(x)
        ids, _ = model.recommend(x, corpus, k=3)
        label = np.nan_to_num(y["click"])
        expected = {
            f"recall_at_{k}": float(((ids[:, :k] == x["ad_id"][:, None]).any(axis=1) * label).sum() / label.sum())
            for k in (1, 3)
        }
        assert model.evaluate_recall(x, y, candidates=corpus, k=(3, 1)) == pytest.approx(expected)
        assert model.evaluate_recall(ads.loader(x, y), candidates=model.index(corpus), k=(1, 3)) == pytest.approx(
            expected
        )
        # An ad that cannot be recommended is missed.
        some = {name: values[:6] for name, values in corpus.items()}
        ids, _ = model.recommend(x, some, k=6)
        inside = np.isin(x["ad_id"], some["ad_id"])
        recall = model.evaluate_recall(x, y, candidates=some, k=6)["recall_at_6"]
        assert recall == pytest.approx((inside * label).sum() / label.sum())
        nothing = model.evaluate_recall(x, np.zeros(ads.rows), candidates=corpus, k=1)
        assert np.isnan(nothing["recall_at_1"])


class TestFile:
    def test_vectors_counts_and_compiled_state(self, ads, trained, tmp_path):
        model, _, _, _ = trained
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        x, y = ads.columns(), ads.labels()
        np.testing.assert_allclose(loaded.user_vectors(x), model.user_vectors(x), atol=1e-6)
        np.testing.assert_array_equal(loaded.groups(x)["user"], model.groups(x)["user"])
        for name in ("counts", "total"):
            ours, theirs = (as_array(getattr(m.sampling_frequency, name)) for m in (model, loaded))
            np.testing.assert_array_equal(ours, theirs)
            assert ours.max() > 0
        expected, found = (m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, loaded))
        assert found == pytest.approx(expected, rel=1e-5)

    def test_resumed_training_is_uninterrupted_training(self, ads, trained):
        model, _, history, path = trained
        resumed = keras.models.load_model(path)
        x, y = ads.columns(), ads.labels()
        again = resumed.fit(
            x, y, batch_size=16, shuffle=False, validation_data=(x, y), validation_batch_size=ads.rows, verbose=0
        ).history
        assert {n: v[0] for n, v in again.items()} == pytest.approx({n: v[0] for n, v in history.items()}, rel=1e-4)
        for expected, found in zip(model.weights, resumed.weights, strict=True):
            np.testing.assert_allclose(as_array(found), as_array(expected), rtol=1e-4, atol=1e-5, err_msg=expected.path)

    def test_config(self, ads):
        model = make_model(
            ads,
            positive="like",
            normalize=False,
            temperature=0.3,
            sampling_probability="share",
            context_in_user_tower=False,
            dropout=0.1,
            embedding_optimizer=embedding_optimizers.Adagrad(0.2),
            name="mine",
        )
        config = json.loads(json.dumps(model.get_config()))
        twin = gr.models.TwoTowerModel.from_config(json.loads(json.dumps(config)))
        assert json.loads(json.dumps(twin.get_config())) == config
        assert (twin.name, twin.positive, twin.temperature) == ("mine", "like", 0.3)
        assert [w.shape for w in twin.weights] == [w.shape for w in model.weights]


@pytest.mark.any_backend
class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"schema": {"click": 1}}, r"`schema` must be a grouprank.Schema. Received: .*of type dict"),
            ({"ad_id": "title"}, r"`ad_id` must name the Categorical .* one of \['ad_id'\]. Received: ad_id='title'"),
            ({"ad_id": "user_id"}, r"`ad_id` must name the Categorical of the ad's side"),
            ({"positive": "buy"}, r"`positive` must name a task of the schema, \['click', 'like'\].*'buy'"),
            ({"group_structure": ("user", "user_ad")}, r"placement 'user' alone.*Received: \['user_ad'\]"),
            ({"group_structure": 3}, "`group_structure` must be a subset"),
            ({"group_structure": {"user": keras.layers.Dense(3)}}, "Placement 'user' takes a GroupConcat"),
            ({"temperature": -1.0}, "`temperature` must be positive"),
        ],
    )
    def test_arguments(self, ads, arguments, message):
        with pytest.raises(ValueError, match=message):
            gr.models.TwoTowerModel(**{"schema": ads.schema, "ad_id": "ad_id", **SIZES, **arguments})

    @pytest.mark.parametrize("side", ["user", "ad"])
    def test_a_side_without_features(self, side):
        schema = gr.Schema([gr.Categorical("id", 5, side=side)], [gr.Task("click")])
        with pytest.raises(ValueError, match="needs features of both sides, but the schema has none of side"):
            gr.models.TwoTowerModel(schema, "id")

    def test_compile(self, ads, model):
        with pytest.raises(ValueError, match="TwoTowerModel has its own loss.*Received: loss='mse'"):
            model.compile(loss="mse")
        with pytest.raises(ValueError, match="either `metrics` or `weighted_metrics`"):
            model.compile(metrics=[], weighted_metrics=[])
        with pytest.raises(RuntimeError, match="gradient_accumulation_steps=4"):
            make_model(ads, (), embedding_optimizer="adam").compile(
                keras.optimizers.Adam(gradient_accumulation_steps=4)
            )

    def test_data(self, ads):
        model = make_compiled(ads)
        x, y = ads.columns(), ads.labels()
        with pytest.raises(ValueError, match=r"'ad_id' .*row 5: expected an id in \[0, 12\)"):
            model.fit({**x, "ad_id": np.where(np.arange(64) == 5, 12, x["ad_id"])}, y, verbose=0)
        with pytest.raises(ValueError, match=r"The columns \['title'\] are missing"):
            model.ad_vectors({"ad_id": [1]})
        with pytest.raises(ValueError, match=r"`y` lacks the target columns \['click'\]"):
            model.fit(x, {"like": y["like"]}, verbose=0)
        with pytest.raises(ValueError, match="Task 'click', row 0: a label must lie in"):
            model.fit(x, y["click"] + 2, verbose=0)
        with pytest.raises(ValueError, match="`sample_weight`, row 0: expected a finite number"):
            model.fit(x, y, sample_weight=np.full(64, -1.0), verbose=0)
        with pytest.raises(ValueError, match="same number of rows"):
            model.fit({**x, "age": x["age"][:5]}, y, verbose=0)

    def test_metrics_of_the_users(self, ads):
        model = make_model(ads, ())
        top = keras.metrics.SparseTopKCategoricalAccuracy(k=3, name="mine")
        model.compile(metrics=[InBatchRecall(3), top], **ads.quick)
        found = model.evaluate(ads.columns(), ads.labels(), batch_size=ads.rows, verbose=0, return_dict=True)
        assert set(found) == {"loss", "in_batch_recall_at_3", "mine"}
        assert found["mine"] == pytest.approx(found["in_batch_recall_at_3"], abs=0.05)
