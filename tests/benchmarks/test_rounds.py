import dataclasses
import doctest
import os
import select
import subprocess
import sys
import textwrap

import pytest

from grouprank.benchmarks.support import Contender, Measurement, WorkerProcess, run_rounds, time_ratio
from grouprank.benchmarks.support import time_ratio as time_ratio_function

CONTENDERS = """
    import os

    class Prepared:
        def __init__(self, run, facts):
            self.run, self.facts = run, facts

    def prepare(step_seconds=0.5, fail_at=None):
        print("a stray print of a library")
        os.write(1, b"and one that bypasses Python\\n")
        turns = []

        def run(steps):
            turns.append(steps)
            print("more strays")
            if len(turns) == fail_at:
                raise ValueError("broken on purpose")
            return [step_seconds * len(turns)] * steps

        return Prepared(run, {"backend": os.environ.get("KERAS_BACKEND")})

    def peer():
        import sys

        from grouprank.benchmarks.support import Prepared

        return Prepared(lambda steps: [1.0] * steps, {"keras": "keras" in sys.modules})

    def leave(**settings):
        os._exit(3)
"""


@pytest.fixture
def contender(tmp_path, monkeypatch):
    (tmp_path / "contenders_of_test.py").write_text(textwrap.dedent(CONTENDERS))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name, function="prepare", memory_bytes=1, variables=None, **settings):
        return Contender(
            name,
            f"contenders_of_test:{function}",
            settings,
            variables=variables or {},
            packages=("numpy", "no-such-package"),
            memory_bytes=memory_bytes,
        )

    return make


def test_rounds_are_interleaved_and_rotate(contender, tmp_path):
    lines = []
    found = run_rounds(
        [contender("a", step_seconds=1.0, variables={"KERAS_BACKEND": "jax"}), contender("b", step_seconds=2.0)],
        rounds=2,
        steps=3,
        warmup=1,
        memory_bytes=100,
        folder=tmp_path,
        say=lines.append,
    )
    assert [line.split()[2].rstrip(":") for line in lines[1:]] == ["a", "b", "b", "a"]
    # Both stayed alive: their second turn is the fourth call, after one step of warm-up.
    assert found["a"].rounds == [[2.0] * 3, [4.0] * 3]
    assert found["b"].round_seconds == [4.0, 8.0]
    assert found["a"].seconds == 3.0
    assert found["a"].facts["backend"] == "jax"
    assert set(found["a"].versions) == {"numpy"}
    assert found["a"].peak_bytes > 0


def test_what_does_not_fit_is_built_in_every_round(contender, tmp_path):
    contenders = [contender("small", memory_bytes=10), contender("large", memory_bytes=95)]
    found = run_rounds(
        contenders, rounds=2, steps=1, warmup=1, memory_bytes=100, folder=tmp_path, say=lambda line: None
    )
    assert found["small"].rounds == found["large"].rounds == [[1.0], [1.0]]
    contenders = [contender("small", memory_bytes=10), contender("large", memory_bytes=85)]
    found = run_rounds(
        contenders, rounds=2, steps=1, warmup=1, memory_bytes=100, folder=tmp_path, say=lambda line: None
    )
    assert found["small"].rounds == found["large"].rounds == [[1.0], [2.0]]


def test_a_failure_does_not_stop_the_others(contender, tmp_path):
    contenders = [
        contender("late", fail_at=3),
        contender("gone", "leave"),
        contender("missing", "no_such_function"),
        contender("fine"),
    ]
    found = run_rounds(contenders, rounds=2, steps=1, warmup=1, folder=tmp_path, say=lambda line: None)
    assert "broken on purpose" in found["late"].error
    assert "exit status 3" in found["gone"].error
    assert "no_such_function" in found["missing"].error
    assert [name for name, measurement in found.items() if measurement.ok] == ["fine"]
    assert time_ratio(found["fine"], found["late"]) is None


def test_names_are_distinct(contender):
    with pytest.raises(ValueError, match="distinct names"):
        run_rounds([contender("a"), contender("a")])


def test_running_before_preparing_is_an_error(contender):
    process = WorkerProcess(contender("early"))
    with pytest.raises(RuntimeError, match="Nothing is prepared"):
        process.run(1)
    process.stop()


def test_a_peer_imports_benchmarks_without_keras(contender):
    process = WorkerProcess(dataclasses.replace(contender("peer", "peer"), environment="x", requirements=("y",)))
    assert process.prepare()["facts"] == {"keras": False}
    assert process.run(2)["seconds"] == [1.0, 1.0]
    process.stop()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_a_stopped_worker_ends_with_its_controller(contender):
    """Otherwise a killed benchmark would leave gigabytes behind."""
    one = contender("left alone")
    code = f"""
import sys
from grouprank.benchmarks.support import Contender, WorkerProcess
process = WorkerProcess(Contender({one.name!r}, {one.target!r}))
process.prepare()
print(process._process.pid, flush=True)
sys.stdin.read()
"""
    controller = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    worker = os.pidfd_open(int(controller.stdout.readline()))
    controller.kill()
    controller.communicate()
    assert select.select([worker], [], [], 30.0)[0], "the worker outlived its controller"
    os.close(worker)


def test_ratio_is_within_rounds():
    first, second = Measurement("a", [[1.0, 3.0, 2.0], [8.0]]), Measurement("b", [[1.0], [2.0]])
    ratio = time_ratio(first, second)
    assert (ratio.median, ratio.low, ratio.high) == (3.0, 2.0, 4.0)


def test_examples_run():
    module = sys.modules[time_ratio_function.__module__]
    assert doctest.testmod(module).failed == 0


def test_contender_checks_its_arguments():
    with pytest.raises(ValueError, match="module:function"):
        Contender("a", "module")
    with pytest.raises(ValueError, match="go together"):
        Contender("a", "module:function", environment="peer")
