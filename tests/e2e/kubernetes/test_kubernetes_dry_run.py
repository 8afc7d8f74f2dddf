"""kubectl itself reads the manifests, asks an API server what it must, and would create all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml

from tests.e2e.kubernetes.api_server import running_api_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.kubernetes.api_server import ApiServer
    from tests.e2e.kubernetes.conftest import Resource

pytestmark = pytest.mark.system("kubectl")

WAYS = ("volume", "object-storage", "watched", "own", "kserve")
OLDEST, NEWEST = "1.30", ".".join(kubernetes_validate.latest_version().split(".")[:2])

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def server(request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    with running_api_server(request.param) as it:
        yield it


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    """kubectl, told of that server alone."""
    server.asked.clear()
    told = [f"--server={server.url}", f"--cache-dir={tmp_path}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull}

    def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", *told, *arguments]
        return subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, check=False
        )

    return run


def name(resource: Resource) -> str:
    """As kubectl calls it: kind, group and name."""
    group, slash, _ = resource["apiVersion"].partition("/")
    kind = resource["kind"].lower()
    return f"{kind}.{group}" if slash else kind


def created(resources: list[Resource]) -> list[str]:
    return sorted(f"{name(it)}/{it['metadata']['name']} created (dry run)" for it in resources)


@pytest.mark.parametrize(("verb", "way"), [*(("apply", it) for it in WAYS), ("create", "watched")])
def test_kubectl_would_create_every_object_and_nothing_else(
    folders: dict[str, Path],
    rendered: dict[str, list[Resource]],
    server: ApiServer,
    kubectl: Kubectl,
    verb: str,
    way: str,
) -> None:
    done = kubectl(verb, "--dry-run=client", "-k", str(folders[way]))

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == created(rendered[way])
    assert {method for method, _ in server.asked} == {"GET"}
    assert ("GET", "/openapi/v2") in server.asked


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("readinessProbe:", "readynessProbe:", 'unknown field "readynessProbe"'),
        ("minReplicas: 2", "minReplicas: two", 'got "string", expected "integer"'),
        ("kind: CronJob", "kind: Cronjob", 'no matches for kind "Cronjob" in version "batch/v1"'),
    ],
)
def test_kubectl_would_find_what_is_wrong(
    rendered: dict[str, list[Resource]], kubectl: Kubectl, right: str, wrong: str, said: str
) -> None:
    manifests = yaml.safe_dump_all(rendered["volume"])
    assert right in manifests
    done = kubectl("apply", "--dry-run=client", "-f", "-", given=manifests.replace(right, wrong))

    assert done.returncode == 1
    assert said in done.stderr


def test_the_kustomization_of_the_docs_does_what_they_say(
    rendered: dict[str, list[Resource]],
) -> None:
    own = {(it["kind"], it["metadata"]["name"]): it for it in rendered["own"]}
    pod = own["Deployment", "hearth"]["spec"]["template"]["spec"]
    egress = own["NetworkPolicy", "hearth"]["spec"]["egress"]

    assert {it["metadata"]["namespace"] for it in rendered["own"]} == {"hearth"}
    assert pod["initContainers"][0]["args"] == [
        "gs://my-models/housing",
        "/models/housing",
        "--version=7",
    ]
    assert pod["containers"][0]["image"] == "registry.example/hearth-service:0.1.0"
    assert egress[-1]["to"][0] == {"ipBlock": {"cidr": "169.254.169.254/32"}}
