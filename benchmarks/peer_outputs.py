"""What other libraries' implementations compute, for our tests to compare with.

`python -m grouprank.benchmarks.peer_outputs`
"""

import ast
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ..recipes.command import run_command
from .support import Contender, WorkerProcess, make_environment

PEERS = Path(__file__).with_name("peers")


def main(
    only: Annotated[str, typer.Option(help="Modules of benchmarks/peers, comma separated; empty for all.")] = "",
    folder: Annotated[Path, typer.Option(help="Where environments and logs live.")] = Path(".benchmarks"),
    output: Annotated[Path, typer.Option(help="Where the files go.")] = Path("tests/peers"),
) -> None:
    """Run every module of `benchmarks/peers` in its library's environment and write what it computes."""
    for name, contender in select(only).items():
        python = make_environment(str(contender.environment), contender.requirements, folder)
        worker = WorkerProcess(contender, python, folder / "logs" / f"{name}.log")
        try:
            answer = worker.prepare()
        finally:
            worker.stop()
        output.mkdir(parents=True, exist_ok=True)
        page = output / f"{name}.json"
        found = {"versions": answer["versions"], "cases": answer["facts"]["cases"]}
        page.write_text(layout(found) + "\n", encoding="utf-8")
        typer.echo(f"{page}: {', '.join(found['cases'])}")


def select(only: str = "") -> dict[str, Contender]:
    """What to run for each module of `benchmarks/peers`, or for those that `only` names.

    Raises:
        typer.BadParameter: if `only` names a module that is not there.
    """
    found = {path.stem: _contender(path) for path in sorted(PEERS.glob("*.py")) if _declared(path)}
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(found)
    unknown = sorted(set(wanted) - set(found))
    if unknown:
        raise typer.BadParameter(f"`only` names {unknown}. Modules of benchmarks/peers: {list(found)}.")
    return {name: found[name] for name in wanted}


def layout(value: Any, indent: str = "") -> str:
    """JSON with one line for each thing that holds no dict.

    Example:

    >>> print(layout({"a": {"b": [1, 2]}}))
    {
      "a": {"b": [1, 2]}
    }
    """
    if not isinstance(value, dict) or not any(isinstance(part, dict) for part in value.values()):
        return json.dumps(value)
    deeper = indent + "  "
    lines = (f"{deeper}{json.dumps(name)}: {layout(part, deeper)}" for name, part in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _contender(path: Path) -> Contender:
    declared = _declared(path)
    names = [re.split("[=<>~!]", wish.removeprefix("--no-deps").strip())[0] for wish in declared["REQUIREMENTS"]]
    return Contender(
        path.stem,
        "grouprank.benchmarks.peers.run_outputs:prepare",
        {"module": path.stem},
        environment=declared["ENVIRONMENT"],
        requirements=tuple(declared["REQUIREMENTS"]),
        packages=tuple(sorted({*names, "numpy"})),
    )


def _declared(path: Path) -> dict[str, Any]:
    """The constants of a module, read without importing it: its library is not installed here."""
    return {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("ENVIRONMENT", "REQUIREMENTS")
    }


if __name__ == "__main__":
    run_command(main)
