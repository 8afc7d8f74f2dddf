"""Try it: the price follows the controls, and whatever is shown is what the service answers."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.page.conftest import PREDICT, visiting
from tests.servers import ROOT, running_service

if TYPE_CHECKING:
    from tests.e2e.page.conftest import Visitor
    from tests.servers import Server

# Training, two exports and a service may stand before the first of them.
pytestmark = [pytest.mark.system("chromium"), pytest.mark.timeout(300)]
HOUSE = {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}
QUERY = "?RM=6.142&AGE=91.7&LSTAT=18.72"


def asked(service: Server, house: dict[str, float]) -> float:
    return service.post(PREDICT, {"instances": [house]}).json()["predictions"][0]


def shows(visitor: Visitor, value: float) -> None:
    expect(visitor.page.locator(".price .value")).to_have_text(f"{value:.2f}")


def test_an_address_opens_a_row_and_shows_its_price(visitor, service):
    page = visitor.open("try", query=QUERY)

    shows(visitor, asked(service, HOUSE))
    assert page.locator("#feature-RM").input_value() == "6.14"  # the slider's own steps
    assert page.get_by_label("RM in rooms").input_value() == "6.142"
    assert "thousand USD" in page.locator(".price").inner_text()


def test_the_price_follows_a_slider_by_keyboard(visitor, service):
    page = visitor.open("try", query=QUERY)
    slider = page.locator("#feature-LSTAT")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    moved = float(slider.input_value())

    assert moved < 18.72
    shows(visitor, asked(service, HOUSE | {"LSTAT": moved}))
    expect(page).to_have_url(re.compile(f"LSTAT={moved:g}"))


def test_rows_that_are_tried_are_said_to_be_no_real_cases(visitor):
    asked = []
    visitor.page.on("request", lambda it: asked.append(it) if PREDICT in it.url else None)
    for part in ("try", "behaviour"):
        visitor.open(part)

    assert len(asked) > 1
    assert {it.headers.get("x-observe") for it in asked} == {"no"}


def test_at_most_one_request_is_under_way_and_the_last_one_counts(visitor, service):
    page = visitor.open("try", query=QUERY)
    under_way = most = count = 0

    def began(request):
        nonlocal under_way, most, count
        if request.url.endswith(":predict"):
            under_way, count = under_way + 1, count + 1
            most = max(most, under_way)

    def ended(request):
        nonlocal under_way
        if request.url.endswith(":predict"):
            under_way -= 1

    page.on("request", began)
    page.on("requestfinished", ended)
    page.evaluate("""() => {
        const slider = document.querySelector("#feature-AGE");
        for (let value = 0; value <= 100; value += 1) {
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }
    }""")
    shows(visitor, asked(service, HOUSE | {"AGE": 100}))
    assert most == 1
    assert 1 <= count <= 3  # a hundred changes


def test_a_value_outside_the_training_range_is_warned_of_and_still_priced(visitor, service):
    page = visitor.open("try", query=QUERY)
    page.get_by_label("LSTAT in %").fill("80")

    shows(visitor, asked(service, HOUSE | {"LSTAT": 80}))
    note = page.locator("#feature-LSTAT-note")
    assert note.inner_text().startswith("Outside what it was trained on: 1.73 to 37.97")


@pytest.mark.parametrize(("text", "message"), [("500", "outside the limits 0 to 50"), ("", "no")])
def test_what_the_service_would_refuse_is_said_before_it_is_asked(visitor, text, message):
    page = visitor.open("try", query=QUERY)
    page.get_by_label("RM in rooms").fill(text)

    expect(page.locator(".answer .message")).to_contain_text(message)
    expect(page.locator(".price .value")).to_have_text("\N{EN DASH}")


def test_a_preset_is_a_real_row_with_its_truth(visitor, service):
    rows = service.get("/examples/housing/2").json()
    highest = max(range(102), key=lambda it: (rows["truths"][it], it))
    page = visitor.open("try")
    page.get_by_role("button", name="highest").click()

    shows(visitor, rows["predictions"][highest])
    assert page.locator(".truth").inner_text() == "In truth: 50 thousand USD"
    page.locator("#feature-RM").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".truth")).to_have_text("")


def test_the_price_is_spoken_once_the_hand_rests(visitor, service):
    page = visitor.open("try", query=QUERY)
    spoken = f"MEDV {asked(service, HOUSE):.2f} thousand USD"

    page.locator("[aria-live=polite]", has_text=spoken).wait_for(state="attached")


@pytest.mark.parametrize("title", ["curl", "Python", "gRPC"])
def test_the_request_to_copy_gives_the_price_that_is_shown(visitor, service, title):
    page = visitor.open("try", query=QUERY)
    page.get_by_text(title, exact=True).click()
    text = page.locator(".snippets pre").inner_text()

    command = ["bash", "-c", text] if title == "curl" else [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    price = told["predictions"][0]["price"] if title == "curl" else told
    assert price == pytest.approx(asked(service, HOUSE), rel=1e-5)


def test_a_chosen_version_is_the_one_asked(visitor):
    page = visitor.open("try")
    with page.expect_request("**/versions/1:predict"):
        page.get_by_label("Version").select_option("1")

    page.locator(".snippets pre", has_text="/versions/1:predict").wait_for()
    assert "%40version=1" in page.url


def test_a_model_without_a_contract_is_asked_by_its_signature(visitor):
    page = visitor.open("try", model="half")
    page.get_by_label("Request").fill('{"inputs": {"x": [[1.0], [4.0]]}}')
    page.get_by_role("button", name="Send").click()

    answer = page.locator(".part pre", has_text="outputs")
    answer.wait_for()
    assert json.loads(answer.inner_text()) == {"outputs": [[2.5], [4.0]]}
    assert page.get_by_role("link", name="Batch").count() == 0


def test_the_example_of_a_signature_can_be_sent_as_it_is(visitor):
    page = visitor.open("try", model="half")
    page.get_by_role("button", name="Send").click()

    page.locator(".state.good", has_text="200").wait_for()


def test_the_service_is_missed_and_found_again(visitor, service):
    page = visitor.open("try", query=QUERY)
    page.context.set_offline(True)
    page.get_by_label("AGE in %").fill("50")
    page.locator(".answer .message", has_text="does not answer").wait_for()
    page.context.set_offline(False)
    page.get_by_label("AGE in %").fill("60")

    shows(visitor, asked(service, HOUSE | {"AGE": 60}))
    visitor.wrong.clear()  # the browser itself tells of the request that failed


def test_an_interval_stands_beside_the_price_and_its_level_can_be_chosen(visitor, service):
    page = visitor.open("try", query=QUERY)
    for level, title in ((0.9, "90 %"), (0.8, "80 %"), (0.95, "95 %")):
        page.get_by_text(title, exact=True).click()
        body = {"instances": [HOUSE], "level": level}
        (told,) = service.post(PREDICT, body).json()["predictions"]
        expect(page.locator(".interval")).to_have_text(
            f"{told['lower']:.2f} to {told['upper']:.2f}"
        )


def test_where_callers_need_a_key_the_page_asks_for_it(browser, housing_models, tmp_path):
    key = "hearth_" + "k" * 43
    keys = tmp_path / "keys"
    keys.write_text(f"people predict,read sha256:{hashlib.sha256(key.encode()).hexdigest()}\n")
    with running_service(housing_models, api_key_file=keys) as guarded:
        for visitor in visiting(browser, guarded.url):
            page = visitor.page
            page.goto(f"{guarded.url}/page#/housing/try{QUERY}")
            page.get_by_label("This service asks for a key").fill(key)
            page.get_by_role("button", name="Use it").click()
            expect(page.locator(".price .value")).to_have_text(re.compile(r"^\d+\.\d\d$"))
            assert all("401" in it for it in visitor.wrong)  # the browser tells of the refusal
            visitor.wrong.clear()
