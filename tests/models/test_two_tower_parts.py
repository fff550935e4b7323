"""The parts of a two-tower model against NumPy and cases computed by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, wave
from support.gradients import gradients
from support.run_layer_test import run_layer_test

from grouprank.metrics import InBatchRecall
from grouprank.models.retrieval import (
    CandidateIndex,
    InBatchSoftmax,
    SamplingFrequency,
    Tower,
    UnitVector,
)

ROWS = 12


def reference_loss(users, ads, ids, weight, probability, temperature):
    """Row by row, with the accidental hits left out of the sum rather than masked."""
    total = 0.0
    for row in range(len(users)):
        candidates = [c for c in range(len(ads)) if c == row or ids[c] != ids[row]]
        scores = np.array([users[row] @ ads[c] / temperature - np.log(probability[c]) for c in candidates], "float64")
        own = scores[candidates.index(row)]
        if weight[row]:
            total += weight[row] * (np.log(np.exp(scores - scores.max()).sum()) + scores.max() - own)
    return total / weight.sum() if weight.sum() else 0.0


def batch(seed=0):
    rng = np.random.default_rng(seed)
    users, ads = rng.normal(size=(2, ROWS, 4)).astype("float32")
    ids = rng.integers(0, 5, ROWS).astype("int32")
    weight = rng.choice([0.0, 1.0, 0.5], ROWS).astype("float32")
    return users, ads, ids, weight, rng.uniform(1e-9, 1.0, ROWS).astype("float32")


class TestInBatchSoftmax:
    @pytest.mark.parametrize("temperature", [1.0, 0.05])
    @pytest.mark.parametrize("corrected", [True, False])
    def test_against_numpy(self, temperature, corrected):
        users, ads, ids, weight, probability = batch()
        assert len(set(ids)) < ROWS
        assert 0 < (weight == 0).sum() < ROWS
        layer = InBatchSoftmax(temperature, dtype="float32")
        found = layer(users, ads, ids, weight, probability if corrected else None)
        expected = reference_loss(users, ads, ids, weight, probability if corrected else np.ones(ROWS), temperature)
        assert float(as_array(found)) == pytest.approx(expected, rel=1e-5)

    def test_gradients_are_the_losss(self):
        users, ads, ids, weight, probability = batch()
        layer = InBatchSoftmax(0.5, dtype="float32")

        def loss(u, v):
            return layer(
                u, v, ops.convert_to_tensor(ids), ops.convert_to_tensor(weight), ops.convert_to_tensor(probability)
            )

        _, (by_user, by_ad), _ = gradients(loss, [users, ads])
        for side, found in ((0, by_user), (1, by_ad)):
            for row, column in ((0, 1), (5, 3), (ROWS - 1, 0)):
                changed = [[users.copy(), ads.copy()] for _ in range(2)]
                for sign, pair in zip((1, -1), changed, strict=True):
                    pair[side] = pair[side].astype("float64")
                    pair[side][row, column] += sign * 1e-4
                up, down = (reference_loss(*pair, ids, weight, probability, 0.5) for pair in changed)
                assert found[row, column] == pytest.approx((up - down) / 2e-4, abs=1e-4)
        # A row that is no positive is a candidate: its ad learns, its user does not.
        negatives = weight == 0
        assert np.abs(by_user[negatives]).max() == 0
        assert np.abs(by_ad[negatives]).max() > 0

    def test_no_positive(self):
        users, ads, ids, _, probability = batch()
        assert float(as_array(InBatchSoftmax()(users, ads, ids, np.zeros(ROWS), probability))) == 0.0

    def test_one_ad_alone_has_nothing_to_be_told_from(self):
        users, ads, _, _, _ = batch()
        loss = InBatchSoftmax()(users, ads, np.full(ROWS, 3), np.ones(ROWS))
        assert float(as_array(loss)) == pytest.approx(0.0, abs=1e-5)

    def test_errors(self):
        with pytest.raises(ValueError, match="`temperature` must be positive. Received: temperature=0"):
            InBatchSoftmax(0.0)
        assert InBatchSoftmax.from_config(InBatchSoftmax(0.3).get_config()).temperature == 0.3


class TestSamplingFrequency:
    def test_moving_counts_against_numpy(self):
        layer = SamplingFrequency(6, decay=0.9, dtype="float32")
        rng = np.random.default_rng(0)
        counts, total = np.zeros(6), 0.0
        for step in range(30):
            ids = rng.integers(0, 1 + step % 6, 8)
            counts, total = 0.9 * counts + np.bincount(ids, minlength=6), 0.9 * total + 8
            found = as_array(layer(ids, training=True))
            np.testing.assert_allclose(found, counts[ids] / total, rtol=1e-5)
        before = as_array(layer.counts).copy()
        np.testing.assert_allclose(as_array(layer(np.arange(6))), np.maximum(counts, 1.0) / total, rtol=1e-5)
        np.testing.assert_array_equal(as_array(layer.counts), before)

    def test_it_finds_the_ads_shares(self):
        shares = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
        rng = np.random.default_rng(0)
        layer = SamplingFrequency(5)
        for _ in range(200):
            layer(rng.choice(5, 256, p=shares), training=True)
        np.testing.assert_allclose(as_array(layer(np.arange(5))), shares, rtol=0.15)

    def test_unseen_and_unknown_ads(self):
        layer = SamplingFrequency(4)
        np.testing.assert_array_equal(as_array(layer(np.array([0, 3]))), [1.0, 1.0])
        layer(np.array([1, 1, 1, 9, -2]), training=True)
        np.testing.assert_allclose(as_array(layer(np.array([[2], [0], [77]]))), [1 / 5, 2 / 5, 2 / 5], rtol=1e-6)

    def test_counts_stay_float32(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        layer = SamplingFrequency(3)
        assert as_array(layer(np.zeros(300, "int32"), training=True)).dtype == np.float32
        assert {weight.dtype for weight in layer.weights} == {"float32"}
        assert float(as_array(layer.total)) == 300

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`decay` must lie in \(0, 1\]. Received: decay=0"):
            SamplingFrequency(3, decay=0.0)
        with pytest.raises(ValueError, match="`vocabulary_size` must be a positive integer"):
            SamplingFrequency(0)
        config = SamplingFrequency(3, decay=0.5).get_config()
        assert SamplingFrequency.from_config(config).get_config() == config


class TestInBatchRecall:
    SCORES = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    OWN = np.array([0, 1, 2, 1])

    @pytest.mark.parametrize(("k", "expected"), [(1, 1 / 4), (2, 2 / 4), (3, 4 / 4)])
    def test_ties_count_as_better(self, k, expected):
        metric = InBatchRecall(k)
        assert metric.name == f"in_batch_recall_at_{k}"
        metric.update_state(self.OWN, self.SCORES)
        assert float(as_array(metric.result())) == pytest.approx(expected)

    def test_weights_and_batches(self):
        metric = InBatchRecall(1)
        metric.update_state(self.OWN, self.SCORES, np.array([0.5, 0.0, 1.0, 0.0]))
        metric.update_state(self.OWN[:1], self.SCORES[:1], np.array([2.0]))
        assert float(as_array(metric.result())) == pytest.approx(2.5 / 3.5)

    def test_not_a_number_is_a_miss(self):
        metric = InBatchRecall(2)
        metric.update_state(np.array([0]), np.full((1, 3), np.nan))
        assert float(as_array(metric.result())) == 0.0

    def test_errors(self):
        with pytest.raises(ValueError, match="`k` must be a positive integer. Received: k=0"):
            InBatchRecall(0)
        assert InBatchRecall.from_config(InBatchRecall(3).get_config()).k == 3


class TestCandidateIndex:
    def test_against_a_full_sort(self, monkeypatch):
        # Blocks of a few rows.
        monkeypatch.setattr("grouprank.models.retrieval.candidate_index._BLOCK", 200)
        rng = np.random.default_rng(0)
        users, ads = rng.normal(size=(23, 4)), rng.normal(size=(50, 4)).round(1)
        names = np.array([f"ad {n}" for n in rng.permutation(50)])
        for k in (1, 7, 50):
            ids, scores = CandidateIndex(names, ads, 0.5).search(users, k)
            expected = users @ ads.T / 0.5
            order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
            np.testing.assert_allclose(scores, np.take_along_axis(expected, order, axis=1), rtol=1e-4, atol=1e-5)
            assert (ids == names[order]).mean() > 0.99

    def test_of_equal_scores_the_first_listed(self):
        index = CandidateIndex([9, 8, 7, 6], [[1.0], [2.0], [1.0], [1.0]])
        assert index.search([[1.0]], 3)[0].tolist() == [[8, 9, 7]]

    @pytest.mark.parametrize(
        ("ids", "vectors", "message"),
        [
            ([1, 2, 1], np.zeros((3, 2)), r"lists 1 ads again, e\.g\. id .*1.* 2 times.*`TwoTowerModel.distinct_ads`"),
            ([1, 2], np.zeros((3, 2)), r"Received: 2 ids, vectors of shape \(3, 2\)"),
            ([], np.zeros((0, 2)), "at least one"),
        ],
    )
    def test_errors(self, ids, vectors, message):
        with pytest.raises(ValueError, match=message):
            CandidateIndex(ids, vectors)

    @pytest.mark.parametrize("k", [0, 3, True, 1.0])
    def test_k(self, k):
        with pytest.raises(ValueError, match="`k` must be an integer between 1 and the 2 ads"):
            CandidateIndex([1, 2], np.eye(2)).search(np.eye(2), k)


class TestLayers:
    def test_tower(self, tmp_path):
        fields = {"bid": wave(5, 3), "ad_id": wave(5, 4, start=2.0)}
        x = np.concatenate([fields["ad_id"], fields["bid"]], axis=1)
        kernels = [0.5 * wave(7, 6), 0.5 * wave(6, 2, start=2.0)]
        biases = [0.5 * wave(6, start=1.0), 0.5 * wave(2, start=3.0)]
        golden = np.maximum(x @ kernels[0] + biases[0], 0) @ kernels[1] + biases[1]
        run_layer_test(
            Tower,
            {"units": (6,), "output_dim": 2, "activation": "relu", "dropout": 0.0},
            fields,
            (None, 2),
            golden[0],
            tmp_path=tmp_path,
        )
        with pytest.raises(ValueError, match="`output_dim` must be a positive integer. Received: output_dim=0"):
            Tower(output_dim=0)

    def test_unit_vector(self, tmp_path):
        x = wave(4, 3)
        golden = x[0] / np.linalg.norm(x[0])
        run_layer_test(UnitVector, {}, x, (None, 3), golden, run_fit=False, tmp_path=tmp_path)

    def test_the_zero_vector_has_a_finite_gradient(self):
        _, (found,), _ = gradients(
            lambda x: ops.sum(UnitVector()(x) * ops.arange(3, dtype="float32")), [np.zeros((1, 3))]
        )
        assert np.isfinite(found).all()
