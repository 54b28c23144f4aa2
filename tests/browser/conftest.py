"""A real browser in front of the example portal, whose clock stands still until a test moves it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.serving import served
from tests.browser.virtual_keys import Key, register
from tests.examples.support import Demo, make_demo
from tests.require import skip_for_want_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Last of all: while a browser is open, Playwright's event loop counts as running in this thread, and no test that
    # runs one of its own (nor Django's ORM) would work beside it.
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        skip_for_want_of("browser", f"none of {', '.join(NAMES)} is on this machine")
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        skip_for_want_of("browser", "the package playwright is not installed")
    expect.set_options(timeout=60_000)  # no test asserts wall time, and the machine may be busy
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One portal for a file's tests, served on a port of its own."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    base = f"http://localhost:{listening.getsockname()[1]}"
    folder: Path = tmp_path_factory.mktemp("portal") / "data"
    with make_demo(folder, base=base) as made, served(made.app, listening):
        yield made


@pytest.fixture(scope="module")
def passkey(demo: Demo, chromium: Browser) -> Iterator[Key]:
    """The patient's, registered once for the file."""
    made = chromium.new_context()
    yield register(demo, made.new_page(), "patient")
    made.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """New browser profiles; whatever a page complains of on its console fails the test."""
    opened: list[BrowserContext] = []
    complaints: list[str] = []

    def new(width: int = 1280, height: int = 800, **options: object) -> BrowserContext:
        made = chromium.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        made.set_default_timeout(60_000)
        made.on("weberror", lambda error: complaints.append(str(error.error)))
        made.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                # A refused page is one of the things tested; the browser notes its status as an error.
                if message.type in {"error", "warning"} and "Failed to load resource" not in message.text
                else None
            ),
        )
        opened.append(made)
        return made

    yield new
    for each in opened:
        each.close()
    assert complaints == []
