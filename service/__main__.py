"""``python -m service``: serve a model until told to stop."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.settings import Settings, SettingsError, parse
from service.shared import shared_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_USAGE_ERROR: Final = 2
_FAILED: Final = 1


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve.

    Returns:
        The exit code: 0 after an orderly stop, 1 if the service cannot start, 2 for a
        wrong flag.
    """
    try:
        settings = parse(arguments, environment)
    except SettingsError as error:
        print(f"python -m service: {error} (--help lists the flags)", file=sys.stderr)
        return _USAGE_ERROR
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s",
        stream=sys.stderr,
    )
    for name in settings.without_effect:
        logging.getLogger("hearth").warning("--%s has no effect here", name)
    if not settings.rest_api_port:
        logging.getLogger("hearth").warning(
            "--rest_api_port is 0: there is no REST, and so no /metrics and no /readyz either; "
            "grpc.health.v1.Health tells whether the service is ready"
        )
    with shared_folder() as folder:
        return _run(settings, folder)


def _run(settings: Settings, folder: Path) -> int:
    # Only now: prometheus_client looks at its folder when it is imported.
    from service.errors import InvalidRequest  # noqa: PLC0415
    from service.http.server import PortError, Server, check_port, check_socket  # noqa: PLC0415
    from service.process import check_files, initial_config  # noqa: PLC0415
    from service.repository.agreement import Agreement  # noqa: PLC0415
    from service.welcome import welcome  # noqa: PLC0415

    try:
        if settings.rest_api_port:
            check_port("--rest_api_port", settings.host, settings.rest_api_port)
        if settings.port:
            check_port("--port", settings.host, settings.port)
        if settings.grpc_socket_path:
            check_socket("--grpc_socket_path", Path(settings.grpc_socket_path))
        check_files(settings)
        agreement = Agreement(folder / "agreement")
        models = initial_config(settings, folder)
        agreement.follow(models)
    except (PortError, InvalidRequest) as error:
        print(f"python -m service: {error}", file=sys.stderr)
        return _FAILED

    def announce() -> None:
        if not settings.quiet:
            print(welcome(settings, models), flush=True)

    try:
        Server(settings, agreement, announce).run()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
