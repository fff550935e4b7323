"""How well learned groups recover planted ones."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class GroupRecovery:
    """Agreement of codes with planted factors, and how disentangled the codes are. Made by `group_recovery`.

    Args:
        mutual_information: adjusted mutual information by factor, then by placement: the best
            over its prefixes of levels.
        disentanglement: whether a code variable (a placement's level) speaks of one factor only, from 0 to 1.
        completeness: whether one code variable alone speaks of a factor, from 0 to 1.
        informativeness: share of held-out rows whose factor a forest reads off the codes, by factor.
        chance: share that the most frequent value of a factor would reach, by factor.
        importance: relative importance of each code variable (rows) for each factor (columns).
        variables: names of the code variables.

    Example:

    ```python
    print(gr.reports.group_recovery(codes, planted).disentanglement)
    ```
    """

    mutual_information: dict[str, dict[str, float]]
    disentanglement: float
    completeness: float
    informativeness: dict[str, float]
    chance: dict[str, float]
    importance: tuple[tuple[float, ...], ...]
    variables: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        return dataclasses.asdict(self)


def group_recovery(
    codes: Mapping[str, ArrayLike], planted: Mapping[str, ArrayLike], max_rows: int = 10_000, seed: int = 0
) -> GroupRecovery:
    """Compare the groups of each placement with groups that a generated log was made of.

    Adjusted mutual information is 1 for the same grouping and about 0 for an
    unrelated one. Disentanglement, completeness and informativeness are those of
    Eastwood and Williams, with a random forest on the codes one-hot.

    Args:
        codes: group ids `(rows, levels)` by placement.
        planted: true group of each row, by factor.
        max_rows: rows drawn for the comparison. Defaults to `10_000`.
        seed: of the draw and the forest. Defaults to `0`.

    Raises:
        ValueError: without codes or factors, or when they have different numbers of rows.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> user, ad = rng.integers(0, 4, 800), rng.integers(0, 4, 800)
    >>> found = group_recovery({"user": user[:, None], "ad": ad[:, None]}, {"users": user, "ads": ad})
    >>> found.mutual_information["users"]["user"], found.disentanglement > 0.95
    (1.0, True)

    Reference:
        Eastwood and Williams, *A framework for the quantitative evaluation of disentangled representations*,
        ICLR 2018; Vinh et al., JMLR 2010.
    """
    ids = {placement: np.asarray(one) for placement, one in codes.items()}
    factors = {name: np.asarray(one).reshape(-1) for name, one in planted.items()}
    lengths = {name: len(one) for name, one in {**ids, **factors}.items()}
    if not ids or not factors or len(set(lengths.values())) > 1:
        raise ValueError(
            f"`codes` and `planted` must hold the same rows, at least one of each. Received rows: {lengths}."
        )
    # Imported here, since it takes longer than the rest of this room.
    from sklearn.metrics import adjusted_mutual_info_score

    rng = np.random.default_rng(seed)
    rows = next(iter(lengths.values()))
    chosen = rng.permutation(rows)[:max_rows]
    ids = {placement: one[chosen] for placement, one in ids.items()}
    factors = {name: one[chosen] for name, one in factors.items()}
    information = {
        name: {
            placement: max(
                float(adjusted_mutual_info_score(truth, prefix_groups(one, levels)))
                for levels in range(1, one.shape[1] + 1)
            )
            for placement, one in ids.items()
        }
        for name, truth in factors.items()
    }
    variables = [f"{placement}:{level + 1}" for placement, one in ids.items() for level in range(one.shape[1])]
    importance, accuracy = _importance(np.concatenate(list(ids.values()), axis=1), factors, seed)
    disentanglement, completeness = _disentanglement(importance), _disentanglement(importance.T)
    return GroupRecovery(
        mutual_information=information,
        disentanglement=disentanglement,
        completeness=completeness,
        informativeness=accuracy,
        chance={name: float(np.unique(one, return_counts=True)[1].max() / len(one)) for name, one in factors.items()},
        importance=tuple(tuple(float(value) for value in row) for row in importance),
        variables=tuple(variables),
    )


def prefix_groups(codes: np.ndarray, levels: int) -> np.ndarray:
    """Groups of rows that share their first codes, numbered from 0.

    Example:

    >>> prefix_groups(np.array([[3, 1], [3, 2], [5, 1]]), 1).tolist()
    [0, 0, 1]
    """
    _, groups = np.unique(codes[:, :levels], axis=0, return_inverse=True)
    return np.asarray(groups).reshape(-1)


def _importance(codes: np.ndarray, factors: Mapping[str, np.ndarray], seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """Importance of each code variable (rows) for each factor (columns), and accuracy on held-out rows."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(dtype="float32", handle_unknown="ignore")
    train = np.arange(len(codes)) % 4 > 0
    features = encoder.fit(codes[train]).transform(codes)
    owners = np.repeat(np.arange(codes.shape[1]), [len(values) for values in encoder.categories_])
    importance, accuracy = np.zeros((codes.shape[1], len(factors))), {}
    for column, (name, truth) in enumerate(factors.items()):
        forest = RandomForestClassifier(n_estimators=50, min_samples_leaf=2, random_state=seed)
        forest.fit(features[train], truth[train])
        np.add.at(importance[:, column], owners, forest.feature_importances_)
        accuracy[name] = float(forest.score(features[~train], truth[~train]))
    return importance, accuracy


def _disentanglement(importance: np.ndarray) -> float:
    """Mean over rows, by importance, of 1 - the entropy of a row's shares to the base of the number of columns."""
    if importance.shape[1] < 2:
        return 1.0
    total = importance.sum(axis=1)
    shares = importance / np.where(total > 0, total, 1.0)[:, None]
    logs = np.log(np.where(shares > 0, shares, 1.0))
    row = 1.0 + np.sum(shares * logs, axis=1) / np.log(importance.shape[1])
    return float(total @ row / total.sum())
