"""S3, Google Cloud Storage, Azure's Blob service and Hugging Face's hub, as far as a reader needs.

Each answers on the loopback address in the form that its documentation gives, asks who calls, lists
in short pages, and can be told to break off.

References:
    Amazon: ``ListObjectsV2``, ``GetObject``; STS's ``AssumeRoleWithWebIdentity``.
    Google, XML API: ``GET Bucket (List Objects)``, ``GET Object``; the metadata server's tokens.
    Azure, Blob service: ``List Blobs``, ``Get Blob``; OAuth 2.0 client credentials by assertion.
    Hugging Face, Hub API: ``/api/models/{id}``, ``.../tree/{revision}``, ``/{id}/resolve/...``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import ssl
from abc import ABC, abstractmethod
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.servers import in_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.certificates import Certified

TOKEN = "of-the-pod"
ASSERTION = "signed-by-the-cluster"
_PAGE = 7
_LFS = (".tflite", ".pb", ".data-00000-of-00001")


class Cloud(ThreadingHTTPServer):
    """A bucket, a container or a repository.

    Attributes:
        source: What a fetch calls its model.
        refusal: What it says to whom it does not know.
        files: Content by name.
        truncated: How often a file is to end too early, by its name.
        token: Who may read.
        is_gated: Whether files are given only to those who have been let in.
        asked: Paths that were asked for, in order.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[_Handler], certified: Certified) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        if handler.is_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certified.certificate, certified.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.source = handler.source
        self.refusal = handler.refusal
        self.reset({})

    def reset(self, files: dict[str, bytes]) -> None:
        """Be as it should, with these files."""
        self.files = dict(files)
        self.truncated: dict[str, int] = {}
        self.token = TOKEN
        self.is_gated = False
        self.asked: list[str] = []

    @property
    def host(self) -> str:
        """Where it is, as host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that has left is no news."""


class _Handler(BaseHTTPRequestHandler, ABC):
    """What the three have in common."""

    server: Cloud
    protocol_version = "HTTP/1.1"
    environment: ClassVar[dict[str, str]]
    source: ClassVar[str]
    refusal: ClassVar[str]
    is_tls: ClassVar[bool] = False

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        place = urlsplit(self.path)
        self.query = {key: it[0] for key, it in parse_qs(place.query).items()}
        self.answer(unquote(place.path))

    @abstractmethod
    def answer(self, path: str) -> None:
        """Answer a GET."""

    def is_known(self) -> bool:
        return self.headers["Authorization"] == f"Bearer {self.server.token}"

    def give(self, name: str, **headers: str) -> None:
        """A file, or what of it was asked for."""
        content = self.server.files[name]
        begin, end = _range(self.headers["Range"], len(content))
        self.send_response(HTTPStatus.PARTIAL_CONTENT if self.headers["Range"] else HTTPStatus.OK)
        if self.headers["Range"]:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - begin))
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        self.send_header("ETag", f'"{_hash(content)}"')
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content[begin : self._until(name, begin, end)])

    def _until(self, name: str, begin: int, end: int) -> int:
        """Where a file ends, which may be earlier than was promised."""
        if self.server.truncated.get(name, 0) <= 0:
            return end
        self.server.truncated[name] -= 1
        self.close_connection = True
        return (begin + end) // 2

    def say(self, status: int, body: str, **headers: str) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def listed(self, prefix: str, after: str, *, is_deep: bool) -> tuple[list[str], str]:
        """A page of names, and of folders with ``/`` at the end, and what the next begins after."""
        below = [it for it in sorted(self.server.files) if it.startswith(prefix)]
        if not is_deep:
            below = sorted({prefix + _first(it.removeprefix(prefix)) for it in below})
        rest = [it for it in below if it > after]
        return rest[:_PAGE], rest[_PAGE - 1] if len(rest) > _PAGE else ""

    def log_message(self, *_: object) -> None:
        """What was asked stands in ``asked``."""


class Google(_Handler):
    """The bucket ``models``, and the metadata server that tells pods who they are."""

    environment: ClassVar = {"GOOGLE_BASE_URL": "http://{host}", "GCE_METADATA_HOST": "{host}"}
    source = "gs://models/shelf/housing"
    refusal = "AuthenticationRequired"

    def answer(self, path: str) -> None:
        bucket, _, name = path[1:].partition("/")
        if bucket == "computeMetadata":
            self._tell_token()
        elif not self.is_known():
            self._fail(401, self.refusal)
        elif bucket != "models":
            self._fail(404, "NoSuchBucket")
        elif not name:
            self._list()
        elif name in self.server.files:
            self.give(name)
        else:
            self._fail(404, "NoSuchKey")

    def _tell_token(self) -> None:
        assert self.headers["Metadata-Flavor"] == "Google"
        token = {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}
        self.say(200, json.dumps(token), Content_Type="application/json")

    def _list(self) -> None:
        names, rest = self.listed(
            self.query.get("prefix", ""),
            self.query.get("continuation-token", ""),
            is_deep="delimiter" not in self.query,
        )
        entries = "".join(map(self._entry, names))
        more = f"<NextContinuationToken>{escape(rest)}</NextContinuationToken>" if rest else ""
        self.say(
            200,
            "<?xml version='1.0' encoding='UTF-8'?>"
            "<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><Name>models</Name>"
            f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{more}{entries}"
            "</ListBucketResult>",
        )

    def _entry(self, name: str) -> str:
        if name.endswith("/"):
            return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        return (
            f"<Contents><Key>{escape(name)}</Key><Generation>1</Generation>"
            "<MetaGeneration>1</MetaGeneration><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"1"</ETag><Size>{len(self.server.files[name])}</Size></Contents>'
        )

    def _fail(self, status: int, code: str) -> None:
        self.say(status, f"<?xml version='1.0'?>\n<Error><Code>{code}</Code></Error>")


class Amazon(Google):
    """The bucket ``models``, with an authority of one's own; it gives a pod its keys (IRSA)."""

    environment: ClassVar = {
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": "https://{host}",
        "AWS_ENDPOINT_URL_STS": "https://{host}",
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/hearth",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/assertion",
        "SSL_CERT_FILE": "{folder}/authority.crt",
    }
    source = "s3://models/shelf/housing"
    refusal = "InvalidToken"
    is_tls = True

    def do_POST(self) -> None:
        self.query = dict(parse_qsl(urlsplit(self.path).query))
        assert self.query["Action"] == "AssumeRoleWithWebIdentity"
        assert self.query["RoleArn"] == self.environment["AWS_ROLE_ARN"]
        assert self.query["WebIdentityToken"] == ASSERTION
        self.say(
            200,
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>{TOKEN}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        )

    def is_known(self) -> bool:
        signed = str(self.headers["Authorization"]).startswith("AWS4-HMAC-SHA256 Credential=ASIA/")
        return signed and self.headers["x-amz-security-token"] == self.server.token


class Azure(_Handler):
    """The container ``models`` of the account ``hearth``, and who gives a pod its token."""

    environment: ClassVar = {
        "AZURE_STORAGE_ACCOUNT_NAME": "hearth",
        "AZURE_STORAGE_ENDPOINT": "http://{host}",
        "AZURE_AUTHORITY_HOST": "http://{host}",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "client",
        "AZURE_FEDERATED_TOKEN_FILE": "{folder}/assertion",
    }
    source = "az://models/shelf/housing"
    refusal = "AuthenticationFailed"

    def do_POST(self) -> None:
        asked = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        assert self.path == "/tenant/oauth2/v2.0/token"
        assert asked["grant_type"] == "client_credentials"
        assert asked["client_id"] == "client"
        if asked["client_assertion"] == ASSERTION:
            self.say(200, json.dumps({"access_token": TOKEN, "expires_in": 3599}))
        else:
            self.say(400, json.dumps({"error": "invalid_client"}))

    def answer(self, path: str) -> None:
        container, _, name = path[1:].partition("/")
        if not self.is_known():
            self._fail(403, self.refusal)
        elif container != "models":
            self._fail(404, "ContainerNotFound")
        elif not name:
            self._list()
        elif name in self.server.files:
            self.give(name, x_ms_blob_type="BlockBlob")
        else:
            self._fail(404, "BlobNotFound")

    def _list(self) -> None:
        assert (self.query["restype"], self.query["comp"]) == ("container", "list")
        names, rest = self.listed(
            self.query.get("prefix", ""),
            self.query.get("marker", ""),
            is_deep="delimiter" not in self.query,
        )
        entries = "".join(map(self._entry, names))
        self.say(
            200,
            '\ufeff<?xml version="1.0" encoding="utf-8"?>'
            f'<EnumerationResults ContainerName="models">'
            f"<Blobs>{entries}</Blobs><NextMarker>{escape(rest)}</NextMarker></EnumerationResults>",
        )

    def _entry(self, name: str) -> str:
        if name.endswith("/"):
            return f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
        return (
            f"<Blob><Name>{escape(name)}</Name><Properties>"
            f"<Last-Modified>{formatdate(0, usegmt=True)}</Last-Modified><Etag>0x1</Etag>"
            f"<Content-Length>{len(self.server.files[name])}</Content-Length>"
            "<Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
        )

    def _fail(self, status: int, code: str) -> None:
        body = f'<?xml version="1.0" encoding="utf-8"?>\n<Error><Code>{code}</Code></Error>'
        self.say(status, body, x_ms_error_code=code)


class Hub(_Handler):
    """The private repository ``hearth/models``, whose large files lie at signed addresses."""

    environment: ClassVar = {"HF_ENDPOINT": "http://{host}", "HF_TOKEN": TOKEN}
    source = "hf://hearth/models/shelf/housing"
    refusal = "Invalid credentials in Authorization header"
    _ROUTE = re.compile(r"/(api/models/)?([^/]+/[^/]+)(?:/(revision|tree|resolve)/([^/]+)/?(.*))?")

    def answer(self, path: str) -> None:
        if path.startswith("/cdn/"):
            self._give_signed(path.removeprefix("/cdn/"))
            return
        route = self._ROUTE.fullmatch(path)
        assert route, path
        _, repository, verb, revision, name = route.groups()
        if not self.is_known():
            self._refuse()
        elif repository != "hearth/models":
            self._fail(404, "RepoNotFound", "Repository not found")
        elif revision not in (None, "main"):
            self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif verb == "tree":
            self._list(name)
        elif verb == "resolve":
            self._resolve(name)
        else:
            self.say(200, json.dumps({"id": repository, "sha": "0" * 40, "siblings": []}))

    def _refuse(self) -> None:
        if "Authorization" in self.headers:
            self._fail(401, "", self.refusal)
        else:
            self._fail(401, "RepoNotFound", "Invalid username or password.")

    def _resolve(self, name: str) -> None:
        if self.server.is_gated:
            self._fail(403, "GatedRepo", "Access to model hearth/models is restricted")
        elif name not in self.server.files:
            self._fail(404, "EntryNotFound", "Entry not found")
        elif name.endswith(_LFS):
            host = self.server.host.replace("127.0.0.1", "localhost")
            size = str(len(self.server.files[name]))
            place = f"http://{host}/cdn/{quote(name)}?Signature=x"
            self.say(302, "", Location=place, X_Repo_Commit="0" * 40, X_Linked_Size=size)
        else:
            self.give(name, X_Repo_Commit="0" * 40)

    def _give_signed(self, name: str) -> None:
        """A store that takes a signed address takes no second proof."""
        assert self.query == {"Signature": "x"}
        if "Authorization" in self.headers:
            self._fail(400, "", "Only one auth mechanism allowed")
        else:
            self.give(name)

    def _list(self, folder: str) -> None:
        prefix = f"{folder}/" if folder else ""
        is_deep = self.query.get("recursive", "").lower() in ("true", "1")
        names, rest = self.listed(prefix, self.query.get("cursor", ""), is_deep=is_deep)
        if not names:
            self._fail(404, "EntryNotFound", f"{folder} does not exist")
            return
        here, _, _ = self.path.partition("?")
        more = f"http://{self.server.host}{here}?recursive={is_deep}&cursor={quote(rest)}"
        headers = {"Link": f'<{more}>; rel="next"'} if rest else {}
        self.say(200, json.dumps([*map(self._entry, names)]), **headers)

    def _entry(self, name: str) -> dict[str, object]:
        if name.endswith("/"):
            return {"type": "directory", "oid": _hash(name.encode()), "size": 0, "path": name[:-1]}
        content = self.server.files[name]
        return {"type": "file", "oid": _hash(content), "size": len(content), "path": name}

    def _fail(self, status: int, code: str, message: str) -> None:
        told = {"X_Error_Code": code} if code else {}
        self.say(status, json.dumps({"error": message}), X_Error_Message=message, **told)


@contextlib.contextmanager
def cloud(handler: type[_Handler], certified: Certified) -> Iterator[Cloud]:
    """Run one of them, with this certificate if it has any."""
    server = Cloud(handler, certified)
    with in_a_thread(server):
        yield server


def _first(path: str) -> str:
    """The first folder of a path, with its ``/``, or the file."""
    name, slash, _ = path.partition("/")
    return name + slash


def _range(asked: str | None, size: int) -> tuple[int, int]:
    """Begin and end of what was asked for."""
    if not asked:
        return 0, size
    begin, _, last = asked.removeprefix("bytes=").partition("-")
    return int(begin), min(int(last) + 1, size) if last else size


def _hash(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
