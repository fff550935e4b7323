"""Sums and intervals against plain NumPy over rows, and intervals against simulated truth."""

import numpy as np
import polars as pl
import pytest
from support.prediction_frame import prediction_frame, sigmoid

from grouprank.reports import PredictionSums, Segmentation, task_metrics
from grouprank.reports.statistics import LogitHistogram, SegmentFigures, ratio_estimate, user_buckets


def cross_entropy(y, p):
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


@pytest.fixture(scope="module")
def frame():
    return prediction_frame(np.random.default_rng(0))


def make_sums(**arguments):
    cuts = [Segmentation("tab"), Segmentation(("tab", "bid"), {"bid": [0.5, 1.5]})]
    return PredictionSums(["click", "like"], ["old", "new"], user="user", segmentations=cuts, **arguments)


class TestPredictionSums:
    def test_figures_are_those_of_the_rows(self, frame):
        sums = make_sums()
        sums.update(frame)
        for task in ("click", "like"):
            for segment in ("home", "feed", "search"):
                rows = frame.filter((pl.col("tab") == segment) & pl.col(task).is_not_nan())
                figures = SegmentFigures(sums, task, "tab", f"tab={segment}")
                expected = task_metrics(rows[task].to_numpy(), rows[f"new:{task}"].to_numpy())
                assert figures.rows == expected.rows
                assert figures.rate == pytest.approx(expected.rate)
                assert figures.normalized_entropy("new") == pytest.approx(expected.normalized_entropy)
                assert figures.calibration("new").value == pytest.approx(expected.calibration)
                losses = [cross_entropy(rows[task], rows[f"{m}:{task}"].to_numpy()).sum() for m in ("new", "old")]
                assert figures.gain("new", "old").value == pytest.approx(1 - losses[0] / losses[1])

    def test_chunks_and_workers_add_up_to_the_whole(self, frame, tmp_path):
        whole, one, two = make_sums(), make_sums(), make_sums()
        for seed in (0, 1):
            whole.update(frame, seed)
            one.update(frame[:1000], seed)
            two.update(frame[1000:1700], seed)
            two.update(frame[1700:], seed)
        two.save(tmp_path)
        merged = one.merge(PredictionSums.load(tmp_path))
        assert merged.seeds == [0, 1]
        for name in ("buckets", "seeds", "bins"):
            first, second = merged._sums[name], whole._sums[name]
            assert first.columns == second.columns
            for column in first.columns:
                if first[column].dtype == pl.Float64:
                    np.testing.assert_allclose(first[column].to_numpy(), second[column].to_numpy(), rtol=1e-9)
                else:
                    assert first[column].to_list() == second[column].to_list()

    def test_weights_scale_rows(self, frame):
        twice = pl.concat([frame, frame.filter(pl.col("tab") == "home")])
        weighted = frame.with_columns(w=pl.when(pl.col("tab") == "home").then(2.0).otherwise(1.0))
        by_weight, by_copy = make_sums(weight="w"), make_sums()
        by_weight.update(weighted)
        by_copy.update(twice)
        for figure in ("normalized_entropy", "recalibrated_entropy", "expected_calibration_error"):
            one, two = (getattr(SegmentFigures(sums, "click"), figure)("new") for sums in (by_weight, by_copy))
            assert one == pytest.approx(two)

    def test_a_missing_user_or_value_is_a_value(self):
        sums = PredictionSums(["click"], ["m"], user="user", segmentations=[Segmentation("tab")])
        columns = {
            "user": [1, None, 2],
            "tab": ["a", None, None],
            "click": [1.0, 0.0, None],
            "m:click": [0.5, 0.5, 0.5],
        }
        sums.update(pl.DataFrame(columns))
        assert sums.segments("tab") == ["tab=(missing)", "tab=a"]
        assert sums.rows("click", "tab", "tab=(missing)") == 1

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"old:click": 1.5}, "'old:click', row 0: expected a probability.*1.5"),
            ({"click": 2.0}, "'click', row 0: expected a label"),
            ({"old:click": None}, "'old:click', row 0: expected a probability"),
        ],
    )
    def test_values_out_of_range_are_named(self, frame, change, message):
        (name, value), sums = next(iter(change.items())), make_sums()
        with pytest.raises(ValueError, match=message):
            sums.update(frame.with_columns(pl.lit(value, pl.Float64).alias(name)))
        with pytest.raises(ValueError, match="No predictions were added"):
            _ = sums.seeds

    def test_what_the_user_gets_wrong(self, frame):
        sums = make_sums()
        with pytest.raises(ValueError, match="'new:like' is missing"):
            sums.update(frame.drop("new:like"))
        with pytest.raises(ValueError, match=r"needs the columns \['tab'\]"):
            sums.update(frame.drop("tab"))
        with pytest.raises(ValueError, match="column of users 'user' is missing"):
            sums.update(frame.drop("user"))
        sums.update(frame, 0)
        assert sums.seeds == [0]
        sums.update(frame[:-1], 1)
        with pytest.raises(ValueError, match="Every seed must add the same rows"):
            _ = sums.seeds
        with pytest.raises(ValueError, match="Sums of other tasks"):
            sums.merge(PredictionSums(["click"], ["old", "new"], user="user"))
        many = PredictionSums(["click"], ["m"], user="user", segmentations=[Segmentation("id")])
        with pytest.raises(ValueError, match="21001 segments are more than 20000: 21000 .* 'id'"):
            many.update(pl.DataFrame({"user": 1, "id": range(21000), "click": 1.0, "m:click": 0.5}))


class TestUserBuckets:
    def test_even_and_the_same_for_one_user(self):
        users = np.random.default_rng(0).integers(-(2**62), 2**62, 20_000)
        for series in (pl.Series(users), pl.Series(users.astype(str)), pl.Series(np.arange(20_000))):
            counts = np.bincount(user_buckets(series, 50), minlength=50)
            assert counts.min() > 300
            assert counts.max() < 500
        repeated = user_buckets(pl.Series(["a", "b", "a", None]), 1000)
        assert repeated[0] == repeated[2]


class TestRatioEstimate:
    def test_equals_the_jackknife_over_users(self):
        rng = np.random.default_rng(1)
        denominator = rng.gamma(2.0, 1.0, 400)
        numerator = denominator * rng.normal(0.99, 0.1, 400)
        left_out = (numerator.sum() - numerator) / (denominator.sum() - denominator)
        jackknife = np.sqrt(399 / 400 * np.sum((left_out - left_out.mean()) ** 2))
        found = ratio_estimate(numerator, denominator, [1.0], [1.0], gain=True)
        assert found.user_error == pytest.approx(jackknife, rel=0.01)
        assert found.value == pytest.approx(1 - numerator.sum() / denominator.sum())

    def test_by_hand(self):
        # R = 6/4; bucket moves (2 - 1.5·2)/4 = -.25 and +.25; seed moves (2 - 3)/4 and (4 - 3)/4.
        found = ratio_estimate([2.0, 4.0], [2.0, 2.0], [2.0, 4.0], [2.0, 2.0])
        assert found.user_error == pytest.approx(np.sqrt(2 * 2 * 0.25**2))
        assert found.seed_error == pytest.approx(np.sqrt(2 * 2 * 0.25**2))
        assert found.degrees_of_freedom == pytest.approx(2.0)
        assert found.p_value == pytest.approx(1 - np.sqrt(0.5) / np.sqrt(2.5))  # Student's with 2 degrees, t = .5/√.5

    def test_too_few_users_give_no_estimate(self):
        assert ratio_estimate([1.0, 0.0], [1.0, 0.0], [1.0], [1.0]) is None
        assert ratio_estimate([], [], [], []) is None

    @pytest.mark.parametrize("seeds", [4, 20])
    def test_intervals_cover_the_truth(self, seeds):
        """Users with effects of their own and seeds with luck of their own, 600 studies: 95 % hold the true gain."""
        rng, true, covered, false = np.random.default_rng(seeds), 0.01, 0, 0
        for _ in range(600):
            base = rng.gamma(0.5, 2.0, 300)  # a user's summed loss: few users have most rows
            user_gain = rng.normal(true, 0.05, 300)
            luck = rng.normal(0.0, 0.01, seeds)
            matrix = base * (1 - user_gain)[None] * (1 - luck)[:, None]
            every = np.broadcast_to(base, matrix.shape)
            sums = (matrix.sum(axis=0), every.sum(axis=0), matrix.sum(axis=1), every.sum(axis=1))
            found = ratio_estimate(*sums, gain=True)
            covered += found.low <= true <= found.high
            null = ratio_estimate(sums[0] / (1 - true), sums[1], sums[2] / (1 - true), sums[3], gain=True)
            false += null.above
        assert 0.93 <= covered / 600 <= 0.975
        assert false / 600 <= 0.045

    def test_rows_of_one_user_are_one_piece_of_evidence(self):
        rng = np.random.default_rng(3)
        user = np.repeat(np.arange(100), 50)
        effect = rng.normal(0, 0.3, 100)
        frame = pl.DataFrame(
            {
                "user": user,
                "row": np.arange(5000),
                "click": (rng.random(5000) < 0.5).astype(float),
                "old:click": np.full(5000, 0.5),
                "new:click": sigmoid(effect[user]),
            }
        )
        errors = []
        for column in ("user", "row"):
            sums = PredictionSums(["click"], ["old", "new"], user=column)
            for seed in (0, 1):
                sums.update(frame, seed)
            errors.append(SegmentFigures(sums, "click").gain("new", "old").user_error)
        assert errors[0] > 1.1 * errors[1]


class TestLogitHistogram:
    def test_recalibrated_loss_is_that_of_shifted_logits(self):
        rng = np.random.default_rng(0)
        z = rng.normal(-2.0, 1.5, 20_000)
        y = (rng.random(20_000) < sigmoid(0.8 * z + 0.7)).astype(float)
        w = rng.gamma(2.0, 0.5, 20_000)
        histogram = LogitHistogram.of(y, sigmoid(z), w)
        found = histogram.recalibrated_loss(float(w @ cross_entropy(y, sigmoid(z))))
        low, high = -3.0, 3.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if w @ sigmoid(z + middle) < w @ y else (low, middle)
        expected = w @ cross_entropy(y, sigmoid(z + low))
        assert found == pytest.approx(expected, rel=1e-4)
        assert found < w @ cross_entropy(y, sigmoid(z))

    def test_one_class_has_no_recalibrated_loss(self):
        assert LogitHistogram.of(np.zeros(3), np.full(3, 0.2), np.ones(3)).recalibrated_loss(1.0) is None

    def test_calibration_error_of_constant_groups(self):
        y = np.array([0, 0, 0, 1, 1, 1, 0, 1.0])
        p = np.array([0.1] * 4 + [0.9] * 4)
        # Rates .25 and .75 against .1 and .9.
        assert LogitHistogram.of(y, p, np.ones(8)).expected_calibration_error() == pytest.approx(0.15)

    def test_probabilities_of_0_and_1_fall_into_the_last_bins(self):
        histogram = LogitHistogram.of(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.ones(2))
        assert histogram.sums[:, 0].tolist() == [1.0, 1.0]
        assert np.isfinite(histogram.sums).all()
