"""The client of a Hearth server, as a library and on the command line.

    from client import Client

    with Client("http://127.0.0.1:8501") as client:
        client.predict({"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72})

It knows the wire alone: no TensorFlow, nothing of the service or of training.
"""

from client._client import Client
from client._contract import Contract, Feature, Target, VersionStatus
from client._credentials import Credentials
from client._errors import Denied, HearthError, InvalidRequest, NotFound, ServerFault, Unavailable
from client._explanation import Explanation, Outside, Unusual
from client._intervals import Interval
from client._retrying import Clock
from client._transport import HttpTransport, Request, Response, Transport

__all__ = [
    "Client",
    "Clock",
    "Contract",
    "Credentials",
    "Denied",
    "Explanation",
    "Feature",
    "HearthError",
    "HttpTransport",
    "Interval",
    "InvalidRequest",
    "NotFound",
    "Outside",
    "Request",
    "Response",
    "ServerFault",
    "Target",
    "Transport",
    "Unavailable",
    "Unusual",
    "VersionStatus",
]
