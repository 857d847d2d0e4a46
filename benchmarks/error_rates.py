"""How often the gate is wrong, and how often it decides, on made-up runs whose truth is known.

    python benchmarks/error_rates.py [--runs 40] [--kinds drop,auc] [--jobs 2] [--out rates.jsonl]
    python benchmarks/error_rates.py --summary rates.jsonl

The judge of `prune-audit gate` decides a rule on every variant of a run (``known_runs.py``), as it does of a
real one. Prints a row a setting: how often a rule passed and failed; false PASS and false FAIL as shares of
decisions; runs with any false FAIL, or with a figure falsely called worse than dense; and how often the
intervals of a change miss the truth. Exits with 1 where a rate exceeds its level by more than chance allows.
All settings take about twenty minutes of one processor: ``--kinds``, ``--n`` and ``--seeds`` cut them into
pieces, ``--out`` appends what was counted to a file, and ``--summary`` makes of it the table of
docs/statistics.md. With ``--sizes``: how often a good model passes a preset's rules at the number of examples
that docs/gate.md and `prune-audit preflight` tell.

Truths, each about *these models*: the worst seed lies ``inside`` (no drop at all; for absolute rules
dense's figure), at the ``limit`` or ``beyond`` it (twice as far); other seeds are better by the seeds'
spread. ``last``: only the strongest sparsity of a method lies at the limit, so that nothing stops a test that
goes from the mildest on; what passed and failed is then told of those alone. ``retraining``: seeds scatter
about no drop, and a method is falsely called worse or better if it is so for a retraining.
"""

import argparse
import functools
import itertools
import json
import multiprocessing
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from known_runs import BASIC, KINDS, TRUTHS, Counts, Laboratory, Setting
from numpy.typing import NDArray
from scipy import stats

from reports.gate.policy import preset, presets
from reports.gate.sizes import Design, examples, table


def simulate(one: Setting, runs: int, seed: int = 0) -> NDArray[np.float64]:
    """:class:`Counts` of so many runs, (runs, fields)."""
    digest = zlib.crc32(repr(one).encode())
    rng = np.random.default_rng([seed, digest])
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory(one, Path(folder))
        return np.array([laboratory.judged(laboratory.draw(rng)) for _ in range(runs)], dtype=float)


LEVELS = {
    "false_pass": 0.025, "false_fail": 0.025, "family": 0.05, "worse": 0.05,
    "high": 0.025, "low": 0.025, "retrained": 0.05,
}  # fmt: skip
"""Highest rates that are promised: of runs ``family`` and ``worse``, of decisions or intervals the others."""
CHANCE = 1e-4
"""A rate is called too high only where chance alone would give it so seldom."""


def too_high(counts: NDArray[np.float64]) -> list[str]:
    """The promises that these counts break, beyond chance. Decisions of a run are not independent: the run is
    what is counted, by Student's test of its shares, or by the binomial where it is right or wrong."""
    broken = []
    for i, name in enumerate(Counts._fields):
        if name not in LEVELS:
            continue
        shares, level = counts[:, i], LEVELS[name]
        if set(np.unique(shares)) <= {0.0, 1.0}:
            p = float(stats.binom.sf(shares.sum() - 1, len(shares), level))
        else:
            p = float(stats.ttest_1samp(shares, level, alternative="greater").pvalue)
        if p < CHANCE:
            broken.append(f"{name.replace('_', ' ')} {shares.mean():.1%} where {level:.1%} is promised")
    return broken


def settings(
    kinds: Sequence[str], ns: Sequence[int], seeds: Sequence[int], spreads: Sequence[float]
) -> Iterator[Setting]:
    """Every cell; one seed has no spread, and says nothing of a retraining."""
    for kind, k, spread, n, truth in itertools.product(kinds, seeds, spreads, ns, TRUTHS):
        if truth == "retraining" and (k == 1 or not KINDS[kind].compares):
            continue
        if k > 1 or spread == 0:
            yield Setting(kind, truth, spread, n, k)


def sizes(seeds: Sequence[int]) -> Iterator[Setting]:
    """Each rule of each preset, at the number of examples that should let four in five good models pass."""
    for name, k in itertools.product(presets(), seeds):
        for rule in preset(name).rules:
            needs = examples(rule, Design(seeds=k))
            if needs is not None and k >= (rule.min_seeds or 1):
                n = 2 * needs if rule.metric == "membership_auc" else needs
                yield Setting(f"{name}/{rule.id}", "inside", 0.0, n, k)


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """The table of docs/statistics.md: rates by kind and seeds, over spreads (and n); and the power."""
    lines = [
        "| rule, seeds | runs | false PASS | false FAIL | in a run | called worse | interval below, above "
        "| retraining missed | passes at n = 200, 500, 1,000 | fails |",
        "|---" * 10 + "|",
    ]
    for kind, k in sorted(dict.fromkeys((row["kind"], row["seeds"]) for row in rows)):
        mine = [row for row in rows if (row["kind"], row["seeds"]) == (kind, k)]
        at = functools.partial(_pooled, mine)
        power = ", ".join(at(("inside",), "passed", n) for n in (200, 500, 1000))
        change = KINDS[kind].compares
        cells = [
            f"`{kind}`, {k}",
            f"{sum(len(row['counts']) for row in mine):,}",
            *(at(NEAR, name) for name in ("false_pass", "false_fail", "family")),
            at(("inside",), "worse") if change else "–",
            f"{at(EDGE, 'low')}, {at(EDGE, 'high')}" if change else "–",
            at(("retraining",), "retrained"),
            power,
            at(("beyond",), "failed"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


EDGE = ("inside", "limit", "last", "beyond")
NEAR = ("limit", "last")


def _pooled(rows: Sequence[dict[str, Any]], truths: Sequence[str], field: str, n: int | None = None) -> str:
    """A rate over the settings of some truths; a dash where there is none."""
    place = Counts._fields.index(field)
    found = [c[place] for r in rows if r["truth"] in truths and n in (None, r["n"]) for c in r["counts"]]
    return f"{np.mean(found):.1%}" if found else "–"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=40, help="runs a setting (40)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    for name, default in (
        ("kinds", ",".join(BASIC)),
        ("n", "200,500,1000"),
        ("seeds", "1,3,5"),
        ("spread", "0,1,2"),
    ):
        parser.add_argument(f"--{name}", default=default, help=f"comma-separated ({default})")
    parser.add_argument("--out", type=Path, help="file to append what was counted to, as JSON lines")
    parser.add_argument("--summary", type=Path, help="only the table of docs/statistics.md, from such a file")
    parser.add_argument(
        "--sizes", action="store_true", help="each preset's rules at the n that reports/gate/sizes.py tells"
    )
    parser.add_argument("--table", action="store_true", help="only the table of docs/gate.md")
    return parser.parse_args()


def main() -> None:
    """Simulate every setting and print a row for each."""
    options = _options()
    if options.table:
        print(table({name: preset(name) for name in presets()}))
        return
    if options.summary:
        print(summary([json.loads(line) for line in options.summary.read_text().splitlines()]))
        return
    seeds = [int(k) for k in options.seeds.split(",")]
    if options.sizes:
        cells = list(sizes(seeds))
    else:
        numbers = [int(n) for n in options.n.split(",")]
        spreads = [float(x) for x in options.spread.split(",")]
        cells = list(settings(options.kinds.split(","), numbers, seeds, spreads))
    heading = "".join(f"{name.replace('_', ' '):>11}" for name in Counts._fields)
    print(f"{'rule':26}{'truth':12}{'seeds':>6}{'spread':>8}{'n':>6}{heading}")
    bad = 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        work = pool.imap(functools.partial(simulate, runs=options.runs), cells)
        for one, counts in zip(cells, work, strict=True):
            broken = too_high(counts)
            bad += len(broken)
            figures = "".join(f"{share:>11.1%}" for share in counts.mean(axis=0))
            place = f"{one.kind:26}{one.truth:12}{one.seeds:>6}{one.spread:>8g}{one.n:>6}"
            print(f"{place}{figures}", *broken, flush=True)
            if options.out:
                line = json.dumps({**asdict(one), "counts": counts.round(6).tolist()})
                with options.out.open("a") as file:
                    file.write(line + "\n")
    print(f"{len(cells)} settings of {options.runs} runs; {bad} rates too high")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
