"""The manifests: valid for the API, agreed among themselves, and true of the service."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from deploy.prometheus_rule import RULES, prometheus_rule
from service import VERSION
from service import settings as service_settings
from tests.e2e.kubernetes.conftest import FOLDER, ROOT
from tests.servers import running_service
from tests.unit.deploy.published import published
from training import flags as training_flags
from training import labels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.kubernetes.conftest import Resource

pytestmark = pytest.mark.system("kubectl", "promtool")

WAYS = ("volume", "object-storage", "watched", "kserve")
PLAIN = ("volume", "object-storage", "watched")
# The oldest that knows all that is used here, and the newest that there is.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
# Of the Prometheus operator and of KServe: the API's own schemas do not know them.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ServingRuntime", "InferenceService"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
MEBIBYTE = 2**20
# docs/benchmarks.md, "Start and memory".
MEASURED = 107 * MEBIBYTE


def one(resources: list[Resource], kind: str, name: str = "hearth") -> Resource:
    (found,) = (it for it in resources if it["kind"] == kind and it["metadata"]["name"] == name)
    return found


def pods(resources: list[Resource]) -> Iterator[Resource]:
    """The pod of everything that makes pods."""
    for it in resources:
        if it["kind"] in {"Deployment", "Job"}:
            yield it["spec"]["template"]
        elif it["kind"] == "CronJob":
            yield it["spec"]["jobTemplate"]["spec"]["template"]


def containers(resources: list[Resource]) -> list[Resource]:
    specs = [it["spec"] for it in pods(resources)]
    specs += [it["spec"] for it in resources if it["kind"] == "ServingRuntime"]
    return [it for spec in specs for it in [*spec.get("initContainers", []), *spec["containers"]]]


def service_pod(resources: list[Resource]) -> Resource:
    return one(resources, "Deployment")["spec"]["template"]  # type: ignore[no-any-return]


def serving(resources: list[Resource]) -> Resource:
    """The container that serves."""
    if any(it["kind"] == "ServingRuntime" for it in resources):
        (container,) = one(resources, "ServingRuntime")["spec"]["containers"]
    else:
        (container,) = service_pod(resources)["spec"]["containers"]
    return container  # type: ignore[no-any-return]


def settings(container: Resource) -> service_settings.Settings:
    arguments = [it.replace("{{.Name}}", "housing") for it in container["args"]]
    environment = {it["name"]: it["value"] for it in container.get("env", [])}
    return service_settings.parse(arguments, environment)


def size(text: str) -> int:
    """Bytes of a quantity such as 512Mi."""
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": MEBIBYTE, "Gi": 1024 * MEBIBYTE}[unit]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("way", WAYS)
def test_every_resource_is_one_that_the_api_takes(
    rendered: dict[str, list[Resource]], way: str, version: str
) -> None:
    for resource in rendered[way]:
        if resource["kind"] not in CUSTOM:
            kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("way", PLAIN)
def test_what_selects_pods_finds_them(rendered: dict[str, list[Resource]], way: str) -> None:
    labelled = [it["metadata"]["labels"] for it in pods(rendered[way])]
    for resource in rendered[way]:
        if resource["kind"] in {"Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"}:
            spec = resource["spec"]
            selector = spec.get("selector") or spec["podSelector"]
            wanted = selector.get("matchLabels", selector)
            assert any(wanted.items() <= it.items() for it in labelled), resource["metadata"]


def test_pods_are_spread_over_nodes_and_zones(rendered: dict[str, list[Resource]]) -> None:
    pod = service_pod(rendered["volume"])
    spread = pod["spec"]["topologySpreadConstraints"]

    assert {it["topologyKey"] for it in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    for it in spread:
        assert it["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_an_update_takes_no_pod_away_before_another_is_ready(
    rendered: dict[str, list[Resource]],
) -> None:
    spec = one(rendered["volume"], "Deployment")["spec"]

    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "replicas" not in spec  # the autoscaler's
    assert one(rendered["volume"], "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


@pytest.mark.parametrize("way", WAYS)
def test_no_container_has_more_rights_than_it_needs(
    rendered: dict[str, list[Resource]], way: str
) -> None:
    for container in containers(rendered[way]):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
    for pod in pods(rendered[way]):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not any("hostPath" in it for it in spec["volumes"])


def test_containers_run_as_the_images_user(rendered: dict[str, list[Resource]]) -> None:
    user, group = (int(it) for it in COMPOSE["service"]["user"].split(":"))
    for pod in pods(rendered["volume"]):
        context = pod["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (user, group)
        assert context["fsGroup"] == group
    runtime = serving(rendered["kserve"])["securityContext"]
    assert (runtime["runAsUser"], runtime["runAsNonRoot"]) == (user, True)
    assert runtime["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("way", WAYS)
def test_images_are_those_that_compose_builds_in_this_version(
    rendered: dict[str, list[Resource]], way: str
) -> None:
    built = {COMPOSE[name]["image"] for name in ("train", "service")} | {"hearth-fetch"}
    for container in containers(rendered[way]):
        name, _, tag = container["image"].partition(":")
        assert name in built
        assert tag == VERSION


@pytest.mark.parametrize("way", WAYS)
def test_every_flag_is_one_of_the_service(rendered: dict[str, list[Resource]], way: str) -> None:
    container = serving(rendered[way])
    given = {it.partition("=")[0].removeprefix("--") for it in container["args"]}

    assert given <= {it.name for it in service_settings.knobs()}
    assert settings(container).without_effect == ()


@pytest.mark.parametrize("way", WAYS)
def test_flags_are_not_given_twice(rendered: dict[str, list[Resource]], way: str) -> None:
    names = [it.partition("=")[0] for it in serving(rendered[way])["args"]]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("way", PLAIN)
def test_ports_are_those_that_the_service_listens_on(
    rendered: dict[str, list[Resource]], way: str
) -> None:
    container = serving(rendered[way])
    told, ports = settings(container), container["ports"]
    named = {it["name"]: it["containerPort"] for it in ports}

    assert named == {"http": told.rest_api_port, "grpc": told.port}
    for service in (it for it in rendered[way] if it["kind"] == "Service"):
        for port in service["spec"]["ports"]:
            assert named[port["targetPort"]] == port["port"]
    policy = one(rendered[way], "NetworkPolicy")["spec"]
    assert {it["port"] for rule in policy["ingress"] for it in rule["ports"]} == set(named)


def test_grpc_clients_find_every_pod_by_name(rendered: dict[str, list[Resource]]) -> None:
    service = one(rendered["volume"], "Service", "hearth-grpc")["spec"]

    assert service["clusterIP"] == "None"
    assert [it["name"] for it in service["ports"]] == ["grpc"]


def grace_s(resources: list[Resource]) -> int:
    # KServe leaves it at what the API gives to any pod.
    if any(it["kind"] == "ServingRuntime" for it in resources):
        return 30
    return int(service_pod(resources)["spec"]["terminationGracePeriodSeconds"])


@pytest.mark.parametrize("way", WAYS)
def test_a_pod_is_given_more_time_than_its_stop_may_take(
    rendered: dict[str, list[Resource]], way: str
) -> None:
    container = serving(rendered[way])
    told = settings(container)
    before_s = container.get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})["preStop"]
    stop_s = before_s["sleep"]["seconds"] + told.shutdown_delay_s + told.graceful_timeout_s

    assert told.shutdown_delay_s > readiness_s(container)
    # The master waits a second longer than its workers.
    assert grace_s(rendered[way]) > stop_s + 1


def readiness_s(container: Resource) -> int:
    """Seconds until a pod that is not ready is known to be so."""
    probe = container["readinessProbe"]
    return int(probe["periodSeconds"] * probe["failureThreshold"])


@pytest.mark.parametrize("way", WAYS)
def test_memory_is_enough_for_what_was_measured(
    rendered: dict[str, list[Resource]], way: str
) -> None:
    container = serving(rendered[way])
    told = settings(container)
    resources = container["resources"]
    most = MEASURED + told.max_bytes_in_flight + told.load_trial_memory_bytes

    assert size(resources["requests"]["memory"]) > 1.5 * MEASURED
    assert size(resources["limits"]["memory"]) > most
    assert told.workers == 1
    assert "cpu" not in resources["limits"]


@pytest.fixture(scope="module")
def answering(
    rendered: dict[str, list[Resource]], housing_models: Path, tmp_path_factory: Any
) -> Any:
    """A service started with the runtime's own flags, but for its place and the models'."""
    container = serving(rendered["kserve"])
    flags: dict[str, Any] = dict(
        (it.removeprefix("--").partition("=")[::2]) for it in container["args"]
    )
    del flags["port"], flags["rest_api_port"], flags["model_name"], flags["model_base_path"]
    flags |= {"shutdown_delay_s": 0, "find_model": True}
    with running_service(housing_models, **flags) as server:
        yield server


@pytest.mark.parametrize("way", WAYS)
def test_probes_ask_for_what_the_service_answers(
    rendered: dict[str, list[Resource]], way: str, answering: Any
) -> None:
    container = serving(rendered[way])
    ports: dict[Any, int] = {it["name"]: it["containerPort"] for it in container["ports"]}
    ports |= {it: it for it in ports.values()}
    probes = {name: it["httpGet"] for name, it in container.items() if name.endswith("Probe")}

    assert {"readinessProbe", "livenessProbe"} <= set(probes)
    for probe in probes.values():
        assert ports[probe["port"]] == settings(container).rest_api_port
        assert answering.get(probe["path"]).status == 200
    # A service that drains is not ready, and must not be ended for it.
    assert probes["readinessProbe"]["path"] == "/readyz"
    assert probes["livenessProbe"]["path"] == "/livez"


def test_kserve_routes_are_answered_by_the_runtime(answering: Any) -> None:
    house = {"instances": [[6.142, 91.7, 18.72]]}

    assert answering.post("/v1/models/housing:predict", house).status == 200
    assert answering.get("/v2/models/housing/ready").status == 200
    assert answering.get("/metrics").status == 200


def test_the_service_follows_the_config_that_training_writes(
    rendered: dict[str, list[Resource]],
) -> None:
    training = [it for it in containers(rendered["volume"]) if it["name"] == "training"]
    told = settings(serving(rendered["volume"]))

    assert len(training) == 2
    for container in training:
        order = training_flags.parse(container["args"])
        assert told.model_config_file == order.models / labels.CONFIG
        assert order.keep_served
    assert told.model_config_file_poll_wait_seconds > 0
    assert told.default_version_label == labels.STABLE


def test_the_service_can_only_read_the_volume(rendered: dict[str, list[Resource]]) -> None:
    claim = one(rendered["volume"], "PersistentVolumeClaim", "hearth-models")
    pod = service_pod(rendered["volume"])["spec"]

    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert pod["volumes"][0] == {
        "name": "models",
        "persistentVolumeClaim": {"claimName": "hearth-models", "readOnly": True},
    }
    for container in [*pod["initContainers"], *pod["containers"]]:
        mounts = {it["name"]: it for it in container["volumeMounts"]}
        assert mounts["models"]["readOnly"] is True


def test_the_alerts_are_those_of_the_rules_file(rendered: dict[str, list[Resource]]) -> None:
    written = (FOLDER / "components/monitoring/prometheus-rule.yml").read_text()

    assert written == prometheus_rule(RULES.read_text())
    rule = one(rendered["watched"], "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())


def test_prometheus_finds_the_service_under_the_name_that_alerts_ask_for(
    rendered: dict[str, list[Resource]],
) -> None:
    resources = rendered["watched"]
    monitor = one(resources, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"]
    (found,) = (
        it
        for it in resources
        if it["kind"] == "Service" and wanted.items() <= it["metadata"]["labels"].items()
    )
    (endpoint,) = monitor["endpoints"]

    assert endpoint["port"] in {it["name"] for it in found["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert found["metadata"]["labels"][monitor["jobLabel"]] == "hearth"
    assert 'up{job="hearth"}' in RULES.read_text()


def test_the_autoscaler_asks_for_what_the_adapter_gives(
    rendered: dict[str, list[Resource]], tmp_path: Path
) -> None:
    (rule,) = yaml.safe_load((FOLDER / "components/monitoring/prometheus-adapter.yml").read_text())[
        "rules"
    ]
    scaled = one(rendered["watched"], "HorizontalPodAutoscaler")["spec"]
    kinds = {it["type"]: it for it in scaled["metrics"]}
    series = rule["seriesQuery"].partition("{")[0]

    assert set(kinds) == {"Resource", "Pods"}
    assert kinds["Pods"]["pods"]["metric"]["name"] == rule["name"]["as"]
    assert series in published()
    assert scaled["scaleTargetRef"]["name"] == "hearth"
    told = settings(serving(rendered["watched"]))
    target = int(kinds["Pods"]["pods"]["target"]["averageValue"])
    assert target == told.rest_api_num_threads / 2
    query = rule["metricsQuery"]
    for placeholder, text in (
        ("<<.GroupBy>>", "pod"),
        ("<<.Series>>", series),
        ("<<.LabelMatchers>>", 'namespace="default"'),
    ):
        query = query.replace(placeholder, text)
    check_query(query, tmp_path)


def check_query(query: str, folder: Path) -> None:
    """Have Prometheus' own tool read a query."""
    rules = folder / "rules.yml"
    group = {"name": "adapter", "rules": [{"record": "it", "expr": query}]}
    rules.write_text(yaml.safe_dump({"groups": [group]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(rules)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_monitoring_may_scrape_and_nothing_else(rendered: dict[str, list[Resource]]) -> None:
    policy = one(rendered["watched"], "NetworkPolicy", "hearth-metrics")["spec"]

    assert policy["policyTypes"] == ["Ingress"]
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]


def test_kserve_prefers_this_runtime_for_tensorflow(rendered: dict[str, list[Resource]]) -> None:
    runtime = one(rendered["kserve"], "ServingRuntime")["spec"]
    asked = one(rendered["kserve"], "InferenceService", "housing")["spec"]["predictor"]["model"]

    formats = [
        {key: it[key] for key in ("name", "version")} for it in runtime["supportedModelFormats"]
    ]
    assert asked["modelFormat"] in formats
    assert asked["protocolVersion"] in runtime["protocolVersions"]
    assert asked["runtime"] == "hearth"
    # KServe's own has 2.
    assert all(it["autoSelect"] and it["priority"] > 2 for it in runtime["supportedModelFormats"])
    assert runtime["containers"][0]["name"] == "kserve-container"
