import threading

import pytest

from grouprank.datasets.ordered_map import ordered_map
from grouprank.datasets.worker_count import worker_count


@pytest.mark.parametrize("workers", [1, 2, 3, 50])
@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_results_come_in_order(workers, length):
    assert list(ordered_map(lambda n: n * n, iter(range(length)), workers)) == [n * n for n in range(length)]


def test_a_slow_item_does_not_lose_its_place_and_another_works_meanwhile():
    second_is_done = threading.Event()

    def work(item):
        if item == 0:
            assert second_is_done.wait(60)
        else:
            second_is_done.set()
        return item

    assert list(ordered_map(work, [0, 1], workers=2)) == [0, 1]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_no_more_items_are_taken_than_there_are_workers(workers):
    taken = []
    results = ordered_map(lambda item: item, (taken.append(n) or n for n in range(20)), workers)
    for n in range(20):
        assert next(results) == n
        assert len(taken) <= n + workers


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_errors_come_where_they_belong(workers):
    def numbers():
        yield from (1, 2, 0, 4)
        raise OSError("the file ends here")

    def collect(results, into):
        for result in results:
            into.append(result)

    got = []
    with pytest.raises(ZeroDivisionError):
        collect(ordered_map(lambda n: 4 // n, numbers(), workers), got)
    assert got == [4, 2]
    got = []
    with pytest.raises(OSError, match="the file ends here"):
        collect(ordered_map(lambda n: n + 1, numbers(), workers), got)
    assert got == [2, 3, 1, 5]


def test_threads_end_with_the_iteration():
    before = threading.active_count()
    results = ordered_map(lambda n: n, range(100), workers=4)
    assert next(results) == 0
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before

    def interrupted():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ordered_map(lambda n: n, interrupted(), workers=4))
    assert threading.active_count() == before


def test_worker_count():
    assert worker_count(None) >= 1
    assert worker_count(7) == 7
    for wrong in (0, -1, True, 1.5, "2"):
        with pytest.raises(ValueError, match="workers"):
            worker_count(wrong)
