"""A prepared table with the leaves of boosted trees as further features."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...schema import Categorical, Numeric
from ..dataset import SPLITS
from ..kinds.kind import check_count
from ..prepared_table import COLUMNS_FOLDER, REPORT_FILE, TRANSFORMS_FOLDER, PreparedTable
from ..split_file import SplitWriter, split_path
from ..transforms.boosted_leaves import BoostedLeaves
from ..transforms.table_transforms import TableTransforms
from ..whole_table import whole_table
from ..worker_count import worker_count
from .train_trees import train_trees

_OWNER = "with_boosted_leaves"
# Share of the trees' rows, the last of them, that says when to stop.
_HELD_OUT = 0.1


def with_boosted_leaves(
    table: PreparedTable,
    destination: str | Path,
    task: str | None = None,
    num_trees: int = 100,
    num_leaves: int = 12,
    *,
    features: Sequence[str] | None = None,
    max_ids: int = 250,
    share: float = 0.5,
    learning_rate: float = 0.1,
    min_rows: int = 100,
    name: str = "leaf",
    seed: int = 0,
    chunk_rows: int = 100_000,
    workers: int | None = None,
) -> PreparedTable:
    """Train boosted trees on a prepared table, and write the table with a categorical feature more for each tree.

    The feature is the leaf that the tree puts a row into. A linear model of such features (the preset `lr_gbdt`) has
    weights for rules such as "after 6 p.m., on one of these devices", which trees find and it cannot make itself. The
    transforms of the new table have the trees as arrays. So the model is exported as any other, and its graph makes
    the leaves of raw rows by plain TensorFlow ops; LightGBM (extra `trees`) only trains.

    The trees read encoded numbers, and ids of features with few of them. Ids are split by sets: their order is that of
    their frequency, which says little. Features whose ids grow are not read, since ids may be handed on.

    Rows that trained the trees lie in leaves that fit them better than later rows, so that a linear model which learns
    from these rows trusts the leaves too much. As in the paper, the trees are therefore trained on earlier rows: the
    first `share` of the training rows. `table.batches("train", rows=slice(n, None))` are the others alone, where `n` is
    `table.report["boosted_leaves"]["rows"]`. Where rows are in the order of time, the trees then know no later row.

    Measure whether they help: numbers and rules must say what ids do not. On KuaiRand-Pure, where ids of users and
    videos say most, 30 trees raised the normalized entropy of `lr` on clicks from 0.884 to 0.891.

    Everything is read and written in chunks. The destination is complete when it appears, and one that holds the same
    table is opened as it is (see `prepare`).

    Args:
        table: the prepared table.
        destination: folder to write, or its address in another store.
        task: the outcome that the trees predict. Defaults to `None`, the table's first.
        num_trees: most trees. Training stops before if 20 further trees did not help on the last tenth of the trees'
            rows. Defaults to 100.
        num_leaves: most leaves of a tree. Defaults to 12.
        features: names of the numeric and categorical features that the trees read. Defaults to `None`: all numeric
            ones, and the categorical ones of at most `max_ids` ids.
        max_ids: see `features`; LightGBM puts the rarest of more than 255 ids together. Defaults to 250.
        share: share of the training rows, the first of them, that the trees are trained on. Defaults to 0.5.
        learning_rate: by how much each tree corrects those before. Defaults to 0.1.
        min_rows: fewest rows of a leaf. Defaults to 100.
        name: what the new features are called: `leaf_0`, `leaf_1` and so on. Their side is that of what the trees read,
            and `"ad"` where it is more than one, since a leaf is then of a user with an ad. Defaults to `"leaf"`.
        seed: seed of LightGBM. Defaults to 0.
        chunk_rows: rows read at a time. Defaults to 100,000.
        workers: threads of LightGBM; they change nothing of the trees. Defaults to `None`, the cores that this process
            may use.

    Returns:
        The new table. `report["boosted_leaves"]` says how the trees were trained.

    Raises:
        ValueError: on an unknown task, a feature that trees cannot read, a table that has leaves or a feature of their
            names, rows without labels or without a split, or a destination that holds something else.
        ModuleNotFoundError: if LightGBM is not installed.

    Example:
    ```python
    table = gr.datasets.with_boosted_leaves(table, "prepared/kuairand-pure-with-leaves", task="is_click")
    model = gr.models.CTRModel.from_preset("lr_gbdt", table.schema)
    ```

    Reference:
        He et al., *Practical Lessons from Predicting Clicks on Ads at Facebook*, 2014. Its trees are gradient boosted
        with at most 12 leaves.
    """
    counts = {"num_trees": (num_trees, 1), "num_leaves": (num_leaves, 2), "max_ids": (max_ids, 1)}
    counts |= {"min_rows": (min_rows, 1), "chunk_rows": (chunk_rows, 1), "seed": (seed, 0)}
    for argument, (value, least) in counts.items():
        check_count(_OWNER, argument, value, least)
    for argument, number in {"share": share, "learning_rate": learning_rate}.items():
        if not 0 < number <= 1:
            raise ValueError(f"{_OWNER}: `{argument}` must be in (0, 1]. Received: {argument}={number!r}.")
    task = table.schema.task_names[0] if task is None else task
    if task not in table.schema.task_names:
        raise ValueError(f"{_OWNER}: `task` must be one of {table.schema.task_names}. Received: task={task!r}.")
    if table.transforms.leaves:
        raise ValueError(f"{_OWNER}: {table.folder} has leaves already. Pass the table that it was made from.")
    reads = _read_by_trees(table.transforms, features, max_ids)
    rows = round(share * table.rows("train"))
    settings = {
        "num_leaves": num_leaves,
        "learning_rate": learning_rate,
        "min_data_in_leaf": min_rows,
        "seed": seed,
    }
    asked = {"task": task, "features": reads, "rows": rows, "num_trees": num_trees, **settings, "name": name}
    fingerprint = {**table.report["fingerprint"], "boosted_leaves": asked}

    def write(folder: Path, address: str | None) -> None:
        columns = {feature: table.column("train", feature)[:rows] for feature in reads}
        labels = np.asarray(table.column("train", task)[:rows])
        categorical = [feature for feature in reads if isinstance(table.schema[feature], Categorical)]
        held_out = round(_HELD_OUT * rows)
        nodes = train_trees(
            columns, labels, held_out, categorical, num_trees, settings, chunk_rows, worker_count(workers)
        )
        names = tuple(f"{name}_{tree}" for tree in range(nodes["tree"].n_unique()))
        if taken := [n for n in names if n in (*table.schema.feature_names, *table.schema.task_names, *table.extras)]:
            raise ValueError(f"{_OWNER}: the table has the columns {taken}. Pass another `name`.")
        leaves = BoostedLeaves(names, tuple(reads), nodes)
        transforms = table.transforms.with_leaves(leaves, _side(table.transforms, reads))
        (folder / COLUMNS_FOLDER).mkdir()
        for split in SPLITS:
            _write_split(table, split, leaves, folder / COLUMNS_FOLDER, chunk_rows)
        transforms.save(folder / TRANSFORMS_FOLDER)
        report = {key: value for key, value in table.report.items() if key != "parts"} | {
            "fingerprint": fingerprint,
            "vocabulary_sizes": transforms.vocabulary_sizes,
            "boosted_leaves": {**asked, "held_out": held_out, "trees": len(names)},
        }
        (folder / REPORT_FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    return whole_table(destination, fingerprint, table.report["bad_rows"], write)


def _read_by_trees(transforms: TableTransforms, asked: Sequence[str] | None, max_ids: int) -> list[str]:
    """Names of the features that the trees read."""
    readable = [
        feature.name
        for feature in transforms.schema.features
        if isinstance(feature, Numeric | Categorical) and not transforms.columns[feature.name].grows
    ]
    if asked is not None:
        if (wrong := [name for name in asked if name not in readable]) or not asked or isinstance(asked, str):
            raise ValueError(
                f"{_OWNER}: `features` must name numeric features, or categorical ones whose ids do not grow. "
                f"Received: {wrong or asked!r}. Such features are: {readable}."
            )
        return list(dict.fromkeys(asked))
    few = {name for name, size in transforms.vocabulary_sizes.items() if size <= max_ids}
    found = [name for name in readable if name in few or isinstance(transforms.schema[name], Numeric)]
    if not found:
        raise ValueError(
            f"{_OWNER}: the table has no numeric feature, and no categorical one of at most {max_ids} ids. Categorical "
            f"features: {readable}. Pass a larger `max_ids`, or a table with such features."
        )
    return found


def _side(transforms: TableTransforms, reads: Sequence[str]) -> str:
    sides = {transforms.schema[name].side for name in reads}
    if len(sides) == 1:
        return sides.pop()
    return "ad" if "ad" in sides else "context"


def _write_split(table: PreparedTable, split: str, leaves: BoostedLeaves, folder: Path, chunk_rows: int) -> None:
    """Write a split with the leaves after the other features."""
    features, others = table.schema.feature_names, [*table.schema.task_names, *table.extras]

    def chunk(start: int) -> dict[str, Any]:
        stop = min(start + chunk_rows, table.rows(split))
        found = {name: np.asarray(table.column(split, name)[start:stop]) for name in (*features, *others)}
        made = {name: values.array for name, values in leaves.encode(found).items()}
        return {name: found[name] for name in features} | made | {name: found[name] for name in others}

    with SplitWriter(split_path(folder, split), table.rows(split), chunk(0)) as writer:
        for start in range(0, table.rows(split), chunk_rows):
            writer.append(chunk(start))
