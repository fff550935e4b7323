"""Virtual environments for the libraries that a benchmark compares with."""

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = "requirements.txt"
NO_DEPS = "--no-deps"


def make_environment(name: str, requirements: Sequence[str], folder: str | Path = ".benchmarks") -> Path:
    """Make a virtual environment, or reuse the one made before from the same requirements.

    Args:
        name: folder of the environment under `folder`.
        requirements: what pip installs, e.g. `("torch==2.13.0", "--no-deps torchrec==1.8.0")`. Those that start
            with `--no-deps` come last and without their own dependencies.
        folder: where environments live. Defaults to `".benchmarks"` in the current folder.

    Returns:
        Path of its Python interpreter.

    Raises:
        RuntimeError: if pip fails; the message ends with what it printed. A failed environment is tried again on
            the next call.
    """
    place = Path(folder).absolute() / name
    python = place / "bin" / "python"
    wanted = "\n".join([f"# Python {sys.version.split()[0]}", *requirements]) + "\n"
    done = place / REQUIREMENTS
    if done.exists() and done.read_text() == wanted and python.exists():
        return python
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(place)
    alone = [wish.removeprefix(NO_DEPS).strip() for wish in requirements if wish.startswith(NO_DEPS)]
    _install(name, python, [wish for wish in requirements if not wish.startswith(NO_DEPS)])
    if alone:
        _install(name, python, [NO_DEPS, *alone])
    # Written last: an environment without it is incomplete and is made anew.
    done.write_text(wanted)
    return python


def _install(name: str, python: Path, arguments: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *arguments]
    found = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if found.returncode != 0:
        raise RuntimeError(
            f"Environment {name!r} could not be made: `pip install {' '.join(arguments)}` ended with "
            f"{found.returncode}.\n{found.stdout[-2000:]}"
        )
