"""The command line as a process: kills, pipes, interrupts, and what it imports."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys

import pytest

ROWS = 300


@pytest.fixture
def houses(tmp_path):
    path = tmp_path / "houses.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "RM", "AGE", "LSTAT"])
        for i in range(ROWS):
            writer.writerow([f'house "{i}"\nof many', f"{4 + i % 40 / 10:.3f}", i % 100, "8.50"])
    return path


@pytest.fixture
def start(command, environ, tmp_path):
    """Start the command; whatever still runs at the end is killed."""
    started = []

    def start(*arguments, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(
            [*command, *arguments], env=environ, cwd=tmp_path, text=True, **pipes
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Run the command to its end; gives its exit code, stdout and stderr."""

    def run(*arguments, stdin=None):
        process = start(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=60)
        return process.returncode, out, err

    return run


def test_one_house(run):
    assert run("predict", "RM=6.142", "AGE=91.7", "LSTAT=18.72") == (0, "14.29 thousand USD\n", "")


def test_every_row_is_priced_and_keeps_its_text(run, houses, tmp_path):
    status, _, err = run("predict", "houses.csv", "-o", "priced.csv")
    assert (status, err) == (0, "priced.csv: 300 rows priced by version 3\n")
    with houses.open(newline="") as before, (tmp_path / "priced.csv").open(newline="") as after:
        head, *rows = csv.reader(before)
        priced_head, *priced = csv.reader(after)
    assert priced_head == [*head, "price"]
    assert [row[:-1] for row in priced] == rows
    for _, rm, age, lstat, price in priced:
        expected = float(rm) * 4 - float(age) * 0.01 - float(lstat) * 0.5
        assert float(price) == pytest.approx(expected)


def test_a_killed_run_is_taken_up_and_ends_as_an_uninterrupted_one(
    run, start, houses, server, tmp_path
):
    arguments = ("predict", "houses.csv", "--chunk_rows", "10", "-o")
    assert run(*arguments, "whole.csv")[0] == 0

    server.requests.clear()
    server.allowed = 12
    process = start(*arguments, "priced.csv")
    assert server.stalled.wait(30)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert not (tmp_path / "priced.csv").exists()
    with (tmp_path / "priced.csv.part").open("a") as part:
        part.write('"house ""120""\nof ma')

    server.allowed = None
    server.requests.clear()
    status, _, err = run(*arguments, "priced.csv")
    assert (status, err.splitlines()[0]) == (0, "priced.csv.part: going on after 120 rows")
    assert len(server.predicts) == (ROWS - 120) / 10
    assert (tmp_path / "priced.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob("priced.csv.part*"))


def test_restart_drops_what_was_there(run, start, houses, server, tmp_path):
    arguments = ("predict", "houses.csv", "--chunk_rows", "10", "-o", "priced.csv")
    server.allowed = 5
    process = start(*arguments)
    assert server.stalled.wait(30)
    process.kill()
    process.wait(30)
    server.allowed = None
    server.requests.clear()
    assert run(*arguments, "--restart")[0] == 0
    assert len(server.predicts) == 30


def test_a_version_that_goes_in_the_middle_ends_the_run_and_is_not_mixed(
    run, start, houses, server, tmp_path
):
    arguments = ("predict", "houses.csv", "--chunk_rows", "10", "-o", "priced.csv")
    server.allowed = 5
    process = start(*arguments)
    assert server.stalled.wait(30)
    server.version = 4
    server.allowed = None
    server.released.set()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Servable not found" in err
    status, _, err = run(*arguments)
    assert status == 1
    assert "priced by housing version 3, now housing version 4 answers" in err
    assert run(*arguments, "--restart")[0] == 0


def test_stdin_to_stdout_is_the_same_as_file_to_file(run, houses, tmp_path):
    run("predict", "houses.csv", "-o", "priced.csv")
    status, out, err = run("predict", "-", "-o", "-", stdin=houses.read_text())
    assert (status, err) == (0, "")
    assert out == (tmp_path / "priced.csv").read_bytes().decode().replace("\r\n", "\n")


def test_stdin_may_be_taken_up_too(run, start, houses, server, tmp_path):
    arguments = ("predict", "-", "--chunk_rows", "10", "-o", "priced.csv")
    server.allowed = 5
    with houses.open() as file:
        process = start(*arguments, stdin=file)
        assert server.stalled.wait(30)
        process.kill()
        process.wait(30)
    server.allowed = None
    status, _, err = run(*arguments, stdin=houses.read_bytes().decode())
    assert (status, err.splitlines()[0]) == (0, "priced.csv.part: going on after 50 rows")


def test_a_reader_that_goes_away_ends_the_run_quietly(start, houses):
    process = start("predict", "houses.csv", "--chunk_rows", "1")
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_ctrl_c_ends_the_run_quietly_and_keeps_what_is_priced(start, houses, server, tmp_path):
    server.allowed = 5
    process = start("predict", "houses.csv", "--chunk_rows", "10", "-o", "priced.csv")
    assert server.stalled.wait(30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert (tmp_path / "priced.csv.part").read_text().count("house") == 50


def test_nobody_there_is_one_line_and_1(run, server):
    status, out, err = run("--url", "http://127.0.0.1:1", "--retries", "0", "models")
    assert (status, out) == (1, "")
    assert err == "error: connection refused (http://127.0.0.1:1/v1/models)\n"


def test_a_wrong_address_in_the_environment_is_2(command, environ):
    environ["HEARTH_URL"] = "nowhere"
    done = subprocess.run(
        [*command, "models"], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: url 'nowhere' is not of the form http://host:port or https://host:port\n"
    )


HEAVY = (
    "{name for name in ('tensorflow', 'keras', 'pandas', 'numpy', 'rich') if name in sys.modules}"
)


def loaded(code, environ):
    """Which heavy packages a program has imported when it ends."""
    program = f"import sys\n{code}\nprint(sorted({HEAVY}), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()[-1]


def test_importing_the_client_imports_nothing_heavy(environ):
    assert loaded("import client", environ) == "[]"


@pytest.mark.parametrize("house", ['{"RM": 6, "AGE": 3, "LSTAT": 10}', "[[6, 3, 10]]"])
def test_pricing_dicts_and_lists_imports_nothing_heavy(environ, house):
    code = (
        f"import os, client\nwith client.Client(os.environ['HEARTH_URL']) as c: c.predict({house})"
    )
    assert loaded(code, environ) == "[]"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["predict", "RM=6", "AGE=3", "LSTAT=10"], "[]"),
        (["predict", "houses.csv", "-o", "priced.csv"], "[]"),
        (["wait"], "[]"),
        (["models"], "['rich']"),
    ],
)
def test_a_run_of_the_command_line_imports_no_more_than_it_shows(
    environ, houses, monkeypatch, tmp_path, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    assert (
        loaded(f"from client.__main__ import main\nassert main({arguments}) == 0", environ)
        == expected
    )


def test_a_table_never_imports_tensorflow(environ):
    code = (
        "import os, client, pandas\n"
        "table = pandas.DataFrame([{'RM': 6, 'AGE': 3, 'LSTAT': 10}])\n"
        "with client.Client(os.environ['HEARTH_URL']) as c: c.predict(table)"
    )
    assert loaded(code, environ) == "['numpy', 'pandas']"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_sees_a_bar(start, houses):
    ours, theirs = os.openpty()
    process = start("predict", "houses.csv", "-o", "priced.csv", stderr=theirs)
    process.communicate(timeout=30)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "100%" in shown
    assert "300 rows" in shown
