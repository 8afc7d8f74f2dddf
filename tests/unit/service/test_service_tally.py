"""Requests are counted once each, whatever threads count them and whoever asks meanwhile."""

from __future__ import annotations

import threading
from collections import Counter

from service.monitoring.tally import Tallies

PREDICT = ("rest", "predict", "housing", "1", "ok")
FAILED = ("rest", "predict", "", "", "InvalidRequest")


def test_growth_is_what_came_since_the_last_time():
    tallies = Tallies((0.1, 1.0))
    tallies.count(PREDICT, 0.05, 3)
    tallies.count(PREDICT, 0.1, 1)
    tallies.count(FAILED, 5.0, 0)

    first = {it.labels: it for it in tallies.growth()}
    assert list(first[PREDICT].buckets) == [2, 0, 0]  # a bound belongs to its bucket
    assert list(first[FAILED].buckets) == [0, 0, 1]
    assert (first[PREDICT].requests, first[PREDICT].rows) == (2, 4)
    assert round(first[PREDICT].seconds, 9) == 0.15

    assert list(tallies.growth()) == []
    tallies.count(PREDICT, 0.5, 2)
    (second,) = tallies.growth()
    assert (list(second.buckets), second.rows) == ([0, 1, 0], 2)


def test_no_request_is_lost_or_counted_twice_among_threads():
    tallies = Tallies((0.1,))
    seen: Counter[tuple[str, ...]] = Counter()
    over = threading.Event()

    def look() -> None:
        for grown in tallies.growth():
            seen[grown.labels] += grown.requests

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
