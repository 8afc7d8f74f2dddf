"""``python -m service``: serve a model until told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from service.settings import Settings, SettingsError, check_addresses_stay, parse
from service.shared import shared_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_USAGE_ERROR: Final = 2
_FAILED: Final = 1


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve.

    Returns:
        The exit code: 0 after an orderly stop, 1 if the service cannot start, 2 for a
        wrong flag.
    """
    read = partial(parse, arguments, environment)
    try:
        settings = read()
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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with shared_folder() as folder:
        signal.signal(signal.SIGTERM, lambda *_: _end(folder))  # until gunicorn takes it
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return _run(settings, read, folder)


def _end(folder: Path) -> NoReturn:
    """End before anything is served.

    At once: an exception might be raised where Python drops it, and the start would go on.
    """
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _run(settings: Settings, read: Callable[[], Settings], folder: Path) -> int:
    # Only now: prometheus_client looks at its folder when it is imported.
    from service.errors import InvalidRequest  # noqa: PLC0415
    from service.http.server import PortError, Server, check_addresses  # noqa: PLC0415
    from service.process import check_files, initial_config  # noqa: PLC0415
    from service.repository.agreement import Agreement  # noqa: PLC0415
    from service.repository.config import parse_change  # noqa: PLC0415
    from service.welcome import welcome  # noqa: PLC0415

    try:
        check_addresses(settings)
        check_files(settings)
        agreement = Agreement(folder / "agreement")
        models = initial_config(settings, folder)
        agreement.follow(models)
    except (PortError, InvalidRequest) as error:
        print(f"python -m service: {error}", file=sys.stderr)
        return _FAILED

    def read_again() -> Settings:
        try:
            now = read()
        except SystemExit as asked:
            raise SettingsError("--help and --version are for the command line") from asked
        check_addresses_stay(settings, now)
        check_files(now)
        agreement.follow(initial_config(now, folder, parse_change))
        return now

    def announce() -> None:
        if not settings.quiet:
            with contextlib.suppress(OSError):  # a full disk, or nobody reads it
                print(welcome(settings, models), flush=True)

    try:
        Server(settings, agreement, read_again, announce).run()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
