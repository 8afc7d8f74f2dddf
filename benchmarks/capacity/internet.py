"""Loads from a few hundred requests a second to millions, and the pods that follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from benchmarks.capacity import arrivals, fluid, simulation
from benchmarks.capacity.figures import Day, Fleet
from benchmarks.capacity.plan import Load, plan
from benchmarks.capacity.scaling import Policy
from benchmarks.capacity.simulation import Second, Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.capacity.arrivals import Rate
    from benchmarks.capacity.plan import Cost, Memory

POD: Final = Workers(4, 2048)
MILLION: Final = 1_000_000.0
# Seconds until a new pod is ready: its image is on the node, or is pulled first.
PULLED_S: Final = 5.0
PULLING_S: Final = 60.0
_HOUR_S: Final = 3600
_MINUTE_S: Final = 60
# The events' fleet: as many requests as can be counted one by one.
_FEW: Final = 150.0
_FEW_SERVICE_S: Final = 0.01
_FEW_POD: Final = Workers(1, 40)


def day(cost: Cost, memory: Memory) -> Day:
    """A day of a million requests a second in the mean, a value a minute."""
    seconds = _fluid(arrivals.diurnal(MILLION), int(arrivals.DAY_S), cost, memory, PULLING_S)
    minutes = seconds[::_MINUTE_S]
    return Day(tuple(round(it.offered) for it in minutes), tuple(it.pods for it in minutes))


def fleets(cost: Cost, memory: Memory) -> list[Fleet]:
    """What becomes of several loads."""
    few = [_small(name, rate) for name, rate in _loads(_FEW).items()]
    many = [
        _seen(name, start_s, _fluid(rate, _HOUR_S, cost, memory, start_s))
        for name, rate in _loads(MILLION).items()
        for start_s in (PULLED_S, PULLING_S)
    ]
    day = _fluid(arrivals.diurnal(MILLION), int(arrivals.DAY_S), cost, memory, PULLING_S)
    return [*few, *many, _seen("a day, swinging by 0.6", PULLING_S, day)]


def _loads(usual: float) -> dict[str, Rate]:
    return {
        f"{usual:,.0f}/s": lambda _: usual,
        f"{usual:,.0f}/s, bursts of twice as many": arrivals.bursts(
            (usual, 2 * usual), (300.0, 30.0), _HOUR_S
        ),
        f"{usual:,.0f}/s, from the tenth minute four times as many": lambda at: (
            usual if at < 10 * _MINUTE_S else 4 * usual
        ),
    }


def _fluid(
    rate: Rate, seconds: int, cost: Cost, memory: Memory, start_s: float
) -> Sequence[Second]:
    # As many at the begin as the load of the first second takes; never fewer than a pair.
    least = plan(Load(rate(0), 50), cost, memory, POD.count).pods
    policy = Policy(least=max(2, least), start_s=start_s)
    return fluid.fleet(rate, seconds, cost.service_s(1), POD, policy)


def _small(name: str, rate: Rate) -> Fleet:
    seconds = 20 * _MINUTE_S
    policy = Policy(least=3, start_s=PULLING_S)
    times_s = arrivals.thinned(rate, 4 * _FEW, seconds, 5)
    events = simulation.fleet(times_s, seconds, lambda: _FEW_SERVICE_S, _FEW_POD, policy)
    smooth = fluid.fleet(rate, seconds, _FEW_SERVICE_S, _FEW_POD, policy)
    seen = _seen(f"{name}, 10 ms each", PULLING_S, smooth)
    return msgspec.structs.replace(seen, events=_shed(events))


def _shed(seconds: Sequence[Second]) -> float:
    return sum(it.shed for it in seconds) / sum(it.offered for it in seconds)


def _seen(name: str, start_s: float, seconds: Sequence[Second]) -> Fleet:
    pods = [it.pods for it in seconds]
    return Fleet(
        name,
        start_s,
        max(it.offered for it in seconds),
        (min(pods), max(pods)),
        _shed(seconds),
        sum(it.shed > 0 for it in seconds),
    )
