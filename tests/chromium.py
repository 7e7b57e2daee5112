"""A real headless Chromium for tests that look at a page as a person does."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1300,1000",
)  # fmt: skip

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()),
    reason="no browser: apt-get install chromium chromium-driver",
)


def start_chromium(profile: Path, *, log: str | None = None) -> webdriver.Chrome:
    """A browser of its own.

    Args:
        profile: its folder.
        log: a kind of log to keep besides the console's, such as `performance`.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"} | ({log: "ALL"} if log else {}))
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
