"""Resources that the Kubernetes API's own schemas do not know, read by their makers' types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.servers import ROOT

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Ask

pytestmark = pytest.mark.timeout(600)  # the first run installs the types

FOLDER = ROOT / "deploy" / "kubernetes"


def read(*names: str) -> list[Any]:
    return [yaml.safe_load((FOLDER / it).read_text()) for it in names]


def test_the_prometheus_operator_understands_every_word(ask: Ask) -> None:
    resources = read(
        "components/monitoring/service-monitor.yml", "components/monitoring/prometheus-rule.yml"
    )

    assert ask("prometheus_operator", resources) == resources


def test_kserve_understands_every_word(ask: Ask) -> None:
    resources = read("kserve/serving-runtime.yml", "kserve/inference-service.yml")

    assert ask("kserve", resources, script="kserve_manifests_script.py") == []


def test_a_word_that_kserve_does_not_know_would_be_found(ask: Ask) -> None:
    (runtime,) = read("kserve/serving-runtime.yml")
    (container,) = runtime["spec"]["containers"]
    container["readinessProbe"]["httpget"] = container["readinessProbe"].pop("httpGet")
    runtime["spec"]["multimodel"] = True

    found = ask("kserve", [runtime], script="kserve_manifests_script.py")

    assert found == [
        "ServingRuntime.spec.multimodel",
        "ServingRuntime.spec.containers[0].readinessProbe.httpget",
    ]
