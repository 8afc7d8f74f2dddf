"""``python -m benchmarks.profile``: where the microseconds of one small request go.

In process and without a socket: what a request costs of Hearth's own code. Each part is
timed many times over a few hundred calls and the best time counts, since everything that
disturbs it makes it longer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import timeit
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import forms
from service.shared import shared_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from service.process import Process

_CALLS: Final = 200
_REPEATS: Final = 100
_ROW: Final = [[6.142, 91.7, 18.72]]
_NAMED: Final = b'{"instances": [{"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}]}'
_LIMITS: Final = {
    "limit_request_line": 4094, "limit_request_fields": 100, "limit_request_field_size": 8190,
}  # fmt: skip
_METHODS: Final = {
    "gRPC Predict": ("tensorflow.serving.PredictionService", "Predict", forms.grpc_predict),
    "gRPC ModelInfer": ("inference.GRPCInferenceService", "ModelInfer", forms.grpc_infer),
}


@dataclass(frozen=True)
class Part:
    """One line of the table.

    Attributes:
        name: What is timed; parts of what stands above are indented.
        best_us: Its best time, microseconds a call.
    """

    name: str
    best_us: float


class _Nowhere:
    """A transport that forgets what is written to it."""

    def write(self, data: bytes) -> None:
        """Forget it."""

    def is_closing(self) -> bool:
        """Never."""
        return False


class _Call:
    """A gRPC call's context, for a handler that is driven by hand."""

    def peer(self) -> str:
        """Who calls."""
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What it sends beside the message."""
        return ()

    def set_trailing_metadata(self, metadata: object) -> None:
        """Forget it."""

    def set_code(self, code: object) -> None:
        """A call that fails is not worth timing."""
        raise RuntimeError(f"the call failed: {code}")


def measure(models: Path, repeats: int = _REPEATS) -> list[Part]:
    """Time the parts of a request.

    Args:
        models: Folder of the housing model's versions.
        repeats: How often each part is timed.
    """
    with shared_folder() as folder:
        worker = process(models, folder)
        parts = [*_rest(worker), *_inside(worker), *_rpc(worker)]
        return [Part(name, _best_us(call, repeats)) for name, call in parts]


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--model_base_path", type=Path, default=Path("models/housing"))
    parser.add_argument("--repeats", type=int, default=_REPEATS)
    options = parser.parse_args(arguments)
    print("| part | best, microseconds |\n|---|---|")
    for part in measure(options.model_base_path.absolute(), options.repeats):
        print(f"| {part.name} | {part.best_us:.2f} |", flush=True)
    return 0


def _best_us(call: Callable[[], Any], repeats: int) -> float:
    call()
    return min(timeit.repeat(call, number=_CALLS, repeat=repeats)) / _CALLS * 1e6


def process(models: Path, folder: Path, **settings: Any) -> Process:
    """A worker that serves the housing model and listens nowhere.

    Args:
        models: Folder of the model's versions.
        folder: What workers share.
        **settings: Knobs that differ from their defaults.
    """
    from service.process import Process  # noqa: PLC0415 - its metrics want the folder first
    from service.repository.agreement import Agreement  # noqa: PLC0415
    from service.repository.config import ModelConfig  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415

    made = Process(
        Settings(
            model_name="housing", slow_request_ms=1e9, **({"allow_anonymous": True} | settings)
        ),
        Agreement(folder),
    )
    made.repository.configure([ModelConfig("housing", models)])
    made.repository.poll()
    return made


def request(process: Process) -> Callable[[], Any]:
    """One row over the fast lane, from its bytes to its answer's."""
    (_, call), *_ = _rest(process)
    return call


def _rest(process: Process) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Whole requests through the fast lane, from their bytes to their answers'."""
    from service.http.fast_lane import FastLane  # noqa: PLC0415 - as above

    lane = process.lane(asyncio.new_event_loop(), _LIMITS)
    nowhere: Any = _Nowhere()
    connection = FastLane(lane, nowhere, "127.0.0.1", lambda _: None)
    tensorflow_serving = forms.tensorflow_serving().write(_ROW)
    requests = {
        "TensorFlow Serving JSON": _bytes(tensorflow_serving),
        "TensorFlow Serving JSON, by name": _bytes(tensorflow_serving, _NAMED),
        "v2 JSON": _bytes(forms.open_inference().write(_ROW)),
        "v2 binary": _bytes(forms.open_inference_binary().write(_ROW)),
    }
    for name, data in requests.items():
        yield name, lambda data=data: connection.receive(data)  # type: ignore[misc]


def _inside(process: Process) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The parts of the first of them."""
    from service.http import fast_lane  # noqa: PLC0415 - as above
    from service.protocols import tensorflow_serving  # noqa: PLC0415

    request = forms.tensorflow_serving().write(_ROW)
    data = _bytes(request)
    end = data.index(b"\r\n\r\n") + 4
    lane = process.lane(asyncio.new_event_loop(), _LIMITS)
    head = lane.heads.read(data[:end])
    exchanges, repository = lane.exchanges, process.repository
    version = repository.find("housing")
    direct = version.direct["serving_default"]
    batch = tensorflow_serving.parse_rows(request.body, direct.feature_names)
    exchange = exchanges.begin("POST", request.path, "127.0.0.1", None)
    if head is None or head.shortcut is None or batch is None:
        raise RuntimeError("the request has no short way")
    outputs, answer = direct.run(batch), head.shortcut(request.body, exchange)
    if outputs is None or answer is None:
        raise RuntimeError("the request has no short way")
    yield "- its head looked up", lambda: lane.heads.read(data[: data.find(b"\r\n\r\n") + 4])
    yield "- begun: id, clock", lambda: exchanges.begin("POST", request.path, "127.0.0.1", None)
    yield "- version found", lambda: repository.find("housing")
    yield (
        "- JSON to an array",
        lambda: tensorflow_serving.parse_rows(request.body, direct.feature_names),
    )
    yield "- limits checked, network run", lambda: direct.run(batch)
    yield "- array to JSON", lambda: tensorflow_serving.encode_rows(outputs)
    yield "- ended: metrics, log", lambda: exchanges.end(exchange, 200)
    yield "- framed", lambda: fast_lane.framed(answer, exchange.request_id)


def _rpc(process: Process) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Whole calls, from the message's bytes to the answer's."""
    handlers = {} if process.rpc is None else process.rpc.handlers()
    for name, (service, method, form) in _METHODS.items():
        handler: Any = handlers[service][method].unary_unary
        message = form().write(_ROW).body[5:]  # behind the frame's length
        yield name, lambda handler=handler, message=message: _driven(handler(message, _Call()))  # type: ignore[misc]


def _driven(coroutine: Any) -> Any:
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("the call waits")


def _bytes(request: forms.Request, body: bytes | None = None) -> bytes:
    """A request as a client sends it."""
    sent = request.body if body is None else body
    headers = {"Host": "127.0.0.1:8501", **request.headers, "Content-Length": str(len(sent))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {request.path} HTTP/1.1\r\n{lines}\r\n".encode() + sent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
