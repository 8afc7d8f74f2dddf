"""Clients of the headless service, whose name stands for every pod."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc

from tests.integration.reliability.traffic import GRPC_PREDICT
from tests.integration.rpc.calling import ROW, price_of
from tests.names import running_name_server
from tests.servers import Server, free_port, metric, running_service, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.kubernetes.conftest import Resource

FLAG = "--grpc_channel_arguments="
SOONER = {"grpc.max_connection_age_ms=60000": "grpc.max_connection_age_ms=500"}
# As docs/kubernetes.md has it, and asking the name server sooner than every 30 s.
OPTIONS = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 100),
]


def arguments_of(resources: list[Resource]) -> str:
    """The channel arguments that pods are given, of which connections grow old sooner."""
    (deployment,) = (it for it in resources if it["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (given,) = (it for it in container["args"] if it.startswith(FLAG))
    return SOONER[given.removeprefix(FLAG)]


def asked(pod: Server) -> float:
    return metric(pod, "hearth_requests_total", route="predict")


def test_a_grpc_client_finds_a_pod_that_is_added_and_loses_nothing(
    rendered: dict[str, list[Resource]], housing_models: Path
) -> None:
    arguments = arguments_of(rendered["volume"])
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(running_name_server())
        place = {"rest_api_port": free_port(), "port": free_port()}
        first, second = (
            stack.enter_context(
                running_service(
                    housing_models, host=host, grpc_channel_arguments=arguments, **place
                )
            )
            for host in ("127.0.0.2", "127.0.0.3")
        )
        names.addresses.append("127.0.0.2")
        target = f"dns://{names.place}/service:{place['port']}"
        call = stack.enter_context(grpc.insecure_channel(target, OPTIONS)).unary_unary(GRPC_PREDICT)
        message = price_of(ROW).SerializeToString()

        def ask() -> None:
            call(message, timeout=20, wait_for_ready=True)

        ask()
        assert (asked(first), asked(second)) == (1, 0)
        names.addresses.append("127.0.0.3")

        def found() -> bool:
            ask()
            return asked(second) > 0

        wait_until(found, "the second is asked")
