"""The equations of the synthetic ads log: who sees what when, and what follows."""

from typing import NamedTuple

import numpy as np
import polars as pl

from .columns import CLICK_TASKS, CONVERSION
from .population import FORMATS, Ads, Floats, Integers, Users, draw_rows

RATES = {"click": 0.11, "link_click": 0.45, "website_click": 0.25, "profile_click": 0.15, CONVERSION: 0.10}
OUTCOMES = tuple(RATES)  # the last four are given a click
PLACEMENTS = ("feed", "stories", "search", "profile", "explore")
POSITIONS = 8
_PILOT_ROWS = 30_000


def sigmoid(logits: Floats) -> Floats:
    """Logistic function of moderate logits."""
    probabilities: Floats = 1.0 / (1.0 + np.exp(-logits))
    return probabilities


class Impressions(NamedTuple):
    """Who saw which ad when and where: one value per row in each field; users and ads by index."""

    day: Integers
    hour: Integers
    user: Integers
    ad: Integers
    user_group: Integers
    ad_group: Integers
    cell: Integers
    age: Floats
    placement: Integers
    position: Integers


class SyntheticWorld:
    """Parameters drawn once from the seed, and `draw`, which makes rows from them (see `SyntheticAds`).

    Args:
        seed: seed of everything.
        num_users: number of users.
        num_ads: number of ads.
        num_user_groups: planted groups of users.
        num_ad_groups: planted groups of ads.
        num_user_ad_groups: clusters of the cells (user group, ad group).
        days: days of the log.
        group_strength: standard deviation of the clusters' effects on the logit of a click.
        drift: scale of the change over time.
    """

    def __init__(
        self,
        seed: int,
        num_users: int,
        num_ads: int,
        num_user_groups: int,
        num_ad_groups: int,
        num_user_ad_groups: int,
        days: int,
        group_strength: float,
        drift: float,
    ) -> None:
        rng = np.random.default_rng([seed, 0])
        self.days, self.drift = days, drift
        self.users = Users(rng, num_users, num_user_groups)
        self.ads = Ads(rng, num_ads, num_ad_groups, days)
        cells = np.resize(np.arange(num_user_ad_groups), num_user_groups * num_ad_groups)
        self.cells: Integers = rng.permutation(cells).reshape(num_user_groups, num_ad_groups)
        shape = (len(OUTCOMES), num_user_ad_groups)
        effects = rng.normal(size=shape)
        effects = (effects - effects.mean(axis=1, keepdims=True)) / effects.std(axis=1, keepdims=True).clip(1e-9)
        scales = group_strength * np.array([1.0, 0.8, 0.8, 0.8, 0.8])[:, None]
        self.effects = scales * effects
        steps = rng.normal(0.0, 0.5 / np.sqrt(days), (days, *shape))
        self.moves = drift * scales * np.cumsum(steps, axis=0)  # (days, outcome, user-ad group)
        self.trend = rng.normal(0.0, 0.8, num_user_groups)
        self.targeting = rng.normal(0.0, 0.4, (num_user_groups, num_ad_groups))
        self.format_effects = rng.normal(0.0, 0.5, (len(OUTCOMES), len(FORMATS)))
        self.format_effects[0] *= 0.5
        self.ad_biases = rng.normal(0.0, 0.35, (len(OUTCOMES), num_ads))
        self.ad_biases[0] = self.ads.bias
        self.hour_effects = 0.2 * np.sin(2 * np.pi * (np.arange(24) - 15.0) / 24)
        self.placement_effects = np.array([0.3, -0.2, 0.4, 0.0, -0.3])
        self.placement_shares = np.array([0.45, 0.2, 0.1, 0.1, 0.15])
        self.hour_shares = 1.0 + 0.7 * np.sin(2 * np.pi * (np.arange(24) - 13.0) / 24)
        weekday = np.where(np.arange(days) % 7 >= 5, 1.25, 1.0)
        self.traffic = np.concatenate([[0.0], np.cumsum(np.outer(weekday, self.hour_shares).reshape(-1))])
        self.traffic /= self.traffic[-1]
        self._audience: dict[int, Floats] = {}
        self._intercepts = np.zeros(len(OUTCOMES))
        self._teacher_intercepts = np.zeros(len(CLICK_TASKS))
        self._calibrate(np.random.default_rng([seed, 1]))

    def draw(self, times: Floats, rng: np.random.Generator) -> pl.DataFrame:
        """Rows at the given times, sorted shares in [0, 1) of the log's traffic."""
        rows = self._impressions(times, rng)
        probabilities = self._probabilities(rows)
        teacher = self._teacher(rows, rng)
        users = {name: column.gather(rows.user) for name, column in self.users.columns.items()}
        ads = {name: column.gather(rows.ad) for name, column in self.ads.columns.items()}
        clicked = rng.random(len(times)) < probabilities[0]
        labels = {"click": pl.Series(clicked.astype(np.float32))}
        for outcome, probability in zip(OUTCOMES[1:], probabilities[1:], strict=True):
            happened = clicked & (rng.random(len(times)) < probability)
            labels[outcome] = pl.Series(happened.astype(np.float32))
        labels[CONVERSION] = labels[CONVERSION].set(pl.Series(~clicked), None)
        true = np.concatenate([probabilities[:1], probabilities[:1] * probabilities[1:4], probabilities[4:]])
        day = rows.day
        split = np.select([day >= self.days - 2, day >= self.days - 4], ["test", "validation"], "train")
        return pl.DataFrame(
            {
                **users,
                **ads,
                "ad_age_days": rows.age.round(2).astype(np.float32),
                "hour": rows.hour,
                "day_of_week": day % 7,
                "placement": pl.Series(list(PLACEMENTS)).gather(rows.placement),
                "position": rows.position,
                "day": day.astype(np.int32),
                # Reports take users as independent, and rare ones share the vocabulary's id 0.
                "user": users["user_id"].cast(pl.Int32),
                **labels,
                **{f"teacher_{name}": teacher[i].astype(np.float32) for i, name in enumerate(CLICK_TASKS)},
                **{f"true_{name}": true[i].astype(np.float32) for i, name in enumerate(OUTCOMES)},
                "planted_user_group": rows.user_group.astype(np.int32),
                "planted_ad_group": rows.ad_group.astype(np.int32),
                "planted_user_ad_group": rows.cell.astype(np.int32),
                "split": split,
            }
        )

    def _impressions(self, times: Floats, rng: np.random.Generator) -> Impressions:
        """Who saw which ad when and where."""
        hours = np.searchsorted(self.traffic, times, side="right") - 1
        day, hour = hours // 24, hours % 24
        user, ad = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
        uniform = rng.random((2, len(times)))
        for today in np.unique(day):
            here = np.flatnonzero(day == today)
            audience = self._audience_of(int(today))
            user[here] = np.searchsorted(audience, uniform[0, here], side="right").clip(0, self.users.size - 1)
            groups = self.users.group[user[here]]
            for group in np.unique(groups):
                shown = here[groups == group]
                stock = self._stock_of(int(today), int(group))
                ad[shown] = np.searchsorted(stock, uniform[1, shown], side="right").clip(0, self.ads.size - 1)
        user_group, ad_group = self.users.group[user], self.ads.group[ad]
        return Impressions(
            day=day,
            hour=hour,
            user=user,
            ad=ad,
            user_group=user_group,
            ad_group=ad_group,
            cell=self.cells[user_group, ad_group],
            age=np.maximum(day - self.ads.launch[ad], 0.0),
            placement=draw_rows(self.placement_shares[None, :], np.zeros(len(times), np.int64), rng),
            position=rng.geometric(0.3, len(times)).clip(1, POSITIONS),
        )

    def _audience_of(self, day: int) -> Floats:
        """Cumulative shares of the users on a day; the groups' traffic moves."""
        if day not in self._audience:
            moved = np.exp(self.drift * self.trend * (day / self.days - 0.5))
            weights = np.cumsum(self.users.popularity * moved[self.users.group])
            self._audience = {day: weights / weights[-1]}
        return self._audience[day]

    def _stock_of(self, day: int, group: int) -> Floats:
        """Cumulative shares of the ads that a user group is shown on a day: launched ones, fresh ones more."""
        age = day - self.ads.launch
        fresh = np.where(age >= 0, 0.3 + np.exp(-np.abs(age) / 10.0), 0.0)
        weights = np.cumsum(self.ads.popularity * fresh * np.exp(self.targeting[group, self.ads.group]))
        shares: Floats = weights / weights[-1]
        return shares

    def _context(self, rows: Impressions) -> Floats:
        position = -0.18 * (rows.position - 1.0)
        effect: Floats = self.hour_effects[rows.hour] + self.placement_effects[rows.placement] + position
        return effect

    def _probabilities(self, rows: Impressions) -> Floats:
        """P(click), then P(outcome given click) of the other outcomes, shape (outcomes, rows)."""
        return sigmoid(self._logits(rows) + self._intercepts[:, None])

    def _logits(self, rows: Impressions) -> Floats:
        moves = self.moves[rows.day, :, rows.cell].T
        logits: Floats = self.effects[:, rows.cell] + moves
        logits += self.format_effects[:, self.ads.format[rows.ad]] + self.ad_biases[:, rows.ad]
        logits[0] += self.users.bias[rows.user] + self._context(rows)
        logits[-1] -= 0.3 * self.ads.log_bid[rows.ad]
        return logits

    def _teacher(self, rows: Impressions, rng: np.random.Generator) -> Floats:
        """P(click), P(click and outcome) as a model of an earlier period would have them, shape (clicks, rows)."""
        probabilities = sigmoid(self._teacher_logits(rows, rng) + self._teacher_intercepts[:, None])
        probabilities[1:] *= probabilities[0]
        return probabilities

    def _teacher_logits(self, rows: Impressions, rng: np.random.Generator) -> Floats:
        known = self.ads.launch[rows.ad] < 0
        clicks = slice(0, len(CLICK_TASKS))
        logits: Floats = 0.5 * self.effects[clicks, rows.cell]
        logits += 0.8 * self.format_effects[clicks, self.ads.format[rows.ad]]
        logits += 0.7 * known * self.ad_biases[clicks, rows.ad]
        logits[0] += 0.5 * self.users.bias[rows.user] + 0.9 * self._context(rows)
        logits += rng.normal(0.0, 0.4, logits.shape)
        return logits

    def _calibrate(self, rng: np.random.Generator) -> None:
        """Set intercepts such that a pilot sample has the intended rates, and the teacher's means are right."""
        rows = self._impressions(np.sort(rng.random(_PILOT_ROWS)), rng)
        logits = self._logits(rows)
        clicks = np.ones(_PILOT_ROWS)
        for i, outcome in enumerate(OUTCOMES):
            self._intercepts[i] = _intercept(logits[i], clicks, RATES[outcome])
            clicks = sigmoid(logits[0] + self._intercepts[0])  # later outcomes are rates among clicks
        guesses = self._teacher_logits(rows, rng)
        weights = np.ones(_PILOT_ROWS)
        for i, outcome in enumerate(CLICK_TASKS):
            self._teacher_intercepts[i] = _intercept(guesses[i], weights, RATES[outcome])
            weights = sigmoid(guesses[0] + self._teacher_intercepts[0])


def _intercept(logits: Floats, weights: Floats, rate: float) -> float:
    """The number that, added to the logits, gives the weighted mean probability `rate` (by bisection)."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.average(sigmoid(logits + middle), weights=weights) < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2
