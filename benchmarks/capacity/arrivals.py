"""When requests come: at random, in bursts, and through a day. Each gives times in seconds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
Rate = Callable[[float], float]  # requests a second at a time

DAY_S: Final = 86_400.0


def poisson(rate: float, seconds: float, seed: int) -> Times:
    """At random, at one rate."""
    random = np.random.default_rng(seed)
    count = random.poisson(rate * seconds)
    return np.sort(random.uniform(0, seconds, count))


def bursts(rates: tuple[float, float], stays_s: tuple[float, float], seconds: float) -> Rate:
    """Two rates in turn, each for a time drawn at random: a Markov-modulated Poisson process.

    Args:
        rates: The usual one, and the one of a burst, in requests a second.
        stays_s: How long each lasts in the mean.
        seconds: How far it is drawn.
    """
    random = np.random.default_rng(1)
    changes, time_s = [0.0], 0.0
    while time_s < seconds:
        time_s += float(random.exponential(stays_s[(len(changes) - 1) % 2]))
        changes.append(time_s)
    return lambda at: rates[(bisect_right(changes, at) - 1) % 2]


def diurnal(mean: float, swing: float = 0.6) -> Rate:
    """A day: least at its begin, most at its middle.

    Args:
        mean: Requests a second.
        swing: How far beyond the mean its middle is, and how far below its begin.
    """
    return lambda at: mean * (1 - swing * math.cos(2 * math.pi * at / DAY_S))


def thinned(rate: Rate, most: float, seconds: float, seed: int) -> Times:
    """At random, at a rate that changes.

    Args:
        rate: Never above ``most``.
        most: Requests a second.
        seconds: How long.
        seed: Of the draws.

    References:
        Lewis and Shedler, Simulation of nonhomogeneous Poisson processes by thinning, 1979.
    """
    times = poisson(most, seconds, seed)
    kept = np.random.default_rng([seed, 1]).uniform(0, most, len(times))
    return times[kept < np.array([rate(float(it)) for it in times])]
