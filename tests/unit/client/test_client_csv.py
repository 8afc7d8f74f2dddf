"""CSV records keep their text; an unfinished output is taken up where it is whole."""

from __future__ import annotations

import csv
import io
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from client import Client, InvalidRequest
from client._csv import TableError, decoded, encoded, records
from client._part import Part
from client._pricing import Run
from client._progress import Lines, progress

TABLE = b"RM,AGE,LSTAT,note\n6,3,10,a\n5,1,4,b\n1,0,0,c\n"
PRICED = b"RM,AGE,LSTAT,note,price\n6,3,10,a,16.0\n5,1,4,b,17.0\n1,0,0,c,4.0\n"


def priced(client, table, name="houses.csv", level=None):
    sink = io.BytesIO()
    run = Run(client, decoded(io.BytesIO(table)), name, level)
    sink.write(encoded(run.pricer.header))
    run.write(sink, 0, Lines(name, None, io.StringIO()))
    return sink.getvalue()


def split(table):
    return list(records(decoded(io.BytesIO(table)), "houses.csv"))


def test_each_row_gains_its_price(client):
    assert priced(client, TABLE) == PRICED


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (b"RM,AGE,LSTAT\r\n6,3,10\r\n", b"RM,AGE,LSTAT,price\r\n6,3,10,16.0\r\n"),
        (b"RM,AGE,LSTAT\n6,3,10", b"RM,AGE,LSTAT,price\n6,3,10,16.0\n"),
        (b"RM,AGE,LSTAT\r\n6,3,10", b"RM,AGE,LSTAT,price\r\n6,3,10,16.0\r\n"),
        (b"RM,AGE,LSTAT\r6,3,10\r", b"RM,AGE,LSTAT,price\r6,3,10,16.0\r"),
        (b"\xef\xbb\xbfRM,AGE,LSTAT\n", b"RM,AGE,LSTAT,price\n"),
        (b'"RM", AGE ,LSTAT\n6.00, 3,"10"\n', b'"RM", AGE ,LSTAT,price\n6.00, 3,"10",16.0\n'),
        (b"RM,AGE,LSTAT\n\n6,3,1e1\n\n", b"RM,AGE,LSTAT,price\n\n6,3,1e1,16.0\n"),
        (b"LSTAT,n,RM,AGE\n10,\xe9,6,3\n", b"LSTAT,n,RM,AGE,price\n10,\xe9,6,3,16.0\n"),
        (b'n,RM,AGE,LSTAT\n"a\nb",6,3,10\n', b'n,RM,AGE,LSTAT,price\n"a\nb",6,3,10,16.0\n'),
        (b"RM,AGE,LSTAT\n", b"RM,AGE,LSTAT,price\n"),
    ],
)
def test_all_other_text_is_passed_on_as_it_is(client, table, expected):
    assert priced(client, table) == expected


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"", "houses.csv is empty"),
        (b"\n\n", "houses.csv is empty"),
        (b"RM,AGE\n", "houses.csv: no column LSTAT: the columns are RM, AGE"),
        (b"RM,RM,AGE,LSTAT\n", "houses.csv: column RM is there more than once"),
        (b"RM,AGE,LSTAT,price\n", "houses.csv: there is a column price already"),
        (b"RM,AGE,LSTAT\n6,3\n", "line 2: 2 fields, the header has 3"),
        (b"RM,AGE,LSTAT\n6,3,10,11\n", "line 2: 4 fields, the header has 3"),
        (b"RM,AGE,LSTAT\n6,3,10\n6,,10\n", "line 3, column AGE is empty"),
        (b"RM,AGE,LSTAT\n6,3,ten\n", "line 2, column LSTAT: 'ten' is not a finite number"),
        (b"RM,AGE,LSTAT\nnan,3,10\n", "line 2, column RM: 'nan' is not a finite number"),
        (b"RM,AGE,LSTAT\n6,3,1_0\n", "line 2, column LSTAT: '1_0' is not"),
        (b'n,RM,AGE,LSTAT\n"a\n\nb",6,3,10\nx,6,3,\n', "line 5, column LSTAT is empty"),
        (b'RM,AGE,LSTAT\n6,3,10\n"6,3,10\n', "line 3: unexpected end of data"),
    ],
)
def test_what_cannot_be_priced_is_named_with_its_line(client, table, message):
    with pytest.raises(TableError, match=message):
        priced(client, table)


def test_a_row_that_the_server_refuses_is_named_with_its_line(client):
    table = b'RM,AGE,LSTAT,n\n6,3,10,"two\nlines"\n5,1,4,b\n6,101,0,c\n'
    with pytest.raises(InvalidRequest, match=r"houses.csv, line 5: instances\[2\].AGE is 101"):
        priced(client, table)


fields = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=5)


@given(
    st.lists(st.tuples(fields, fields), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@example([("", "\r"), ('"', ","), ("\n", " ")], "\n", csv.QUOTE_ALL)
def test_another_reader_finds_every_field_again(rows, line_end, quoting):
    """Python's own reader is asked, and the client sees the same records."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=quoting).writerows(rows)
    table = text.getvalue().encode()
    found = split(table)
    assert [tuple(record.fields) for record in found] == rows
    assert b"".join(encoded(record.text) for record in found) == table


@given(st.binary(max_size=60))
def test_any_bytes_are_records_or_a_table_error(data):
    try:
        found = split(data)
    except TableError:
        return
    text = b"".join(encoded(record.text) for record in found)
    assert data.removeprefix(b"\xef\xbb\xbf").startswith(text)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "priced.csv"


def run_into(output, client, table, *, restart=False, rows=None, level=None):
    """What the command does, up to so many rows: then it is as if killed."""
    part = Part(output)
    run = Run(client, decoded(io.BytesIO(table)), "houses.csv", level)
    by = {"model": client.model, "version": client.version}
    by |= {} if level is None else {"level": level}
    with part.open() as file:
        kept = 0
        if part.claim(file, by, restart=restart):
            kept, run.rows = part.resume(file, run.rows, run.pricer)
        if file.tell() == 0:
            file.write(encoded(run.pricer.header))
        if rows is not None:
            run.rows = itertools.islice(run.rows, rows - kept)
        run.write(file, kept, Lines("", None, io.StringIO()))
        if rows is None:
            part.finish(file)
    return kept


@pytest.fixture
def pinned(hearth, clock):
    return Client(transport=hearth, clock=clock, version=3, chunk_rows=1)


def test_a_finished_run_leaves_the_output_alone(output, pinned):
    run_into(output, pinned, TABLE)
    assert output.read_bytes() == PRICED
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize("size", range(len(PRICED) + 1))
def test_a_run_cut_off_at_any_byte_is_taken_up(output, pinned, hearth, size):
    run_into(output, pinned, TABLE, rows=3)
    part = output.with_name("priced.csv.part")
    assert part.read_bytes() == PRICED
    part.write_bytes(PRICED[:size])
    hearth.requests.clear()
    kept = run_into(output, pinned, TABLE)
    assert output.read_bytes() == PRICED
    assert kept == max(PRICED[:size].count(b"\n") - 1, 0)
    assert len(hearth.bodies) == 3 - kept


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_run_cut_off_inside_quotes_or_a_line_end_is_taken_up(output, pinned, newline):
    table = newline.join([b"n,RM,AGE,LSTAT", b'"a\n""b",6,3,10', b'"\n\n",5,1,4', b""])
    whole = priced(pinned, table)
    for size in range(len(whole) + 1):
        run_into(output, pinned, table, rows=2)
        output.with_name("priced.csv.part").write_bytes(whole[:size])
        run_into(output, pinned, table)
        assert output.read_bytes() == whole, size


def test_an_input_that_has_changed_is_noticed(output, pinned):
    run_into(output, pinned, TABLE, rows=2)
    with pytest.raises(TableError, match=r"differs from the input at row 1: .*--restart"):
        run_into(output, pinned, TABLE.replace(b"6,3", b"6,4"))
    with pytest.raises(TableError, match="differs from the input at the header"):
        run_into(output, pinned, TABLE.replace(b"note", b"notes"))
    with pytest.raises(TableError, match="differs from the input at row 1"):
        run_into(output, pinned, TABLE[: TABLE.index(b"6,")])


def test_an_input_that_was_mended_further_on_is_taken_up(output, pinned):
    with pytest.raises(TableError, match="line 4, column RM"):
        run_into(output, pinned, TABLE.replace(b"\n1,", b"\none,"))
    assert run_into(output, pinned, TABLE) == 2
    assert output.read_bytes() == PRICED


def test_prices_of_two_versions_are_not_mixed(output, pinned, hearth):
    run_into(output, pinned, TABLE, rows=2)
    hearth.versions[4] = "AVAILABLE"
    later = Client(transport=hearth, version=4)
    with pytest.raises(TableError, match=r"priced by housing version 3, now housing version 4"):
        run_into(output, later, TABLE)
    assert run_into(output, later, TABLE, restart=True) == 0
    assert output.read_bytes() == PRICED


BOUNDED = (
    b"RM,AGE,LSTAT,note,price,lower,upper\n"
    b"6,3,10,a,16.0,-74.0,106.0\n5,1,4,b,17.0,-73.0,107.0\n1,0,0,c,4.0,-86.0,94.0\n"
)


def test_with_a_level_each_row_gains_its_bounds_too(client):
    assert priced(client, TABLE, level=0.9) == BOUNDED


@pytest.mark.parametrize("size", range(0, len(BOUNDED) + 1, 3))
def test_a_run_with_bounds_cut_off_at_any_byte_is_taken_up(output, pinned, size):
    run_into(output, pinned, TABLE, rows=3, level=0.9)
    output.with_name("priced.csv.part").write_bytes(BOUNDED[:size])
    kept = run_into(output, pinned, TABLE, level=0.9)
    assert output.read_bytes() == BOUNDED
    assert kept == max(BOUNDED[:size].count(b"\n") - 1, 0)


@pytest.mark.parametrize(("before", "now"), [(0.9, 0.95), (None, 0.9), (0.9, None)])
def test_bounds_of_two_levels_are_not_mixed(output, pinned, before, now):
    run_into(output, pinned, TABLE, rows=2, level=before)
    said = rf"level {before or 'none'}, now the level is {now or 'none'}: .*--restart"
    with pytest.raises(TableError, match=said):
        run_into(output, pinned, TABLE, level=now)
    assert run_into(output, pinned, TABLE, restart=True, level=now) == 0


@pytest.mark.parametrize("name", ["price", "lower", "upper"])
def test_a_table_with_a_column_that_is_to_be_added_is_refused(client, name):
    table = TABLE.replace(b"note", name.encode())
    with pytest.raises(TableError, match=f"there is a column {name} already"):
        priced(client, table, level=0.9)


def test_a_part_without_its_note_is_begun_anew(output, pinned):
    output.with_name("priced.csv.part").write_text("whatever\n")
    assert run_into(output, pinned, TABLE) == 0
    assert output.read_bytes() == PRICED


def test_two_runs_do_not_write_one_output(output):
    with Part(output).open(), pytest.raises(TableError, match="being written by another run"):
        Part(output).open()
    Part(output).open().close()


def test_progress_elsewhere_than_on_a_terminal_is_a_line_now_and_then():
    stream = io.StringIO()
    with progress("houses.csv", 1_000, stream) as shown:
        for rows in (50_000, 150_000, 190_000, 400_000):
            shown.show(rows, rows // 400)
    assert stream.getvalue() == "houses.csv: 150,000 rows (38%)\nhouses.csv: 400,000 rows (100%)\n"


def test_progress_on_a_terminal_is_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with progress("houses.csv", 1_000, stream) as shown:
        shown.show(123_456, 1_000)
    assert "houses.csv" in stream.getvalue()
    assert "123,456 rows" in stream.getvalue()
    assert "100%" in stream.getvalue()
