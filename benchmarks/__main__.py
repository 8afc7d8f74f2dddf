"""``python -m benchmarks``: measure Hearth beside its peers, and write what was found."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console

from benchmarks import cores, url
from benchmarks.peers import FLASK, HEARTH, LIMITS, PEERS
from benchmarks.report import markdown, pictures, results
from benchmarks.run import Run
from benchmarks.scenarios import open_loop, targets, throughput
from service import contract as contracts
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.report.results import Results

PAGE: Final = Path("docs/benchmarks.md")
_NEEDED: Final = ("wrk", "h2load")
_QUICK_RATES: Final = (1000.0,)
_QUICK_PEERS: Final = (FLASK,)
# Each goes through many rates.
_PACED_ROUNDS: Final = 3
_INTERRUPTED: Final = 130
_BUSY: Final = 0.5


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; 1 if something that is needed is not there."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers end with this process
    console = Console(soft_wrap=True)
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing and options.command != "report":
        console.print(f"not installed: {', '.join(missing)} (requirements/install-system)")
        return 1
    try:
        with console.status(f"{options.command} (Ctrl-C ends all that was started)"):
            return int(options.do(options, console))
    except KeyboardInterrupt:
        console.print("interrupted; all servers are stopped")
        return _INTERRUPTED


def _all(options: argparse.Namespace, console: Console) -> int:
    """Measure everything."""
    run = _run(options, console)
    if run is None:
        return 1
    rates = _QUICK_RATES if options.quick else open_loop.RATES
    found = results.Results(
        throughput=run.once(throughput.COMMAND, lambda: throughput.measure(run))
    )
    _keep(found, options, console)
    paced = replace(run, rounds=min(run.rounds, _PACED_ROUNDS))
    paced = replace(paced, peers=(HEARTH,)) if options.quick else paced
    found = msgspec.structs.replace(found, open_loop=open_loop.measure(paced, rates))
    _keep(found, options, console)
    found = found.with_targets(targets.measure(run))
    return _finish(found, options, console)


def _throughput(options: argparse.Namespace, console: Console) -> int:
    """Measure throughput, start and memory."""
    run = _run(options, console)
    if run is None:
        return 1
    return _finish(results.Results(throughput=throughput.measure(run)), options, console)


def _open_loop(options: argparse.Namespace, console: Console) -> int:
    """Measure latency at fixed rates."""
    run = _run(options, console)
    if run is None:
        return 1
    found = open_loop.measure(run, options.rates or open_loop.RATES)
    return _finish(results.Results(open_loop=found), options, console)


def _targets(options: argparse.Namespace, console: Console) -> int:
    """Measure targets."""
    run = _run(options, console)
    if run is None:
        return 1
    found = targets.measure(run, options.only or tuple(targets.TARGETS))
    return _finish(results.Results(targets=found), options, console)


def _url(options: argparse.Namespace, console: Console) -> int:
    """Load a server that runs."""
    return url.load(options, console)


def _report(options: argparse.Namespace, console: Console) -> int:
    """Write the page anew."""
    _write(results.read(_folder(options.output)), options.output)
    console.print(f"{options.output} is written")
    return 0


def _run(options: argparse.Namespace, console: Console) -> Run | None:
    versions = find_versions(options.model_base_path) if options.model_base_path.is_dir() else {}
    if not versions:
        console.print(f"no version in {options.model_base_path}: make train first")
        return None
    version = versions[max(versions)].absolute()
    quick = options.quick
    return Run(
        version=version,
        golden=contracts.read_golden(version),
        cores=cores.Cores() if options.share_cores else cores.apart(),
        busy=_busy(console),
        rounds=options.rounds or (1 if quick else 5),
        seconds=options.seconds or (1.0 if quick else 3.0),
        console=console,
        connections=(16,) if quick else (1, 16, 64),
        peers=tuple(dict.fromkeys([HEARTH, *LIMITS, *_peers(options)])),
        install=not quick or bool(options.peers),
    )


def _peers(options: argparse.Namespace) -> Sequence[str]:
    if options.peers is not None:
        peers: list[str] = options.peers
        return peers
    return _QUICK_PEERS if options.quick else tuple(PEERS)


def _busy(console: Console) -> float:
    """The load average of the last minute; other programs' work goes into every figure."""
    busy, *_ = os.getloadavg()
    if busy > _BUSY:
        console.print(f"the machine is busy (load average {busy:.1f}): figures will be off")
    return busy


def _finish(found: Results, options: argparse.Namespace, console: Console) -> int:
    console.print(markdown.tables(found), markup=False, highlight=False)
    _keep(found, options, console)
    return 0


def _keep(found: Results, options: argparse.Namespace, console: Console) -> None:
    """Put what was found in place of what was kept, and write the page; only where asked to."""
    if options.output is None:
        return
    folder = _folder(options.output)
    kept = results.read(folder).with_targets(found.targets)
    parts = {"throughput": found.throughput, "open_loop": found.open_loop}
    kept = msgspec.structs.replace(kept, **{name: it for name, it in parts.items() if it})
    results.write(kept, folder)
    _write(kept, options.output)
    console.print(f"{options.output} is written")


def _write(kept: Results, page: Path) -> None:
    pictures.write(kept, _folder(page))
    results.write_beside(page, markdown.page(kept).encode())


def _folder(page: Path) -> Path:
    return page.with_suffix("")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _measuring(commands, "all", _all)
    _measuring(commands, throughput.COMMAND, _throughput)
    paced = _measuring(commands, open_loop.COMMAND, _open_loop)
    paced.add_argument("--rates", type=float, nargs="+", help="requests a second")
    some = _measuring(commands, targets.COMMAND, _targets)
    some.add_argument("--only", nargs="+", choices=targets.TARGETS, metavar="NAME")
    any_server = commands.add_parser("url", help=_url.__doc__)
    url.add_arguments(any_server)
    any_server.set_defaults(do=_url)
    again = commands.add_parser("report", help=_report.__doc__)
    again.add_argument("--output", type=Path, default=PAGE)
    again.set_defaults(do=_report)
    return parser


def _measuring(commands: Any, name: str, do: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=do.__doc__)
    parser.add_argument("--model_base_path", type=Path, default=Path("models/housing"))
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=PEERS,
        help="beside Hearth and the limits; all, or Flask if quick",
    )
    parser.add_argument("--rounds", type=int, help="5, or 1 if quick")
    parser.add_argument("--seconds", type=float, help="of one load: 3, or 1 if quick")
    parser.add_argument("--share_cores", action="store_true", help="pin neither servers nor load")
    parser.add_argument("--quick", action="store_true", help="two minutes; installs no peer")
    parser.add_argument("--output", type=Path, help=f"page to write, such as {PAGE}")
    parser.set_defaults(do=do)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
