"""What the terminal shows when the service is up: where everything is, and a line to paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from service import contract as contracts
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from service.contract import Contract
    from service.settings import Settings

_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - to show a local address instead


def welcome(settings: Settings) -> str:
    """The text to show.

    Args:
        settings: The knobs of the service that is up.
    """
    host = "localhost" if settings.host in _EVERYWHERE else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.rest_api_port}"
    model = settings.model_name
    return (
        f"Hearth serves {model} from {settings.model_base_path}\n"
        f"  page     {url}/\n"
        f"  API      {url}/v1/models/{model}\n"
        f"  metrics  {url}/metrics\n"
        f"{_grpc(host, settings.port)}"
        f"Ask it:\n"
        f"  curl -d '{_example(_newest_contract(settings))}' {url}/v1/models/{model}:predict"
    )


def _grpc(host: str, port: int) -> str:
    return f"  gRPC     {host}:{port}\n" if port else ""


def _newest_contract(settings: Settings) -> Contract | None:
    try:
        versions = find_versions(settings.model_base_path)
        return contracts.read(versions[max(versions)]) if versions else None
    except (OSError, contracts.ContractError):
        return None


def _example(contract: Contract | None) -> str:
    if contract is None:
        return '{"instances": [[1.0]]}'
    house = {feature.name: feature.training.median for feature in contract.features}
    return json.dumps({"instances": [house]})
