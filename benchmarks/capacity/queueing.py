"""Formulas of queues: how long a request waits, and how much work a worker may have.

A worker answers one request after another. Its requests come at random and each takes about
the same time, which is Kendall's M/D/1; workers that would share one line are M/M/c or M/D/c.

References:
    Erlang, Solution of some problems in the theory of probabilities, 1917;
    Kleinrock, Queueing systems 1, 1975, chapters 3 and 5.
"""

from __future__ import annotations

import math
from typing import Final

_STEPS: Final = 60  # of a bisection: beyond a double's precision


def erlang_c(servers: int, load: float) -> float:
    """The share of requests that must wait, M/M/c.

    Args:
        servers: How many there are.
        load: Rate times service time, in servers; less than there are.
    """
    blocked = 1.0  # Erlang B, by its recursion, which does not overflow
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    busy = load / servers
    return blocked / (1 - busy * (1 - blocked))


def mmc_wait_s(servers: int, rate: float, service_s: float) -> float:
    """Mean wait before the service, M/M/c."""
    load = rate * service_s
    return erlang_c(servers, load) * service_s / (servers - load)


def mmc_wait_quantile_s(servers: int, rate: float, service_s: float, share: float) -> float:
    """What this share of requests waits at most, M/M/c."""
    load = rate * service_s
    waiting = erlang_c(servers, load)
    if waiting <= 1 - share:
        return 0.0
    return math.log(waiting / (1 - share)) * service_s / (servers - load)


def md1_wait_s(rate: float, service_s: float) -> float:
    """Mean wait before the service, M/D/1 (Pollaczek and Khinchine)."""
    busy = rate * service_s
    return busy * service_s / (2 * (1 - busy))


def md1_tail(busy: float) -> tuple[float, float]:
    """Of M/D/1 how the share that waits longer than ``t`` services falls: ``a exp(-b t)``.

    The limit for long waits, exact but for terms that fall faster.

    Args:
        busy: Rate times service time, between 0 and 1.

    Returns:
        ``a`` and ``b``.
    """
    # b is the root above 0 of  busy (exp(b) - 1) = b.
    low, high = 1e-9, 1.0
    while busy * math.expm1(high) < high:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if busy * math.expm1(middle) < middle else (low, middle)
    decay = (low + high) / 2
    return (1 - busy) / (busy * math.exp(decay) - 1), decay


def md1_wait_quantile_s(busy: float, service_s: float, share: float) -> float:
    """What this share of requests waits at most, M/D/1."""
    if busy <= 1 - share:
        return 0.0
    scale, decay = md1_tail(busy)
    return max(0.0, math.log(scale / (1 - share)) / decay) * service_s


def busiest(service_s: float, limit_s: float, share: float = 0.99) -> float:
    """How busy a worker may be for this share of requests to be answered in time, M/D/1.

    Args:
        service_s: What a request takes of it.
        limit_s: From a request's coming to its answer.
        share: Of the requests.

    Returns:
        Between 0 and 1; 0 if the service alone takes longer.
    """
    if service_s >= limit_s:
        return 0.0
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(_STEPS):
        middle = (low + high) / 2
        fits = service_s + md1_wait_quantile_s(middle, service_s, share) <= limit_s
        low, high = (middle, high) if fits else (low, middle)
    return low
