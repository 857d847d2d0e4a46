"""Bit search: what a step costs, how far it is ahead of random flips, and flips against sparsity.

    python benchmarks/tampering.py                 # the search against random flips, on the digits
    python benchmarks/tampering.py --resnet        # 20 flips on a ResNet-18 at CIFAR-10's size
    python benchmarks/tampering.py --root FOLDER_THAT_HOLDS_MNIST --seeds 3     # flips against sparsity
    python benchmarks/tampering.py --cifar FOLDER_OF_CLASS_FOLDERS --seeds 3    # on a subset of CIFAR-10

Both tables go on where they stopped, if ``--out`` names the same file.

Victims are those of extraction.py: dense, and pruned by global magnitude and fine-tuned for one epoch. Exits
with 1 where the search needs more than a tenth of the random flips for the same damage, or where the twenty
flips take more than two minutes on two threads.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Cells, plain
from extraction import SPARSITIES, clean, data, victims

from attacks.probe import Examples, Measurement
from attacks.tampering import Settings, run
from attacks.tampering._search import Search
from attacks.tampering._weights import Stored, survivors
from attacks.tampering.progressive import GOALS, untargeted

SECONDS, FLIPS = 120.0, 20
SHARE = 0.1
"""Of the random flips: what the search may need."""


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="folder that holds MNIST: LeNet-5")
    parser.add_argument("--cifar", type=Path, help="CIFAR-10 as class folders: a subset of 10 000 is used")
    parser.add_argument(
        "--seeds", type=int, default=1, help="dense models, trained from seeds of their own (1)"
    )
    parser.add_argument("--flips", type=int, default=60, help="flips of a search, at most (60)")
    parser.add_argument("--out", type=Path, help="file of finished cells of the tables, to go on with")
    parser.add_argument("--resnet", action="store_true", help="time the search on a ResNet-18")
    options = parser.parse_args()
    if options.resnet:
        resnet()
        return
    torch.set_num_threads(1)
    if options.root or options.cifar:
        against_sparsity(options)
    else:
        against_random(options)


def resnet() -> None:
    """Twenty flips, ranked over all layers, by the settings of level standard."""
    from audit.subject import vision

    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = vision.model("resnet18", 10)().eval().requires_grad_(False)
    config = Settings()
    batch = Examples(
        torch.rand(config.search_examples, 3, 32, 32), torch.randint(10, (config.search_examples,))
    )
    search = Search(Stored(model, "int8"), batch, untargeted(batch), config.tries)
    start, before = time.perf_counter(), time.process_time()
    losses = [search.step() for _ in range(FLIPS)]
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    print(f"ResNet-18, 3×32×32, {len(search.stored):,} weights in {len(search.stored.layers)} layers:")
    print(f"{FLIPS} flips in {seconds:.0f} s ({cpu:.0f} s of CPU); loss {losses[0]:.2f} → {losses[-1]:.2f}")
    if seconds > SECONDS:
        sys.exit(f"more than {SECONDS:.0f} s")


def against_random(options: argparse.Namespace) -> None:
    """The search and random flips on every model of the digits; exits with 1 if the search is not ahead."""
    config = Settings(attacks=("progressive", "random_search"), flips=options.flips, replicates=3)
    behind = False
    for sparsity, target in victims(options):
        rows = run(target, config, torch.Generator().manual_seed(0))
        for goal in GOALS:
            searched, random = (figure(rows, goal, a) for a in ("progressive", "random_search"))
            print(f"{sparsity:<6} {goal:<10} search {said(searched):<28} random {said(random)}")
            beaten = searched is not None and random is not None and searched.value and random.value
            behind |= bool(beaten) and searched.value > SHARE * random.value  # type: ignore[union-attr,operator]
    if behind:
        sys.exit(f"the search needs more than {SHARE:.0%} of the random flips")


def against_sparsity(options: argparse.Namespace) -> None:
    """A table of flips for every damage: in the model, and per million surviving weights; mean over seeds."""
    config = Settings(attacks=("progressive",), flips=options.flips, replicates=3, examples=2000)
    kept = Cells(options.out)

    def of(seed: int, sparsity: float) -> dict[str, Any]:
        return {"data": data(options), "flips": options.flips, "seed": seed, "sparsity": sparsity}

    for seed in range(options.seeds):
        missing = [s for s in SPARSITIES if of(seed, s) not in kept]
        for sparsity, target in victims(options, seed, missing) if missing else ():
            rows = [plain(r) for r in run(target, config, torch.Generator().manual_seed(seed))]
            left = {"metric": "survivors", "at": {}, "value": survivors(target.model)}
            accuracy = {"metric": "accuracy", "at": {}, "value": clean(target)}
            kept.add(of(seed, sparsity), [left, accuracy, *rows])
    heads = [f"{goal}: flips (each seed) | per million" for goal in GOALS]
    print(f"| sparsity | weights | accuracy | {' | '.join(heads)} |\n{'|---' * (3 + 2 * len(GOALS))}|")
    for sparsity in SPARSITIES:
        each = [kept[of(seed, sparsity)] for seed in range(options.seeds)]
        left, accuracy = (np.mean([rows[i]["value"] for rows in each]) for i in range(2))
        cells = " | ".join(cell(each, goal) for goal in GOALS)
        print(f"| {sparsity:.0%} | {left:,.0f} | {100 * accuracy:.1f} | {cells} |")


def cell(each: Sequence[list[dict[str, Any]]], goal: str) -> str:
    """Mean over the seeds, each seed's own figure with its interval, and the mean per million; without a mean
    where some seed does not reach the goal."""
    found = [
        next(r for r in rows if r["metric"] == "tampering_flips" and r["at"].get("goal") == goal)
        for rows in each
    ]
    own = "; ".join(flips(row) for row in found)
    if any(row["value"] is None for row in found):
        return f"{own} | –"
    values = np.array([row["value"] for row in found])
    left = np.array([rows[0]["value"] for rows in each])
    return f"**{values.mean():.1f}** ({own}) | {(1e6 * values / left).mean():,.0f}"


def flips(row: dict[str, Any]) -> str:
    """One seed's figure with its interval, or why there is none."""
    if row["value"] is None:
        return (
            "not reached" if "not reached" in row["note"] else "at chance" if "chance" in row["note"] else "–"
        )
    high = "" if row["high"] is None else f"{row['high']:.0f}"
    return f"{row['value']:.0f} [{row['low']:.0f}–{high}]"


def figure(rows: Sequence[Measurement], goal: str, attack: str) -> Measurement | None:
    """The flips that one attack needs for a goal."""
    at = {"attack": attack, "goal": goal}
    found = [r for r in rows if r.metric == "tampering_flips" and at.items() <= r.at.items()]
    return found[0] if found else None


def said(row: Measurement | None) -> str:
    """A figure with its interval, or that there is none."""
    if row is None or row.value is None:
        return "–"
    high = "" if row.high is None else f"{row.high:.0f}"
    return f"{row.value:.0f} [{row.low:.0f}–{high}]"


if __name__ == "__main__":
    main()
