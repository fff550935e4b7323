"""Every example in a docstring runs, and everything public has one."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import keras
import pytest

import grouprank as gr

ROOMS = ("schema", "layers", "losses", "metrics", "models", "datasets", "serving", "reports", "recipes")
# They import TensorFlow, which a JAX or torch process must not.
TENSORFLOW_ONLY = {
    "grouprank.serving.arranged_weights",
    "grouprank.serving.graph_transforms",
    "grouprank.serving.score_rows",
    "grouprank.serving.write_retrieval",
    "grouprank.serving.write_saved_model",
}


def module_names():
    for room in ROOMS:
        folder = Path(gr.__file__).parent / room
        yield f"grouprank.{room}"
        for info in pkgutil.walk_packages([str(folder)], f"grouprank.{room}."):
            backend = keras.backend.backend()
            of_another = (
                info.name.endswith(("_row_store", "_row_table"))
                and f".{backend}_" not in info.name
                and ".base_" not in info.name
            )
            if not of_another and (info.name not in TENSORFLOW_ONLY or backend == "tensorflow"):
                yield info.name


@pytest.mark.parametrize("name", list(module_names()))
def test_examples_run(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for found in finder.find(module, name):
        if found.examples:
            runner.run(found)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "recipes"])
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
