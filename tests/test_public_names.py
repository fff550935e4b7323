"""What users reach: every public class has a place in the package, and its arguments have types."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import keras
import pytest

import grouprank as gr

# Public classes that a room does not export, and why.
NOT_EXPORTED = {
    "EmbeddingInteraction": "the base of DHEN's interactions; a user's own interaction is any layer",
    "QuantizedTable": "what an export makes of a table, which cannot be trained",
    "RunningVariance": "a part of the groups' losses, which scales an error and has no use beside one",
    "BinaryMetric": "the base of metrics that are kept in compensated sums, an implementation",
    "CodebookCounts": "the base of the metrics of codebooks, an implementation",
    "TokenSequence": "the base of OneTrans and HSTUBackbone, whose blocks know how its tokens are read",
    "Tower": "a part of TwoTowerModel, made by its arguments",
}


def classes_of(room):
    """Every public class that is defined in a room, by name."""
    package = importlib.import_module(room)
    found = {}
    for info in pkgutil.walk_packages([str(Path(package.__file__).parent)], f"{room}."):
        # Rows of fused tables are kept by a module for each backend, which imports that backend.
        if ".row_tables." not in info.name:
            members = vars(importlib.import_module(info.name)).items()
            found |= {n: c for n, c in members if inspect.isclass(c) and c.__module__ == info.name and n[0] != "_"}
    return found


@pytest.mark.parametrize(
    ("room", "base", "exporting"),
    [
        ("grouprank.layers", keras.layers.Layer, gr.layers),
        ("grouprank.layers", gr.layers.embedding_optimizers.RowOptimizer, gr.layers.embedding_optimizers),
        ("grouprank.losses", keras.losses.Loss, gr.losses),
        ("grouprank.metrics", keras.metrics.Metric, gr.metrics),
        ("grouprank.models", gr.models.Backbone, gr.models.backbones),
        # Metrics belong to their room, wherever a model needs them.
        ("grouprank.models", keras.metrics.Metric, gr.metrics),
    ],
)
def test_every_public_class_is_exported(room, base, exporting):
    classes = {name: found for name, found in classes_of(room).items() if issubclass(found, base)}
    assert [name for name in classes if name not in exporting.__all__ and name not in NOT_EXPORTED] == []
    assert all(getattr(exporting, name) is found for name, found in classes.items() if name in exporting.__all__)


def test_what_is_not_exported_exists():
    known = {name for room in ("layers", "losses", "metrics", "models") for name in classes_of(f"grouprank.{room}")}
    assert set(NOT_EXPORTED) <= known
    assert not set(NOT_EXPORTED) & {*gr.layers.__all__, *gr.losses.__all__, *gr.metrics.__all__, *gr.models.__all__}


ROOMS = (
    *(gr.schema, gr.layers, gr.layers.embedding_optimizers, gr.losses, gr.metrics, gr.models, gr.models.backbones),
    *(gr.datasets, gr.incremental, gr.reports, gr.serving),
)


def constructor_arguments():
    """The annotation of each constructor argument of every class that a room exports, by `Class.argument`."""
    for room in ROOMS:
        for name in room.__all__:
            if inspect.isclass(getattr(room, name)):
                for argument, parameter in inspect.signature(getattr(room, name).__init__).parameters.items():
                    if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                        yield f"{name}.{argument}", inspect.formatannotation(parameter.annotation)


def test_constructor_arguments_have_types():
    # A config's values, a row's columns and what a function of tensors takes are of any kind.
    contained = re.compile(r"(dict|Mapping)\[str, Any\]|Callable\[\[Any\], Any\]|dtype\[Any\]")
    arguments = {name: annotation.replace("typing.", "") for name, annotation in constructor_arguments()}
    assert len(arguments) > 200
    assert [name for name, annotation in arguments.items() if "Any" in contained.sub("", annotation)] == []


# Options that are new or rare; by position a reader could not tell what they are.
BY_NAME = {"normalization", "kernel_regularizer", "seed", "storage_dtype", "tables", "ordered_weight", "loss_scale"}


@pytest.mark.parametrize("room", [gr.layers, gr.models, gr.models.backbones], ids=lambda room: room.__name__)
def test_options_of_one_name_stand_in_one_order(room):
    layers = [c for c in vars(room).values() if inspect.isclass(c) and issubclass(c, keras.layers.Layer)]
    assert len(layers) > 4
    for layer in layers:
        parameters = inspect.signature(layer.__init__).parameters.values()
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert not BY_NAME & set(positional), layer.__name__
        shared = [name for name in positional if name in ("task_names", "units", "activation", "dropout")]
        assert shared == [n for n in ("task_names", "units", "activation", "dropout") if n in shared], layer.__name__
