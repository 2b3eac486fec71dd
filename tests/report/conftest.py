"""A real browser without a screen, which sees a page as its reader does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.report.evaluations import write_evaluation

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever the page asked of the network would fail, and be features.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
)


@pytest.fixture(scope="session")
def evaluation_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the evaluation of three scenes."""
    return write_evaluation(tmp_path_factory.mktemp("evaluated") / "evaluation").parent


@dataclass
class Browser:
    """Chromium, driven through its driver and its DevTools protocol."""

    driver: webdriver.Chrome

    def open(self, page: Path, width: int, height: int = 800, scheme: str = "light") -> None:
        """Open a file in a window of that width, in CSS pixels, and colour scheme."""
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)  # reading empties it
        size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(page.resolve().as_uri())

    def ask(self, script: str) -> Any:
        """What a JavaScript function body returns."""
        return self.driver.execute_script(script)

    def complaints(self) -> list[str]:
        """What stands on the console."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """All addresses asked for since the page was opened, but for data inside the page.

        What the page's own policy stopped was never asked for.
        """
        urls: dict[str, str] = {}
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            method, parameters = event["method"], event["params"]
            if method == "Network.requestWillBeSent":
                urls[parameters["requestId"]] = parameters["request"]["url"]
            if method == "Network.loadingFailed" and parameters.get("blockedReason") == "csp":
                del urls[parameters["requestId"]]
        return [url for url in urls.values() if not url.startswith("data:")]

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        height = self.ask("return document.documentElement.scrollHeight")
        width = self.ask("return innerWidth")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.save_screenshot(str(path))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium; skips where it or its driver is missing."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromium-driver (apt-get install chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    started = webdriver.Chrome(options, Service(driver))
    yield Browser(started)
    started.quit()
