"""Three services of one name behind the stack's proxy, which finds them as they come and go."""

from __future__ import annotations

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.integration.reliability.traffic import GrpcClient, HttpClient, mixed
from tests.integration.rpc.calling import ROW, price_of
from tests.names import running_name_server
from tests.proxy import by_name, running_proxy
from tests.servers import Server, fetch, free_port, metric, running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.names import NameServer

pytestmark = pytest.mark.system("haproxy")

ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
ANOTHER = "127.0.0.5"
# As in docker-compose.yml: longer than the proxy takes to see that a service is going.
DELAY_S = 2
REQUESTS = 60
REST, GRPC = "tensorflow_serving", "tensorflow_serving_grpc"


class Stack:
    """The services that run, by address; the name server knows those and no others."""

    def __init__(self, models: Path, place: tuple[int, int], names: NameServer) -> None:
        self._models, self._place, self._names = models, place, names
        self.running: dict[str, contextlib.ExitStack] = {}
        self.services: dict[str, Server] = {}

    def begin(self, address: str) -> None:
        rest, grpc = self._place
        running = self.running[address] = contextlib.ExitStack()
        self._names.addresses.append(address)  # from its start, long before it is ready
        self.services[address] = running.enter_context(
            running_service(
                self._models, host=address, rest_api_port=rest, port=grpc, shutdown_delay_s=DELAY_S
            )
        )

    def end(self, address: str) -> None:
        """As an engine does: told to stop, waited for, and then forgotten."""
        self.running.pop(address).close()
        self.services.pop(address)
        self._names.addresses.remove(address)

    def close(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.end, list(self.running)))


@pytest.fixture(scope="module")
def message() -> bytes:
    return price_of(ROW).SerializeToString()


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with running_name_server() as it:
        yield it


@pytest.fixture(scope="module")
def place() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def stack(housing_models: Path, place: tuple[int, int], names: NameServer) -> Iterator[Stack]:
    with contextlib.closing(Stack(housing_models, place, names)) as it:
        with ThreadPoolExecutor() as pool:
            list(pool.map(it.begin, ADDRESSES))
        yield it


@pytest.fixture(scope="module")
def proxy(
    stack: Stack,
    place: tuple[int, int],
    names: NameServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("proxy")
    with running_proxy(folder, by_name(place, names.place)) as it:
        wait_until(lambda: is_ready(it), "the proxy has found a service")
        yield it


def is_ready(proxy: Server) -> bool:
    with contextlib.suppress(OSError):
        return fetch(proxy.url + "/readyz").status == 200
    return False


def answered(service: Server, protocol: str) -> float:
    return metric(service, "hearth_requests_total", protocol=protocol, route="predict")


def counted(stack: Stack, protocol: str) -> dict[str, float]:
    return {address: answered(it, protocol) for address, it in stack.services.items()}


def all_take_part(stack: Stack) -> bool:
    return all(min(counted(stack, it).values()) > 0 for it in (REST, GRPC))


@pytest.mark.parametrize("protocol", [REST, GRPC])
def test_one_clients_requests_are_shared_out_among_all(
    stack: Stack, proxy: Server, message: bytes, protocol: str
) -> None:
    client = HttpClient(proxy.url) if protocol == REST else GrpcClient(proxy.grpc, message)
    with contextlib.closing(client):
        wait_until(lambda: client.ask() == 200 and all(counted(stack, protocol).values()), "all do")
        before = counted(stack, protocol)
        assert {client.ask() for _ in range(REQUESTS)} == {200}
    share = {address: it - before[address] for address, it in counted(stack, protocol).items()}

    assert sum(share.values()) == REQUESTS
    assert min(share.values()) >= REQUESTS / len(ADDRESSES) / 2


def test_one_goes_and_another_comes_and_no_request_is_lost(
    stack: Stack, proxy: Server, message: bytes
) -> None:
    with mixed(proxy, message, pause_s=0.01) as clients:
        stack.end(ADDRESSES[0])
        stack.begin(ANOTHER)
        wait_until(functools.partial(all_take_part, stack), "the new one is asked")

    assert clients.failures == []
    assert set(stack.services) == {*ADDRESSES[1:], ANOTHER}


def test_who_is_no_longer_named_is_asked_no_more(
    stack: Stack, proxy: Server, names: NameServer
) -> None:
    forgotten = ADDRESSES[-1]
    names.addresses.remove(forgotten)

    with contextlib.closing(HttpClient(proxy.url)) as client:
        wait_until(lambda: not grows(stack.services[forgotten], client), "it is left out")
    names.addresses.append(forgotten)


def grows(service: Server, client: HttpClient) -> bool:
    """Whether any of some requests reaches it."""
    before = answered(service, REST)
    assert {client.ask() for _ in range(4 * len(ADDRESSES))} == {200}
    return answered(service, REST) > before
