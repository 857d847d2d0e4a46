"""How long a report takes: to render, as a whole process and without its start, and to paint in a browser.

    python benchmarks/report.py

Two made-up runs, of the demo's size (14 variants, 3 seeds) and of 62 variants (2 seeds); with ``--run DIR``
that run instead. Prints the seconds of the whole process and of its processor (the same on an idle machine),
of rendering alone (medians of the repeats), the page's size, and the browser's first contentful paint over
file:// in headless Chromium, where one is installed.
"""

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from reports.data.results import read
from reports.page.render import render

ROOT = Path(__file__).parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PAINT = (
    "new Promise(done => new PerformanceObserver(list => { const found = list.getEntries()"
    ".find(e => e.name === 'first-contentful-paint'); if (found) done(found.startTime); })"
    ".observe({type: 'paint', buffered: true}))"
)


def main() -> None:
    """Measure each run in turn and print a line for it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="folder of a run; without one, two made-up runs")
    parser.add_argument("--repeats", type=int, default=3, help="times to measure each (3)")
    parser.add_argument("--small", action="store_true", help="a run of four variants only, to try this out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(f"{'run':24}{'process':>10}{'processor':>12}{'render':>10}{'page':>10}{'first paint':>14}")
        for title, folder in runs(Path(name), options.run, small=options.small).items():
            whole, used, inside = [], [], []
            for _ in range(options.repeats):
                start, before = time.perf_counter(), children()
                command = [sys.executable, "-m", "audit", "report", str(folder), "--format", "html"]
                subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
                whole.append(time.perf_counter() - start)
                used.append(children() - before)
                start = time.perf_counter()
                page = render(read(folder))
                inside.append(time.perf_counter() - start)
            painted = paint(folder / "report.html", options.repeats)
            size = f"{len(page.encode()) / 1e6:.2f} MB"
            shown = "no Chromium" if painted is None else f"{painted:.2f} s"
            print(
                f"{title:24}{statistics.median(whole):>8.1f} s{statistics.median(used):>10.1f} s"
                f"{statistics.median(inside):>8.1f} s{size:>10}{shown:>14}"
            )


def children() -> float:
    """Processor seconds of all finished child processes."""
    times = os.times()
    return times.children_user + times.children_system


def runs(root: Path, run: Path | None, *, small: bool) -> dict[str, Path]:
    """The folders to render, copied or made, by what to call them."""
    if run is not None:
        folder = root / "run"
        folder.mkdir()
        shutil.copy(run / "run.sqlite", folder)
        return {run.name: folder}
    make = synthetic()
    if small:
        make.build(root / "small", methods=["m"], sparsities=(0.5, 0.9), seeds=[0], n=60)
        return {"4 variants": root / "small"}
    make.build(root / "demo")
    methods = [f"method-{i}" for i in range(12)]
    make.build(root / "many", methods=methods, sparsities=(0.3, 0.5, 0.75, 0.9, 0.95), seeds=[0, 1])
    return {"14 variants, 3 seeds": root / "demo", "62 variants, 2 seeds": root / "many"}


def synthetic() -> ModuleType:
    """The tests' maker of runs."""
    spec = importlib.util.spec_from_file_location("synthetic_run", ROOT / "tests/reports/synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def paint(page: Path, repeats: int) -> float | None:
    """Median seconds from navigation to the first contentful paint; None without a browser."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        return None
    from playwright.sync_api import sync_playwright

    times: list[Any] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(repeats + 1):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(page.resolve().as_uri())
            times.append(tab.evaluate(PAINT))
            tab.close()
        browser.close()
    return float(statistics.median(times[1:])) / 1000  # the first one warms the browser up


if __name__ == "__main__":
    main()
