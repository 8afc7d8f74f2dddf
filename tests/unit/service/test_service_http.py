"""The Flask application and the front before it: the same answers, and the limits."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field

import pytest

from service.exchange import Exchange, Exchanges
from service.health import Health
from service.http.app import Parts, create_app
from service.http.front import Front
from service.http.tensorflow_serving import TensorFlowServing
from service.repository.config import ModelConfig
from service.repository.repository import Repository
from service.security.guard import Guard
from service.settings import Settings
from tests.unit.service.fakes import Adder, Broken, Witness, version

PREDICT = "/v1/models/housing:predict"
HOUSE = b'{"instances": [[1, 2, 3]]}'
MANY = json.dumps({"instances": [[1, 2, 3]] * 3000}).encode()


@dataclass
class Sink:
    """Remembers what was recorded of each exchange."""

    seen: list[tuple[Exchange, int]] = field(default_factory=list)

    def finished(self, exchange: Exchange, status: int, _seconds: float) -> None:
        self.seen.append((exchange, status))


@dataclass
class Answer:
    """An answer, whichever way it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


class Worker:
    """An application of fakes, asked through the front or Flask's own client."""

    def __init__(self, tmp_path, runners, guard=None, **limits) -> None:
        for name in runners:
            (tmp_path / name / "1").mkdir(parents=True)
        self.runners = runners
        (tmp_path / "empty").mkdir()
        models = [ModelConfig(name, tmp_path / name) for name in (*runners, "empty")]
        self.repository = Repository(models, self._load, Witness())
        self.repository.poll()
        self.sink = Sink()
        self.health = Health(self.repository)
        parts = Parts(
            repository=self.repository,
            apis=(TensorFlowServing(self.repository, 2**20),),
            health=self.health,
            exchanges=Exchanges(self.sink),
            metrics={"/metrics": lambda _: (b"hearth_up 1\n", "text/plain; version=0.0.4")},
            guard=Guard() if guard is None else guard,
        )
        self.flask = create_app(parts)
        self.front = Front(self.flask, parts, Settings(**limits))

    def _load(self, model, number, path):
        runner = self.runners[model]
        return version(
            number, model=model, path=path, executor=runner, described=model == "housing"
        )

    def through_flask(self, method, path, body=b"", headers=()) -> Answer:
        client = self.flask.test_client()
        response = client.open(path, method=method, data=body, headers=dict(headers))
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, response.data)

    def through_front(self, method, path, body=b"", headers=(), chunks=None) -> Answer:
        return asyncio.run(self.ask(method, path, body, headers, chunks))

    async def ask(self, method, path, body=b"", headers=(), chunks=None) -> Answer:
        raw, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": raw,
            "raw_path": raw.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in headers
            ],
            "http_version": "1.1",
            "client": ("10.0.0.7", 4711),
            "server": ("127.0.0.1", 80),
        }
        pieces = [body] if chunks is None else chunks
        return await self._converse(scope, pieces)

    async def _converse(self, scope, pieces) -> Answer:
        waiting = list(pieces)
        sent = []

        async def receive():
            if not waiting:
                await asyncio.Event().wait()  # a client that says no more, and stays
            if waiting[0] is None:
                return {"type": "http.disconnect"}
            body = waiting.pop(0)
            return {
                "type": "http.request",
                "body": body,
                "more_body": bool(waiting) or body == STALL,
            }

        async def send(message):
            sent.append(message)

        await self.front(scope, receive, send)
        if not sent:
            return Answer(0, {}, b"")
        headers = {k.decode().lower(): v.decode("latin-1") for k, v in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(it.get("body", b"") for it in sent[1:]))


STALL = b'{"instances": '


@pytest.fixture
def worker(tmp_path):
    runners = {"housing": Adder(), "slow": Adder(quick=False), "broken": Broken()}
    return Worker(tmp_path, runners, max_body_bytes=100_000, body_timeout_s=0.1)


CORPUS = [
    ("POST", PREDICT, HOUSE),
    ("POST", PREDICT, b'{"instances": [{"RM": 1, "AGE": 2, "LSTAT": 3}]}'),
    (
        "POST",
        PREDICT,
        b'{"signature_name": "named", "inputs": {"RM": [1], "AGE": [2], "LSTAT": [3]}}',
    ),
    ("POST", PREDICT, MANY),
    ("POST", "/v1/models/housing/versions/1:predict", HOUSE),
    ("POST", "/v1/models/hous%69ng:predict", HOUSE),
    ("POST", "/V1/models/housing:predict", HOUSE),
    ("POST", "/v1/models/slow:predict", HOUSE),
    ("POST", "/v1/models/slow:predict", b'{"instances": [[NaN, 2, 3]]}'),
    ("POST", PREDICT, b""),
    ("POST", PREDICT, b"\xff"),
    ("POST", PREDICT, b"[]"),
    ("POST", PREDICT, b'{"instances": [[51, 2, 3]]}'),
    ("POST", PREDICT, b'{"instances": [[NaN, 2, 3]]}'),
    ("POST", PREDICT, b'{"instances": [[1, 2]]}'),
    ("POST", PREDICT, b'{"instances": [[1, 2, 3], [1]]}'),
    ("POST", PREDICT, b'{"signature_name": "\\ud800", "instances": [[1, 2, 3]]}'),
    ("POST", PREDICT, b'{"instances": [{"\\ud800": 1}]}'),
    ("POST", f"{PREDICT}?a=1", HOUSE),
    ("POST", "/v1/models/housing/versions/9:predict", HOUSE),
    ("POST", f"/v1/models/housing/versions/{'9' * 40}:predict", HOUSE),
    ("POST", "/v1/models/housing/labels/x:predict", HOUSE),
    ("POST", "/v1/models/flat:predict", b"nope"),
    ("POST", "/v1/models/flat:predict", HOUSE),
    ("POST", "/v1/models/empty:predict", HOUSE),
    ("POST", "/v1/models/broken:predict", HOUSE),
    ("POST", "/v1/models/housing", HOUSE),
    ("GET", PREDICT, b""),
    ("PUT", PREDICT, HOUSE),
    ("DELETE", "/v1/models/housing", b""),
    ("OPTIONS", "/v1/models/housing", b""),
    ("GET", "/v1", b""),
    ("GET", "/v1/", b""),
    ("GET", "/v1/foo", b""),
    ("GET", "/v1/models", b""),
    ("GET", "/v1/models/housing", b""),
    ("GET", "/v1/models/housing/versions/1", b""),
    ("GET", "/v1/models/housing/versions/2", b""),
    ("GET", "/v1/models/flat", b""),
    ("GET", "/v1/models/housing/metadata", b""),
    ("GET", "/v1/models/flat/metadata", b""),
    ("GET", "/v1/models/housing/contract", b""),
    ("GET", "/v1/models/slow/contract", b""),
    ("GET", "/", b""),
    ("GET", "/livez", b""),
    ("GET", "/readyz", b""),
    ("GET", "/metrics", b""),
    ("POST", "/livez", b""),
    ("GET", "/nowhere", b""),
    ("GET", "/report/housing/1/index.html", b""),
    ("GET", "/report/flat/1/index.html", b""),
    ("GET", "/report/housing/1/%2e%2e/contract.json", b""),
    ("GET", "/static/../page.py", b""),
]


@pytest.mark.parametrize(("method", "path", "body"), CORPUS)
def test_flask_and_the_front_give_the_same_answer(worker, method, path, body):
    headers = [("X-Request-Id", "same"), ("Content-Length", str(len(body)))]
    front = worker.through_front(method, path, body, headers)
    flask = worker.through_flask(method, path, body, [("X-Request-Id", "same")])

    assert (front.status, front.body) == (flask.status, flask.body)
    for name in ("content-type", "content-length", "x-request-id", "x-model-version", "allow"):
        assert front.headers.get(name) == flask.headers.get(name), name
    (one, status), (other, _) = worker.sink.seen
    assert status == front.status
    for name in ("protocol", "route", "model", "version", "rows", "outcome", "error", "path"):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.parametrize(("method", "path", "body"), CORPUS)
def test_every_answer_is_json_and_carries_the_request_id(worker, method, path, body):
    answer = worker.through_front(method, path, body, [("X-Request-Id", "mine")])

    assert answer.headers["x-request-id"] == "mine"
    if method == "OPTIONS":  # TensorFlow Serving answers it without a body
        assert (answer.status, answer.body) == (400, b"")
        return
    if path != "/metrics":
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() is not None
    if answer.status >= 400 and path != "/readyz":
        assert set(answer.json()) == {"error"}
        assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", PREDICT, HOUSE, 200, '{"predictions":[6.0]}'),
        ("POST", PREDICT, b'{"inputs": [[1, 2, 3]]}', 200, '{"outputs":[6.0]}'),
        ("POST", PREDICT, b"", 400, '{"error":"JSON Parse error: The document is empty"}'),
        # Bad JSON is said before the unknown model, as TensorFlow Serving does.
        ("POST", "/v1/models/flat:predict", b"", 400, "The document is empty"),
        (
            "POST",
            "/v1/models/flat:predict",
            b"{}",
            404,
            "Servable not found for request: Latest(flat)",
        ),
        (
            "POST",
            "/v1/models/housing/versions/50:predict",
            HOUSE,
            404,
            "Servable not found for request: Specific(housing, 50)",
        ),
        ("POST", "/v1/models/empty:predict", HOUSE, 404, "Latest(empty)"),
        (
            "POST",
            "/v1/models/housing/labels/x:predict",
            HOUSE,
            400,
            "Unrecognized servable version label: x",
        ),
        (
            "POST",
            PREDICT,
            b'{"signature_name": "x"}',
            400,
            'Serving signature name: \\"x\\" not found in signature def',
        ),
        ("POST", PREDICT, b"{}", 400, "Missing 'inputs' or 'instances' key"),
        ("GET", "/v1/models/flat", b"", 404, "Could not find any versions of model flat"),
        (
            "GET",
            "/v1/models/housing/versions/7",
            b"",
            404,
            "Could not find version 7 of model housing",
        ),
        ("GET", "/v1/models/slow/contract", b"", 404, "version 1 of slow has no contract"),
        ("PUT", "/v1/models/housing", b"", 400, "Malformed request: PUT /v1/models/housing"),
        ("GET", "/v1/models", b"", 200, '{"models":["broken","empty","housing","slow"]}'),
        ("GET", "/nowhere", b"", 404, "GET /nowhere: Not Found"),
        ("POST", "/livez", b"", 405, "POST /livez: Method Not Allowed"),
        ("GET", "/livez", b"", 200, '{"live":true}'),
    ],
)
def test_an_answer_is_the_one_promised(worker, method, path, body, status, text):
    answer = worker.through_front(method, path, body)

    assert answer.status == status
    assert text in answer.body.decode()


def test_a_prediction_names_the_version_that_made_it(worker):
    assert worker.through_front("POST", PREDICT, HOUSE).headers["x-model-version"] == "1"


def test_a_bug_is_answered_with_the_request_id_alone(worker, caplog):
    answer = worker.through_front(
        "POST", "/v1/models/broken:predict", HOUSE, [("X-Request-Id", "q-1")]
    )

    assert answer.status == 500
    assert answer.json() == {"error": "internal error, request id q-1"}
    assert "request q-1 failed: ZeroDivisionError in run (fakes.py:" in caplog.text
    assert worker.sink.seen[0][0].outcome == "InternalError"


def test_a_chunked_body_without_a_length_is_read_whole(worker):
    for chunks in ([HOUSE[:5], HOUSE[5:]], [MANY[:5], MANY[5:20_000], MANY[20_000:]]):
        answer = worker.through_front(
            "POST", PREDICT, headers=[("transfer-encoding", "chunked")], chunks=chunks
        )
        assert answer.status == 200
        assert set(answer.json()["predictions"]) == {6.0}


@pytest.mark.parametrize("headers", [[("content-length", "100001")], []])
def test_a_body_over_the_limit_is_refused(worker, headers):
    answer = worker.through_front("POST", PREDICT, b"x" * 100_001, headers)

    assert answer.status == 413
    size = "100001 bytes" if headers else "more than 100000 bytes"
    assert answer.json() == {"error": f"the body has {size}, the limit is 100000"}
    assert answer.headers["connection"] == "close"


def test_a_body_at_the_limit_is_taken(worker):
    body = HOUSE + b" " * (100_000 - len(HOUSE))

    assert worker.through_front("POST", PREDICT, body).status == 200


def test_a_body_that_does_not_come_is_given_up_on(worker):
    answer = worker.through_front("POST", PREDICT, chunks=[STALL])

    assert answer.status == 408
    assert answer.json() == {"error": "the body did not arrive within 0.1 s"}
    assert answer.headers["connection"] == "close"
    assert worker.sink.seen[0][0].outcome == "RequestTimeout"


def test_a_client_that_leaves_gets_no_answer(worker):
    assert worker.through_front("POST", PREDICT, chunks=[STALL, None]).status == 0
    assert worker.sink.seen == []


@pytest.mark.parametrize("path", [PREDICT, "/livez"])
def test_while_going_down_every_answer_ends_its_connection(worker, path):
    method = "POST" if path == PREDICT else "GET"
    assert "connection" not in worker.through_front(method, path, HOUSE).headers
    worker.health.draining = True

    answer = worker.through_front(method, path, HOUSE)
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


def test_readiness_says_what_is_missing(tmp_path):
    answer = Worker(tmp_path, {}).through_front("GET", "/readyz")

    assert answer.status == 503
    assert answer.json() == {"ready": False, "reason": "model empty: there is no version of it"}


def test_a_model_that_is_not_served_does_not_take_the_others_away(worker):
    answer = worker.through_front("GET", "/readyz")

    assert answer.status == 200
    assert answer.json() == {
        "ready": True,
        "problems": {"empty": "there is no version of it"},
    }


def test_readiness_is_200_when_every_model_is_served(tmp_path):
    worker = Worker(tmp_path, {"housing": Adder()})
    (tmp_path / "empty" / "1").mkdir()
    worker.runners["empty"] = Adder()
    worker.repository.poll()
    worker.repository.poll()

    assert worker.through_front("GET", "/readyz").json() == {"ready": True}
    worker.health.draining = True
    answer = worker.through_front("GET", "/readyz")
    assert (answer.status, answer.json()["reason"]) == (503, "shutting down")


def test_a_program_at_the_root_is_told_where_everything_is(worker):
    described = worker.through_front("GET", "/", headers=[("Accept", "*/*")]).json()

    assert "/metrics" in described["metrics"]
    by_name = {it["name"]: it for it in described["models"]}
    assert by_name["housing"]["predict"] == PREDICT
    assert by_name["empty"]["problem"] == "there is no version of it"


def test_metrics_are_text_for_prometheus(worker):
    answer = worker.through_front("GET", "/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.body == b"hearth_up 1\n"


class Stuck(Adder):
    """An executor that is at work until it is let go."""

    def __init__(self) -> None:
        super().__init__(quick=False)
        self.at_work = threading.Event()
        self.let_go = threading.Event()

    def run(self, signature, inputs):
        self.at_work.set()
        assert self.let_go.wait(30)
        return super().run(signature, inputs)


def test_the_end_waits_for_calls_whose_clients_have_left(tmp_path):
    stuck = Stuck()
    worker = Worker(tmp_path, {"housing": stuck})

    async def leave_and_finish():
        asked = asyncio.ensure_future(worker.ask("POST", PREDICT, HOUSE))
        await asyncio.to_thread(stuck.at_work.wait, 30)
        asked.cancel()
        finished = asyncio.ensure_future(asyncio.to_thread(worker.front.finish))
        waiting, _ = await asyncio.wait([finished], timeout=0.1)
        stuck.let_go.set()
        await asyncio.wait_for(finished, 30)
        return waiting

    assert asyncio.run(leave_and_finish()) == set()
