"""The report as a PDF, printed by an installed Chromium or Chrome."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from reports.data.results import Results
from reports.gate.judge import Verdicts

FILE = "report.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
"""Looked for on the path, in this order; the environment variable ``CHROME`` goes before them."""
SECONDS = 180


class NoBrowserError(Exception):
    """There is no browser that prints; the message says what to install."""


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> bytes:
    """The printed page. A browser stamps the time into a PDF, so its bytes differ from print to print.

    Raises NoBrowserError where no browser is found, or none that prints.
    """
    from reports.exports import html  # what only a page needs waits until one is wanted

    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="prune-audit-") as folder:
        page, printed = Path(folder, "report.html"), Path(folder, FILE)
        page.write_text(html.render(results, verdicts, baseline), encoding="utf-8")
        options = [
            "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-extensions", "--no-pdf-header-footer", f"--user-data-dir={Path(folder, 'profile')}",
            f"--print-to-pdf={printed}",
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # as root Chromium starts only so; the page is our own, scriptless
        try:
            done = subprocess.run(  # noqa: S603 (a browser that we looked up, on a file that we wrote)
                [browser, *options, page.as_uri()], capture_output=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoBrowserError(f"--format pdf: {browser} does not print: {error}") from None
        if not printed.is_file():
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise NoBrowserError(f"--format pdf: {browser} does not print (exit {done.returncode}): {said}")
        return printed.read_bytes()


def find_browser() -> str:
    """The path of an installed browser. Raises NoBrowserError where there is none."""
    named = os.environ.get("CHROME")
    for name in (*([named] if named else []), *BROWSERS):
        if found := shutil.which(name):
            return found
    raise NoBrowserError(
        "--format pdf: no Chromium or Chrome is installed; install one, name it in the environment variable "
        "CHROME, or print report.html from a browser"
    )
