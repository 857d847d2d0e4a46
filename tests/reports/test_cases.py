"""The page of every kind of run: whole, true to its verdict, small, the same twice."""

import base64
import io
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from reports.data.results import read
from reports.gate.judge import judge
from reports.gate.policy import Policy, Rule, Waiver
from reports.page.render import render

NAMES = (
    "pass", "fail", "inconclusive", "crashed", "one variant", "60 variants", "1000 classes", "empty",
    "pictures",
)  # fmt: skip
BADGE = r'class="badge ([\w-]+)"><span class="icon" aria-hidden="true">(.)</span>([A-Z ]+)<'
LARGEST = {"60 variants": 2_500_000}
"""In bytes, where it is not 1.5 MB; three megabytes are allowed, and a policy of many rules needs some."""


@pytest.mark.parametrize("name", NAMES)
def test_the_first_badge_is_the_verdict(pages: dict[str, str], cases: ModuleType, name: str) -> None:
    badge = re.search(BADGE, pages[name])
    assert badge is not None
    assert badge.group(3) == cases.STATUS[name]
    assert badge.group(1) == badge.group(3).lower().replace(" ", "-")
    assert set(cases.CASES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_its_ids_unique_and_its_words_chosen(pages: dict[str, str], name: str) -> None:
    text = pages[name]
    assert len(text.encode()) <= LARGEST.get(name, 1_500_000)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {h.removeprefix("#") for h in re.findall(r'href="(#[^"]+)"', text)} <= set(ids)
    said = re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.DOTALL)
    assert not re.search(r"\b(safe|secure|compliant)\b", said, flags=re.IGNORECASE)
    assert "None" not in re.findall(r">([^<>]+)<", text)
    assert not re.search(r">\s*nan\s*<", text, flags=re.IGNORECASE)


def test_rendered_twice_it_has_the_same_bytes(
    tmp_path: Path, synthetic: ModuleType, cases: ModuleType, pages: dict[str, str]
) -> None:
    policy = cases.CASES["pictures"](synthetic, tmp_path)
    for _ in range(2):
        results = read(tmp_path)
        assert render(results, judge(results, policy, today=cases.DAY)) == pages["pictures"]


def test_pictures_are_the_kept_ones(
    pages: dict[str, str], tmp_path: Path, synthetic: ModuleType, cases: ModuleType
) -> None:
    uris = re.findall(r'<img src="data:image/png;base64,([^"]+)"', pages["pictures"])
    assert len(uris) == 9
    cases.CASES["pictures"](synthetic, tmp_path)
    clean = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)
    for i in range(3):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uris[3 * i]))))
        assert np.array_equal(shown, np.rint(clean[i, 0].astype(float) * 255).astype(np.uint8))
    assert "“3”, taken for “8” (ε = 0.3, L∞; test example 60, seed 0)" in pages["pictures"]


def test_a_raised_flag_is_told_where_it_matters(pages: dict[str, str]) -> None:
    text = pages["pictures"]
    assert "flags raised in 1 of 4 variants" in text
    assert "Attacks that show signs of failure" in text
    assert "4 of 10 input gradients are exactly zero" in text
    assert "Ringed" in text
    assert "Ringed" not in pages["pass"]


def test_many_passing_variants_are_folded_and_the_others_not(pages: dict[str, str]) -> None:
    text = pages["60 variants"]
    folded = int(text[: text.index(" more variants meet every requirement")].rpartition(">")[2])
    table = text[text.index('<table class="matrix">') : text.index("</table>")]
    badges = re.findall(r'class="badge ([\w-]+)"', table)
    assert folded > 5
    assert badges.count("fail") > 0
    assert badges.count("pass") <= 1  # the one that the tiles show
    assert len(badges) + folded == 61


def test_a_crash_is_a_finding(pages: dict[str, str]) -> None:
    text = pages["crashed"]
    assert "RuntimeError: no memory" in text[text.index('id="findings"') :]
    assert "not run" in text


def test_a_hostile_policy_is_text(tmp_path: Path, synthetic: ModuleType, cases: ModuleType) -> None:
    hostile = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e{{ 7*7 }}"
    rule = {"id": "r", "metric": hostile[:150], "at": {hostile: hostile}, "min": 0.5, "description": hostile}
    waiver = {"rule": "r", "variant": "m@0.5", "expires": "2026-12-31", "reason": hostile}
    policy = Policy(
        (Rule.model_validate(rule),), (Waiver.model_validate(waiver),), name=hostile, file=hostile, digest="0"
    )
    results = read(synthetic.build(tmp_path, seeds=[0], methods=["m"], sparsities=[0.5], n=60))
    text = render(results, judge(results, policy, today=cases.DAY))
    assert "WAIVED" in text
    assert "2026-12-31" in text
    assert text.count("<script") == 1  # the page's own
    assert "<img" not in text
    assert "\u202e" not in text
    assert "{{ 7*7 }}" in text
