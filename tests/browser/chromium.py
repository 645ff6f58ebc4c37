# SPDX-License-Identifier: MIT
"""A headless Chromium that shows flame graph pages, and what the tests ask of them.

Context: tests.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_S = 30.0


@contextlib.contextmanager
def started(user_data: Path) -> Iterator[webdriver.Chrome]:
    """A browser of its own, without any of the user's settings. Skips where there is none."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("there is no chromium, or no chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={user_data}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


@dataclass(frozen=True)
class Page:
    """One flame graph, as a reader sees it."""

    chrome: webdriver.Chrome

    def open(self, file: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> Page:
        """Loads a page into a window of that size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.complaints()
        self.requests()
        # Addresses that differ in their fragment alone would not load the page again.
        self.chrome.get("about:blank")
        self.chrome.get(file.absolute().as_uri())
        return self

    def complaints(self) -> list[str]:
        """What the console says since the last call."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        events = [
            json.loads(one["message"])["message"] for one in self.chrome.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def run(self, script: str, *values: object) -> Any:
        """Runs JavaScript in the page."""
        return self.chrome.execute_script(script, *values)

    def one(self, selector: str) -> WebElement:
        """The first that matches."""
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """All that match."""
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Text of all that match, hidden or not."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)",
            selector,
        )

    def bar(self, name: str) -> WebElement:
        """The widest bar of a frame."""
        bar: WebElement | None = self.run(
            "return [...document.querySelectorAll('#graph div')]"
            ".filter((one) => one.getAttribute('aria-label').startsWith(arguments[0] + ' ('))"
            ".sort((one, other) => other.offsetWidth - one.offsetWidth)[0]",
            name,
        )
        assert bar is not None, f"no bar says {name}"
        return bar

    def bars(self) -> list[str]:
        """Names of all bars, the narrow ones without text included."""
        return self.run(
            "return [...document.querySelectorAll('#graph div')]"
            ".map((one) => describe(Number(one.dataset.node)))"
        )

    @property
    def zoomed_on(self) -> str:
        """What is as wide as the graph and furthest from the root."""
        return self.run("return frames[tree.nodes[zoomed][0]][0]")

    @property
    def status(self) -> str:
        """The line above the graph."""
        return self.one("#now").text

    def until(self, claim: Any) -> None:
        """Waits until `claim()` holds: a change of the address arrives by an event.

        Raises:
            TimeoutException: it does not.
        """
        WebDriverWait(self.chrome, TIMEOUT_S, poll_frequency=0.05).until(lambda _: claim())
