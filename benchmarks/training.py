"""``python -m benchmarks.training``: ways to train the tutorial's network, beside Keras's ``fit``.

All train the same network on the same rows for the same epochs. Rounds are taken in turn,
and a way is compared with ``fit`` of the same round; medians of the rounds are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.report.results import write_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from training.engine.stack import Method, Network

_FIT: Final = "Keras's fit"
_DATA: Final = Path("data/boston_housing.csv")


@dataclass(frozen=True)
class Way:
    """One way to train.

    Attributes:
        networks: How many it trains at once.
        prepare: Gives the function that is timed; what it needs once is done before.
    """

    networks: int
    prepare: Callable[[], Callable[[], Any]]


@dataclass(frozen=True)
class Figures:
    """What was measured of one way.

    Attributes:
        networks: How many it trains at once.
        first_s: Seconds of its first call, with all that is done once for a shape.
        rounds_s: Seconds a network, by round, after that.
        times_faster: How many times faster a network is trained than by Keras's ``fit`` of
            the same round, by round.
    """

    networks: int
    first_s: float
    rounds_s: list[float]
    times_faster: list[float]


def main(arguments: Sequence[str]) -> int:
    """Measure, and write JSON and Markdown."""
    options = _parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    figures = measure(ways(options.epochs, options.networks), options.rounds)
    kept = json.dumps(_json(figures, options), indent=1) + "\n"
    write_beside(options.output.with_suffix(".json"), kept.encode())
    page = "\n".join(_page(figures, options)) + "\n"
    write_beside(options.output, page.encode())
    print(page)
    return 0


def ways(epochs: int, networks: int) -> dict[str, Way]:
    """Every way by name, Keras's ``fit`` first."""
    # TensorFlow, by its own module and not by the command's --help.
    from benchmarks.peers import tensorflow_stack  # noqa: PLC0415
    from training.engine import stack  # noqa: PLC0415

    method = stack.Method(epochs=epochs)
    found = {_FIT: Way(1, lambda: _keras_fit(epochs))}
    for count in (1, networks):
        many = _networks(count)
        together = f"{count} network{'s' if count > 1 else ''}"
        function = partial(tensorflow_stack.trainer, method, many)
        found |= {
            f"the engine, {together}": Way(count, _engine(method, many)),
            f"a TensorFlow function, {together}": Way(count, partial(function, xla=False)),
            f"the same through XLA, {together}": Way(count, partial(function, xla=True)),
        }
    return found


def measure(found: Mapping[str, Way], rounds: int) -> dict[str, Figures]:
    """Call every way once, and then in turn."""
    prepared = {name: way.prepare() for name, way in found.items()}
    first = {name: _seconds(call) for name, call in prepared.items()}
    taken: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(rounds):
        for name, call in prepared.items():
            taken[name].append(_seconds(call) / found[name].networks)
            print(
                f"round {turn + 1}  {name}: {taken[name][-1] * 1000:,.0f} ms a network", flush=True
            )
    return {
        name: Figures(
            way.networks,
            first[name],
            taken[name],
            [fit / own for fit, own in zip(taken[_FIT], taken[name], strict=True)],
        )
        for name, way in found.items()
    }


def _keras_fit(epochs: int) -> Callable[[], Any]:
    import keras  # noqa: PLC0415 - as above

    from training import network  # noqa: PLC0415
    from training.recipe import Recipe  # noqa: PLC0415

    rows = _rows()

    def fit() -> Any:
        keras.utils.set_random_seed(0)
        model = network.build(Recipe(epochs=epochs), rows.train.batch)
        model.fit(
            rows.train.batch,
            rows.train.prices,
            epochs=epochs,
            batch_size=32,
            validation_data=(rows.test.batch, rows.test.prices),
            verbose=0,
        )

    return fit


def _engine(method: Method, networks: list[Network]) -> Callable[[], Callable[[], Any]]:
    from training.engine import stack  # noqa: PLC0415 - as above

    return lambda: lambda: stack.train(method, networks)


def _networks(count: int) -> list[Network]:
    """Networks of the tutorial, each with first weights and an order of rows of its own."""
    import keras  # noqa: PLC0415 - as above

    from training import fit, network  # noqa: PLC0415
    from training.recipe import Recipe  # noqa: PLC0415

    made = []
    for seed in range(count):
        keras.utils.set_random_seed(seed)
        recipe = Recipe(seed=seed)
        made.append(fit.start(recipe, network.build(recipe, _rows().train.batch), _rows()))
    return made


def _rows() -> Any:
    import pandas as pd  # noqa: PLC0415 - as above

    from training.split import split  # noqa: PLC0415

    return split(pd.read_csv(_DATA), ("RM", "AGE", "LSTAT"), 113, 0.8)


def _seconds(call: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    call()
    return time.perf_counter() - started_s


def _json(figures: Mapping[str, Figures], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "machine": _machine(),
        "epochs": options.epochs,
        "rounds": options.rounds,
        "ways": {name: asdict(it) for name, it in figures.items()},
    }


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _page(figures: Mapping[str, Figures], options: argparse.Namespace) -> list[str]:
    return [
        "# Training benchmarks",
        "",
        "The tutorial's network (3-64-64-1, 404 rows in batches of 32, Adam), trained in turn in",
        f"each way for {options.epochs} epochs, {options.rounds} rounds: medians, and of ratios",
        "the least and the greatest. The first call has what is done once for a shape: tracing,",
        "compiling.",
        "Written by `python -m benchmarks.training`.",
        "",
        f"{_machine()}.",
        "",
        "| way | first call s | ms a network | times as fast as Keras's `fit` (rounds) |",
        "|---|---|---|---|",
        *[_line(name, it) for name, it in figures.items()],
    ]


def _line(name: str, it: Figures) -> str:
    ratio, least, most = (
        statistics.median(it.times_faster),
        min(it.times_faster),
        max(it.times_faster),
    )
    return (
        f"| {name} | {it.first_s:.2f} | {statistics.median(it.rounds_s) * 1000:,.0f} "
        f"| {ratio:.1f} ({least:.1f} to {most:.1f}) |"
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description="Time ways to train the tutorial's network beside Keras's fit.",
    )
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--networks", type=int, default=32, help="trained at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("docs/training-benchmarks.md"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
