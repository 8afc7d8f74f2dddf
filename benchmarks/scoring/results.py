"""What was measured, kept as JSON, and the page that shows it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Of the tutorial's network: 3 features, two layers of 64 units, an output.
FEATURES: Final = 3
FLOPS_A_ROW: Final = 2 * (3 * 64 + 64 * 64 + 64)
# Its features are read, and a price is written, float32.
BYTES_A_ROW: Final = 4 * (FEATURES + 1)


class Way(msgspec.Struct):
    """Rows a CPU second of one way, by round."""

    rows_cpu_s: list[float]

    @property
    def median(self) -> float:
        """The middle round's."""
        return statistics.median(self.rows_cpu_s)


class Large(msgspec.Struct):
    """The large table's run.

    Attributes:
        rows: Its rows.
        table_bytes: Bytes of the file.
        processes: How many worked.
        seconds: From start to end of the command.
        cpu_s: CPU seconds of all of its processes.
        peaks_bytes: The most memory of each of its processes, the largest first.
        bound_bytes: What it was told to keep to, all processes together.
        checked: Rows whose price was compared with TensorFlow's.
        difference: The largest difference found there, in the target's unit.
    """

    rows: int
    table_bytes: int
    processes: int
    seconds: float
    cpu_s: float
    peaks_bytes: list[int]
    bound_bytes: int
    checked: int
    difference: float


class Results(msgspec.Struct):
    """All that was measured.

    Attributes:
        machine: What it was measured on.
        sample_rows: Rows of the table that the ways were compared with.
        hearth: ``service.score`` on one core.
        loop: pandas and TensorFlow on one core.
        copied_bytes_s: Bytes a second of a copy, by round.
        product_flops: Operations a second of a matrix product, by round.
        network_rows_s: Rows a second of the network alone, by rows at once.
        large: The large table's run.
    """

    machine: str
    sample_rows: int
    hearth: Way
    loop: Way
    copied_bytes_s: list[float]
    product_flops: list[float]
    network_rows_s: dict[int, float]
    large: Large


def read(path: Path) -> Results:
    """Read what was kept."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def page(it: Results) -> str:
    """The page, in Markdown."""
    return "\n".join([*_head(it), *_ways(it), *_limits(it), *_pieces(it), *_large(it.large)]) + "\n"


def _head(it: Results) -> list[str]:
    return [
        "# Scoring benchmarks",
        "",
        "A Parquet table of 13 float32 columns, of which the tutorial's network (3-64-64-1) reads",
        f"{FEATURES}; prices are written as Parquet into a folder.",
        "Written by `python -m benchmarks.scoring`.",
        "",
        f"{it.machine}. A core's figures are rows a CPU second, which others",
        "at work on the machine disturb least. Ways were taken in turn,",
        f"{len(it.hearth.rows_cpu_s)} rounds of {it.sample_rows:,} rows.",
        "",
    ]


def _ways(it: Results) -> list[str]:
    ratios = [a / b for a, b in zip(it.hearth.rows_cpu_s, it.loop.rows_cpu_s, strict=True)]
    ratio, least, most = statistics.median(ratios), min(ratios), max(ratios)
    return [
        "| on one core | million rows a CPU second: median (rounds) |",
        "|---|---|",
        _line("`service.score`", it.hearth.rows_cpu_s),
        _line("a loop of pandas and TensorFlow, 65,536 rows at once", it.loop.rows_cpu_s),
        "",
        f"`service.score` does {ratio:.1f} times as much ({least:.1f} to {most:.1f}).",
        "",
    ]


def _limits(it: Results) -> list[str]:
    memory = statistics.median(it.copied_bytes_s)
    product = statistics.median(it.product_flops)
    copied, multiplied = (
        f"{memory / 1e9:.1f} GB/s (a copy)",
        f"{product / 1e9:.0f} GFLOP/s (`A @ B`)",
    )
    return [
        "What could be at most, on one core of the same machine in the same run:",
        "",
        "| limit | measured | million rows a CPU second | reached |",
        "|---|---|---|---|",
        _limit(f"memory: {BYTES_A_ROW} bytes a row", copied, memory / BYTES_A_ROW, it),
        _limit(
            f"arithmetic: {FLOPS_A_ROW:,} operations a row", multiplied, product / FLOPS_A_ROW, it
        ),
        _limit("the network alone", "LiteRT, below", max(it.network_rows_s.values()), it),
        "",
        "So it is the network's arithmetic that takes the time, and not memory.",
        "",
    ]


def _pieces(it: Results) -> list[str]:
    counts, rates = it.network_rows_s, it.network_rows_s.values()
    return [
        "The network alone, by how many rows it is given at once:",
        "",
        f"| rows | {' | '.join(f'{rows:,}' for rows in counts)} |",
        f"|---|{'---|' * len(counts)}",
        f"| million rows a CPU second | {' | '.join(f'{rate / 1e6:.1f}' for rate in rates)} |",
        "",
    ]


def _line(name: str, rows_s: Sequence[float]) -> str:
    millions = [it / 1e6 for it in rows_s]
    spread = f"{min(millions):.2f} to {max(millions):.2f}"
    return f"| {name} | {statistics.median(millions):.2f} ({spread}) |"


def _limit(name: str, measured: str, rows_s: float, it: Results) -> str:
    return f"| {name} | {measured} | {rows_s / 1e6:,.1f} | {it.hearth.median / rows_s:.1%} |"


def _large(it: Large) -> list[str]:
    peaks = " + ".join(f"{peak / 2**20:.0f}" for peak in it.peaks_bytes)
    rate, each = it.rows / it.seconds / 1e6, it.rows / it.cpu_s / 1e6
    whole = sum(it.peaks_bytes) / 2**20
    share = it.cpu_s / it.seconds / it.processes
    return [
        f"## {it.rows:,} rows",
        "",
        f"{it.table_bytes / 1e9:.1f} GB of Parquet, made a row group at a time and removed",
        f"afterwards; `python -m client score` with {it.processes} processes and",
        f"`--memory {it.bound_bytes / 2**20:.0f}M`.",
        "",
        "| | |",
        "|---|---|",
        f"| from start to end | {it.seconds:.1f} s: {rate:.2f} million rows a second |",
        f"| share of a core that each process was given | {share:.0%} |",
        f"| CPU seconds | {it.cpu_s:.1f}: {each:.2f} million rows each |",
        f"| most memory of its processes, MB | {peaks} = {whole:.0f} |",
        f"| compared with TensorFlow | {it.checked:,} rows, at most {it.difference:.1g} apart |",
    ]


def machine(processor: str, cores: int, python: str) -> str:
    """What something was measured on."""
    return f"{processor}, {cores} cores, Python {python}"


def kept(it: Results) -> bytes:
    """What is kept of it."""
    return msgspec.json.format(msgspec.json.encode(it), indent=1) + b"\n"
