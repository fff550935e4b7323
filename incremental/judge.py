"""Today's model against yesterday's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..reports import GateRule, PredictionSums, check_gate, gain_table
from .scores import Scores

_USER = "user of the row"


def judge(yesterday: Scores, today: Mapping[str, np.ndarray], rules: Sequence[GateRule]) -> dict[str, Any]:
    """Hold today's model against yesterday's on the same rows.

    Args:
        yesterday: yesterday's predictions for them, with their labels.
        today: today's predictions.
        rules: what must hold (see `gr.reports.check_gate`). Their intervals are those of users, or of rows where no
            users are known.

    Returns:
        Whether it `passed`, the `checks` in words, the number of `rows`, and the metrics of `yesterday` and `today` by
        prediction.

    Example:

    >>> labels = {"click": np.arange(1000.0) % 2}
    >>> yesterday = Scores({"click": np.full(1000, 0.5)}, labels, None, {}, 1000)
    >>> judge(yesterday, {"click": 0.9 - 0.8 * labels["click"]}, [GateRule(max_loss=1.0)])["passed"]
    False
    """
    names = list(today)
    columns: dict[str, Any] = {name: yesterday.labels[name] for name in names}
    columns |= {f"yesterday:{name}": yesterday.predictions[name] for name in names}
    columns |= {f"today:{name}": values for name, values in today.items()}
    columns[_USER] = np.arange(yesterday.rows) if yesterday.users is None else yesterday.users
    sums = PredictionSums(names, ["yesterday", "today"], user=_USER)
    sums.update(columns)
    result = check_gate(gain_table(sums).to_dict(), rules)
    return {
        "passed": result.passed,
        "checks": [f"{check.status}: {check}" for check in result.checks],
        "rows": yesterday.rows,
        "yesterday": yesterday.metrics(),
        "today": yesterday.metrics(today),
    }
