"""Measures how soon the page is there: ``python -m tests.page_load [FOLDER OF MODELS]``."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.browser import DESKTOP, running_browser
from tests.servers import ROOT, running_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_LOADS: Final = 5
# Milliseconds from the navigation's begin, as the browser's own clock has them. An observer is
# asked for the first paint, since it may come after the load event.
_TIMES: Final = """() => new Promise((tell) => new PerformanceObserver((seen) => {
  const [paint] = seen.getEntriesByName("first-contentful-paint");
  const [whole] = performance.getEntriesByType("navigation");
  if (paint) tell([paint.startTime, whole.loadEventStart]);
}).observe({ type: "paint", buffered: true }))"""


def measure(models: Path) -> None:
    """Serve the newest version, load its page a few times with nothing kept, and tell the medians.

    Args:
        models: The folder that has ``housing``.
    """
    with running_service(models) as service, running_browser() as browser:
        _load(browser, service.url)  # the service reads its files once
        loads = [_load(browser, service.url) for _ in range(_LOADS)]
    for place, name in enumerate(("first contentful paint", "load event")):
        print(f"{name}: {median(it[place] for it in loads):.0f} ms, median of {_LOADS} loads")


def _load(browser: Browser, url: str) -> tuple[float, float]:
    """First contentful paint and load event of a browser that has seen nothing yet, in ms."""
    width, height = DESKTOP
    context = browser.new_context(viewport={"width": width, "height": height})
    try:
        page = context.new_page()
        page.goto(url, wait_until="networkidle")
        paint_ms, load_ms = page.evaluate(_TIMES)
    finally:
        context.close()
    return paint_ms, load_ms


if __name__ == "__main__":
    measure(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "models")
