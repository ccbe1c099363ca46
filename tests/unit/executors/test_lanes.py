# SPDX-License-Identifier: BSD-3-Clause
"""The threads that run what bundles bring."""

import threading

from nbflow.executors.lanes import Lanes


def test_all_of_it_is_done_when_run_returns():
    done: list[int] = []
    lanes = Lanes(3)
    lanes.run([(0, lambda number=number: done.append(number)) for number in range(20)])
    lanes.close()
    assert sorted(done) == list(range(20))


def test_no_more_run_at_once_than_there_are_lanes():
    lanes, lock = Lanes(2), threading.Lock()
    running, most = 0, 0
    both = threading.Barrier(2)

    def piece() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)
        with lock:
            running -= 1

    lanes.run([(0, piece)] * 6)
    lanes.close()
    assert most == 2


def test_what_has_priority_comes_first():
    lanes, order, may = Lanes(1), [], threading.Event()
    begun = threading.Event()

    def first() -> None:
        begun.set()
        may.wait(10)

    threads = [threading.Thread(target=lanes.run, args=([(0, first)],))]
    threads[0].start()
    assert begun.wait(10)
    threads.append(threading.Thread(target=lanes.run, args=([(0, lambda: order.append("low")), (5, lambda: order.append("high"))],)))
    threads[1].start()
    while lanes.is_dry:
        pass
    may.set()
    for thread in threads:
        thread.join(10)
    lanes.close()
    assert order == ["high", "low"]


def test_a_bundle_whose_first_job_is_long_does_not_hold_up_another():
    lanes, may = Lanes(2), threading.Event()
    long = threading.Thread(target=lanes.run, args=([(0, lambda: may.wait(10))],))
    long.start()
    done: list[int] = []
    lanes.run([(0, lambda: done.append(1))] * 5)
    assert done == [1] * 5
    may.set()
    long.join(10)
    lanes.close()
