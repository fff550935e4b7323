"""The runner of peers' implementations, without making an environment."""

import doctest
import json

import pytest
import typer
from support.fixed_weights import wave
from support.peer_cases import FOLDER, peer_cases

from grouprank.benchmarks import peer_outputs
from grouprank.benchmarks.dcn.contenders import peers
from grouprank.benchmarks.dcn.workload import Workload
from grouprank.benchmarks.peers import formula

MODULES = peer_outputs.select()


def test_examples_run():
    for module in (peer_outputs, formula):
        assert doctest.testmod(module).failed == 0


def test_every_module_has_its_outputs_and_its_test():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(MODULES)
    assert {path.stem.removeprefix("test_") for path in FOLDER.glob("test_*.py")} - {"peer_outputs"} == set(MODULES)


def test_an_environment_has_one_list_of_requirements():
    known = {one.environment: one.requirements for one in peers(Workload(rows=1000))}
    for contender in MODULES.values():
        assert known.setdefault(contender.environment, contender.requirements) == contender.requirements


def test_the_formula_is_that_of_the_tests():
    recipe = {"shape": [3, 2], "start": 2.0, "scale": 0.5}
    assert (formula.array(recipe) == 0.5 * wave(3, 2, start=2.0)).all()


@pytest.mark.parametrize("module", MODULES)
def test_the_outputs_say_something(module):
    for name, case in peer_cases(module).items():
        parts = case.output.values() if isinstance(case.output, dict) else [case.output]
        assert all(len(part) > 1 and part.std(axis=0).max() > 1e-3 for part in parts), name


def test_layout_is_json():
    value = {"versions": {"torch": "2"}, "cases": {"a": {"output": [[1.0]], "settings": {}}}}
    assert json.loads(peer_outputs.layout(value)) == value


def test_an_unknown_module():
    with pytest.raises(typer.BadParameter, match=r"`only` names \['nobody'\]\. Modules of benchmarks/peers: "):
        peer_outputs.select("nobody")
