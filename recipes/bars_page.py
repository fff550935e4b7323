"""The page that holds our figures against those of BARS."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..reports.markdown import markdown_table


def bars_page(
    dataset: str,
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: Mapping[str, Mapping[str, Any]],
    others: Sequence[str],
    config: Mapping[str, Any],
) -> str:
    """The page in Markdown.

    Args:
        dataset: name of the table.
        found: results of the runs by backbone.
        settings: the published setting by backbone.
        others: names of files that are not BARS' own.
        config: what the run folder holds: protocol and backend.
    """
    rows = []
    for name, runs in found.items():
        published = settings[name]["published"]
        auc, logloss = ([run[figure] for run in runs] for figure in ("auc", "logloss"))
        rows.append(
            [
                name,
                f"{published['auc']:.4f}",
                _mean(auc),
                f"{statistics.fmean(auc) - published['auc']:+.4f}",
                f"{published['logloss']:.4f}",
                _mean(logloss),
                str(round(statistics.fmean([run["best_epoch"] for run in runs]), 1)),
                "; ".join(settings[name].get("differs", ())) or "–",
            ]
        )
    header = [
        "backbone",
        "AUC of BARS",
        "AUC",
        "difference",
        "log loss of BARS",
        "log loss",
        "best epoch",
        "not as there",
    ]
    seeds = max(len(runs) for runs in found.values())
    warning = f"\n**{other_files_warning(others)}**\n" if others else ""
    return f"""# {dataset} of BARS

Test rows of [BARS](https://arxiv.org/abs/2205.09626)' table, each backbone with BARS' best settings for it, trained as
FuxiCTR trains ({config["backend"]}, {seeds} seed{"s" if seeds > 1 else ""}, at most {config["max_epochs"]} epochs).
{warning}
{markdown_table(header, rows)}

`python -m grouprank.recipes.bars --dataset {dataset} --data DIR` makes this page.
"""


def other_files_warning(others: Sequence[str]) -> str:
    """What to say of files that are not BARS' own."""
    return (
        f"The MD5 of {', '.join(others)} is not the one that BARS publishes, so the rows are others and the published "
        "figures do not hold for them."
    )


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"
