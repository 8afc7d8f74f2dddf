"""The page, its files, training reports and examples: what is served, and what is not."""

from __future__ import annotations

import gzip
import html
import json
import re
from dataclasses import replace

import msgspec
import pytest

from service import contract as contracts
from service.contract import Golden, HeldOut
from service.security.scopes import Routes, Scope
from service.web import examples
from service.web.static_files import FOLDER, StaticFiles
from tests.unit.service.fakes import Adder, contract, version
from tests.unit.service.test_service_http import Worker

BROWSER = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
ROW = {"RM": 1.0, "AGE": 2.0, "LSTAT": 3.0}
REPORT = "/report/housing/2/index.html"
EXAMPLES = "/examples/housing/2"


class Described(Worker):
    """A worker whose versions carry the contract that lies in their folder."""

    def _load(self, model, number, path):
        made = version(number, model=model, path=path, executor=self.runners[model])
        return replace(made, contract=contracts.read(path))

    def add(self, tmp_path, files=(), held_out=None):
        """Write a whole version of housing and find it."""
        folder = tmp_path / "housing" / "2"
        (folder / "assets.extra").mkdir(parents=True)
        for name, content in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        if held_out is not None:
            contracts.write_held_out(folder, held_out)
        contracts.write(folder, contract(), Golden(((1.0, 2.0, 3.0),), (6.0,)))
        self.repository.poll()
        self.repository.poll()


@pytest.fixture
def worker(tmp_path):
    return Worker(tmp_path, {"housing": Adder(), "flat": Adder()})


@pytest.fixture
def described(tmp_path):
    return Described(tmp_path, {"housing": Adder()})


def page_of(worker) -> str:
    return worker.through_front("GET", "/", headers=BROWSER).body.decode()


def told_by(page) -> dict:
    """What the page brings along for its program."""
    found = re.search(r'<script type="application/json" id="told">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_brings_along_what_a_program_is_told(worker):
    program = worker.through_front("GET", "/", headers=[("Accept", "application/json")]).json()

    assert told_by(page_of(worker)) == program


def test_each_model_is_told_with_and_without_contract_and_those_not_served(worker):
    by_name = {it["name"]: it for it in told_by(page_of(worker))["models"]}

    assert by_name["housing"]["version"] == 1
    assert by_name["housing"]["documents"]["contract"] == "/v1/models/housing/contract"
    assert "contract" not in by_name["flat"]["documents"]
    assert by_name["empty"]["problem"] == "there is no version of it"
    assert by_name["empty"]["versions"] == []


def test_of_a_served_version_the_page_is_told_since_when_and_by_what(worker):
    housing = told_by(page_of(worker))["models"][-1]

    assert housing["name"] == "housing"
    (served,) = housing["versions"]
    assert served["state"] == "AVAILABLE"
    assert served["executor"] == "adder"
    assert served["since"] == "1970-01-01T00:00:00Z"  # the fakes are loaded then
    assert served["documents"]["contract"] == "/v1/models/housing/versions/1/contract"


def test_without_javascript_the_page_names_models_and_their_documents(worker):
    page = html.unescape(page_of(worker))

    assert '<li data-model="housing">' in page
    assert 'href="/v1/models/housing/metadata"' in page
    assert "not served, there is no version of it" in page


def test_nothing_on_the_page_is_inline_or_from_elsewhere(worker):
    answer = worker.through_front("GET", "/", headers=BROWSER)
    page = answer.body.decode()

    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|https?://", page)
    scripts = re.findall(r"<script(?![^>]*application/json)([^>]*)>", page)
    assert scripts
    assert all(" src=" in it for it in scripts)


def test_the_page_for_those_with_keys_comes_without_what_it_shows(worker):
    answer = worker.through_front("GET", "/page")

    assert answer.status == 200
    assert b"housing" not in answer.body
    assert b"page.js" in answer.body
    for path in ("/page", "/favicon.ico", f"/static/{StaticFiles().revision}/page.js"):
        assert Routes().needed("GET", path) is None
    for path in ("/", "/examples/housing/1", "/openapi.json", REPORT):
        assert Routes().needed("GET", path) == Scope.READ


def test_every_file_that_the_page_names_is_there(worker):
    named = re.findall(r'(?:href|src)="(/static/[^"]+)"', page_of(worker))

    assert len(named) > 10
    for path in named:
        assert worker.through_front("GET", path).status == 200, path


def test_a_file_may_be_kept_for_ever_and_comes_compressed_where_that_is_taken(worker):
    path = f"/static/{StaticFiles().revision}/page.js"
    plain = worker.through_front("GET", path)
    packed = worker.through_front("GET", path, headers=[("Accept-Encoding", "gzip, br")])

    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.body == (FOLDER / "page.js").read_bytes()
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2


def test_a_browser_that_has_a_file_is_not_sent_it_again(worker):
    path = f"/static/{StaticFiles().revision}/page.css"
    etag = worker.through_front("GET", path).headers["etag"]
    again = worker.through_front("GET", path, headers=[("If-None-Match", etag)])

    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/static/page.js",
        "/static/0123456789abcdef/page.js",
        "/static/{revision}/nothing.js",
        "/static/{revision}/../page.py",
        "/static/{revision}/%2e%2e/page.py",
    ],
)
def test_there_is_no_file_of_another_revision_or_folder(worker, path):
    path = path.format(revision=StaticFiles().revision)

    assert worker.through_front("GET", path).status == 404


def test_another_byte_in_any_file_makes_another_revision(tmp_path):
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "b.css").write_text("2")
    before = StaticFiles(tmp_path).revision
    assert StaticFiles(tmp_path).revision == before

    (tmp_path / "b.css").write_text("3")
    assert StaticFiles(tmp_path).revision != before


def test_a_report_is_served_as_its_contract_lists_it_and_nothing_else(described, tmp_path):
    described.add(tmp_path, [("assets.extra/report/index.html", "<p>the report</p>")])
    (tmp_path / "housing/2/assets.extra/report/added.html").write_text("later")

    answer = described.through_front("GET", REPORT)
    assert answer.body == b"<p>the report</p>"
    assert "script" not in answer.headers["content-security-policy"]
    for name in ("../contract.json", "%2e%2e/contract.json", "..%2fcontract.json", "added.html"):
        assert described.through_front("GET", f"/report/housing/2/{name}").status == 404, name


def test_a_version_that_lists_no_report_leads_to_none(described, tmp_path):
    described.add(tmp_path)

    (housing,) = [it for it in told_by(page_of(described))["models"] if it["name"] == "housing"]
    assert "report" not in housing["documents"]
    assert described.through_front("GET", REPORT).status == 404


def test_examples_are_the_test_rows_with_their_truth(described, tmp_path):
    described.add(tmp_path, held_out=HeldOut(((1.0, 2.0, 3.0),), (6.0,), (6.5,)))

    assert described.through_front("GET", EXAMPLES).json() == {
        "source": "test",
        "instances": [ROW],
        "predictions": [6.0],
        "truths": [6.5],
    }


def test_a_version_without_test_rows_offers_its_golden_ones(described, tmp_path):
    described.add(tmp_path)

    assert described.through_front("GET", EXAMPLES).json() == {
        "source": "golden",
        "instances": [ROW],
        "predictions": [6.0],
    }


def test_examples_have_categories_as_callers_write_them():
    zone = msgspec.structs.replace(
        contract().features[0], name="ZONE", kind="category", categories=("north", "south")
    )
    described = contract(features=(zone, contract().features[1]))
    rows = [(0.0, 5.0), (1.0, None), (2.0, 1.0), (None, 1.0)]

    assert [list(it.values()) for it in examples._by_name(described, rows)] == [
        ["north", 5.0],
        ["south", None],
        ["another", 1.0],
        [None, 1.0],
    ]


@pytest.mark.parametrize("path", ["/examples/flat/1", "/examples/housing/9", "/examples/housing"])
def test_where_there_are_no_examples_it_is_said(worker, path):
    answer = worker.through_front("GET", path)

    assert answer.status == 404
    assert answer.json()["error"]
