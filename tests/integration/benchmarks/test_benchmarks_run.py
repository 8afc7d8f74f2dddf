"""The benchmark, run for seconds: its report holds what was measured, and nothing stays running."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers.peer import find_command
from benchmarks.report import results
from benchmarks.servers import descendants
from tests.servers import ROOT, running_service, wait_until

TOOLS = ("wrk", "h2load", "nginx")
missing = [name for name in TOOLS if find_command(name) is None]

pytestmark = [
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}"),
    pytest.mark.timeout(300),
]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks", *map(str, arguments)]


def benchmark(models: Path, *arguments: object, output: Path) -> results.Results:
    """Run a part with no peers beside Hearth and the limits, and read what it kept."""
    quick = ["--quick", "--peers", "--model_base_path", models / "housing", "--output", output]
    done = subprocess.run(
        command(*arguments, *quick), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return results.read(output.with_suffix(""))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs") / "benchmarks.md"


def test_throughput_start_and_memory_are_reported(housing_models, page):
    found = benchmark(housing_models, "throughput", output=page).throughput

    assert {it.key: it.left_out for it in found.servers} == {"hearth": "", "nginx": "", "grpc": ""}
    hearth = found.servers[0]
    assert [it.form for it in hearth.asked] == [
        "TensorFlow Serving JSON", "v2 JSON", "v2 binary", "gRPC Predict", "gRPC ModelInfer",
    ]  # fmt: skip
    assert all(it.best.rates[0] > 0 for it in hearth.asked)
    assert len(hearth.memory_mib[0]) == 2  # master and worker
    assert f"| Hearth | {hearth.start_s[0]:.2f} |" in page.read_text()
    assert "<!-- Hearth -->" in (page.with_suffix("") / "throughput.svg").read_text()


def test_a_part_measured_later_joins_the_earlier_ones(housing_models, page):
    found = benchmark(housing_models, "open-loop", "--rates", 200, output=page)

    assert found.throughput is not None
    (pace,) = found.open_loop.servers[0].paces
    assert pace.answered[0] > 190
    assert pace.p50_ms <= pace.p99_ms <= pace.p999_ms
    assert "<!-- Hearth -->" in (page.with_suffix("") / "latency.svg").read_text()


def test_targets_are_measured_one_by_one(housing_models, page):
    targets = ("latency", "swap-failures", "memory", "fastest-peer")
    found = benchmark(housing_models, "targets", "--only", *targets, output=page).targets

    assert [it.name for it in found] == list(targets)
    assert [it.left_out for it in found[:3]] == ["", "", ""]
    assert found[1].values == (0.0,)
    assert "no peer is among those measured" in found[3].left_out
    assert "| `latency` |" in page.read_text()


def test_any_server_is_measured_by_its_url(housing_models, tmp_path):
    body = tmp_path / "body"
    body.write_text('{"instances": [[6, 50, 12]]}')
    with running_service(housing_models) as service:
        url = f"{service.url}/v1/models/housing:predict"
        common = ["--body", body, "--seconds", 1, "--json", "--connections", 2]
        closed = subprocess.check_output(command("url", url, *common), cwd=ROOT, text=True)
        paced = subprocess.check_output(
            command("url", url, *common, "--rate", 100), cwd=ROOT, text=True
        )

    assert results.msgspec.json.decode(closed)["rate"] > 0
    assert results.msgspec.json.decode(paced)["failed"] == 0


def test_an_interrupted_run_leaves_nothing_running(housing_models):
    process = subprocess.Popen(
        command("throughput", "--peers", "--model_base_path", housing_models / "housing"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def serving() -> list[int]:
        return [pid for pid in descendants(process.pid) if b"--model_name" in _command_line(pid)]

    with process:
        wait_until(serving, "a server of the benchmark")
        started = serving()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert "all servers are stopped" in said
    wait_until(lambda: not any(map(_command_line, started)), "the end of its servers")


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
