"""A service with a described model in two versions and a foreign one, and a browser on it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.browser import DESKTOP, running_browser
from tests.servers import ROOT, Server, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PREDICT = "/v1/models/housing:predict"
_CONFIG = """
model_config_list {{
  config {{
    name: "half" base_path: "{folder}/half" model_platform: "tensorflow"
  }}
  config {{
    name: "housing" base_path: "{folder}/housing" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }}
  }}
}}
"""


@pytest.fixture(scope="session")
def service(housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It serves ``housing`` in versions 1 and 2, which are alike, and ``half``."""
    folder = tmp_path_factory.mktemp("page")
    for number in ("1", "2"):
        shutil.copytree(housing_models / "housing" / "1", folder / "housing" / number)
    _write_half(folder / "half" / "1")
    config = folder / "models.config"
    config.write_text(_CONFIG.format(folder=folder))
    with running_service(folder, model_config_file=config, workers=2) as running:
        yield running


def _write_half(folder: Path) -> None:
    # In a process of its own: TensorFlow and the browser's event loop do not end well together.
    script = (
        "import pathlib, sys, tests.models as it\nit.plain_half_plus_two(pathlib.Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; while it is there, an event loop runs in this thread, and no other may."""
    with running_browser() as running:
        yield running


@dataclass
class Visitor:
    """A browser's page on the service, and what went wrong there."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def open(self, part: str = "", model: str = "housing", query: str = "") -> Page:
        """Open a part of the page and wait until its requests are answered."""
        # An address that differs behind "#" alone would load nothing.
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#/{model}/{part}{query}")
        self.page.wait_for_load_state("networkidle")
        return self.page


@pytest.fixture
def visitor(browser: Browser, service: Server) -> Iterator[Visitor]:
    """A page that must neither fail nor ask anybody else for anything."""
    yield from visiting(browser, service.url)


def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visitor]:
    width, height = DESKTOP
    context = browser.new_context(
        **{"viewport": {"width": width, "height": height}, "accept_downloads": True, **options}
    )
    context.set_default_timeout(20_000)
    visitor = Visitor(context.new_page(), url)
    visitor.page.on("pageerror", lambda error: visitor.wrong.append(str(error)))
    visitor.page.on("console", lambda it: _note(visitor, it))
    visitor.page.on("request", lambda it: _check_host(visitor, it.url))
    yield visitor
    context.close()
    assert visitor.wrong == []


def _note(visitor: Visitor, message: Any) -> None:
    if message.type in {"error", "warning"}:
        visitor.wrong.append(message.text)


def _check_host(visitor: Visitor, url: str) -> None:
    if urlsplit(url).netloc not in {urlsplit(visitor.url).netloc, ""}:
        visitor.wrong.append(f"asks for {url}")
