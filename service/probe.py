"""``python -m service.probe 8501``: whether the service here is ready, with TLS or without.

Exit codes: 0 it is ready; 1 it is not, or nobody answers.
"""

from __future__ import annotations

import http.client
import ssl
import sys
import urllib.error
import urllib.request
from typing import Final

_WITHIN_S: Final = 2.0


def is_ready(port: int) -> bool:
    """Ask ``/readyz`` of the loopback address, in plain HTTP first and then over TLS."""
    return any(_answers(f"{scheme}://127.0.0.1:{port}/readyz") for scheme in ("http", "https"))


def _answers(url: str) -> bool:
    # The certificate is for the name that callers know, not for this address.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - nothing is sent, and none but us listen
    try:
        with urllib.request.urlopen(url, timeout=_WITHIN_S, context=context) as answer:  # noqa: S310 - our own
            return bool(answer.status == http.client.OK)
    except (OSError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(sys.argv[1])) else 1)
