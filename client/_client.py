"""The client: one server, one model, one connection pool."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self, overload
from urllib.parse import quote

from urllib3.exceptions import LocationParseError
from urllib3.util import Retry, parse_url

from client import _answers
from client._contract import Contract, VersionStatus
from client._errors import HearthError, InvalidRequest, NotFound, Unavailable
from client._explanation import Explanation
from client._houses import Form, Row, encode, is_table, rows_of
from client._retrying import Clock, Retrying, SystemClock, policy
from client._transport import HttpTransport, Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    import pandas as pd
    from numpy.typing import NDArray

    from client._credentials import Credentials
    from client._houses import House
    from client._intervals import Interval
    from client._transport import Response

    _T = TypeVar("_T")

DEFAULT_URL: Final = "http://127.0.0.1:8501"
DEFAULT_MODEL: Final = "housing"
_POLL_S: Final = 0.2
# A server explains so many in one request, whatever the model.
_EXPLAINED_ROWS: Final = 10


@dataclass(eq=False)
class Client:
    """Asks a server for prices. Threads may share one.

    Attributes:
        url: Where the server is; a path in it is put before every route.
        model: The model's name.
        version: Ask this version; None: the one that the server thinks best.
        label: Ask the version with this label, in place of a number.
        signature_name: Which of the model's signatures; None: its default.
        timeout_s: How long one request may take, with its retries, seconds. A call that
            sends many rows makes a request a chunk.
        retries: How often a request is sent again, or urllib3's own ``Retry``.
        chunk_rows: Most rows in one request.
        request_id: The id that requests carry, for their logs and for ``feedback``; None: the
            server makes one each.
        transport: What carries requests; None: an own ``HttpTransport``. Who gives one
            closes it.
        credentials: What its own ``HttpTransport`` shows, and whom it trusts.
        clock: Tells the time and waits.

    Raises:
        ValueError: A setting is not usable.
    """

    url: str = DEFAULT_URL
    model: str = DEFAULT_MODEL
    _: KW_ONLY
    version: int | None = None
    label: str | None = None
    signature_name: str | None = None
    timeout_s: float = 30.0
    retries: int | Retry = 3
    chunk_rows: int = 1000
    request_id: str | None = None
    transport: Transport | None = None
    credentials: Credentials | None = None
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        _check_settings(self)
        self.url = self.url.rstrip("/")
        self._own: HttpTransport | None = None
        if self.transport is None:
            self.transport = self._own = HttpTransport(credentials=self.credentials)
        retries = policy(self.retries) if isinstance(self.retries, int) else self.retries
        self._sender = Retrying(self.transport, retries, self.clock)
        self._contract: Contract | None = None
        self._pinned: Client | None = None

    @overload
    def predict(self, houses: pd.DataFrame, *, level: float | None = None) -> pd.DataFrame: ...
    @overload
    def predict(self, houses: NDArray[Any], *, level: float | None = None) -> Any: ...
    @overload
    def predict(self, houses: House) -> float: ...
    @overload
    def predict(self, houses: House, *, level: float) -> Interval: ...
    @overload
    def predict(self, houses: Sequence[House]) -> list[float]: ...
    @overload
    def predict(self, houses: Sequence[House], *, level: float) -> list[Interval]: ...
    def predict(self, houses: Any, *, level: float | None = None) -> Any:
        """Price houses.

        Args:
            houses: One house (a dict of feature names, a dataclass instance, a row of
                numbers in the contract's order), a list of these, an array ``[n, k]`` or
                ``[k]`` in the contract's order, or a DataFrame with the features among
                its columns.
            level: The share of houses whose true price is to lie within the interval
                asked for, such as 0.9; None for prices alone.

        Returns:
            A float for one house or an array ``[k]``; a list for a list; an array
            float64 ``[n]`` for an array ``[n, k]``; for a DataFrame a copy with its
            prices appended as a column. In the contract's unit (thousand USD).
            With a level, an ``Interval`` for a float, one of arrays for an array, and
            the columns ``lower`` and ``upper`` besides in a table.

        Raises:
            InvalidRequest: The houses are wrong; ``row`` says which.
            NotFound: No such model, version or label.
            Unavailable: No answer now.
            ServerFault: The server failed.
        """
        if is_table(houses):
            return self._predict_table(houses, level)
        rows, form = rows_of(houses)
        if level is None:
            return form.shape(self.predict_rows(rows))
        return form.shape(self.predict_intervals(rows, level))

    def predict_rows(self, rows: Sequence[Row], *, first: int = 0) -> list[float]:
        """Price rows that are in JSON's form already, a request a chunk.

        Args:
            rows: Dicts of feature names, or lists of numbers in the contract's order.
            first: The number that errors give the first row.

        Returns:
            One price a row.

        Raises:
            HearthError: As ``predict``.
        """
        return self._predict_chunks(rows, first, None, _answers.prices)

    def predict_intervals(
        self, rows: Sequence[Row], level: float, *, first: int = 0
    ) -> list[Interval]:
        """Price rows as ``predict_rows`` does, with intervals.

        Args:
            rows: Dicts of feature names, or lists of numbers in the contract's order.
            level: The share of rows whose truth is to lie within.
            first: The number that errors give the first row.

        Returns:
            One a row.

        Raises:
            HearthError: As ``predict``.
        """
        return self._predict_chunks(rows, first, level, _answers.intervals)

    @overload
    def explain(self, houses: pd.DataFrame) -> list[Explanation]: ...
    @overload
    def explain(self, houses: NDArray[Any]) -> Any: ...
    @overload
    def explain(self, houses: House) -> Explanation: ...
    @overload
    def explain(self, houses: Sequence[House]) -> list[Explanation]: ...
    def explain(self, houses: Any) -> Any:
        """Say what the prices of houses are made of.

        Args:
            houses: As for ``predict``.

        Returns:
            An ``Explanation`` for one house or an array ``[k]``; else a list of them.

        Raises:
            NotFound: No such model, version or label, or the version lacks what
                explanations need.
            HearthError: As ``predict``.
        """
        if is_table(houses):
            from client import _tables  # noqa: PLC0415  pandas, which who holds a table has

            pinned = self.pinned()
            return pinned._explain_rows(_tables.rows_of(houses, pinned.contract()))  # noqa: SLF001  another Client
        rows, form = rows_of(houses)
        explained = self._explain_rows(rows)
        return explained[0] if form is Form.ONE else explained

    def contract(self) -> Contract:
        """What the model takes and gives. Where the version is fixed, asked for once.

        Raises:
            InvalidRequest: The server describes no contract for this model.
            NotFound: No such model, version or label.
            HearthError: As ``predict``.
        """
        if self._contract is not None:
            return self._contract
        try:
            contract = self._get(f"{self._path()}/contract", Contract.of)
        except (InvalidRequest, NotFound) as error:
            self.metadata()  # says so, if it is the model that is not there
            raise _without_contract(error) from error
        if self.version is not None:
            self._contract = contract
        return contract

    def models(self) -> list[str]:
        """Names of the models on the server.

        Raises:
            InvalidRequest: The server does not list them: TensorFlow Serving does not.
            HearthError: As ``predict``.
        """
        return self._get("/v1/models", lambda document: [str(name) for name in document["models"]])

    def status(self) -> list[VersionStatus]:
        """How the model's versions fare.

        Raises:
            HearthError: As ``predict``.
        """
        return self._get(self._path(), _statuses)

    def metadata(self) -> dict[str, Any]:
        """The model's signatures, as TensorFlow Serving describes them.

        Raises:
            HearthError: As ``predict``.
        """
        return self._get(f"{self._path()}/metadata", dict)

    def under(self, request_id: str) -> Client:
        """A client whose requests carry this id, over the same connections.

        Args:
            request_id: Up to 128 letters, digits and ``._:-``. What is priced under it should
                fit one request: true prices are given by its id and the number of the row.
        """
        return dataclasses.replace(self, request_id=request_id)

    def feedback(self, prices: Mapping[str, float | Sequence[float]]) -> Mapping[str, Any]:
        """Give true prices for what was priced under an id of one's own; see ``under``.

        Args:
            prices: By request id, the true price of its house, or of each of its houses.

        Returns:
            ``matched``, how many found their prediction, and ``unmatched``, where those stood
            that did not.

        Raises:
            NotFound: No such model, or the server keeps no predictions.
            HearthError: As ``predict``.
        """
        given = [
            {"request_id": request_id, "row": row, "price": price}
            for request_id, several in prices.items()
            for row, price in enumerate(several if isinstance(several, Sequence) else [several])
        ]
        body = json.dumps({"feedback": given}).encode()
        request = self._request("POST", f"{self._model_path()}:feedback", body)
        return _read(request, self._sender.send(request), _with("matched"))

    def drift(self) -> Mapping[str, Any]:
        """How the server's latest requests and prices compare with the model's training.

        Returns:
            ``rows``, ``drifted`` (names of columns) and ``columns``, as the server documents it.

        Raises:
            NotFound: No such model, version or label, or there is nothing to compare with.
            HearthError: As ``predict``.
        """
        return self._get(f"{self._path()}/drift", _with("columns"))

    def metrics(self) -> str:
        """What the server counts, in Prometheus's text form.

        Raises:
            HearthError: As ``predict``.
        """
        return self._sender.send(self._request("GET", "/metrics")).body.decode()

    def pinned(self) -> Client:
        """A client of the very version that answers now, over the same connections.

        What is priced through it is priced by one version, even while the server
        swaps; once that version is gone it gets ``NotFound``.

        Raises:
            HearthError: As ``predict``.
        """
        if self.version is not None:
            return self
        version = self._get(
            f"{self._path()}/metadata", lambda document: int(document["model_spec"]["version"])
        )
        if self._pinned is None or self._pinned.version != version:
            self._pinned = dataclasses.replace(self, version=version, label=None)
        return self._pinned

    def ready(self) -> bool:
        """Whether the server would answer now. Asked once, without retries.

        Raises:
            InvalidRequest, ServerFault: What answers there is no such server.
        """
        return self._unready(self.timeout_s) is None

    def wait(self, timeout_s: float = 60.0) -> None:
        """Return as soon as the server would answer.

        Raises:
            Unavailable: It did not within the time; the message has the last reason.
            InvalidRequest, ServerFault: What answers there is no such server.
        """
        deadline = self.clock.now() + timeout_s
        while reason := self._unready(min(self.timeout_s, deadline - self.clock.now())):
            if self.clock.now() + _POLL_S > deadline:
                raise Unavailable(
                    f"not ready within {timeout_s:g} s: {reason.message}",
                    url=reason.url,
                    status=reason.status,
                    request_id=reason.request_id,
                ) from reason
            self.clock.sleep(_POLL_S)

    def close(self) -> None:
        """Close the connections, unless the transport was given."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _predict_table(self, table: pd.DataFrame, level: float | None) -> pd.DataFrame:
        """Price a table by one version; by the next one whole, if that goes meanwhile."""
        try:
            return self.pinned()._predict_pinned(table, level)  # noqa: SLF001  another Client
        except NotFound:
            if self.version is not None:
                raise
            return self.pinned()._predict_pinned(table, level)  # noqa: SLF001  another Client

    def _predict_pinned(self, table: pd.DataFrame, level: float | None) -> pd.DataFrame:
        from client import _tables  # noqa: PLC0415  pandas, which who holds a table has

        contract = self.contract()
        rows = _tables.rows_of(table, contract, bounded=level is not None)
        if level is None:
            return _tables.with_prices(table, contract, self.predict_rows(rows))
        return _tables.with_intervals(table, contract, self.predict_intervals(rows, level))

    def _explain_rows(self, rows: Sequence[Row]) -> list[Explanation]:
        step = min(self.chunk_rows, _EXPLAINED_ROWS)
        starts = range(0, len(rows), step)
        chunks = [
            self._ask("explain", rows[it : it + step], it, None, _explanations) for it in starts
        ]
        return [explanation for chunk in chunks for explanation in chunk]

    def _predict_chunks(
        self,
        rows: Sequence[Row],
        first: int,
        level: float | None,
        read: Callable[[Request, Response, int], list[_T]],
    ) -> list[_T]:
        read_so_far: list[_T] = []
        for start in range(0, len(rows), self.chunk_rows):
            chunk = rows[start : start + self.chunk_rows]
            read_so_far += self._ask("predict", chunk, first + start, level, read)
        return read_so_far

    def _ask(
        self,
        verb: str,
        rows: Sequence[Row],
        first: int,
        level: float | None,
        read: Callable[[Request, Response, int], list[_T]],
    ) -> list[_T]:
        """Send a chunk of rows; errors have the caller's numbers of rows."""
        try:
            body = encode(rows, self.signature_name, level)
            request = self._request("POST", f"{self._path()}:{verb}", body)
            return read(request, self._sender.send(request), len(rows))
        except HearthError as error:
            _answers.renumber(error, first)
            raise

    def _get(self, path: str, read: Callable[[Any], _T]) -> _T:
        request = self._request("GET", path)
        response = self._sender.send(request)
        return _read(request, response, read)

    def _unready(self, timeout_s: float) -> HearthError | None:
        """Why the server would not answer now; None where it would."""
        try:
            self._sender.once(self._request("GET", "/readyz"), timeout_s)
        except Unavailable as error:
            return error
        except NotFound:
            return self._unavailable(timeout_s)
        return None

    def _unavailable(self, timeout_s: float) -> HearthError | None:
        """The same for a server without ``/readyz``: whether a version is available."""
        request = self._request("GET", self._path())
        try:
            response = self._sender.once(request, timeout_s)
        except (Unavailable, NotFound) as error:
            return error
        if any(status.is_available for status in _read(request, response, _statuses)):
            return None
        return Unavailable(f"{self.model} has no version available", url=request.url)

    def _request(self, method: str, path: str, body: bytes = b"") -> Request:
        return Request(method, self.url + path, body, self.timeout_s, self.request_id)

    def _model_path(self) -> str:
        return f"/v1/models/{quote(self.model, safe='')}"

    def _path(self) -> str:
        path = self._model_path()
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        if self.label is not None:
            return f"{path}/labels/{quote(self.label, safe='')}"
        return path


def _explanations(request: Request, response: Response, count: int) -> list[Explanation]:
    found = _answers.listed(request, response, "explanations", count)
    return _made(request, response, found, lambda parts: [Explanation.of(it) for it in parts])


def _with(name: str) -> Callable[[Any], Mapping[str, Any]]:
    """Reads an object that has a member of this name."""

    def read(document: Any) -> Mapping[str, Any]:
        document[name]
        return dict(document)

    return read


def _read(request: Request, response: Response, read: Callable[[Any], _T]) -> _T:
    return _made(request, response, _answers.decode(request, response), read)


def _made(request: Request, response: Response, document: Any, read: Callable[[Any], _T]) -> _T:
    try:
        return read(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        excerpt = json.dumps(document)[:200]
        raise _answers.fault(
            request, response, f"the answer is of an unknown form: {excerpt}"
        ) from error


def _statuses(document: Any) -> list[VersionStatus]:
    return [VersionStatus.of(part) for part in document["model_version_status"]]


def _without_contract(error: HearthError) -> InvalidRequest:
    return InvalidRequest(
        "the server describes no contract for this model, and a table needs one to find its "
        f"columns; give dicts or rows of numbers ({error.message})",
        url=error.url,
        status=error.status,
        request_id=error.request_id,
    )


def check_url(url: str) -> str:
    """Check that an address can be spoken to.

    Raises:
        ValueError: It cannot.
    """
    try:
        parts = parse_url(url)
    except LocationParseError as error:
        raise ValueError(f"url {url!r} is not an address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
        raise ValueError(f"url {url!r} is not of the form http://host:port or https://host:port")
    return url


def _check_settings(client: Client) -> None:
    check_url(client.url)
    if not client.model:
        raise ValueError("model is empty")
    if client.version is not None and client.label is not None:
        raise ValueError(
            f"version {client.version} and label {client.label!r} are both given: one of them"
        )
    if client.timeout_s <= 0:
        raise ValueError(f"timeout_s is {client.timeout_s}, not above 0")
    if isinstance(client.retries, int) and client.retries < 0:
        raise ValueError(f"retries is {client.retries}, below 0")
    if client.chunk_rows < 1:
        raise ValueError(f"chunk_rows is {client.chunk_rows}, below 1")
