"""The welcome page in a real browser: it stands alone, and says where everything is."""

import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from orchestrator import console

REQUIRED = os.environ.get("BOTSWAIN_REQUIRE_SERVICES") == "1"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def address() -> Iterator[str]:
    app = Flask("welcome", static_folder=None)
    console.register(app, None)  # type: ignore[arg-type]
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def page() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "Chromium is not installed (apt install chromium)"
        pytest.fail(missing) if REQUIRED else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser.new_page()
        browser.close()


def test_the_welcome_page_stands_alone_and_names_the_ways_in(address: str, page: Any) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(address + "/")

    assert page.title() == "Botswain"
    links = page.eval_on_selector_all("a", "all => all.map(one => one.getAttribute('href'))")
    assert {"/openapi.json", "/robot.pyz", "/readyz", "/metrics"} <= set(links)
    assert [url for url in asked if not url.startswith(address)] == []
    assert [one for one in complaints if "favicon" not in one and "404" not in one] == []
