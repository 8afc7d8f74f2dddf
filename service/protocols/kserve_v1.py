"""Where KServe's V1 protocol is not TensorFlow Serving's: readiness in place of a status.

Both ask ``GET /v1/models/MODEL``. KServe's client reads ``ready`` from the answer, and a
status of 503 as not ready. TensorFlow Serving's answer is a protobuf message in JSON, and
programs that parse it strictly refuse a key that the message has not. So the keys of
KServe go only to those who come as KServe's client does.

References:
    kserve/python/kserve/kserve/inference_client.py (``is_model_ready``),
    protocol/rest/v1_endpoints.py.
"""

from __future__ import annotations

from typing import Any, Final

# KServe's client leaves the name of its HTTP library, httpx, as it is.
_AGENT: Final = "python-httpx/"


def is_client(user_agent: str) -> bool:
    """Whether a request comes from a client that reads ``ready``."""
    return user_agent.startswith(_AGENT)


def readiness(model: str, *, ready: bool) -> tuple[int, dict[str, Any]]:
    """The HTTP status of a readiness answer, and its keys."""
    return 200 if ready else 503, {"name": model, "ready": ready}
