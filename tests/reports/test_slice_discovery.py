"""Planted slices are found under their shortest names, and chance, rates and luck are not."""

import itertools
import json

import numpy as np
import polars as pl
import pytest
from support.prediction_frame import sigmoid

from grouprank.reports import Segmentation, discover_slices
from grouprank.reports.slices import CellSums, ExpectedEntropy, Half, Ratios
from grouprank.reports.statistics import user_buckets

COLUMNS = ["tab", "hour", "device", "bid"]


def columns_of(rng, rows):
    return {
        "tab": rng.choice(["home", "feed", "search", ""], rows),
        "hour": rng.integers(0, 6, rows),
        "device": rng.choice(["phone", "tablet", "tv"], rows, p=[0.5, 0.3, 0.2]),
        "bid": rng.gamma(1.0, 1.0, rows),
    }


def study(seed, rows=40_000, seeds=4, columns=columns_of, spoil=None, rates=None, luck=0.0):
    """Two equally good models, of which `spoil(columns)` moves the second's logits; a frame a seed."""
    rng = np.random.default_rng(seed)
    users = rows // 10
    user, found = rng.integers(0, users, rows), columns(rng, rows)
    known = rng.normal(0.0, 1.0, rows) + (np.full(rows, -1.5) if rates is None else rates(found))
    click = (rng.random(rows) < sigmoid(known + rng.normal(0.0, 0.3, users)[user])).astype(float)
    frames = []
    for _ in range(seeds):
        frame = {"user": user, **found, "click": click}
        for model in ("old", "new"):
            logit = known + rng.normal(0.0, 0.2, rows)
            if luck:
                logit += rng.normal(0.0, luck, 6)[found["hour"]]
            if model == "new" and spoil is not None:
                logit = logit + spoil(found)
            frame[f"{model}:click"] = sigmoid(logit)
        frames.append(pl.DataFrame(frame).with_columns(pl.col(pl.String).replace("", None)))
    return frames


def discover(frames, columns=COLUMNS, **arguments):
    return discover_slices(frames, ["click"], ["old", "new"], "user", columns, **arguments)


def confirmed(report, objective):
    return {s.description: s for s in report.of("click", objective) if s.verdict == "confirmed"}


def assert_found(report, objective, *planted):
    """All that was planted, and no more than one more: of twenty that are confirmed, chance makes one."""
    found = confirmed(report, objective)
    assert set(planted) <= set(found)
    assert len(found) <= len(planted) + 1


def cross_entropy(y, p):
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


@pytest.fixture(scope="module")
def planted():
    def spoil(found):
        return 0.7 * (found["tab"] == "search") + 1.2 * ((found["device"] == "tv") & (found["hour"] == 3))

    frames = study(0, rows=60_000, spoil=spoil)
    return frames, discover(frames)


class TestPlantedSlices:
    @pytest.mark.parametrize("objective", ["regression", "excess"])
    def test_a_simple_one_and_a_cross_are_found_under_their_shortest_names(self, planted, objective):
        assert_found(planted[1], objective, "tab=search", "hour=3 & device=tv")

    def test_figures_are_those_of_each_half(self, planted):
        frames, report = planted
        slice_ = confirmed(report, "regression")["tab=search"]
        halves = user_buckets(frames[0]["user"], 400) % 2
        for half, seeds, figures in ((0, (0, 1), slice_.searched), (1, (2, 3), slice_.confirmed)):
            rows = (halves == half) & (frames[0]["tab"].to_numpy() == "search")
            y = frames[0]["click"].to_numpy()[rows]
            before, after = (
                np.mean([cross_entropy(y, frames[s][f"{m}:click"].to_numpy()[rows]).sum() for s in seeds])
                for m in ("old", "new")
            )
            assert figures.rows == rows.sum()
            assert figures.positives == y.sum()
            assert figures.effect.value == pytest.approx(after / before - 1)
            entropy = cross_entropy(y, np.full(len(y), y.mean())).sum()
            assert figures.entropies == pytest.approx((before / entropy, after / entropy))
            assert figures.effect.seed_error is not None
        assert slice_.confirmed.effect.low > 0.02
        assert slice_.confirmed.beyond.low > 0.02

    def test_json_and_markdown_hold_every_figure(self, planted):
        report = planted[1]
        found = json.loads(json.dumps(report.to_dict(), allow_nan=False))["slices"]
        assert {"regression", "excess"} == {slice_["objective"] for slice_ in found}
        assert found[0]["verdict"] == "confirmed"
        assert found[0]["confirmed"]["expected_entropy"] is None
        assert 0.5 < found[-1]["searched"]["expected_entropy"] < 1.0
        markdown = report.to_markdown()
        assert "### click, excess" in markdown
        assert f"{report.slices_searched['click']:,} slices searched." in markdown
        assert "| tab=search |" in markdown

    def test_a_child_that_is_worse_yet_stays_beside_its_parent(self):
        def spoil(found):
            return 0.6 * (found["device"] == "tv") * (1 + (found["hour"] == 3))

        report = discover(study(1, rows=80_000, spoil=spoil), objectives=["regression"])
        assert_found(report, "regression", "device=tv", "hour=3 & device=tv")

    def test_three_literals(self):
        def spoil(found):
            return 2.0 * ((found["device"] == "tv") & (found["hour"] == 3) & (found["tab"] == "home"))

        frames = study(2, rows=120_000, spoil=spoil)
        report = discover(frames, max_depth=3, objectives=["regression"])
        assert report.slices[0].description == "tab=home & hour=3 & device=tv"
        assert_found(report, "regression", "tab=home & hour=3 & device=tv")

    def test_missing_values_bins_and_ready_segmentations(self):
        missing = study(3, spoil=lambda found: 0.8 * (found["tab"] == ""))
        assert_found(discover(missing), "regression", "tab=(missing)")
        dear = study(4, spoil=lambda found: 0.8 * (found["bid"] >= 1.0))
        cut = [Segmentation("bid", {"bid": [0.1, 1.0]}, name="price"), "tab"]
        assert_found(discover(dear, cut, objectives=["regression"]), "regression", "bid≥1")
        quantiles = discover(dear, ["tab", "bid"], objectives=["regression"], bins=8)
        assert all("bid<" in s.description or "bid≥" in s.description for s in quantiles.slices)

    def test_rare_values_are_no_slice_and_in_nobodys_way(self):
        def columns(rng, rows):
            return {**columns_of(rng, rows), "ad": rng.zipf(1.3, rows) % 10_000, "row": np.arange(rows)}

        def spoil(found):
            return 1.0 * (found["device"] == "tv") + 1.5 * (found["ad"] == 1) * (found["hour"] == 2)

        report = discover(study(6, rows=80_000, columns=columns, spoil=spoil), [*COLUMNS, "ad", "row"])
        for objective in ("regression", "excess"):
            assert_found(report, objective, "device=tv", "hour=2 & ad=1")
        assert not any("row=" in slice_.description for slice_ in report.slices)

    def test_weights_are_repetitions(self):
        frames = study(5, spoil=lambda found: 0.8 * (found["device"] == "tv"))
        weight = pl.when(pl.col("hour") < 2).then(2.0).otherwise(1.0).alias("weight")
        weighted = discover([frame.with_columns(weight) for frame in frames], weight="weight")
        repeated = discover([pl.concat([frame, frame.filter(pl.col("hour") < 2)]) for frame in frames])
        for objective in ("regression", "excess"):
            one, two = (confirmed(report, objective)["device=tv"] for report in (weighted, repeated))
            assert one.confirmed.effect.value == pytest.approx(two.confirmed.effect.value)
            assert one.confirmed.beyond.user_error == pytest.approx(two.confirmed.beyond.user_error)


class TestMerging:
    def test_names_of_the_same_rows_and_companions(self):
        def columns(rng, rows):
            found = columns_of(rng, rows)
            tv = found["device"] == "tv"
            found["screen"] = np.where(tv ^ (rng.random(rows) < 0.025), "large", "small")
            found["place"] = np.where(rng.random(rows) < np.where(tv, 0.9, 0.3), "sofa", "desk")
            found["copy"] = found["device"]
            return found

        frames = study(7, rows=80_000, columns=columns, spoil=lambda found: 1.2 * (found["device"] == "tv"))
        report = discover(frames, [*COLUMNS, "screen", "place", "copy"], objectives=["regression"])
        found = confirmed(report, "regression")
        assert list(found) == ["device=tv"]
        assert {"copy=tv", "screen=large"} <= set(found["device=tv"].also)
        assert "place=sofa" not in {slice_.description for slice_ in report.slices}
        assert "device=tv: almost the same rows as" in report.to_markdown()

    def test_a_crossing_of_two_bad_slices_is_explained_by_them(self):
        def spoil(found):
            return 0.5 * (found["device"] == "tv") + 0.7 * ((found["tab"] == "home") & (found["hour"] == 3))

        found = confirmed(discover(study(7, rows=200_000, seeds=3, spoil=spoil)), "regression")
        # Among the televisions, tab=home is worse only for what the other plant does there.
        assert "tab=home & device=tv" not in found
        assert {"device=tv", "tab=home & hour=3"} <= set(found)


class TestChance:
    @pytest.mark.parametrize("luck", [0.0, 0.2])
    def test_no_difference_makes_few_confirmations(self, luck):
        """20 studies, some 200 slices each; luck of seeds by hour is no fault of an hour."""
        reports = [discover(study(100 + number, rows=20_000, luck=luck)) for number in range(20)]
        for objective in ("regression", "excess"):
            assert sum(bool(confirmed(report, objective)) for report in reports) <= 2
        assert min(report.slices_searched["click"] for report in reports) > 80
        assert sum(len(report.slices) for report in reports) > 20

    def test_rates_are_not_found(self):
        """Four tabs that a model knows equally well, rates from 1 % to 50 %: log loss finds one, NE another."""

        def columns(rng, rows):
            return {"tab": rng.choice(4, rows, p=[0.1, 0.2, 0.3, 0.4]), "device": rng.integers(0, 3, rows)}

        def rates(found):
            return np.array([0.0, -1.5, -3.0, -5.0])[found["tab"]]

        for seed in range(5):
            frames = study(200 + seed, rows=100_000, columns=columns, rates=rates)
            frame = frames[0].with_columns(loss=cross_entropy(pl.col("click"), pl.col("new:click")))
            by_tab = frame.group_by("tab").agg(pl.col("loss", "click").mean()).sort("tab")
            entropies = (by_tab["loss"] / cross_entropy(by_tab["click"], by_tab["click"])).to_numpy()
            assert by_tab["loss"].arg_max() == 0
            assert entropies.argmax() == 3
            assert entropies[3] - entropies[0] > 0.015
            report = discover(frames, ["tab", "device"])
            assert not confirmed(report, "excess")

    def test_what_is_known_least_is_found_at_any_rate(self):
        """One tab's predictions know the rate only, be it 50 % or 3 %; three studies each."""

        def columns(rng, rows):
            return {"tab": rng.choice(4, rows), "device": rng.integers(0, 3, rows)}

        def rates(found):
            return np.array([0.0, -1.5, -2.0, -3.5])[found["tab"]]

        for tab, seed in itertools.product((0, 3), range(300, 303)):
            rng, frames = np.random.default_rng(seed), study(seed, rows=100_000, columns=columns, rates=rates)
            level = rates({"tab": tab})
            blurred = [
                frame.with_columns(
                    pl.when(pl.col("tab") == tab)
                    .then(pl.Series(sigmoid(level + rng.normal(0, 0.2, len(frame)))))
                    .otherwise(pl.col(f"{model}:click"))
                    .alias(f"{model}:click")
                    for model in ("old", "new")
                )
                for frame in frames
            ]
            report = discover(blurred, ["tab", "device"])
            assert report.of("click", "excess")[0].description == f"tab={tab}"
            assert_found(report, "excess", f"tab={tab}")
            assert not confirmed(report, "regression")

    def test_one_seed_makes_no_claim(self):
        frames = study(0, spoil=lambda found: 1.5 * (found["device"] == "tv"))
        for given in (frames[0], frames[:2]):
            report = discover(given)
            assert report.slices[0].description == "device=tv"
            assert {s.verdict for s in report.slices} == {"one seed: no claim"}
            assert report.slices[0].q_value < 0.05


class TestExpectedEntropy:
    def test_is_that_of_normal_logits(self):
        rng = np.random.default_rng(0)
        z = 1.3 * rng.normal(size=1_000_000)
        means = np.array([0.0, -2.0, -4.5, 1.0])
        p = sigmoid(means[:, None] + z)
        rates, left = p.mean(axis=1), (-(p * np.log(p) + (1 - p) * np.log1p(-p))).mean(axis=1)
        saved = -(rates * np.log(rates) + (1 - rates) * np.log1p(-rates)) - left
        weights = np.array([10.0, 20.0, 400.0, 30.0])
        found = ExpectedEntropy.fit(rates, weights, float(weights @ saved))
        np.testing.assert_allclose(found.saved, saved, rtol=0.01)
        assert found.saved @ weights == pytest.approx(weights @ saved)

    def test_where_nothing_is_saved_nothing_is_expected(self):
        found = ExpectedEntropy.fit(np.array([0.1, 0.5]), np.ones(2), -3.0)
        assert found.saved.tolist() == [0.0, 0.0]
        assert found.slopes.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("objective", ["regression", "excess"])
def test_errors_are_those_of_the_jackknife(objective):
    """Leaving out one bucket of users at a time, with rates and expectation found anew."""
    rng = np.random.default_rng(0)
    rows, buckets = 20_000, 100
    bucket, codes = rng.integers(0, buckets, rows), rng.integers(0, 3, rows)
    z = np.array([0.0, -1.0, -2.0])[codes] + rng.normal(0, 1, rows) + rng.normal(0, 0.5, buckets)[bucket]
    y = (rng.random(rows) < sigmoid(z)).astype(float)
    losses = np.array([[cross_entropy(y, sigmoid(0.9 * z))], [cross_entropy(y, sigmoid(0.7 * z))]])

    def estimates(rows_left):
        half = Half(bucket[rows_left], buckets, np.ones(rows_left.sum()), y[rows_left], losses[:, :, rows_left], {})
        ratios = Ratios.of(CellSums.of(half, codes[rows_left], 3, seeds=True), objective)
        rest = ratios.grouped(np.zeros(3, int), 1).less(ratios.at([1]))
        return ratios.at([1]).estimate(), ratios.at([1]).difference(rest)

    whole = estimates(np.ones(rows, bool))
    without = np.array([[e.value for e in estimates(bucket != left)] for left in range(buckets)])
    jackknife = np.sqrt((buckets - 1) / buckets * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    assert [e.user_error for e in whole] == pytest.approx(jackknife, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": "click"}, "`tasks` must be a list"),
        ({"models": ["new"]}, "`models` must be two names"),
        ({"objectives": ["loss"]}, r"`objectives` must be some of \['regression', 'excess'\]"),
        ({"columns": []}, "`columns` must name at least one"),
        ({"columns": ["nowhere"]}, "`columns` names 'nowhere', which is missing"),
        ({"columns": ["tab", "tab"]}, "`columns` names 'tab' twice"),
        ({"max_depth": 4}, "max_depth from 1 to 3.*max_depth=4"),
        ({"user": "who"}, r"Frame 0 lacks the columns \['who'\]"),
        ({"models": ["old", "other"]}, "The column 'other:click' is missing"),
        ({"weight": "w"}, "The column 'w' is missing"),
        ({"frames": []}, "at least one frame"),
    ],
)
def test_what_the_user_gets_wrong(arguments, message):
    frame = study(0, rows=2000)[0]
    given = {"frames": frame, "tasks": ["click"], "models": ["old", "new"], "user": "user", "columns": ["tab"]}
    with pytest.raises(ValueError, match=message):
        discover_slices(**given | arguments)


def test_frames_of_other_rows_or_values():
    frames = study(0, rows=2000)
    with pytest.raises(ValueError, match="Frames 1 and 0 differ in 'user'.*sort all by the same row id"):
        discover([frames[0], frames[1].reverse()])
    with pytest.raises(ValueError, match="'new:click', row 0: expected a probability.*1.5"):
        discover([frames[0].with_columns(pl.lit(1.5).alias("new:click"))])


def test_too_few_rows_for_any_slice():
    report = discover(study(0, rows=2000), min_rows=5000)
    assert report.slices == ()
    assert report.to_markdown() == "Nothing found in 0 slices of click.\n"
