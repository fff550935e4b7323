"""The suite itself: every test runs on some backend, and what fails is named."""

import inspect
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.summary import summary

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def commands():
    """What `make test` would run, by backend."""
    if shutil.which("make") is None:
        pytest.skip("no make")
    outer = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--dry-run", "test", "BACKENDS=torch jax tensorflow"]
    done = subprocess.run(command, cwd=TESTS.parent, env=outer, capture_output=True, text=True, check=True)
    return dict(re.findall(r"^KERAS_BACKEND=(\w+) (.*pytest tests.*)$", done.stdout.replace("\\\n", " "), re.MULTILINE))


def test_the_first_backend_runs_all_tests_and_the_others_leave_out_what_needs_no_backend(commands):
    assert list(commands) == ["torch", "jax", "tensorflow"]
    assert [re.findall(r' -m (".*?")', command) for command in commands.values()] == [
        [],
        ['"not any_backend"'],
        ['"not any_backend"'],
    ]


def test_what_runs_on_one_backend_is_skipped_on_none(request):
    """A test that the first backend skips because it is not another one would run nowhere."""
    skips = re.compile(r"skipif\(\s*(keras\.backend\.backend\(\)|BACKEND)")
    asking = set()
    for item in request.session.items:
        for marker in item.iter_markers("any_backend"):
            if skips.search(inspect.getsource(item.module if marker.args == ("file",) else item.function)):
                asking.add(item.nodeid)
    assert not asking, "tests of one backend that skip all but another: see `any_backend` in tests/conftest.py"


def test_the_workflow_runs_every_backend_on_every_python():
    workflow = yaml.safe_load((TESTS.parent / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    suite = workflow["jobs"]["suite"]
    matrix = suite["strategy"]["matrix"]
    makefile = (TESTS.parent / "Makefile").read_text(encoding="utf-8")
    assert f"BACKENDS ?= {' '.join(matrix['backend'])}\n" in makefile
    assert suite["steps"][-1]["run"] == f"make test-${{{{ matrix.backend }}}} FIRST={matrix['backend'][0]}"
    (supported,) = re.findall(r'requires-python = "(.*)"', (TESTS.parent / "pyproject.toml").read_text("utf-8"))
    assert supported == f">={matrix['python'][0]},<3.{int(matrix['python'][-1].split('.')[1]) + 1}"


def test_failures_of_each_backend_are_named(tmp_path):
    def report(backend, *cases):
        (tmp_path / f"{backend}.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")

    def case(name, inner=""):
        return f'<testcase classname="layers.test_one" name="{name}">{inner}</testcase>'

    report("jax", case("passes"), case("is_skipped", "<skipped/>"))
    assert summary(tmp_path, ["jax"]) == (["jax: 1 passed, 1 skipped, 0 failed"], True)
    report("torch", case("fails", "<failure/>"), case("breaks", "<error/>"), case("passes"))
    lines, well = summary(tmp_path, ["torch", "jax", "tensorflow"])
    assert not well
    assert lines == [
        "torch: 1 passed, 0 skipped, 2 failed",
        "  FAILED on torch: layers.test_one::fails",
        "  FAILED on torch: layers.test_one::breaks",
        "jax: 1 passed, 1 skipped, 0 failed",
        "tensorflow: the suite ended without a report",
    ]
