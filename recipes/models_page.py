"""The page that compares the presets."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..models import presets
from ..models.preset_registry import get_preset
from ..reports import ReportPage

_NOT_TUNED = """They were not tuned one by one, so a difference of a few thousandths between neighbours does not show
that a model is better. A difference must at least exceed the spread between seeds."""

INTRODUCTION = """# Models

Every preset of `CTRModel` and `CVRModel`, on KuaiRand-Pure (222,444 impressions; training to 4 May 2022, validation
5 – 6 May, test 7 – 8 May). `gr.models.CTRModel.from_preset("dcn_v2", schema)` makes the untrained model of a row,
`CVRModel` that of the second table.

NE is normalized entropy (lower is better), AUC exact; mean ± standard deviation over {seeds} seeds. All presets were
trained with the same settings; the mean NE of the validation days chose the L2 factor of the embeddings, or the L1 term
of the FTRL that trains them (once per preset, under seed 0) and the number of epochs (in each run):

{settings}.

{not_tuned} An additive model of user, video and tab rates gets
to a test AUC of 0.724 on is_click, 0.720 on long_view, 0.818 on is_like and 0.723 on is_profile_enter.

Of the models that the paper cites, P5 (Geng et al. 2022) is not here: it is a language model of text prompts, and reads
no table.

`python -m grouprank.recipes.kuairand_models --data DIR` reproduces the page.
"""


def models_page(
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: Mapping[str, Any],
    steps: Mapping[str, Any] | None,
    flops: Mapping[str, Mapping[str, float]],
) -> str:
    """The page as Markdown.

    Args:
        found: results of the runs of each preset, as `kuairand_models` keeps them.
        settings: what all presets were trained with, and on which backend.
        steps: `model_steps.json` of the benchmarks, or `None`.
        flops: operations of a row and of a ranked ad by preset, as `model_flops.json` of the benchmarks has them.
    """
    seeds = max(len(runs) for runs in found.values())
    text = INTRODUCTION.format(
        seeds=seeds,
        not_tuned=_NOT_TUNED,
        settings=", ".join(f"{name} {_text(value)}" for name, value in settings.items()),
    )
    for title, mine in _by_kind(found).items():
        text += f"\n## {title}\n\n{_table(*_scores(mine))}"
    text += f"\n## What they are\n\n{_table(*_descriptions(found, steps, flops))}"
    if flops:
        text += "\nOperations: see [Operations of the presets](benchmarks/model_flops.md).\n"
    if steps is not None:
        text += (
            "\nms per step: see [Steps of the presets](benchmarks/model_steps.md) for the workload and the spread. The "
            "rows of Table 1 were not timed: their baseline is `dhen`.\n"
        )
    return text


def models_report(
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: Mapping[str, Any],
    steps: Mapping[str, Any] | None,
    flops: Mapping[str, Mapping[str, float]],
) -> ReportPage:
    """The same figures as a page of HTML.

    Args:
        found: results of the runs of each preset, as `kuairand_models` keeps them.
        settings: what all presets were trained with, and on which backend.
        steps: `model_steps.json` of the benchmarks, or `None`.
        flops: operations of a row and of a ranked ad by preset, as `model_flops.json` of the benchmarks has them.
    """
    page = ReportPage("Models on KuaiRand-Pure", f"{_lead(found)}\n\n{_NOT_TUNED}", configuration=settings)
    for title, mine in _by_kind(found).items():
        page.add_table(title, *_scores(mine), text_columns=(0, 2))
    page.add_table("What they are", *_descriptions(found, steps, flops), text_columns=(0, 1, 2, 4, 5))
    return page


def _lead(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What was compared and the result: the presets that predict one task best, and the spread between seeds."""
    seeds = max(len(runs) for runs in found.values())
    under = f"{seeds} seeds each" if seeds > 1 else "one seed, which makes no claim"
    task = next(iter(next(iter(found.values()))[0]["test"]))
    entropies = {
        name: [run["test"][task]["normalized_entropy"] for run in runs]
        for name, runs in found.items()
        if task in runs[0]["test"]
    }
    means = {
        name: statistics.mean(known)
        for name, values in entropies.items()
        if (known := [value for value in values if value is not None])
    }
    trained = f"{len(found)} {'preset was' if len(found) == 1 else 'presets were'} trained under {under}"
    if not means:
        return f"{trained}; {task} has no NE, since all its test labels are alike."
    best = min(means, key=means.__getitem__)
    return f"{trained}: on {task}, {best} has the lowest mean NE of the test days, {_spread(entropies[best])}."


def _by_kind(
    found: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, dict[str, Sequence[Mapping[str, Any]]]]:
    """The runs of the presets of each kind of model, by its title."""
    kinds = {"Click models": "CTRModel", "Conversion models": "CVRModel"}
    parts = {
        title: {name: runs for name, runs in found.items() if get_preset(name).model == kind}
        for title, kind in kinds.items()
    }
    return {title: mine for title, mine in parts.items() if mine}


def _text(value: Any) -> str:
    return " or ".join(f"{one:g}" for one in value) if isinstance(value, list) else str(value)


def _scores(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[str], list[list[str]]]:
    predictions = list(next(iter(found.values()))[0]["test"])
    header = [
        "preset",
        "embedding L2 or L1",
        "epochs",
        *(f"{name} {figure}" for name in predictions for figure in ("NE", "AUC")),
    ]
    rows = []
    for name, runs in found.items():
        epochs = "/".join(str(run["epochs"]) for run in runs)
        cells = [
            _spread([run["test"][prediction][figure] for run in runs])
            for prediction in predictions
            for figure in ("normalized_entropy", "auc")
        ]
        penalty = f"L1 {runs[0]['embedding_l1']:g}" if "embedding_l1" in runs[0] else f"{runs[0]['embedding_l2']:g}"
        rows.append([name, penalty, epochs, *cells])
    return header, rows


def _descriptions(
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    steps: Mapping[str, Any] | None,
    flops: Mapping[str, Mapping[str, float]],
) -> tuple[list[str], list[list[str]]]:
    header = [
        "preset",
        "what it is",
        "good for",
        "parameters beside embeddings",
        "million operations, a row / a ranked ad",
        "ms per step, TF / JAX / torch",
    ]
    rows = []
    for name, runs in found.items():
        preset = get_preset(name)
        zeros = statistics.mean([run.get("zero_embeddings", 0) for run in runs])
        sparse = f"; {zeros:.0%} of the embeddings are 0" if zeros else ""
        parameters = f"{runs[0]['parameters']:,}{sparse}"
        counted = flops.get(name)
        operations = f"{counted['row'] / 1e6:.2f} / {counted['ranked ad'] / 1e6:.2f}" if counted else "– / –"
        rows.append([name, presets()[name], preset.use, parameters, operations, _step_times(name, steps)])
    return header, rows


def _step_times(name: str, steps: Mapping[str, Any] | None) -> str:
    measured = steps["measurements"] if steps is not None else {}
    times = []
    for title in ("TensorFlow", "JAX", "torch"):
        one = measured.get(f"{name}, {title}")
        rounds = one["rounds"] if one is not None else []
        seconds = [step for part in rounds for step in part]
        times.append(f"{1e3 * statistics.median(seconds):.0f}" if seconds else "–")
    return " / ".join(times)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    deviation = f" ± {statistics.stdev(known):.4f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.4f}{deviation}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([f"`{name}`", *others] for name, *others in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
