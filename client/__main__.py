"""The command line: ``python -m client predict | score | explain | models | top | wait``.

Exit codes: 0 it worked; 1 the server or the data is at fault; 2 the command line is;
130 interrupted, or nobody reads the output any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from client import Client, Credentials, Denied, HearthError, InvalidRequest, NotFound
from client import _explaining as explaining
from client import _listing as listing
from client._arguments import parse
from client._csv import TableError, decoded, encoded
from client._part import Part
from client._pricing import Run
from client._progress import progress
from client._scoring import score
from client._top import watch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from io import TextIOWrapper

    from client import Contract, Transport

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


def main(
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    transport: Transport | None = None,
) -> int:
    """Run one command.

    Args:
        argv: The arguments; None: the process's own.
        environ: The environment; None: the process's own.
        transport: What carries requests; None: HTTP.

    Returns:
        The exit code.
    """
    try:
        given = parse(argv, os.environ if environ is None else environ)
        status = score(given) if given.command == "score" else _run(given, transport)
        sys.stdout.flush()
    except (HearthError, TableError, OSError) as error:
        return _failed(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _run(given: argparse.Namespace, transport: Transport | None) -> int:
    try:
        client = _client(given, transport)
    except ValueError as error:
        return _say(str(error), USAGE)
    with client:
        return _command(given)(client, given)


def _client(given: argparse.Namespace, transport: Transport | None) -> Client:
    return Client(
        given.url,
        given.model,
        version=given.version_number,
        label=given.label,
        signature_name=given.signature_name,
        timeout_s=given.timeout_s,
        retries=given.retries,
        chunk_rows=given.chunk_rows,
        transport=transport,
        credentials=Credentials(
            given.api_key, given.ca_file, given.certificate_file, given.key_file
        ),
    )


def _command(given: argparse.Namespace) -> Callable[[Client, argparse.Namespace], int]:
    if given.command == "predict":
        return _predict_one if given.path is None else _predict_table
    return {"explain": _explain, "models": _models, "top": _top, "wait": _wait}[given.command]


def _failed(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        # The interpreter flushes stdout once more as it ends: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    if isinstance(error, OSError) and error.filename is not None:
        return _say(f"{error.filename}: {error.strerror}", FAILED)
    return _say(str(error), FAILED)


def _say(message: str, status: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _predict_one(client: Client, given: argparse.Namespace) -> int:
    level = given.level
    found = client.predict(given.pairs, level=level)
    price = found if level is None else found.price
    contract = _contract(client)
    unit = contract.target.unit if contract else None
    if given.json:
        bounded = {} if level is None else {**found._asdict(), "level": level}
        print(json.dumps({"price": price, **bounded, "unit": unit}))
        return 0
    bounds = "" if level is None else f" ({level:.0%}: {found.lower:.2f} to {found.upper:.2f})"
    print(f"{price:.2f} {unit}{bounds}" if unit else f"{price:.2f}{bounds}")
    return 0


def _explain(client: Client, given: argparse.Namespace) -> int:
    found = client.explain(given.pairs)
    contract = _contract(client)
    if given.json:
        unit = contract.target.unit if contract else None
        print(json.dumps(explaining.document(found, unit)))
    else:
        explaining.show(found, contract, sys.stdout)
    return 0


def _contract(client: Client) -> Contract | None:
    """The contract; None where the server describes none, or not to this caller."""
    try:
        return client.contract()
    except (Denied, InvalidRequest, NotFound):
        return None


def _predict_table(client: Client, given: argparse.Namespace) -> int:
    pinned = client.pinned()
    name = "stdin" if given.path == "-" else given.path
    with _opened(given.path) as source:
        if given.output in (None, "-"):
            return _to_stdout(Run(pinned, source, name, given.level), name)
        output = Path(given.output)
        if given.path != "-" and output.exists() and output.samefile(given.path):
            return _say(f"{output} is the input: give --output another name", USAGE)
        return _to_file(Run(pinned, source, name, given.level), pinned, output, given)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[TextIOWrapper]:
    if path != "-":
        with Path(path).open("rb") as file, decoded(file) as text:
            yield text
        return
    text = decoded(sys.stdin.buffer)
    try:
        yield text
    finally:
        text.detach()  # stdin stays open


def _to_stdout(run: Run, name: str) -> int:
    sys.stdout.buffer.write(encoded(run.pricer.header))
    with progress(name, run.size, sys.stderr) as shown:
        run.write(sys.stdout.buffer, 0, shown)
    return 0


def _to_file(run: Run, client: Client, output: Path, given: argparse.Namespace) -> int:
    part = Part(output)
    by = {"model": client.model, "version": client.version}
    if given.level is not None:
        by["level"] = given.level
    with part.open() as file:
        kept = 0
        if part.claim(file, by, restart=given.restart):
            kept, run.rows = part.resume(file, run.rows, run.pricer)
            print(f"{part.path}: going on after {kept:,} rows", file=sys.stderr)
        if file.tell() == 0:
            file.write(encoded(run.pricer.header))
        with progress(output.name, run.size, sys.stderr) as shown:
            total = run.write(file, kept, shown)
        part.finish(file)
    print(f"{output}: {total:,} rows priced by version {client.version}", file=sys.stderr)
    return 0


def _models(client: Client, given: argparse.Namespace) -> int:
    versions = listing.versions(client)
    if given.json:
        print(json.dumps(versions))
    else:
        listing.show(versions, sys.stdout)
    return 0


def _top(client: Client, given: argparse.Namespace) -> int:
    watch(client, sys.stdout, given.every_s, given.times)
    return 0


def _wait(client: Client, given: argparse.Namespace) -> int:
    client.wait(given.timeout_s)
    print(f"{client.url} is ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
