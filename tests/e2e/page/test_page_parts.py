"""The other parts of the page: behaviour, versions, batch, live, API."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.e2e.page.conftest import PREDICT

# Training, two exports and a service may stand before the first of them.
pytestmark = [pytest.mark.system("chromium"), pytest.mark.timeout(300)]


def test_each_feature_has_its_curve_and_predictions_stand_against_truth(visitor):
    page = visitor.open("behaviour")
    page.locator("canvas").nth(3).wait_for()

    titles = page.locator("figcaption").all_inner_texts()
    assert [it.split(":")[0] for it in titles[:3]] == ["RM", "AGE", "LSTAT"]
    assert "102" in titles[3]
    coloured = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    }"""
    for canvas in page.locator("canvas").all():
        assert canvas.evaluate(coloured) > 20


def test_versions_are_listed_with_labels_metrics_and_report(visitor, service):
    page = visitor.open("versions")
    rows = page.get_by_role("group", name="Versions of the model").locator("tbody tr")
    rows.nth(1).wait_for()
    mae = service.get("/v1/models/housing/contract").json()["metrics"]["test"]["network"]["mae"]

    newest, oldest = (it.inner_text().split("\t") for it in rows.all())
    assert newest[:2] == ["2", "answers"]
    assert oldest[:3] == ["1", "served", "stable"]
    assert newest[4] == f"{mae:.2f}"
    page.get_by_role("link", name="training report").first.click()
    page.wait_for_url("**/report/housing/2/index.html")
    assert page.locator("img").first.evaluate("it => it.decode().then(() => it.naturalWidth)") > 0


def test_two_versions_are_compared_on_the_row_in_question(visitor, service):
    page = visitor.open("try", query="?RM=6.142&AGE=91.7&LSTAT=18.72")
    page.get_by_role("link", name="Versions").click()
    table = page.get_by_role("group", name="Two versions compared")
    row = table.locator("tbody tr").first
    row.wait_for()
    house = {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}
    price = service.post(PREDICT, {"instances": [house]}).json()["predictions"][0]

    shown = f"{price:.2f}"
    assert row.inner_text().split("\t") == ["MEDV, thousand USD", shown, shown, "±0.00"]


TABLE = """id,LSTAT,RM,AGE
a,18.72,6.142,91.7
b,x,6,50
"c, quoted",9,6.1,50
d,9,60,50
e,9,6
f,25,5,90
"""


def test_a_file_is_priced_row_by_row_and_can_be_downloaded(visitor, service, tmp_path):
    page = visitor.open("batch")
    file = tmp_path / "houses.csv"
    file.write_text(TABLE)
    page.set_input_files("#file", file)
    page.get_by_text("houses.csv: 3 rows priced, 3 with errors.").wait_for()

    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download all rows").click()
    assert downloading.value.suggested_filename == "houses-price.csv"
    text = Path(downloading.value.path()).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    houses = [
        {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72},
        {"RM": 6.1, "AGE": 50, "LSTAT": 9},
        {"RM": 5, "AGE": 90, "LSTAT": 25},
    ]
    prices = service.post(PREDICT, {"instances": houses}).json()["predictions"]
    assert [it["id"] for it in rows] == ["a", "b", "c, quoted", "d", "e", "f"]
    assert [float(rows[i]["price"]) for i in (0, 2, 5)] == [pytest.approx(it) for it in prices]
    assert rows[1]["error"] == "LSTAT is “x”, no number"
    assert rows[3]["error"] == "RM is 60 rooms, outside the limits 0 to 50 rooms"
    assert rows[4]["error"] == "has 3 cells, the first line has 4"
    assert page.get_by_role("group", name="Rows with errors").locator("tbody tr").count() == 3


def test_a_large_file_is_sent_in_pieces(visitor, tmp_path):
    page = visitor.open("batch")
    file = tmp_path / "many.csv"
    file.write_text("RM;AGE;LSTAT\n" + "6.1;50;9\n" * 2500)
    sent = []
    page.on("request", lambda it: sent.append(it.url) if it.url.endswith(":predict") else None)
    page.set_input_files("#file", file)

    page.get_by_text("many.csv: 2,500 rows priced, 0 with errors.").wait_for()
    assert len(sent) == 3


def test_a_file_without_a_needed_column_is_refused_by_name(visitor, tmp_path):
    page = visitor.open("batch")
    file = tmp_path / "wrong.csv"
    file.write_text("RM,AGE\n6,50\n")
    page.set_input_files("#file", file)

    page.get_by_text("The file has no column LSTAT. Its columns: RM, AGE.").wait_for()


def test_live_shows_what_all_workers_do(visitor, service):
    page = visitor.open("live")
    page.locator(".tile", has_text="workers").locator("b", has_text="2").wait_for()
    rows = page.get_by_role("group", name="Requests by route").locator("tbody tr")
    row = rows.filter(has_text="predict").first

    for _ in range(200):  # until one is seen
        service.post(PREDICT, {"instances": [[6, 50, 9]]})
        if row.count():
            break
    assert row.inner_text().split("\t")[:4] == [
        "tensorflow_serving",
        "predict",
        "housing 2",
        "ok",
    ]
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Pause").get_attribute("aria-pressed") == "true"


def test_a_request_can_be_sent_from_the_document(visitor):
    page = visitor.open("api")
    summary = page.locator("summary", has_text="/v1/models/housing:predict")
    summary.click()
    page.locator("details[open]").get_by_role("button", name="Send").click()

    answer = page.get_by_role("group", name="The answer")
    answer.wait_for()
    assert "predictions" in answer.inner_text()
    page.locator("details[open] .state.good", has_text="200").wait_for()
