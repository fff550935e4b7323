"""An ads log in the shape of a real one, with planted groups: generated, never downloaded."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ...schema import Task
from ..kinds import Column
from .columns import CLICK_TASKS, COLUMNS, NAME, chosen_tasks, extras_beside
from .synthetic_ads_file import SyntheticAdsFile
from .world import SyntheticWorld

_BLOCK_ROWS = 32_768  # rows are drawn in blocks of this size, so that they do not depend on the chunks asked for
_VERSION = 2  # of the equations; part of the settings


class SyntheticAds:
    """A generated ads log with planted user groups and user-ad groups that change the click rates.

    For tests, demos and studies that need to know the truth: which groups there are, and what the best possible
    model would predict. It has the nuisances of a real log: long-tailed users and ads, ads that appear during the
    log and are unknown in training, drifting traffic and tastes, missing values.

    Equations, for an impression of ad `a` to user `u` on day `d`:

        g(u), h(a)            planted user and ad group; k = cell(g, h) one of the planted user-ad groups
        columns of u          drawn given g(u), noisily: countries, device, age, interests, tenure, sessions
        columns of a          drawn given h(a), noisily: category, format, advertiser; ad and bid are not
        P(u | d)              Zipf share of u * exp(drift * trend_g * (d / days - 1/2))
        P(a | u, d)           Zipf share of a * [launched] (0.3 + exp(-age / 10)) * exp(targeting_gh)
        E_k(d)                strength * (N(0, 1) per k + drift * a random walk of standard deviation 0.5 at the end)
        logit P(click)        b + E_k(d) + user_u + ad_a + format + hour + placement - 0.18 (position - 1)
        logit P(t | click)    b_t + E^t_k(d) + ad^t_a + format^t, for the link, website and profile clicks
        logit P(conv | click) b_c + E^c_k(d) + ad^c_a + format^c - 0.3 log bid
        logit teacher         b' + 0.5 E_k (without drift) + 0.5 user_u + 0.7 ad_a (0 for an ad launched during the
                              log) + 0.8 format + 0.9 context + N(0, 0.4): a model of an earlier period

    The cells are dealt to the user-ad groups at random, so about nine tenths of the effect is an interaction that no
    sum of a user's and an ad's effects can express. `b` are such that about 11 % of impressions are clicked, and of
    clicks 45 % are link clicks, 25 % website clicks, 15 % profile clicks (each implies a click) and 10 % convert;
    the teacher's, such that its mean is about right.

    A label is null where it is unobserved: `conversion` without a click. The last two days are the test split, the
    two before them validation. Besides features and labels, `extras` holds the teacher's probabilities
    `teacher_<click>`, the true ones `true_<outcome>` (`true_conversion` is given a click), `day`, the planted groups
    `planted_user_group`, `planted_ad_group` and `planted_user_ad_group`, and the labels that are no task.

    The rows depend only on the seed and the arguments, not on how they are read.

    Args:
        rows: number of impressions. Defaults to 200,000.
        seed: seed of everything. Defaults to 0.
        num_users: number of users. Defaults to 20,000.
        num_ads: number of ads. Defaults to 1,000.
        num_user_groups: planted groups of users. Defaults to 8.
        num_ad_groups: planted groups of ads. Defaults to 10.
        num_user_ad_groups: clusters of the cells (user group, ad group). Defaults to 12.
        days: days of the log, at least 5. Defaults to 14.
        tasks: names of the outcomes to predict, of `click`, `link_click`, `website_click`, `profile_click`,
            `conversion`. Defaults to the four clicks.
        group_strength: standard deviation of the user-ad groups' effects on a click's logit. Defaults to 0.9.
        drift: scale of the change over time; 0 for none. Defaults to 1.

    Raises:
        ValueError: on sizes that are not positive integers or do not fit together, or on unknown tasks.

    Example:
    >>> dataset = SyntheticAds(rows=1000, num_users=200, num_ads=50)
    >>> sum(len(frame) for frame in dataset.chunks(chunk_rows=300))
    1000
    >>> [task.name for task in dataset.tasks]
    ['click', 'link_click', 'website_click', 'profile_click']
    """

    name = NAME
    columns: Sequence[Column] = COLUMNS

    def __init__(
        self,
        rows: int = 200_000,
        seed: int = 0,
        num_users: int = 20_000,
        num_ads: int = 1_000,
        num_user_groups: int = 8,
        num_ad_groups: int = 10,
        num_user_ad_groups: int = 12,
        days: int = 14,
        tasks: Sequence[str] = CLICK_TASKS,
        group_strength: float = 0.9,
        drift: float = 1.0,
    ) -> None:
        sizes = {
            "num_users": num_users,
            "num_ads": num_ads,
            "num_user_groups": num_user_groups,
            "num_ad_groups": num_ad_groups,
            "num_user_ad_groups": num_user_ad_groups,
            "days": days,
        }
        for argument, value in {"rows": rows, **sizes}.items():
            _check_size(argument, value, 5 if argument == "days" else 1)
        _check_size("seed", seed, 0)
        if num_user_ad_groups > num_user_groups * num_ad_groups:
            raise ValueError(
                "`num_user_ad_groups` are clusters of the num_user_groups x num_ad_groups cells: there must be as many "
                f"cells or more. Received: {num_user_ad_groups} for {num_user_groups} x {num_ad_groups} cells."
            )
        for argument, scale in {"group_strength": group_strength, "drift": drift}.items():
            if not (np.isfinite(scale) and scale >= 0):
                raise ValueError(f"`{argument}` must be a finite number >= 0. Received: {scale!r}.")
        self.tasks: Sequence[Task] = chosen_tasks(tasks)
        self.extras: Mapping[str, str] = extras_beside(self.tasks)
        self.settings = {
            "version": _VERSION,
            "rows": rows,
            "seed": seed,
            **sizes,
            "group_strength": group_strength,
            "drift": drift,
        }
        self._rows, self._seed = rows, seed
        self._world = SyntheticWorld(seed, **sizes, group_strength=group_strength, drift=drift)

    def chunks(self, chunk_rows: int, max_bad_rows: int = 0) -> Iterator[pl.DataFrame]:
        """Yield frames of `chunk_rows` rows, the last one shorter, in order of time (see `Dataset.chunks`).

        Args:
            chunk_rows: rows of a frame; memory is bounded by it.
            max_bad_rows: not used, generated rows are not malformed. Defaults to 0.
        """
        _check_size("chunk_rows", chunk_rows, 1)
        parts: list[pl.DataFrame] = []
        held = 0
        for block in range(-(-self._rows // _BLOCK_ROWS)):
            frame = self._block(block)
            while held + len(frame) >= chunk_rows:
                missing = chunk_rows - held
                yield pl.concat([*parts, frame[:missing]])
                frame, parts, held = frame[missing:], [], 0
            if len(frame):
                parts.append(frame)
                held += len(frame)
        if held:
            yield pl.concat(parts)

    def _block(self, block: int) -> pl.DataFrame:
        rng = np.random.default_rng([self._seed, 2, block])
        first = block * _BLOCK_ROWS
        rows = np.arange(first, min(first + _BLOCK_ROWS, self._rows))
        return self._world.draw((rows + 0.5) / self._rows, rng)

    def write(self, path: str | Path) -> Path:
        """Write the log as a CSV with a header; `read` reads it back.

        The file appears when it is complete; one that exists is not overwritten.

        Args:
            path: file to write, e.g. `"ads.csv"`; its folder is created.

        Raises:
            FileExistsError: if the file exists.
        """
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} exists and is not overwritten. Delete it, or choose another path.")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for number, frame in enumerate(self.chunks(_BLOCK_ROWS)):
                    frame.write_csv(file, include_header=number == 0)
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
        return path

    @staticmethod
    def read(path: str | Path, tasks: Sequence[str] = CLICK_TASKS) -> SyntheticAdsFile:
        """The dataset of a CSV that `write` made.

        Args:
            path: the file.
            tasks: names of the outcomes to predict. Defaults to the four clicks.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        return SyntheticAdsFile(path, tasks)

    @classmethod
    def download(cls, folder: str | Path) -> Path:
        """Raise an error, since there is nothing to download."""
        raise NotImplementedError(
            f"{NAME!r} is generated, not downloaded. Leave out --download; SyntheticAds(rows=...) makes the rows, and "
            f".write({str(Path(folder) / 'ads.csv')!r}) a file of them."
        )


def _check_size(argument: str, value: object, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"`{argument}` must be an integer of at least {minimum}. Received: {argument}={value!r}.")
