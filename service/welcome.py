"""What the terminal shows when the service is up: where everything is, and a line to paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from service import contract as contracts
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.contract import Contract
    from service.repository.config import ModelConfig
    from service.settings import Settings

_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - to show a local address instead


def welcome(settings: Settings, models: Sequence[ModelConfig]) -> str:
    """The text to show.

    Args:
        settings: The knobs of the service that is up.
        models: What it serves.
    """
    host = "localhost" if settings.host in _EVERYWHERE else settings.host
    host = f"[{host}]" if ":" in host else host
    served = ", ".join(f"{model.name} from {model.base_path}" for model in models) or "no model yet"
    lines = [f"Hearth serves {served}"]
    lines += [f"  gRPC     {address}" for address in _grpc(settings, host)]
    if settings.rest_api_port:
        scheme = "http" if settings.rest_ssl_config_file is None else "https"
        url = f"{scheme}://{host}:{settings.rest_api_port}"
        lines += _rest(url, models, settings.default_version_label)
    return "\n".join(lines)


def _rest(url: str, models: Sequence[ModelConfig], label: str) -> list[str]:
    lines = [
        f"  page     {url}/",
        f"  API      {url}/v1/models",
        f"  metrics  {url}/metrics",
    ]
    if models:
        path = f"{url}/v1/models/{quote(models[0].name, safe='')}:predict"
        lines += ["Ask it:", f"  curl -d '{_example(models[0], label)}' {path}"]
    return lines


def _grpc(settings: Settings, host: str) -> list[str]:
    addresses = [f"{host}:{settings.port}"] if settings.port else []
    return addresses + ([f"unix:{settings.grpc_socket_path}"] if settings.grpc_socket_path else [])


def _example(model: ModelConfig, label: str) -> str:
    contract = _contract(model, label)
    if contract is None:
        return '{"instances": [[1.0]]}'
    house = {feature.name: feature.typical for feature in contract.features}
    return json.dumps({"instances": [house]}, ensure_ascii=False)


def _contract(model: ModelConfig, label: str) -> Contract | None:
    """What the version says of itself that answers where a request names none."""
    try:
        versions = find_versions(model.base_path)
        wanted = [it for it in [model.labels.get(label)] if it in versions]
        wanted += model.policy.candidates(versions)
        return contracts.read(versions[wanted[0]]) if wanted else None
    except (OSError, contracts.ContractError):
        return None
