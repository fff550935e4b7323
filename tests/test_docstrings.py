"""Every example in a docstring runs, and everything public has one."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import keras
import pytest

import grouprank as gr

ROOMS = (
    *("schema", "layers", "losses", "metrics", "models", "datasets"),
    *("serving", "reports", "files", "incremental", "recipes"),
)
BACKENDS = ("tensorflow", "jax", "torch")


def modules():
    """Names of all modules; those of one backend's row tables run on it, the others on any."""
    for room in ROOMS:
        folder = Path(gr.__file__).parent / room
        yield pytest.param(f"grouprank.{room}", marks=pytest.mark.any_backend)
        for info in pkgutil.walk_packages([str(folder)], f"grouprank.{room}."):
            backend = info.name.rpartition(".")[2].partition("_")[0]
            if backend not in BACKENDS:
                yield pytest.param(info.name, marks=pytest.mark.any_backend)
            elif backend == keras.backend.backend():
                yield info.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples_run(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for found in finder.find(module, name):
        if found.examples:
            runner.run(found)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.any_backend
@pytest.mark.parametrize("room", [room for room in ROOMS if room not in ("files", "recipes")])
def test_public_names_have_examples(room):
    module = getattr(gr, room)
    lacking = []
    for name in module.__all__:
        thing = getattr(module, name)
        # Unions, tuples of names and submodules document themselves where they are defined.
        documented = inspect.isclass(thing) or inspect.isfunction(thing)
        if documented and "Example:" not in (inspect.getdoc(thing) or ""):
            lacking.append(name)
    assert not lacking
