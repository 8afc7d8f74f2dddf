"""What browsers are told to be careful about.

References:
    W3C Content Security Policy Level 3; OWASP's list of secure headers.
"""

from __future__ import annotations

from typing import Final

_CAREFUL: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# The page brings all it needs along, in files of its own.
_PAGE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A report comes with a model, from whoever made that: it may look as it likes, and do nothing.
_REPORT: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REPORT_PATH: Final = "/report/"
_YEAR_S: Final = 365 * 24 * 3600


def browser_headers(path: str, *, encrypted: bool) -> dict[str, str]:
    """The headers of an answer that a browser may show.

    Args:
        path: What was asked for.
        encrypted: Whether it came over TLS: a browser is then to come so always.
    """
    policy = _REPORT if path.startswith(_REPORT_PATH) else _PAGE
    headers = {**_CAREFUL, "Content-Security-Policy": policy}
    if encrypted:
        headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}"
    return headers
