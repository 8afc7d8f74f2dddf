"""Requests are counted once each, whatever threads count them and whoever asks meanwhile."""

from __future__ import annotations

import threading
from collections import Counter

from service.monitoring.tally import STAGES, Tallies

PREDICT = ("rest", "predict", "housing", "1", "ok")
FAILED = ("rest", "predict", "", "", "InvalidRequest")


def test_growth_is_what_came_since_the_last_time():
    tallies = Tallies((0.1, 1.0))
    tallies.count(PREDICT, 0.05, 3)
    tallies.count(PREDICT, 0.1, 1)
    tallies.count(FAILED, 5.0, 0)

    first = {it.labels: it for it in tallies.growth()}
    assert list(first[PREDICT].whole.buckets) == [2, 0, 0]  # a bound belongs to its bucket
    assert list(first[FAILED].whole.buckets) == [0, 0, 1]
    assert (first[PREDICT].whole.observed, first[PREDICT].rows) == (2, 4)
    assert round(first[PREDICT].whole.sum, 9) == 0.15

    assert list(tallies.growth()) == []
    tallies.count(PREDICT, 0.5, 2)
    (second,) = tallies.growth()
    assert (list(second.whole.buckets), second.rows) == ([0, 1, 0], 2)


def test_labels_that_nobody_counts_by_any_more_are_let_go():
    """Of a version that is gone nothing is kept, nor are the sheets of what it answered."""
    tallies = Tallies((0.1,))
    tallies.count(PREDICT, 0.05, 1, (0.01, 0.01, 0.01))
    (tally,) = tallies._tallies

    for _ in range(3):
        list(tallies.growth())

    assert (tally.counts, tally.leaving) == ({}, {})
    tallies.count(PREDICT, 0.05)
    assert [it.labels for it in tallies.growth()] == [PREDICT]


def test_what_a_thread_was_putting_down_when_its_labels_were_let_go_is_handed_on():
    tallies = Tallies((0.1,))
    tallies.count(PREDICT, 0.05)
    (tally,) = tallies._tallies
    found = tally.counts[PREDICT]
    assert [len(list(tallies.growth())) for _ in range(2)] == [1, 0]

    found.whole[0] += 1

    assert [it.whole.observed for it in tallies.growth()] == [1]
    assert list(tallies.growth()) == []


def test_what_the_first_stages_leave_is_the_last_ones():
    tallies = Tallies((1.0,), (0.01, 0.1))
    tallies.count(PREDICT, 0.5, 1, (0.005, 0.0, 0.2))
    tallies.count(PREDICT, 0.5, 1, (0.05, 0.25, 0.2))
    tallies.count(PREDICT, 0.5)  # of one that failed on the way nothing is known

    (grown,) = tallies.growth()
    stages = dict(zip(STAGES, grown.stages, strict=True))
    assert {name: list(it.buckets) for name, it in stages.items()} == {
        "decode": [1, 1, 0],
        "wait": [1, 0, 1],
        "run": [0, 0, 2],
        "encode": [1, 0, 1],  # 0.295 and 0.0
    }
    assert {name: round(it.sum, 9) for name, it in stages.items()} == {
        "decode": 0.055,
        "wait": 0.25,
        "run": 0.4,
        "encode": 0.295,
    }
    assert grown.whole.observed == 3


def test_no_request_is_lost_or_counted_twice_among_threads():
    tallies = Tallies((0.1,))
    seen: Counter[tuple[str, ...]] = Counter()
    over = threading.Event()

    def look() -> None:
        for grown in tallies.growth():
            seen[grown.labels] += grown.whole.observed

    def work() -> None:
        for _ in range(5000):
            tallies.count(PREDICT, 0.01, 1)

    def watch() -> None:
        while not over.is_set():
            look()

    watching = threading.Thread(target=watch)
    watching.start()
    for _ in range(3):  # threads end, and others take their places
        run_all([threading.Thread(target=work) for _ in range(4)])
    over.set()
    watching.join()
    look()

    assert seen == {PREDICT: 3 * 4 * 5000}
    assert tallies._tallies == []


def run_all(threads: list[threading.Thread]) -> None:
    for it in threads:
        it.start()
    for it in threads:
        it.join()
