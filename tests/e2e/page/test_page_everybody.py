"""The page is for everybody: by keyboard, on a phone, light and dark, and without much to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser import DESKTOP, PHONE
from tests.e2e.page.conftest import visiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.page.conftest import Visitor

# Training, two exports and a service may stand before the first of them.
pytestmark = [pytest.mark.system("chromium"), pytest.mark.timeout(300)]
PARTS = ("try", "behaviour", "versions", "batch", "live", "api")
# What the first sight of the page may cost a telephone, in bytes as they are sent.
MOST_BYTES = 80_000


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request) -> str:
    return request.param


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def sized(request, browser, service, scheme) -> Iterator[Visitor]:
    width, height = request.param
    yield from visiting(
        browser,
        service.url,
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        bypass_csp=True,  # the checker brings a program of its own
    )


def test_no_part_has_barriers_or_is_wider_than_the_screen(sized):
    for part in PARTS:
        page = sized.open(part)
        found = Axe().run(page).response["violations"]
        told = [(it["id"], it["nodes"][0]["html"][:200]) for it in found]
        assert told == [], part
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, part


def test_the_first_sight_costs_little(visitor):
    page = visitor.page
    watching = page.context.new_cdp_session(page)
    sent: list[float] = []
    watching.send("Network.enable")
    watching.on("Network.loadingFinished", lambda it: sent.append(it["encodedDataLength"]))
    page.goto(visitor.url)
    page.wait_for_load_state("networkidle")

    assert len(sent) > 10
    assert sum(sent) < MOST_BYTES


def test_a_second_visit_loads_no_file_again(visitor):
    page = visitor.open("try")
    page.goto(f"{visitor.url}/?again")
    page.wait_for_load_state("networkidle")

    kept = page.evaluate(
        "performance.getEntriesByType('resource').filter(it => it.name.includes('/static/'))"
        ".map(it => it.transferSize)"
    )
    assert kept
    assert set(kept) == {0}


def test_everything_can_be_reached_by_keyboard(visitor):
    page = visitor.open("try")
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(document.activeElement.getAttribute('aria-label') "
                "|| document.activeElement.id || document.activeElement.textContent)"
            )
        )
    assert reached[0] == "To the content"
    wanted = ["Batch", "highest", "RM in rooms", "feature-RM", "feature-LSTAT", "Copy"]
    assert [it for it in wanted if it not in reached] == []


def test_who_wants_no_motion_sees_none(browser, service):
    for visitor in visiting(browser, service.url, reduced_motion="reduce"):
        page = visitor.open("try")
        seconds = page.locator(".marker").evaluate("it => getComputedStyle(it).transitionDuration")
        assert seconds == "0s"
    for visitor in visiting(browser, service.url, reduced_motion="no-preference"):
        page = visitor.open("try")
        seconds = page.locator(".marker").evaluate("it => getComputedStyle(it).transitionDuration")
        assert seconds != "0s"


def test_without_javascript_the_documents_are_named(browser, service):
    for visitor in visiting(browser, service.url, java_script_enabled=False):
        visitor.page.goto(visitor.url)
        assert visitor.page.get_by_role("link", name="metadata").first.is_visible()
