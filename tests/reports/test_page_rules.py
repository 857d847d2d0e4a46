"""The page's colours, and where it must render."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reports.data.results import Results, read
from reports.page.render import render


@pytest.fixture(scope="module")
def text(results: Results) -> str:
    return render(results)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast_in_both_schemes(text: str, scheme: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", blocks[0] if scheme == "light" else blocks[1]))
    for ink in ("--ink", "--muted", "--link", "--worse", "--better", "--warn"):
        for paper in ("--paper", "--soft", "--warn-soft", "--fail-soft", "--pass-soft", "--none-soft"):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    marks = [name for name in colours if re.match("--(series|step)-", name)]
    assert len(marks) == 16
    for name in marks:
        assert contrast(colours[name], colours["--paper"]) >= 3, name


def test_the_report_renders_where_torch_cannot_be_imported(run_folder: Path, tmp_path: Path) -> None:
    program = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "art", "safetensors", "torch_pruning"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
from pathlib import Path
from reports.write import write
write(Path(sys.argv[1]))
assert "torch" not in sys.modules
"""
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "run.sqlite").write_bytes((run_folder / "run.sqlite").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").read_text(encoding="utf-8") == render(read(run_folder))
