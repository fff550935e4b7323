import threading

import pytest

from grouprank.datasets.read_ahead import ReadAhead


def test_works_ahead_while_the_guess_is_right():
    calls = []
    done = {n: threading.Event() for n in range(10)}

    def work(n):
        calls.append((n, threading.current_thread() is threading.main_thread()))
        done[n].set()
        return n

    ahead = ReadAhead(work, count=2)
    assert ahead(0, following=range(1, 10)) == 0
    assert calls == [(0, True)]
    assert ahead(1, following=range(2, 10)) == 1
    assert done[3].wait(60)
    assert sorted(calls) == [(0, True), (1, True), (2, False), (3, False)]
    assert ahead(2, following=range(3, 10)) == 2
    assert done[4].wait(60)
    assert ahead(7, following=range(8, 10)) == 7  # nobody guessed that
    assert not done[8].is_set()
    assert sorted(n for n, _ in calls) == [0, 1, 2, 3, 4, 7]


def test_an_error_comes_with_its_key():
    def work(n):
        if n == 3:
            raise OSError("disk")
        return n

    ahead = ReadAhead(work, count=2)
    assert [ahead(n, range(n + 1, 9)) for n in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk"):
        ahead(3, range(4, 9))
    assert ahead(4, range(5, 9)) == 4


def test_without_a_thread():
    before = threading.active_count()
    ahead = ReadAhead(lambda n: n, count=0)
    assert [ahead(n, range(n + 1, 5)) for n in range(5)] == list(range(5))
    assert threading.active_count() == before
