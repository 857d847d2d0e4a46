"""README's picture: the first screen of a report, in a headless Chromium.

make demo
python benchmarks/picture.py runs/demo docs/report.png
"""

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from reports.exports.pdf import find_browser

WIDTH, HEIGHT = 1280, 900


def main() -> None:
    """Write the picture, in as few colours as it needs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run's folder, with its report.html")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    options = parser.parse_args()
    page = (options.run / "report.html").resolve().as_uri()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(page)
        shot = tab.screenshot()
        opened.close()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(64).save(options.picture, optimize=True)


if __name__ == "__main__":
    main()
