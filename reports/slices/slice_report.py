"""What the search for the worst slices found."""

import dataclasses
from typing import Any

from ..escape_markdown import escape_markdown
from ..markdown import markdown_table
from ..names import listed, named, quoted
from ..statistics import Estimate
from .slice_figures import SliceFigures

# Rate of false discoveries among the slices that are confirmed.
FALSE_DISCOVERIES = 0.05

# What a slice is judged by.
WORSE = "worse by, %, other half (95 % interval)"

COLUMNS = (
    "slice",
    "rows",
    "rate, %",
    "NE, baseline",
    "NE, candidate",
    "worse by, %, searched half",
    WORSE,
    "than the rest of a parent by, %",
    "q",
    "verdict",
)


@dataclasses.dataclass(frozen=True)
class Slice:
    """A slice, as the half that was searched sees it and as the other half does.

    Args:
        task: the task.
        objective: `"regression"` or `"excess"`.
        literals: `column=value` texts that hold together.
        searched: figures of the half that it was found in.
        confirmed: figures of the other half; `None` where it has too few users, positives or negatives there.
        q_value: by Benjamini and Hochberg over the slices that were carried over.
        also: other descriptions of almost the same rows.

    Example:

    ```python
    worst = gr.reports.discover_slices(frames, ["click"], ["baseline", "ours"], "user_id", ["tab", "hour"]).slices[0]
    print(worst.description, worst.verdict, worst.q_value)
    ```
    """

    task: str
    objective: str
    literals: tuple[str, ...]
    searched: SliceFigures
    confirmed: SliceFigures | None
    q_value: float | None = None
    also: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """Its literals as one text."""
        return " & ".join(self.literals)

    @property
    def verdict(self) -> str:
        """`"confirmed"` where the other half, with users and seeds, says the same."""
        if self.confirmed is None:
            return "insufficient data"
        if self.confirmed.effect.seed_error is None:
            return "one seed: no claim"
        return "confirmed" if self.q_value is not None and self.q_value <= FALSE_DISCOVERIES else "not confirmed"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return {
            "task": self.task,
            "objective": self.objective,
            "literals": list(self.literals),
            "searched": self.searched.to_dict(),
            "confirmed": None if self.confirmed is None else self.confirmed.to_dict(),
            "q_value": self.q_value,
            "verdict": self.verdict,
            "also": list(self.also),
        }


@dataclasses.dataclass(frozen=True)
class SliceReport:
    """The worst slices of a candidate. Made by `discover_slices`.

    Args:
        baseline: name of the baseline.
        candidate: name of the candidate.
        seeds: number of paired seeds.
        slices_searched: `{task: slices that were large enough}`.
        slices: one entry per slice, objective and task, the clearest first.

    Example:

    ```python
    report = gr.reports.discover_slices(frames, ["click"], ["baseline", "ours"], "user_id", ["tab", "hour", "bid"])
    print([s.description for s in report.of("click", "regression") if s.verdict == "confirmed"])
    ```
    """

    baseline: str
    candidate: str
    seeds: int
    slices_searched: dict[str, int]
    slices: tuple[Slice, ...]

    def of(self, task: str, objective: str) -> list[Slice]:
        """Slices of a task and an objective."""
        return [found for found in self.slices if (found.task, found.objective) == (task, objective)]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, `None` for what is undefined."""
        return {
            "baseline": self.baseline,
            "candidate": self.candidate,
            "seeds": self.seeds,
            "slices_searched": self.slices_searched,
            "slices": [found.to_dict() for found in self.slices],
        }

    def to_markdown(self) -> str:
        """A table per task and objective."""
        parts = []
        for task, objective in dict.fromkeys((found.task, found.objective) for found in self.slices):
            found = self.of(task, objective)
            table = markdown_table(COLUMNS, [slice_cells(slice_) for slice_ in found], text_columns=(0, 9))
            also = [
                escape_markdown(f"{s.description}: almost the same rows as {listed(quoted(s.also))}.")
                for s in found
                if s.also
            ]
            searched = f"{self.slices_searched[task]:,} slices searched."
            parts.append(
                "\n\n".join(
                    [
                        f"### {escape_markdown(task)}, {objective}",
                        searched,
                        table,
                        *(["\n".join(f"- {line}" for line in also)] if also else []),
                    ]
                )
            )
        if not parts:
            counts = [f"{count:,} slices of {named(task)}" for task, count in self.slices_searched.items()]
            return f"Nothing found in {escape_markdown(listed(counts))}.\n"
        return "\n\n".join(parts) + "\n"


def slice_cells(found: Slice) -> tuple[str, ...]:
    """A slice's cells as text, in the order of `COLUMNS`; rows and NE are those of the half not searched."""
    figures = found.confirmed or found.searched
    shown = (found.description, f"{figures.rows:,}", f"{100 * figures.rate:.2f}")
    entropies = tuple(f"{value:.4f}" for value in figures.entropies)
    here = f"{100 * found.searched.effect.value:+.2f}"
    if found.confirmed is None:
        return (*shown, *entropies, here, "–", "–", "–", found.verdict)
    others = (_interval(found.confirmed.effect), f"{100 * found.confirmed.beyond.value:+.2f}")
    q_value = "–" if found.q_value is None else f"{found.q_value:.3f}"
    return (*shown, *entropies, here, *others, q_value, found.verdict)


def _interval(estimate: Estimate) -> str:
    value, low, high = (100 * v for v in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
