"""Generative retrieval: the tree of codes, beam search, the model against NumPy, training and files."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights

import grouprank as gr
from grouprank.models.retrieval.beam_search import beam_search
from grouprank.models.retrieval.code_tree import CodeTree

# Ids 2 and 5 share all codes; ids 0 and 4 have none.
CODES = [[-1, -1], [2, 1], [0, 3], [2, 0], [-1, -1], [0, 3], [0, 1]]
# As the model tells them apart.
APART = {1: (2, 1, 0), 2: (0, 3, 0), 3: (2, 0, 0), 5: (0, 3, 1), 6: (0, 1, 0)}
HISTORY = np.array([[0, 1, 2], [3, 4, 5], [0, 0, 0], [6, 5, 0]], "int32")
USERS = np.array([7, 1, 0, 5], "int32")
X = {"history": HISTORY, "user_id": USERS}
NEXT = np.array([3, 6, 5, 4], "int32")
SIZES = {"history_length": 4, "width": 8, "num_heads": 2, "encoder_layers": 2, "decoder_layers": 2, "hidden_units": 12}
SMALL = {"encoder_layers": 1, "decoder_layers": 1}
ALL = {"k": 5, "beam": 50}
# JAX runs one operation after the other far slower than it compiles them all; TensorFlow is the other way round.
QUICK = {"run_eagerly": keras.backend.backend() == "tensorflow"}


def make_model(codes=CODES, **arguments):
    model = gr.models.GenerativeRetrievalModel(codes, **{**SIZES, "dropout": 0.0, "user_tokens": 5, **arguments})
    trees = {weight.path: as_array(weight) for weight in model.tree.weights}
    set_fixed_weights(model)
    assert all((as_array(weight) == trees[weight.path]).all() for weight in model.tree.weights)
    return model


@pytest.fixture(scope="module")
def model():
    model = make_model()
    model.compile(keras.optimizers.SGD(0.1), **QUICK)
    return model


class Reference:
    """The encoder and decoder in NumPy, row by row and item by item, with the model's weights read by name."""

    def __init__(self, model):
        self.weights = {w.path.split("transformer/")[1]: as_array(w) for w in model.transformer.weights}
        self.size, self.heads = model.tree.codebook_size, model.num_heads
        self.encoder_layers, self.decoder_layers = model.encoder_layers, model.decoder_layers
        self.user_tokens = model.user_tokens

    def norm(self, x, name):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * self.weights[f"{name}/scale"]

    def attention(self, queries, read, name, causal=False):
        query, key, value, output = (
            self.weights[f"{name}/{part}/kernel"] for part in ("query", "key", "value", "attention_output")
        )
        total = np.zeros_like(queries)
        for head in range(self.heads):
            scores = (queries @ query[:, head]) @ (read @ key[:, head]).T / np.sqrt(query.shape[2])
            if causal:
                scores = np.where(np.tri(len(queries)) > 0, scores, -np.inf)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            total += weights @ (read @ value[:, head]) @ output[head]
        return total

    def block(self, x, name, memory=None):
        normed = self.norm(x, f"{name}/attention_norm")
        x = x + self.attention(normed, normed, f"{name}/attention", causal=memory is not None)
        if memory is not None:
            x = x + self.attention(self.norm(x, f"{name}/memory_norm"), memory, f"{name}/memory")
        hidden = np.maximum(self.norm(x, f"{name}/feed_forward_norm") @ self.weights[f"{name}/hidden/kernel"], 0)
        return x + hidden @ self.weights[f"{name}/output/kernel"]

    def encode(self, history, user):
        """Without padding: what does not count is not there."""
        codes, places = self.weights["codes/embeddings"], self.weights["places/embeddings"]
        tokens = [self.weights["users/embeddings"][user % self.user_tokens if self.user_tokens else 0]]
        read = [item for item in history if item in APART]
        for position, item in enumerate(read):
            for level, code in enumerate(APART[item]):
                tokens.append(codes[level * self.size + code] + places[len(read) - 1 - position])
        x = np.stack(tokens).astype("float64")
        for index in range(self.encoder_layers):
            x = self.block(x, f"encoder_{index}")
        return self.norm(x, "encoder_norm")

    def log_probabilities(self, history, user, codes):
        """Those of the codes of an item, each given the codes before."""
        table = self.weights["codes/embeddings"]
        memory = self.encode(history, user)
        x = np.stack([table[-1], *(table[level * self.size + code] for level, code in enumerate(codes[:-1]))])
        x = x.astype("float64")
        for index in range(self.decoder_layers):
            x = self.block(x, f"decoder_{index}", memory)
        x = self.norm(x, "decoder_norm")
        found = []
        for level, code in enumerate(codes):
            logits = table[level * self.size : (level + 1) * self.size] @ x[level]
            found.append(logits[code] - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
        return np.array(found)

    def scores(self, history, user):
        """Of every item that has codes, by id."""
        return {item: self.log_probabilities(history, user, codes).sum() for item, codes in APART.items()}


class TestCodeTree:
    def test_by_hand(self):
        tree = CodeTree(CODES)
        # Root 0; prefixes 0, 2; 01, 03, 20, 21; 010, 030, 031, 200, 210.
        assert (tree.level_sizes, tree.fan_outs) == ((2, 4, 5), (2, 2, 2))
        assert (tree.num_items, tree.num_leaves, tree.num_levels, tree.codebook_size) == (7, 5, 3, 4)
        arrays = {weight.name: as_array(weight).tolist() for weight in tree.weights}
        assert arrays == {
            "item_codes": [[-1, -1, -1], [2, 1, 0], [0, 3, 0], [2, 0, 0], [-1, -1, -1], [0, 3, 1], [0, 1, 0]],
            "node_codes": [0, 0, 2, 1, 3, 0, 1, 0, 0, 1, 0, 0],
            "first_children": [1, 3, 5, 7, 8, 10, 11, 12, 12, 12, 12, 12, 12],
            "leaf_items": [6, 2, 5, 3, 1],
        }
        nodes, codes, valid = tree.children_of(np.array([[3, 4]]), level=2)
        assert as_array(valid).tolist() == [[[True, False], [True, True]]]
        assert as_array(nodes).tolist() == [[[7, 0], [8, 9]]]
        assert as_array(codes)[0, 1].tolist() == [0, 1]
        assert as_array(tree.items(np.array([[11, 8]]))).tolist() == [[1, 2]]
        assert as_array(tree.codes_of(np.array([5, 7, -1]))).tolist() == [[0, 3, 1], [-1] * 3, [-1] * 3]

    @pytest.mark.any_backend
    def test_many_items(self):
        """Following the children of the root finds every item once, with its codes."""
        codes = np.random.default_rng(0).integers(0, 6, (301, 3))
        codes[0] = codes[17] = -1
        tree = CodeTree(codes)
        nodes, prefixes = np.zeros((1,), "int32"), np.zeros((1, 0), "int32")
        for level in range(tree.num_levels):
            children, last, valid = (as_array(found) for found in tree.children_of(nodes, level))
            prefixes = np.concatenate([np.repeat(prefixes, valid.sum(axis=1), axis=0), last[valid][:, None]], axis=1)
            nodes = children[valid]
        items = as_array(tree.items(nodes))
        assert sorted(items) == [item for item in range(1, 301) if item != 17]
        assert (prefixes[:, :3] == codes[items]).all()
        assert len(np.unique(prefixes, axis=0)) == 299

    @pytest.mark.any_backend
    def test_no_further_code_where_none_is_needed(self):
        assert CodeTree([[-1, -1], [0, 1], [1, 1]]).num_levels == 2

    @pytest.mark.any_backend
    def test_no_codes(self):
        with pytest.raises(ValueError, match="No item has codes. Received: 2 rows of -1"):
            CodeTree([[-1], [-1]])


class TestBeamSearch:
    def test_a_small_beam_by_hand(self):
        """The best item begins with the worse code, and a beam of one misses it."""
        tree = CodeTree([[-1, -1], [0, 0], [0, 1], [1, 0]])
        first, second = np.log([[[0.6, 0.4]]]), np.log([[[0.5, 0.5], [0.9, 0.1]]])

        def log_probabilities(codes):
            found = second[:, as_array(codes[0])[0]] if codes else first
            return ops.convert_to_tensor(found.astype("float32"))

        items, scores = beam_search(tree, log_probabilities, 1, beam=2)
        assert as_array(items)[0, 0] == 3
        np.testing.assert_allclose(np.exp(as_array(scores)), [[0.36, 0.3]], atol=1e-6)
        items, scores = beam_search(tree, log_probabilities, 1, beam=1)
        assert as_array(items)[0, 0] in (1, 2)
        assert np.exp(as_array(scores)).tolist() == [[pytest.approx(0.3)]]

    @pytest.mark.parametrize("beam", [1, 3, 5, 100])
    def test_codes_of_no_item_are_never_found(self, beam):
        """What no item has is certain, and what items have is as improbable as float32 can say."""
        tree = CodeTree(CODES)
        valid = {codes[: level + 1] for codes in APART.values() for level in range(3)}

        def log_probabilities(codes):
            given = np.stack([as_array(of) for of in codes], axis=-1) if codes else np.zeros((1, 1, 0), "int32")
            found = np.zeros((*given.shape[:2], tree.codebook_size), "float32")
            for place in np.ndindex(found.shape):
                if (*map(int, given[place[:2]]), place[2]) in valid:
                    found[place] = -3e38
            return ops.convert_to_tensor(found)

        items, scores = beam_search(tree, log_probabilities, 1, beam)
        found = as_array(items)[0].tolist()
        assert len(found) == min(beam, 5)
        assert len(set(found)) == len(found)
        assert set(found) <= set(APART)
        assert np.isfinite(as_array(scores)).all()


class TestModel:
    def test_encoder_against_numpy(self, model):
        reference = Reference(model)
        read = model.predict(X, batch_size=4, verbose=0)
        assert (read["states"].shape, read["counted"].sum()) == ((4, 10, 8), 4 + 3 * 6)
        for row, (history, user) in enumerate(zip(HISTORY, USERS, strict=True)):
            np.testing.assert_allclose(
                read["states"][row][read["counted"][row]], reference.encode(history, user), atol=1e-5
            )

    def test_loss(self, model):
        reference = Reference(model)
        losses = [
            -reference.log_probabilities(history, user, APART[item]).mean()
            for history, user, item in zip(HISTORY[:3], USERS, NEXT, strict=False)
        ]
        # The fourth row's next item has no codes.
        found = model.evaluate(X, NEXT, batch_size=4, verbose=0)
        assert found == pytest.approx(np.mean(losses), abs=1e-5)
        weights = np.array([1.0, 0.5, 0.0, 3.0])
        found = model.evaluate(X, NEXT, batch_size=4, sample_weight=weights, verbose=0)
        assert found == pytest.approx(np.average(losses, weights=weights[:3]), abs=1e-5)
        assert model.evaluate(X, np.zeros(4, "int32"), batch_size=4, verbose=0) == 0.0

    def test_a_beam_of_all_items_is_exhaustive(self, model):
        """What NumPy gives to every item, code by code: this also compares the decoder."""
        reference = Reference(model)
        items, scores = model.retrieve(X, **ALL)
        for row, (history, user) in enumerate(zip(HISTORY, USERS, strict=True)):
            expected = reference.scores(history, user)
            best = sorted(expected, key=lambda item: -expected[item])
            assert min(-np.diff(sorted(expected.values(), reverse=True))) > 1e-4, "equal scores would prove nothing"
            assert items[row].tolist() == best
            np.testing.assert_allclose(scores[row], [expected[item] for item in best], atol=1e-5)

    @pytest.mark.any_backend
    def test_a_small_beam(self, model):
        """What it finds are items with their own scores, best first, and the best of a row may be missed."""
        reference = Reference(model)
        items, scores = model.retrieve(X, k=2, beam=2)
        for row, (history, user) in enumerate(zip(HISTORY, USERS, strict=True)):
            expected = reference.scores(history, user)
            np.testing.assert_allclose(scores[row], [expected[item] for item in items[row]], atol=1e-5)
        assert (np.diff(scores) <= 0).all()

    @pytest.mark.any_backend
    def test_scores_of_given_items(self, model):
        reference = Reference(model)
        items = np.array([[5, 1], [2, 2], [6, 4], [3, 0]])
        expected = [
            [reference.scores(history, user).get(item, -np.inf) for item in row]
            for history, user, row in zip(HISTORY, USERS, items, strict=True)
        ]
        np.testing.assert_allclose(model.score(X, items), expected, atol=1e-5)

    @pytest.mark.any_backend
    def test_padding_may_stand_at_either_end(self, model):
        history = [[0, 1, 3], [1, 3, 0], [1, 0, 3], [3, 1, 0]]
        _, scores = model.retrieve({"history": history, "user_id": [3] * 4}, **ALL)
        np.testing.assert_allclose(scores[1:3], scores[[0, 0]], atol=1e-5)
        # The order counts.
        assert np.abs(scores[3] - scores[0]).max() > 1e-3

    @pytest.mark.any_backend
    def test_learns_a_few_histories(self):
        keras.utils.set_random_seed(0)
        sizes = {"history_length": 2, "width": 16, "user_tokens": 0, **SMALL}
        model = gr.models.GenerativeRetrievalModel(CODES, dropout=0.0, **sizes)
        model.compile(keras.optimizers.Adam(0.02))
        x, y = np.array([[1, 2], [2, 1], [0, 6], [3, 5], [5, 3]], "int32"), np.array([5, 6, 2, 1, 3], "int32")
        history = model.fit(x, y, batch_size=5, epochs=40, verbose=0)
        assert history.history["loss"][-1] < 0.05 < 0.5 < history.history["loss"][0]
        items, scores = model.retrieve(x, k=1, beam=3)
        assert items[:, 0].tolist() == y.tolist()
        assert np.exp(scores).min() > 0.8

    def test_a_step_moves_every_weight_but_the_tree(self):
        model = make_model(dropout=0.1, **SMALL)
        model.compile(keras.optimizers.SGD(0.1), **QUICK)
        before = {weight.path: as_array(weight).copy() for weight in model.weights}
        history = model.fit(X, NEXT, batch_size=4, validation_data=(X, NEXT), verbose=0)
        assert history.history["val_loss"][0] == pytest.approx(model.evaluate(X, NEXT, batch_size=4, verbose=0))
        still = {w.path for w in model.weights if "seed" not in w.path and (as_array(w) == before[w.path]).all()}
        assert still == {weight.path for weight in model.tree.weights}

    def test_file(self, model, tmp_path):
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.get_config() == model.get_config()
        assert isinstance(loaded.optimizer, keras.optimizers.SGD)
        for ours, theirs in zip(model.weights, loaded.weights, strict=True):
            np.testing.assert_array_equal(as_array(ours), as_array(theirs), err_msg=ours.path)
        items, scores = loaded.retrieve(X, **ALL)
        expected_items, expected_scores = model.retrieve(X, **ALL)
        np.testing.assert_array_equal(items, expected_items)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-6)

    @pytest.mark.any_backend
    def test_mixed_precision(self):
        model = make_model(dtype="mixed_bfloat16", **SMALL)
        reference = Reference(model)
        items, scores = model.retrieve(X, **ALL)
        assert scores.dtype == np.float32
        expected = [
            [of[item] for item in row] for of, row in zip(map(reference.scores, HISTORY, USERS), items, strict=True)
        ]
        assert 1e-5 < np.abs(scores - expected).max() < 0.3


@pytest.mark.any_backend
class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"codes": [1, 2]}, r"`codes` must be integers of shape \(items, num_levels\). Received: shape \(2,\)"),
            ({"codes": [[0, 1], [1, 1]]}, "Row 0 belongs to the out-of-vocabulary id"),
            ({"num_heads": 3}, "`num_heads` must divide `width`. Received: num_heads=3, width=8"),
            ({"history_length": 0}, "`history_length` must be a positive integer"),
            ({"encoder_layers": 0}, "`encoder_layers` must be a positive integer"),
            ({"user_tokens": -1}, "`user_tokens` must be a positive integer"),
            ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\)"),
        ],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            make_model(**{"codes": CODES, **arguments})

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            ({"history": [[1, 7]], "user_id": [0]}, r"`history`, row 0: expected ids in \[0, 7\).*Received: 7; 1 of 2"),
            ({"history": [[1, -1]], "user_id": [0]}, "Received: -1"),
            ({"history": [[1.5]], "user_id": [0]}, "`history` must be integers.*dtype float64"),
            ({"history": [1, 2], "user_id": [0]}, r"of shape \(rows, length\).*Received: shape \(2,\)"),
            ({"history": [[1, 2, 3, 5, 6]], "user_id": [0]}, r"length of at most 4.*Received: shape \(1, 5\)"),
            ({"history": [[1]]}, r"`x` lacks the columns \['user_id'\]"),
            ([[1, 2]], r"`x` lacks the columns \['user_id'\]"),
            ({"history": [[1], [2]], "user_id": [0]}, "same number of rows"),
        ],
    )
    def test_histories(self, model, x, message):
        with pytest.raises(ValueError, match=message):
            model.retrieve(x, k=1)
        with pytest.raises(ValueError, match=message):
            model.fit(x, [1])

    def test_next_items(self, model):
        for method in (model.fit, model.evaluate, lambda x, y: model.fit(X, NEXT, validation_data=(x, y))):
            with pytest.raises(ValueError, match=r"`y`, row 1: expected ids in \[0, 7\), which are the rows"):
                method(X, [1, 9, 1, 1])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"k": 6}, r"the 5 items that have codes, so it can be at most 5. Received: k=6, beam=12"),
            ({"k": 3, "beam": 2}, "at most 2. Received: k=3, beam=2"),
            ({"k": 0}, "`k` must be a positive integer"),
            ({"k": 1, "beam": 1.5}, "`beam` must be a positive integer"),
        ],
    )
    def test_beams(self, model, arguments, message):
        with pytest.raises(ValueError, match=message):
            model.retrieve(X, **arguments)

    def test_compile(self):
        model = make_model()
        for given in ({"loss": "mse"}, {"metrics": ["accuracy"]}):
            with pytest.raises(ValueError, match=rf"has its own loss.*Received: \['{next(iter(given))}'\]"):
                model.compile(**given)
