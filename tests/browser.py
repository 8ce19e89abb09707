"""A headless Chromium for tests; skips where there is none, and fails where CI is set."""

import os
import shutil

import pytest
from selenium import webdriver


def open_browser() -> webdriver.Chrome:
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    program, driver = next(filter(None, found), None), shutil.which("chromedriver")
    if not (program and driver):
        reason = "no chromium and chromedriver; Debian: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    # Root, as in a container, has no sandbox.
    for switch in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
