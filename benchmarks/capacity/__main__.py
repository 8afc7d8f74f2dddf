"""``python -m benchmarks.capacity``: how many cores, workers, replicas and how much memory.

With ``--measure`` it measures this machine first and writes the page anew.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console

from benchmarks import cores
from benchmarks.capacity import figures as kept
from benchmarks.capacity import internet, page, plan
from benchmarks.run import Run
from service import contract
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.capacity.figures import Figures

_PAGE: Final = Path("docs/capacity.md")
_USAGE_ERROR: Final = 2
_POSITIVE: Final = (
    *("requests_per_second", "p99_ms", "rows", "request_us"),
    *("models", "workers_per_pod", "rounds", "seconds"),
)


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; 1 if a load cannot be borne, 2 if a flag is wrong."""
    options = _parse(arguments)
    place = options.output.with_suffix(".json")
    if options.measure:
        _write(_measured(options), options.output)
    elif options.write:
        _write(kept.read(place), options.output)
    else:
        return _plan(options, kept.read(place))
    return 0


def _plan(options: argparse.Namespace, figures: Figures) -> int:
    costs = page.costs(figures)
    if options.protocol not in {None, *costs}:
        print(f"--protocol {options.protocol} is none of {', '.join(costs)}", file=sys.stderr)
        return _USAGE_ERROR
    known = costs[options.protocol or figures.costs[0].protocol]
    cost = plan.Cost(
        known.protocol,
        known.request_us if options.request_us is None else options.request_us,
        known.row_us if options.row_us is None else options.row_us,
    )
    load = plan.Load(options.requests_per_second, options.p99_ms, options.rows)
    memory = page.memory(figures, options.models)
    try:
        print(page.telling(plan.plan(load, cost, memory, options.workers_per_pod)))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _measured(options: argparse.Namespace) -> Figures:
    from benchmarks.capacity import measuring  # noqa: PLC0415 - a plan needs no load

    versions = find_versions(options.model_base_path)
    version = versions[max(versions)].absolute()
    run = Run(
        version=version,
        golden=contract.read_golden(version),
        cores=cores.apart(),
        busy=os.getloadavg()[0],
        rounds=options.rounds,
        seconds=options.seconds,
        console=Console(soft_wrap=True),
    )
    return measuring.measure(run)


def _write(figures: Figures, output: Path) -> None:
    cost = page.costs(figures)[figures.costs[0].protocol]
    memory = page.memory(figures)
    figures = msgspec.structs.replace(
        figures,
        fleets=tuple(internet.fleets(cost, memory)),
        day=internet.day(cost, memory),
    )
    kept.write(figures, output.with_suffix(".json"))
    output.write_text(page.page(figures))
    page.draw(figures, output.with_suffix(".svg"))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in _POSITIVE:
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            parser.error(f"--{name} is {value:g}, more than 0 is needed")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=page.COMMAND, description=__doc__)
    add = parser.add_argument
    add("--requests_per_second", type=float, default=1000.0, help="at the peak")
    add("--p99_ms", type=float, default=50.0, help="within which 99 of 100 are answered")
    add("--rows", type=int, default=1, help="of a request")
    add("--protocol", help="as the page calls it; the first if none is named")
    add("--request_us", type=float, help="of a core for a request, in place of what was measured")
    add("--row_us", type=float, help="of a core for a row")
    add("--models", type=int, default=1, help="of the housing network's size")
    add("--workers_per_pod", type=int, default=page.WORKERS_PER_POD)
    add("--measure", action="store_true", help="measure this machine, and write the page")
    add("--write", action="store_true", help="write the page from what was measured")
    add("--rounds", type=int, default=3, help="of each cost")
    add("--seconds", type=float, default=3.0, help="of each load")
    add("--model_base_path", type=Path, default=Path("models/housing"))
    add("--output", type=Path, default=_PAGE)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
