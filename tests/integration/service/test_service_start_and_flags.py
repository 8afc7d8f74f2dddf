"""Starting: what stands in the way is said on the terminal, and what does not is waited for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.integration.service.wire import HOUSE, PREDICT
from tests.servers import ROOT, free_port, running, running_service, wait_until


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    """A start that is to fail by itself."""
    return subprocess.run(
        [sys.executable, "-m", "service", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("flag", ["rest_api_port", "port"])
def test_a_port_in_use_ends_the_start_with_one_plain_line(flag, tmp_path):
    ports = {"rest_api_port": free_port(), "port": free_port()}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports[flag] = taken.getsockname()[1]
        done = run(
            "--host=127.0.0.1",
            f"--model_base_path={tmp_path}",
            *(f"--{name}={number}" for name, number in ports.items()),
        )

    assert done.returncode == 1
    assert done.stderr == f"python -m service: --{flag}: 127.0.0.1:{ports[flag]} is in use\n"


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--workers=many", "--workers is 'many', not a whole number"),
        ("--modle_name=x", "unrecognized arguments: --modle_name=x"),
    ],
)
def test_a_wrong_flag_ends_the_start_with_one_plain_line(flag, said):
    done = run(flag)

    assert done.returncode == 2
    assert done.stderr == f"python -m service: {said} (--help lists the flags)\n"


def test_a_missing_model_is_said_and_waited_for(models, tmp_path):
    later = tmp_path / "later"
    flags = {"until": "/livez", "file_system_poll_wait_seconds": 0.1}
    with running_service(later, **flags) as service:
        answer = service.get("/readyz")
        assert answer.status == 503
        assert answer.json()["reason"] == (
            "model housing: its folder cannot be read (No such file or directory)"
        )
        assert service.post(PREDICT, HOUSE).status == 404
        assert "its folder cannot be read" in service.output()

        models.rename(later)
        wait_until(lambda: service.get("/readyz").status == 200, "the version is served")
        assert service.post(PREDICT, HOUSE).status == 200


def test_a_server_of_only_bad_versions_is_up_and_says_why(models):
    (models / "housing" / "1" / "model.tflite").write_bytes(b"rubbish")
    with running_service(models, until="/livez") as service:
        assert service.get("/readyz").status == 503
        assert "model.tflite has SHA-256" in service.get("/readyz").json()["reason"]
        (status,) = service.get("/v1/models/housing").json()["model_version_status"]
        assert status["state"] == "END"
        assert "model.tflite has SHA-256" in status["status"]["error_message"]


def test_the_welcome_holds_a_line_that_works_when_pasted(models):
    with running_service(models) as service:
        wait_until(lambda: "curl" in service.output(), "the welcome")
        (line,) = [it for it in service.output().splitlines() if "curl -d" in it]
        done = subprocess.run(
            line, shell=True, capture_output=True, text=True, timeout=20, check=False
        )

    assert json.loads(done.stdout)["predictions"][0] > 0


def access_log(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"time"')]


@pytest.mark.parametrize(
    ("policy", "statuses"), [("off", []), ("errors", [404]), ("all", [200, 404])]
)
def test_the_access_log_goes_to_standard_output_as_asked(models, policy, statuses):
    with running_service(models, access_log=policy) as service:
        service.post(PREDICT, HOUSE)
        service.post("/v1/models/flat:predict", HOUSE)
        service.get("/livez")
        lines = access_log(service.output())

    seen = [it for it in lines if it["path"].endswith(":predict")]
    assert [it["status"] for it in seen] == statuses
    assert all(it["client"] == "127.0.0.1" and it["request_id"] for it in seen)


def test_control_c_stops_it_in_order(models):
    with running_service(models) as service:
        os.kill(service.process.pid, signal.SIGINT)
        assert service.process.wait(20) == 0


def test_a_stop_before_anything_is_served_leaves_nothing(models, tmp_path):
    ports = (f"--{name}={free_port()}" for name in ("rest_api_port", "port"))
    command = [sys.executable, "-m", "service", "--host=127.0.0.1", "--model_name=housing",
               f"--model_base_path={models / 'housing'}", *ports]  # fmt: skip
    shared = tmp_path / "shared"
    shared.mkdir()
    environment = os.environ | {"TMPDIR": str(shared)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as service:
        wait_until(lambda: list(shared.glob("hearth-*/metrics")), "a shared folder")
        service.terminate()
        assert service.wait(20) == 0

    assert list(shared.iterdir()) == []


def test_a_signal_to_begin_once_more_changes_nothing(models):
    with running_service(models) as service:
        os.kill(service.process.pid, signal.SIGUSR2)
        wait_until(lambda: "SIGUSR2 is not heeded" in service.output(), "a warning")
        assert service.post(PREDICT, HOUSE).status == 200
        assert "Traceback" not in service.output()


def test_a_full_disk_behind_standard_output_costs_no_request(models):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ports = [f"--rest_api_port={port}", f"--port={free_port()}", "--host=127.0.0.1"]
    named = ["--model_name=housing", f"--model_base_path={models / 'housing'}"]
    command = [sys.executable, "-m", "service", *ports, *named, "--access_log=all"]
    with running(["sh", "-c", 'exec "$@" > /dev/full', "sh", *command], url, f"{url}/readyz") as it:
        assert it.post(PREDICT, HOUSE).status == 200
        assert it.post(PREDICT, b"{").status == 400
        assert it.output().count("the access log cannot be written") == 1
        assert "Traceback" not in it.output()


def test_an_audit_log_that_cannot_be_written_ends_the_start_with_one_plain_line(tmp_path):
    ports = (f"--{name}={free_port()}" for name in ("rest_api_port", "port"))
    done = run("--host=127.0.0.1", f"--audit_log_file={tmp_path}", *ports)

    assert done.returncode == 1
    said = f"--audit_log_file: {tmp_path} cannot be written: Is a directory"
    assert done.stderr == f"python -m service: {said}\n"
