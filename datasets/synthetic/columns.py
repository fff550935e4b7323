"""What the synthetic ads log holds, generated or read back from a file."""

from collections.abc import Sequence

from ...schema import Task
from ..kinds import CategoricalColumn, Column, NumericColumn, SequenceColumn

NAME = "synthetic-ads"
CLICK_TASKS = ("click", "link_click", "website_click", "profile_click")
CONVERSION = "conversion"
TASKS = {**{name: Task(name) for name in CLICK_TASKS}, CONVERSION: Task(CONVERSION, given="click")}

COLUMNS: tuple[Column, ...] = (
    CategoricalColumn("user_id", "user", dtype="int64", min_count=2),
    CategoricalColumn("country", "user"),
    CategoricalColumn("device", "user"),
    CategoricalColumn("age_bucket", "user"),
    SequenceColumn("interests", "user", length=8),
    NumericColumn("tenure_days", "user"),
    NumericColumn("sessions_7d", "user"),
    CategoricalColumn("ad_id", "ad", min_count=2),
    CategoricalColumn("advertiser", "ad", min_count=2),
    CategoricalColumn("category", "ad"),
    CategoricalColumn("format", "ad"),
    NumericColumn("ad_age_days", "ad"),
    NumericColumn("bid", "ad"),
    CategoricalColumn("hour", "context", dtype="int64"),
    CategoricalColumn("day_of_week", "context", dtype="int64"),
    CategoricalColumn("placement", "context"),
    CategoricalColumn("position", "context", dtype="int64"),
)


def chosen_tasks(names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of these names, checked."""
    unknown = [name for name in names if name not in TASKS]
    if isinstance(names, str) or unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"`tasks` must name some of {list(TASKS)}, each once. Received: {names!r}.")
    if CONVERSION in names and "click" not in names:
        raise ValueError(f'`tasks`: "conversion" is given a click, so "click" must be a task too. Received: {names!r}.')
    return tuple(TASKS[name] for name in names)


def extras_beside(tasks: Sequence[Task]) -> dict[str, str]:
    """Columns kept beside the features and the chosen labels, by NumPy dtype."""
    chosen = {task.name for task in tasks}
    return {
        "day": "int32",
        "user": "int32",
        **{f"teacher_{name}": "float32" for name in CLICK_TASKS},
        **{f"true_{name}": "float32" for name in TASKS},
        "planted_user_group": "int32",
        "planted_ad_group": "int32",
        "planted_user_ad_group": "int32",
        **{name: "float32" for name in TASKS if name not in chosen},
    }
