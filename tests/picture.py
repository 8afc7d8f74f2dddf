"""Takes the picture of the page that the README shows: ``make picture``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Final

from PIL import Image

from tests.browser import DESKTOP, running_browser
from tests.servers import ROOT, running_service

_HOUSE: Final = "#/housing/try?RM=6.8&AGE=45&LSTAT=6.2"
_COLOURS: Final = 128


def take(models: Path, output: Path) -> None:
    """Serve the newest version and take the picture.

    Args:
        models: The folder that has ``housing``.
        output: The PNG file to write.
    """
    width, height = DESKTOP
    with running_service(models) as service, running_browser() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(f"{service.url}/{_HOUSE}")
        page.wait_for_load_state("networkidle")
        _write(page.screenshot(), output)


def _write(png: bytes, output: Path) -> None:
    """Write a screenshot with as many colours as such a page needs."""
    few = Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS)
    beside = output.with_suffix(".part.png")
    few.save(beside, optimize=True)
    beside.replace(output)
    print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    take(*(map(Path, sys.argv[1:]) if sys.argv[1:] else (ROOT / "models", ROOT / "docs/page.png")))
