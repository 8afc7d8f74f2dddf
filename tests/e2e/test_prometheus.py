"""A real Prometheus, with the project's own configuration, watches a real service."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.servers import ROOT, Server, free_port, running, running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.system("prometheus", "promtool")

CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
RULES = ROOT / "deploy" / "prometheus" / "rules"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "hearth.json"
# Grafana fills these in; a test cannot wait for a minute of samples.
VARIABLES = {"$__rate_interval": "5s", "$instance": ".*", "$model": ".*", "$protocol": ".*"}
HOUSE = {"instances": [[6.142, 91.7, 18.72]]}


@pytest.fixture(scope="module")
def service(housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with two workers, one good version, and one that is refused."""
    models = tmp_path_factory.mktemp("prometheus") / "models"
    shutil.copytree(housing_models, models)
    (models / "housing" / "999").mkdir()
    (models / "housing" / "999" / "saved_model.pb").write_bytes(b"not a model")
    with running_service(models, workers=2) as server:
        yield server


@pytest.fixture(scope="module")
def joining(housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that joins requests, and takes few at once."""
    folder = tmp_path_factory.mktemp("joining")
    (folder / "batching").write_text(
        "max_batch_size { value: 2 } max_enqueued_batches { value: 1 } "
        "num_batch_threads { value: 1 } batch_timeout_micros { value: 20000 }"
    )
    shutil.copytree(housing_models / "housing", folder / "models" / "joined")
    with running_service(
        folder / "models",
        name="joined",
        executor="tensorflow",
        enable_batching=True,
        batching_parameters_file=folder / "batching",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(
    service: Server, joining: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(configuration([service, joining], port))
    url = f"http://127.0.0.1:{port}"
    command = [
        shutil.which("prometheus") or "",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with running(command, url, f"{url}/-/ready") as server:
        yield server


def configuration(services: Sequence[Server], port: int) -> str:
    """The project's own configuration, but for where the targets are and how often."""
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] |= {"scrape_interval": "200ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(CONFIG.parent / it) for it in config["rule_files"]]
    targets = {
        "hearth": [it.url.removeprefix("http://") for it in services],
        "prometheus": [f"127.0.0.1:{port}"],
    }
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": targets[job["job_name"]]}]
    return str(yaml.safe_dump(config))


def queries() -> list[str]:
    """Every query of the dashboard's panels, with Grafana's variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [it["expr"] for panel in panels for it in panel.get("targets", [])]
    return [fill(expression) for expression in expressions]


def fill(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def query(prometheus: Server, expression: str) -> list[Any]:
    answer = prometheus.get("/api/v1/query?" + urlencode({"query": expression}))
    assert answer.status == 200, answer.text
    return list(answer.json()["data"]["result"])


def numbers(result: list[Any]) -> list[float]:
    """The values that are numbers: 0/0 is what an idle server gives a share."""
    values = [float(sample["value"][1]) for sample in result]
    return [value for value in values if not math.isnan(value)]


def send_much(joining: Server) -> None:
    """More at once than the queue takes."""
    with ThreadPoolExecutor(8) as callers:
        asked = [callers.submit(joining.post, "/v1/models/joined:predict", HOUSE) for _ in range(8)]
    assert {it.result().status for it in asked} <= {200, 429}


def send_traffic(service: Server) -> None:
    """A good request and two bad ones."""
    assert service.post("/v1/models/housing:predict", HOUSE).status == 200
    assert service.post("/v1/models/housing:predict", {"instances": [["a"]]}).status == 400
    assert service.post("/v1/models/nobody:predict", HOUSE).status == 404


def test_configuration_is_one_that_prometheus_takes() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", str(CONFIG)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_rules_are_ones_that_prometheus_takes_and_fire_as_their_tests_say() -> None:
    tests = [str(path) for path in sorted((RULES / "tests").glob("*.yml"))]
    for command in (["check", "rules", "hearth.yml"], ["test", "rules", *tests]):
        done = subprocess.run(
            ["promtool", *command], cwd=RULES, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_load_that_failed_is_on_its_way_to_an_alert(prometheus: Server) -> None:
    def pending() -> bool:
        found = query(prometheus, 'ALERTS{alertname="HearthLoadFailed"}')
        return [it["metric"]["model"] for it in found] == ["housing"]

    wait_until(pending, "the alert has seen it")


def test_metrics_follow_prometheus_own_rules(service: Server) -> None:
    send_traffic(service)

    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=service.get("/metrics").body,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_service_is_a_target_that_is_up(prometheus: Server) -> None:
    wait_until(lambda: query(prometheus, 'up{job="hearth"} == 1'), "the service is scraped")

    targets = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
    health = {target["labels"]["job"]: target["health"] for target in targets}
    assert health["hearth"] == "up"


@pytest.mark.parametrize("expression", queries())
def test_every_query_of_the_dashboard_has_an_answer(
    service: Server, joining: Server, prometheus: Server, expression: str
) -> None:
    def answered() -> bool:
        send_traffic(service)
        send_much(joining)
        return bool(numbers(query(prometheus, expression)))

    wait_until(answered, f"numbers for {expression}")


def test_requests_are_counted_once_whichever_worker_answers(
    service: Server, prometheus: Server
) -> None:
    house = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [6.142, 91.7, 18.72]}
    counted = 'sum(hearth_requests_total{protocol="open_inference", model="housing"})'
    # No other test asks by this protocol: what is still on its way to the scrape is none of it.
    assert query(prometheus, counted) == []

    for _ in range(20):
        assert service.post("/v2/models/housing/infer", {"inputs": [house]}).status == 200

    wait_until(lambda: numbers(query(prometheus, counted)) == [20], "20 requests are counted")


def test_the_refused_version_is_shown_and_the_good_one_served(
    service: Server, prometheus: Server
) -> None:
    refused = 'sum(hearth_model_loads_total{model="housing", outcome!="ok"}) > 0'
    served = 'sum by (version) (hearth_model_version_workers{model="housing"}) == 2'

    wait_until(lambda: query(prometheus, refused), "the refused load is counted")
    wait_until(lambda: query(prometheus, served), "both workers serve the good version")
    assert [sample["metric"]["version"] for sample in query(prometheus, served)] == ["1"]
