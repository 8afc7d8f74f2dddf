"""A trial load: what a version does to a process that loads it is done to one of no account.

    python -m service.trial SETTINGS MODEL NUMBER PATH

loads the version as a worker with these settings would, and ends with 0; or it says on
standard output why it is refused, and ends with 3; or the version ends it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from service.errors import NotPossibleNow, VersionRefused
from service.inference.apart import REFUSED, STOPPED, Limits, TookTooMuch, give_way, run_apart
from service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def try_apart(settings: Settings, model: str, number: int, path: Path) -> str:
    """Load a version in a process of its own.

    Args:
        settings: The knobs, limits among them.
        model: The model's name.
        number: The version's number.
        path: Its folder.

    Returns:
        Why it is not to be loaded; nothing where it may.

    Raises:
        NotPossibleNow: The trial did not come to its end through no fault of the version's.
    """
    told = msgspec.json.encode(settings, enc_hook=str).decode()
    arguments = [told, model, str(number), str(path.absolute())]
    try:
        done = run_apart("service.trial", arguments, _limits(settings))
    except TookTooMuch as error:
        return f"its trial load {error}"
    except OSError as error:
        raise NotPossibleNow(f"a trial load cannot be started: {error.strerror}") from error
    if done.returncode in STOPPED:
        raise NotPossibleNow("its trial load was stopped")
    if done.returncode == 0:
        return ""
    if done.returncode == REFUSED:
        return done.stdout.strip().rpartition("\n")[2]
    last = done.stderr.strip().rpartition("\n")[2][:300]
    return f"it ended the process of its trial load with {_ending(done.returncode)}: {last}"


def _limits(settings: Settings) -> Limits:
    half_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return Limits(settings.load_trial_s, settings.load_trial_memory_bytes or half_bytes)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else str(code)


def main(arguments: Sequence[str]) -> int:
    """Load one version; see the module."""
    told, model, number, path = arguments
    settings = msgspec.json.decode(told, type=Settings, dec_hook=_path)
    give_way()
    # Only now: the service goes first in this too.
    from service.load_options import load_options  # noqa: PLC0415
    from service.repository.loading import load_version  # noqa: PLC0415

    try:
        load_version(model, int(number), Path(path), settings.executor, load_options(settings))
    except VersionRefused as error:
        print(error.message)
        return REFUSED
    return 0


def _path(_kind: type[Any], text: str) -> Path:
    return Path(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
