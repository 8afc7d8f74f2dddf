"""The promises of docker-compose.yml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import settings as service_settings
from training import flags as training_flags
from training import labels

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_RUNNING = sorted(set(SERVICES) - {"train"})
PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
PROXY = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"


def environment(service: dict[str, Any]) -> dict[str, str]:
    return dict(service.get("environment", {}))


def test_the_stack_is_complete() -> None:
    assert set(SERVICES) == {"train", "service", "proxy", "prometheus", "grafana"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_container_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert int(service["user"].partition(":")[0]) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged", False)
    assert "cap_add" not in service
    assert "docker.sock" not in str(service)


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_should_run_on_is_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or "HEALTHCHECK" in dockerfile(service)


def dockerfile(service: dict[str, Any]) -> str:
    return (ROOT / service["build"]["dockerfile"]).read_text() if "build" in service else ""


def test_training_runs_once_and_serving_waits_for_it() -> None:
    assert SERVICES["train"]["restart"] == "no"
    assert SERVICES["service"]["depends_on"] == {
        "train": {"condition": "service_completed_successfully"}
    }


def test_the_service_can_only_read_the_models_that_training_writes() -> None:
    assert SERVICES["train"]["volumes"] == ["models:/models"]
    assert SERVICES["service"]["volumes"] == ["models:/models:ro"]
    assert "models" in COMPOSE["volumes"]


def test_the_service_follows_the_config_that_training_writes() -> None:
    trained, served = SERVICES["train"]["command"], SERVICES["service"]["command"]
    order = training_flags.parse(trained)
    settings = service_settings.parse([it.replace("${WORKERS:-1}", "1") for it in served], {})

    assert settings.model_config_file == order.models / labels.CONFIG
    assert settings.model_config_file_poll_wait_seconds > 0
    assert settings.default_version_label == labels.STABLE


def test_a_network_that_is_not_better_does_not_keep_the_stack_from_starting() -> None:
    assert training_flags.parse(SERVICES["train"]["command"]).keep_served


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_ports_are_open_to_this_machine_alone_by_default(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("${LISTEN:-127.0.0.1}:")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_the_file_holds_no_secret(name: str) -> None:
    for variable, value in environment(SERVICES[name]).items():
        secret = re.search("PASSWORD|SECRET|TOKEN|KEY", variable)
        assert not secret or str(value).startswith("${"), variable


@pytest.mark.parametrize("name", ["prometheus", "grafana", "proxy"])
def test_images_of_others_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_file_that_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert rest.endswith(":ro"), f"{source} could be written to"


def test_every_named_volume_is_declared() -> None:
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }

    assert {name for name in used if not name.startswith(".")} == set(COMPOSE["volumes"])


def test_prometheus_asks_every_service_at_its_name_and_port() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    (found,) = jobs["hearth"]["dns_sd_configs"]

    assert (found["names"], found["type"], found["port"]) == (["service"], "A", 8501)
    assert jobs["hearth"]["metrics_path"] == "/metrics"
    assert "ports" not in SERVICES["service"]  # or there could be but one


def test_the_proxy_finds_every_service_by_name_and_asks_for_readiness() -> None:
    assert (
        "./deploy/haproxy/haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"
        in (SERVICES["proxy"]["volumes"])
    )
    templates = re.findall(r"server-template service \d+ (\S+)(.*)$", PROXY, re.MULTILINE)
    assert templates == [
        ("service:8501", ""),
        ("service:8500", " proto h2 port 8501 check-proto h1"),
    ]
    assert "option httpchk GET /readyz" in PROXY


def test_a_service_waits_until_the_proxy_has_seen_that_it_goes() -> None:
    served = SERVICES["service"]["command"]
    settings = service_settings.parse([it.replace("${WORKERS:-1}", "1") for it in served], {})
    check = re.search(r"check inter (\d+)ms fastinter (\d+)ms .*fall (\d+)", PROXY)

    assert check
    seen_s = (int(check[1]) + (int(check[3]) - 1) * int(check[2])) / 1000
    assert settings.shutdown_delay_s > 2 * seen_s
    grace_s = int(SERVICES["service"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > settings.shutdown_delay_s + settings.graceful_timeout_s + 1


def test_the_proxy_waits_longer_than_the_service_takes() -> None:
    limit = re.search(r"timeout server (\d+)s", PROXY)

    assert limit
    assert int(limit[1]) * 1000 > service_settings.Settings.rest_api_timeout_in_ms


def test_grafana_asks_prometheus_at_its_name_and_port() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]

    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/hearth.yml").read_text())["providers"]
    mounted = {volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}

    assert provider["options"]["path"] in mounted


def test_both_ports_of_the_service_are_published_by_the_proxy() -> None:
    inside = {port.rpartition(":")[2] for port in SERVICES["proxy"]["ports"]}

    assert inside == {"8500", "8501"}
