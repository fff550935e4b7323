"""Command line of the regression gate: `python -m grouprank.reports.gate REPORT.json --max-loss 0.2`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..schema.read_yaml import read_yaml
from .regression_gate import BROKEN, PASSED, GateResult, GateRule, check_gate
from .statistics.prediction_sums import ALL_ROWS
from .terminal import Terminal

BROKEN_RULE, NOT_JUDGED = 1, 2

STYLES = {PASSED: "green", BROKEN: "bold red"}

Report = Annotated[
    Path, typer.Argument(metavar="REPORT.json", help="A gain table, a segment report or a drift report, as JSON.")
]
Segments = Annotated[
    list[str] | None, typer.Option("--segment", help='"SEGMENTATION/SEGMENT" or "all rows", the default; repeatable.')
]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="Repeatable. Default: all.", show_default=False)]
MaxLoss = Annotated[
    float | None, typer.Option("--max-loss", metavar="PERCENT", help="Broken if the NE gain is below -PERCENT %.")
]
Calibration = Annotated[
    str | None, typer.Option("--calibration", metavar="LOW:HIGH", help="Broken if Σp / Σy is outside.")
]
MaxPsi = Annotated[
    float | None, typer.Option("--max-psi", help="Broken if a part of the log has drifted further, and beyond chance.")
]
Columns = Annotated[list[str] | None, typer.Option("--column", help="What --max-psi is for; repeatable. Default: all.")]
Rules = Annotated[Path | None, typer.Option("--rules", metavar="FILE.yaml", help="Several rules, each with a name.")]
Candidate = Annotated[str | None, typer.Option("--candidate", help="Candidate to judge, if the report has several.")]
Strict = Annotated[bool, typer.Option("--strict", help="Insufficient data counts as broken.")]


def main(
    report: Report,
    segment: Segments = None,
    task: Tasks = None,
    max_loss: MaxLoss = None,
    calibration: Calibration = None,
    max_psi: MaxPsi = None,
    column: Columns = None,
    rules: Rules = None,
    candidate: Candidate = None,
    strict: Strict = False,
) -> None:
    """Stop a candidate that is clearly worse than its baseline or out of calibration, or a log that has drifted.

    A rule is broken where the whole 95 % interval is beyond the limit, or where PSI is above its limit and beyond
    chance. Exit code 0: no rule is broken. 1: one is. 2: the report cannot be judged.
    """
    try:
        given = [] if rules is None else rules_of(rules)
        limits = any(limit is not None for limit in (max_loss, calibration, max_psi))
        if rules is None or limits or segment or task or column:
            band = None if calibration is None else _band(calibration)
            places = segment or (ALL_ROWS,)
            given.append(GateRule(places, task or None, max_loss, band, max_psi=max_psi, columns=column or None))
        result = check_gate(_read_json(report), given, candidate, strict)
    except (ValueError, OSError) as error:
        Terminal(stderr=True).tagged("Error: ", "bold red", error)
        raise typer.Exit(NOT_JUDGED) from error
    show(result)
    raise typer.Exit(0 if result.passed else BROKEN_RULE)


def show(result: GateResult) -> None:
    """Print one line per check with its result."""
    terminal = Terminal()
    for check in result.checks:
        word = {PASSED: "passed", BROKEN: "BROKEN"}.get(check.status, "BROKEN" if result.strict else "warning")
        style = STYLES.get(check.status, "bold red" if result.strict else "yellow")
        terminal.tagged(f"{word:8}", style, " ".join(str(check).split()))
    terminal.print(f"{len(result.failures)} of {len(result.checks)} checks broken.")


def rules_of(path: Path) -> list[GateRule]:
    """Rules of a YAML file.

    Example:

    ```yaml
    rules:
      - name: search keeps its level
        segments: [tab/tab=search]
        tasks: [click]
        calibration: [0.9, 1.1]
      - name: nobody loses much
        max_loss: 0.2
      - name: the log is as it was
        max_psi: 0.1
        columns: [bid, user:1]
    ```
    """
    try:
        read = read_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    entries = read.get("rules") if isinstance(read, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path} must hold a list under the key `rules`, each with a name and limits.")
    known = {"name", "segments", "tasks", "max_loss", "calibration", "max_psi", "columns"}
    rules = []
    for number, entry in enumerate(entries):
        if unknown := sorted(set(map(str, entry)) - known):
            raise ValueError(f"{path}, rule {number + 1}: unknown keys {unknown}. Known: {sorted(known)}.")
        chosen: dict[str, Any] = {"name": f"rule {number + 1}"} | entry
        if isinstance(chosen.get("calibration"), str):
            chosen["calibration"] = _band(chosen["calibration"])
        rules.append(GateRule(**chosen))
    return rules


def _band(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(":"))
    except ValueError as error:
        raise ValueError(f"`calibration` must be LOW:HIGH, e.g. 0.9:1.1. Received: {text!r}.") from error
    return low, high


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"{path} must hold a JSON object, as `to_dict` of a report gives. It holds a list or a value.")
    return read


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
