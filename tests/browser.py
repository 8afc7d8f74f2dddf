"""A browser: the distribution's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

COMMAND: Final = "chromium"
PHONE: Final = (390, 844)
DESKTOP: Final = (1280, 800)


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Run the browser without a window.

    Yields:
        The browser; it is closed afterwards.
    """
    with sync_playwright() as playwright:
        # As root, and in containers, Chromium's own sandbox cannot be set up; only pages of
        # the service under test are opened.
        browser = playwright.chromium.launch(
            executable_path=shutil.which(COMMAND), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()
