"""The same fleet as a fluid: for millions of requests a second, which nobody can count one by one.

Within a second requests come, are answered as far as the ready workers have time, wait as far
as there are places, and are shed beyond. What chance does within a second is left out: the
more requests there are, the less it is. A test holds it to the events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.capacity.scaling import Autoscaler
from benchmarks.capacity.simulation import Second

if TYPE_CHECKING:
    from benchmarks.capacity.arrivals import Rate
    from benchmarks.capacity.scaling import Policy
    from benchmarks.capacity.simulation import Workers


def fleet(
    rate: Rate, seconds: int, service_s: float, pod: Workers, scaling: Policy
) -> list[Second]:
    """Have a fleet of pods follow a load, second by second.

    Args:
        rate: Of requests, by the time.
        seconds: How long.
        service_s: What a request takes of a worker in the mean.
        pod: A pod's workers, and the places of each.
        scaling: How pods follow; as many as there must be are ready at the begin.
    """
    scaler = Autoscaler(scaling, scaling.least)
    waiting = worked = capacity = 0.0
    found = []
    for now in range(1, seconds + 1):
        workers = scaler.ready * pod.count
        offered, able = rate(now - 0.5), workers / service_s
        answered = min(waiting + offered, able)
        left = waiting + offered - answered
        waiting = min(left, pod.places * workers)
        found.append(Second(offered, answered, left - waiting, scaler.ready))
        worked, capacity = worked + answered, capacity + able
        scaler.advance(now)
        if now % round(scaling.sync_s) == 0:
            scaler.look(now, worked / capacity)
            worked = capacity = 0.0
    return found
