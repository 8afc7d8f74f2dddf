"""What a container's health check runs sees a service with TLS and without."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from service.probe import is_ready
from tests.certificates import certify, ssl_config
from tests.servers import ROOT, free_port, running_service, wait_until


def port_of(service) -> int:
    return urlsplit(service.url).port


@pytest.mark.parametrize("form", ["plain", "tls"])
def test_a_service_is_seen_to_be_ready_and_to_have_ended(housing_models, tmp_path, form):
    config = ssl_config(tmp_path, certify(tmp_path, "localhost"), None, verify=False)
    flags = {"rest_ssl_config_file": config} if form == "tls" else {}
    with running_service(housing_models, until=None, **flags) as service:
        wait_until(lambda: is_ready(port_of(service)), "it is ready")
    assert not is_ready(port_of(service))


def test_a_service_without_a_version_is_not_ready(tmp_path):
    (tmp_path / "housing").mkdir()
    with running_service(tmp_path, until="/livez") as service:
        assert not is_ready(port_of(service))


def test_the_command_says_so_by_its_exit_code():
    command = [sys.executable, "-m", "service.probe", str(free_port())]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 1
