"""Kubernetes' HorizontalPodAutoscaler, as a rule: from how busy pods are to how many there are.

References:
    Kubernetes' page "Horizontal Pod Autoscaling", sections "Algorithm details", "Stabilization
    window" and "Default Behavior".
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

# Kubernetes' defaults.
TOLERANCE: Final = 0.1
_MORE_PODS: Final = 4  # or as many again, whichever is more, within one sync
_ROUNDING: Final = 9  # digits: 0.7 / 0.7 pods are one, not two


@dataclass(frozen=True)
class Policy:
    """How pods follow the load.

    Attributes:
        target: How busy the processors should be, 0 to 1.
        least: Pods.
        most: Pods.
        sync_s: Seconds between two looks.
        down_s: Seconds whose highest wish counts when pods are taken away.
        start_s: Seconds from a pod's being wanted to its being ready: scheduling, the image's
            pull where the node has none, and the start.
    """

    target: float = 0.6
    least: int = 2
    most: int = 1_000_000
    sync_s: float = 15.0
    down_s: float = 300.0
    start_s: float = 10.0


class Autoscaler:
    """Counts pods: those that are ready, and those that come.

    Args:
        policy: The rule.
        pods: Ready at the begin.
    """

    def __init__(self, policy: Policy, pods: int) -> None:
        self._policy = policy
        self.ready = pods
        self._coming: deque[tuple[float, int]] = deque()
        self._wishes: deque[tuple[float, int]] = deque()

    @property
    def wanted(self) -> int:
        """Ready and coming."""
        return self.ready + sum(count for _, count in self._coming)

    def advance(self, now_s: float) -> int:
        """Have those be ready whose time has come; gives how many are ready."""
        while self._coming and self._coming[0][0] <= now_s:
            self.ready += self._coming.popleft()[1]
        return self.ready

    def look(self, now_s: float, busy: float) -> int:
        """Look how busy the ready ones were since the last look, and decide.

        Args:
            now_s: When.
            busy: Of their processors, 0 to 1.

        Returns:
            How many are ready afterwards.
        """
        wish = self._limited(self._wish(busy))
        self._wishes.append((now_s, wish))
        while self._wishes[0][0] <= now_s - self._policy.down_s:
            self._wishes.popleft()
        if wish > self.wanted:
            self._coming.append((now_s + self._policy.start_s, wish - self.wanted))
        elif not self._coming:
            self.ready = min(self.ready, max(it for _, it in self._wishes))
        return self.ready

    def _wish(self, busy: float) -> int:
        ratio = busy / self._policy.target
        if abs(ratio - 1) <= TOLERANCE:
            return self.wanted
        # Those that come count as idle when more are asked for: the mean falls.
        if self._coming and ratio > 1:
            ratio *= self.ready / self.wanted
            if ratio <= 1 + TOLERANCE:
                return self.wanted
            return math.ceil(round(ratio * self.wanted, _ROUNDING))
        return math.ceil(round(ratio * self.ready, _ROUNDING))

    def _limited(self, wish: int) -> int:
        fastest = self.wanted + max(_MORE_PODS, self.wanted)
        return max(self._policy.least, min(wish, fastest, self._policy.most))
