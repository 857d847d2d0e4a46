"""How often a claim's verdict is wrong, by simulation with known truth.

For every claim: effects well inside its region, well outside, exactly at the limit, zero, and inside for one
kind of pruning and outside for the others; one to six subjects, three to five seeds, small n. Each claim is
judged alone, without the family's correction, which only makes verdicts rarer. At the limit both "supported"
and "contradicted" count as wrong, and where the truth is mixed so do both.

    python benchmarks/claim_errors.py --draws 500 --out claims.jsonl  # goes on where it stopped
    python benchmarks/claim_errors.py --summary claims.jsonl

Exits with 1 where more verdicts are wrong than 5% and chance allow.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from known_claims import TRUTHS, Design, Truth, rates, true
from scipy import stats

from reports.claims.claim import Claim
from reports.claims.ledger import claims

DESIGNS: Mapping[str, Design] = {
    "1 subject, 3 seeds": Design(),
    "1 subject, 5 seeds": Design(seeds=5),
    "2 subjects, 3 seeds": Design(subjects=2, between=0.5),
    "3 subjects, 3 seeds": Design(subjects=3, between=0.5),
    "6 subjects, 5 seeds": Design(subjects=6, seeds=5, between=0.5),
    "6 subjects, 3 seeds, alike": Design(subjects=6),
}
LEVEL = 0.05
CHANCE = 1e-3
"""How rare an excess must be, if the level held, to be called one; over all settings (Bonferroni)."""


def settings(names: Sequence[str], designs: Sequence[str]) -> list[tuple[Claim, str, Truth]]:
    """Every claim under every design and truth."""
    chosen = [claim for claim in claims() if claim.id in names]
    return [(claim, design, truth) for claim in chosen for design in designs for truth in TRUTHS]


def measure(claim: Claim, design: str, truth: Truth, draws: int) -> dict[str, Any]:
    """How often each verdict was given: how many are wrong of that truth, and how many right."""
    counts, right = rates(claim, truth, DESIGNS[design], draws), true(claim, truth)
    return {
        "claim": claim.id,
        "design": design,
        "truth": truth,
        "draws": draws,
        "wrong": sum(n for v, n in counts.items() if v not in right | {"inconclusive"}),
        "right": sum(n for v, n in counts.items() if v in right),
    }


def excesses(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows with more wrong verdicts than the level and chance allow."""
    return [
        row
        for row in rows
        if stats.binom.sf(row["wrong"] - 1, row["draws"], LEVEL) < CHANCE / max(1, len(rows))
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: by design and truth the share of wrong verdicts over claims, the worst, and of right ones."""
    lines = [
        "| studies | truth | draws | wrong | worst claim | right |",
        "|---|---|---|---|---|---|",
    ]
    for design in DESIGNS:
        for truth in TRUTHS:
            mine = [row for row in rows if (row["design"], row["truth"]) == (design, truth)]
            if not mine:
                continue
            draws = sum(row["draws"] for row in mine)
            worst = max(mine, key=lambda row: row["wrong"] / row["draws"])
            wrong, right = (sum(row[key] for row in mine) / draws for key in ("wrong", "right"))
            told = f"{100 * worst['wrong'] / worst['draws']:.1f}% ({worst['claim']})"
            power = "–" if truth == "at the limit" else f"{100 * right:.0f}%"
            lines.append(f"| {design} | {truth} | {draws:,} | {100 * wrong:.1f}% | {told} | {power} |")
    return "\n".join(lines)


def _kept(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> int:
    """Run, or sum up what was run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--claims", default=",".join(claim.id for claim in claims()))
    parser.add_argument("--designs", default=";".join(DESIGNS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--summary", type=Path)
    given = parser.parse_args()
    rows = _kept(given.summary or given.out)
    if given.summary is None:
        done = {(row["claim"], row["design"], row["truth"]) for row in rows}
        for claim, design, truth in settings(given.claims.split(","), given.designs.split(";")):
            if (claim.id, design, truth) not in done:
                rows.append(measure(claim, design, truth, given.draws))
                if given.out is not None:
                    with given.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))
    found = excesses(rows)
    for row in found:
        print(f"wrong too often: {row}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
