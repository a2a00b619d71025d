"""Chromium, and a page in it that was opened from disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def chromium() -> str | None:
    """Where it is."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


@pytest.fixture(scope="module")  # its event loop would be in the way of other modules
def browser() -> Iterator[Any]:
    """Chromium; skipped where there is none."""
    path = chromium()
    if path is None:
        if os.environ.get("RANKCAST_NEED_BROWSER"):
            pytest.fail("no Chromium here, but RANKCAST_NEED_BROWSER is set")
        pytest.skip("no Chromium on this machine; on Debian `apt-get install chromium`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield started
        started.close()


class Visit:
    """A page that was opened from disk, with everything that it tried to do. `more`: of the browser's context."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, **more: Any) -> None:
        self.width = width
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **more)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def assert_quiet(self) -> None:
        """Nothing was said, asked or fetched, and nothing sticks out to the right."""
        assert self.complaints == []
        assert self.dialogs == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []
        assert self.overflow() == 0

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window: tables scroll inside, the page does not."""
        return max(0, int(self.page.evaluate("document.documentElement.scrollWidth")) - self.width)

    def open_everything(self) -> None:
        """Unfold all details."""
        self.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")

    def text(self, selector: str = "body") -> str:
        """What can be read there."""
        shown: str = self.page.locator(selector).inner_text()
        return shown

    def rows(self, label: str) -> list[list[str]]:
        """The cells of the table with this caption, folded away or not."""
        told: list[list[str]] = self.page.evaluate(
            """(label) => [...document.querySelectorAll("table")].filter((one) => one.caption?.textContent === label)
                .flatMap((one) => [...one.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim())))""",
            label,
        )
        return told
