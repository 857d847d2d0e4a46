"""Fixtures that several rooms use."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Before torch is imported: tests run in processes beside each other, and small nets want one thread."""

SYSTEM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def _launch(playwright: Any, path: str | None) -> Any:
    """A headless browser, or None if it does not start. ``path``: None for Playwright's own."""
    from playwright.sync_api import Error

    try:
        return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
    except Error:
        return None


def _attempt(command: list[str]) -> bool:
    """Run an installer, quietly and not for ever."""
    try:
        return subprocess.run(command, capture_output=True, timeout=240, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _find(playwright: Any) -> Any:
    """The system's Chromium, else Playwright's own, else one that can be installed."""
    for name in SYSTEM:
        path = shutil.which(name)
        if path is not None and (browser := _launch(playwright, path)) is not None:
            return browser
    browser = _launch(playwright, None)
    if browser is None and _attempt([sys.executable, "-m", "playwright", "install", "chromium"]):
        browser = _launch(playwright, None)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if browser is None and root and Path("/etc/debian_version").exists():
        _attempt(["apt-get", "update"])
        if _attempt(["apt-get", "install", "-y", "chromium"]):
            browser = _launch(playwright, shutil.which("chromium"))
    return browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium. Without one tests are skipped aloud; in CI (``CI`` is set) they fail."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = _find(playwright)
        if found is None:
            message = "no Chromium: not installed, and none could be installed (apt install chromium)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        yield found
        found.close()
