"""Contenders take turns, round after round."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .contender import Contender
from .make_environment import make_environment
from .measurement import Measurement
from .worker_process import WorkerProcess


def run_rounds(
    contenders: Sequence[Contender],
    rounds: int = 5,
    steps: int = 10,
    warmup: int = 5,
    memory_bytes: int | None = None,
    folder: str | Path = ".benchmarks",
    say: Callable[[str], None] | None = None,
) -> dict[str, Measurement]:
    """Measure contenders in interleaved rounds whose order rotates.

    Each contender lives in a process of its own. Those that fit into memory together stay alive over all rounds,
    stopped while others run; the others are built, warmed up and ended in each round.

    Args:
        contenders: what to measure, with distinct names.
        rounds: how often each has its turn. Defaults to `5`.
        steps: timed steps of a turn. Defaults to `10`.
        warmup: steps before the first timed one, after each start; a contender that stayed alive takes one at the
            start of each further turn, to fill the caches again. Defaults to `5`.
        memory_bytes: how much memory contenders may hold together. Defaults to 80 % of what is available.
        folder: where environments and logs live. Defaults to `".benchmarks"`.
        say: takes lines about the progress. Defaults to printing them to stderr.

    Returns:
        The measurements by name, in the order of `contenders`. One that failed has its `error` set and no rounds.

    Raises:
        ValueError: if two contenders have the same name.
    """
    names = [contender.name for contender in contenders]
    if len(set(names)) != len(names):
        raise ValueError(f"Contenders must have distinct names. Received: {names}.")
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    budget = memory_bytes if memory_bytes is not None else int(0.8 * _available_bytes())
    resident = _residents(contenders, budget)
    say(f"staying alive: {sorted(resident) or 'none'}; budget {budget / 1e9:.1f} GB")
    turns = {contender.name: _Turns(contender, Path(folder), steps, warmup) for contender in contenders}
    try:
        for number in range(rounds):
            shift = number % len(contenders) if contenders else 0
            for contender in [*contenders[shift:], *contenders[:shift]]:
                turn = turns[contender.name]
                turn.take(stay=contender.name in resident)
                found = turn.measurement
                if found.ok:
                    say(f"round {number + 1}/{rounds} {contender.name}: {1e3 * found.round_seconds[-1]:.1f} ms")
                elif number == 0:
                    say(f"round {number + 1}/{rounds} {contender.name}: {found.error}")
    finally:
        for turn in turns.values():
            turn.end()
    return {name: turn.measurement for name, turn in turns.items()}


class _Turns:
    def __init__(self, contender: Contender, folder: Path, steps: int, warmup: int) -> None:
        self.measurement = Measurement(contender.name)
        self._contender, self._folder, self._steps, self._warmup = contender, folder, steps, warmup
        self._process: WorkerProcess | None = None

    def take(self, stay: bool) -> None:
        """Run one turn; a failure is final and takes the earlier rounds with it."""
        found = self.measurement
        if found.error is not None:
            return
        try:
            warmup = 1
            if self._process is None:
                self._start()
                warmup = self._warmup
            assert self._process is not None
            if warmup:
                self._process.run(warmup)
            answer = self._process.run(self._steps)
            found.rounds.append(answer["seconds"])
            found.step_peak_bytes = max(found.step_peak_bytes, answer["peak_bytes"])
        except (RuntimeError, OSError) as error:
            found.error, found.rounds = str(error), []
            self.end()
        if not stay:
            self.end()

    def end(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _start(self) -> None:
        contender, found = self._contender, self.measurement
        python = None
        if contender.environment is not None:
            python = make_environment(contender.environment, contender.requirements, self._folder)
        log = self._folder / "logs" / f"{''.join(c if c.isalnum() else '_' for c in contender.name)}.log"
        self._process = WorkerProcess(contender, python, log)
        answer = self._process.prepare()
        found.facts, found.versions = answer["facts"], answer["versions"]
        found.setup_seconds = answer["setup_seconds"]
        found.setup_peak_bytes = max(found.setup_peak_bytes, answer["setup_peak_bytes"])


def _residents(contenders: Sequence[Contender], budget: int) -> set[str]:
    """Names of those that can stay alive, the smallest first, while the largest other one still fits beside them."""
    ordered = sorted(contenders, key=lambda contender: contender.memory_bytes)
    for count in range(len(ordered), -1, -1):
        transient = ordered[-1].memory_bytes if count < len(ordered) else 0
        if sum(contender.memory_bytes for contender in ordered[:count]) + transient <= budget:
            return {contender.name for contender in ordered[:count]}
    return set()


def _available_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 8 * 2**30
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
