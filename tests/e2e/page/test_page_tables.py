"""A model of categories and missing values on the page: penguins."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.page.conftest import visiting
from tests.servers import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.page.conftest import Visitor
    from tests.servers import Server

# Training and a service may stand before the first of them.
pytestmark = [pytest.mark.system("chromium"), pytest.mark.timeout(300)]
GENTOO = "Gentoo penguin (Pygoscelis papua)"
BIRD = {"Species": GENTOO, "Flipper Length (mm)": 211, "Sex": "FEMALE", "Delta 15 N (o/oo)": 8.2}
QUERY = "?Species=Gentoo+penguin+(Pygoscelis+papua)&Flipper+Length+(mm)=211&Sex=FEMALE"
FILE = f"""Species,Flipper Length (mm),Sex,Delta 15 N (o/oo)
{GENTOO},211,FEMALE,8.2
{GENTOO},211,NA,
Emperor,211,FEMALE,8.2
{GENTOO},NA,FEMALE,8.2
"""


@pytest.fixture(scope="module")
def penguins(penguin_models: Path) -> Iterator[Server]:
    with running_service(penguin_models, name="penguins") as running:
        yield running


@pytest.fixture
def visitor(browser, penguins) -> Iterator[Visitor]:
    yield from visiting(browser, penguins.url)


def asked(server: Server, bird: dict[str, object]) -> str:
    answer = server.post("/v1/models/penguins:predict", {"instances": [bird]})
    return f"{answer.json()['predictions'][0]:,.0f}"


def shows(visitor: Visitor, text: str) -> None:
    expect(visitor.page.locator(".price .value")).to_have_text(text)


def open_row(visitor: Visitor):
    return visitor.open("try", model="penguins", query=f"{QUERY}&Delta+15+N+(o%2Foo)=8.2")


def test_a_category_is_chosen_and_may_be_not_known(visitor, penguins):
    page = open_row(visitor)
    shows(visitor, asked(penguins, BIRD))

    page.get_by_label("Sex").select_option("MALE")
    shows(visitor, asked(penguins, BIRD | {"Sex": "MALE"}))
    page.get_by_label("Sex").select_option("not known")
    shows(visitor, asked(penguins, BIRD | {"Sex": None}))
    expect(page.locator("#feature-Sex-note")).to_have_text("Counts as: a category of its own.")
    page.get_by_label("not known").check()
    shows(visitor, asked(penguins, BIRD | {"Sex": None, "Delta 15 N (o/oo)": None}))
    assert page.locator("#feature-Species option").count() == 3  # it may not be missing


def test_a_link_reopens_categories_and_what_is_not_known(visitor, penguins):
    page = open_row(visitor)
    page.get_by_label("Sex").select_option("not known")
    page.wait_for_url("**Sex=&**")
    address = page.url.partition("try")[2]

    page = visitor.open("try", model="penguins", query=address)
    shows(visitor, asked(penguins, BIRD | {"Sex": None}))
    assert page.locator("#feature-Sex option:checked").inner_text() == "not known"
    assert page.locator("#feature-Species option:checked").inner_text() == GENTOO


def test_an_unknown_category_is_warned_of_and_still_answered(visitor, penguins):
    page = visitor.open("try", model="penguins", query=QUERY.replace("Gentoo", "Emperor"))
    name = "Emperor penguin (Pygoscelis papua)"
    page.locator(".reasons .bar").first.wait_for()

    assert page.locator("#feature-Species option:checked").inner_text() == name
    expect(page.locator("#feature-Species-note")).to_contain_text("was in no training row")
    page.get_by_label("Species").select_option(GENTOO)
    expect(page.locator("#feature-Species-note")).to_have_text("")
    assert page.locator("#feature-Species option").count() == 3


def test_a_preset_sets_categories_by_name(visitor, penguins):
    rows = penguins.get("/examples/penguins/1").json()
    highest = max(range(len(rows["truths"])), key=lambda it: (rows["truths"][it], it))
    page = open_row(visitor)
    page.get_by_role("button", name="highest").click()

    shows(visitor, f"{rows['predictions'][highest]:,.0f}")
    assert page.locator("#feature-Sex option:checked").inner_text() == "MALE"
    # The target has no unit, and no word is said of one.
    assert page.locator(".truth").inner_text() == f"In truth: {rows['truths'][highest]:g}"
    page.locator(".reasons .bar").first.wait_for()
    assert page.locator(".reasons .name").count() == 4
    assert "In ." not in page.locator("main").inner_text()


def test_a_file_may_have_empty_cells_where_values_may_be_missing(visitor, penguins, tmp_path):
    (tmp_path / "birds.csv").write_text(FILE)
    page = visitor.open("batch", model="penguins")
    page.locator("#file").set_input_files(tmp_path / "birds.csv")
    page.get_by_text("3 rows priced, 1 with errors").wait_for()

    assert "category that was in no training row: 1" in page.locator("main").inner_text()
    assert page.locator("tr", has_text="Flipper Length (mm) has no value").count() == 1
    cells = page.locator("tbody tr").nth(1).locator("td").all_inner_texts()
    missing = asked(penguins, BIRD | {"Sex": None, "Delta 15 N (o/oo)": None})
    assert cells[1:6] == [GENTOO, "211", "", "", missing]
    with page.expect_download() as download:
        page.get_by_text("Download all rows").click()
    lines = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert f"{float(lines[0]['price']):,.0f}" == asked(penguins, BIRD)


def test_what_a_category_does_is_shown_by_name(visitor, penguins):
    told = penguins.get("/v1/models/penguins/partial_dependence").json()["features"]["Sex"]
    page = visitor.open("behaviour", model="penguins")
    figure = page.locator("figure", has_text="Sex")
    figure.locator(".bar").first.wait_for()

    assert figure.locator(".name").all_inner_texts() == ["MALE", "FEMALE"]
    assert figure.locator(".number").all_inner_texts() == [f"{it:,.0f}" for it in told["price"]]
