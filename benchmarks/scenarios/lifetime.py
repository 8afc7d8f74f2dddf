"""Targets of a server's life: start, memory, a version's swap, large batches beside small ones."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks import forms
from benchmarks.load.paced import Load
from benchmarks.peers import HEARTH
from benchmarks.run import in_turns
from benchmarks.scenarios.finding import Finding, ratio, readable
from benchmarks.servers import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.paced import Paced
    from benchmarks.run import Run, Subject

_MB_PER_MIB: Final = 1.048576
_BATCH: Final = 10_000
# Requests a second of the single rows: far from what a worker can do.
_SINGLE_RATE: Final = 1000.0
_SWAP_RATE: Final = 2000.0
_SWAP_LIMIT_S: Final = 10.0
_BEFORE_S: Final = 2.0


def start(run: Run) -> Finding:
    """Seconds from the start of the process to its first right answer."""

    def once() -> float:
        with run.start(HEARTH) as hearth:
            return hearth.start_s

    values = tuple(it["start"] for it in in_turns(run.rounds, {"start": once}))
    return Finding(values, f"{min(values):.2f} to {max(values):.2f} s")


def memory(run: Run) -> Finding:
    """Memory of master and worker in MB after a load, shared pages by share (PSS)."""
    form = forms.tensorflow_serving()
    with run.start(HEARTH) as hearth:
        hearth.load(form, run.rows(1), 16)
        found = [_MB_PER_MIB * it for it in hearth.server.memory_mib()]
    return Finding((sum(found),), " + ".join(f"{it:.0f}" for it in found) + " MB by process")


def beside_batches(run: Run) -> Finding:
    """p99 of single rows at a fixed rate while another client sends batches, against without."""
    with run.start(HEARTH) as hearth, ThreadPoolExecutor(1) as other:

        def alone() -> float:
            return _p99_ms(hearth)

        def beside() -> float:
            form = forms.open_inference_binary()
            batches = other.submit(hearth.load, form, run.rows(_BATCH), 1, run.seconds + 2)
            p99_ms = _p99_ms(hearth)
            batches.result()
            return p99_ms

        return ratio(run.rounds, "ms", {"beside": beside, "alone": alone})


def swap_failures(run: Run) -> Finding:
    """Requests that fail while a version is swapped in under load."""
    swaps = run.once("swap", lambda: list(_swaps(run)))
    failed = tuple(float(load.failed) for load, _, _ in swaps)
    asked = sum(len(load.due_s) for load, _, _ in swaps)
    return Finding(failed, f"of {asked:,} requests in {len(swaps)} swaps")


def swap_latency(run: Run) -> Finding:
    """p99 from a version's publication until it has taken over, against the p99 before."""
    swaps = run.once("swap", lambda: list(_swaps(run)))
    pairs = [before_and_during(*swap) for swap in swaps]
    before, during = (statistics.median(it) for it in zip(*pairs, strict=True))
    return Finding(
        tuple(after / ahead for ahead, after in pairs),
        f"before {readable(before)} ms, during {readable(during)} ms",
    )


def _p99_ms(hearth: Subject) -> float:
    run, request = hearth.run, forms.tensorflow_serving().write(hearth.run.rows(1))
    pace = (_SINGLE_RATE, max(2.0, run.seconds))
    with Load(hearth.server.url(request), request, pace, 4, run.cores) as load:
        return load.result().percentiles_ms(99)[0]


def _swaps(run: Run) -> Iterator[tuple[Paced, float, float]]:
    """For every round: the load, when a version was published, and when it had taken over."""
    for _ in range(run.rounds):
        with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
            model = Path(folder) / "housing"
            shutil.copytree(run.version, model / "1")
            shutil.copytree(run.version, model / ".2")
            poll = "--file_system_poll_wait_seconds=0.1"
            with run.start(HEARTH, poll, version=model / "1") as hearth:
                yield _swap(hearth, model)


def _swap(hearth: Subject, model: Path) -> tuple[Paced, float, float]:
    request = forms.tensorflow_serving().write(hearth.run.rows(1))
    url = hearth.server.url(request)
    hearth.load(forms.tensorflow_serving(), hearth.run.rows(1), 16, 1)
    with Load(url, request, (_SWAP_RATE, 3 * _BEFORE_S), 16, hearth.run.cores) as load:
        time.sleep(_BEFORE_S)
        (model / ".2").rename(model / "2")
        published_s = time.monotonic()
        _wait_for_version(url, "2")
        taken_over_s = time.monotonic()
        return load.result(), published_s, taken_over_s


def _wait_for_version(url: str, version: str) -> None:
    """Wait until a version serves and no other does.

    Raises:
        ServerError: It never came to that.
    """
    deadline_s = time.monotonic() + _SWAP_LIMIT_S
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(f"{url}/v1/models/housing", timeout=5) as response:  # noqa: S310 - loopback
            states = json.load(response)["model_version_status"]
        if [it["version"] for it in states if it["state"] == "AVAILABLE"] == [version]:
            return
        time.sleep(0.02)
    raise ServerError(f"version {version} was not served within {_SWAP_LIMIT_S:g} s")


def before_and_during(load: Paced, published_s: float, taken_over_s: float) -> tuple[float, float]:
    """p99 in ms of the requests due before a publication, and of those until the take-over."""
    before = load.latency_s[load.due_s < published_s]
    during = load.latency_s[(load.due_s >= published_s) & (load.due_s <= taken_over_s)]
    return tuple(float(np.percentile(it, 99)) * 1000 for it in (before, during))  # type: ignore[return-value]
