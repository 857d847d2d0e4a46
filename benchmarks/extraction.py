"""Extraction fidelity against sparsity and queries, and what it costs beside ART's KnockoffNets.

    python benchmarks/extraction.py --root FOLDER_THAT_HOLDS_MNIST
    python benchmarks/extraction.py --root FOLDER --table --out cells.jsonl     # ours alone, three copies
    python benchmarks/extraction.py --cifar FOLDER --table --out cells.jsonl    # the same on CIFAR-10
    python benchmarks/extraction.py --stacking                   # surrogates stacked with vmap, or in turn

Six sparsities by global magnitude × five budgets. ART trains one ``KnockoffNets`` a budget and sparsity, with
batches of 64 and 10 epochs (more for small budgets); ours trains one copy a sparsity, which grows. Both are
given the same weights, pool and answers, in one process and one thread; CPU time is compared. Exits with 1 if
ours is less than six times cheaper, or less faithful by more than the interval of the paired difference.
A table goes on where it stopped, if ``--out`` names the same file.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Cells, plain
from torch import nn
from torch.nn import functional as F

from attacks._model import logits_of
from attacks._replicates import gain
from attacks.extraction import Settings, run
from attacks.probe import Measurement, Target

SPARSITIES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.98)
FIGURES = (
    ("extraction_fidelity", "knockoff"), ("extraction_fidelity", "same_data"),
    ("extraction_gain", "knockoff"), ("extraction_error_fidelity", "knockoff"),
    ("surrogate_accuracy", "knockoff"), ("extraction_adversarial_fidelity", "knockoff"),
    ("surrogate_transfer", "knockoff"),
)  # fmt: skip
"""What the tables show, of which attack."""
WANTED = 6.0


def main() -> None:
    """Prepare the victims, steal each, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, help="folder that holds MNIST; without it, scikit-learn's digits"
    )
    parser.add_argument("--cifar", type=Path, help="CIFAR-10 as class folders: a subset of 10 000 is used")
    parser.add_argument("--queries", type=int, nargs="+", help="budgets")
    parser.add_argument("--replicates", type=int, default=3, help="copies of each kind with --table (3)")
    parser.add_argument("--table", action="store_true", help="ours alone, with intervals")
    parser.add_argument("--out", type=Path, help="file of finished cells of the table, to go on with")
    parser.add_argument("--stacking", action="store_true", help="surrogates stacked with vmap, or in turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.stacking:
        stacking()
        return
    budgets = tuple(options.queries or ((100, 200, 300, 500, 900) if not (options.root or options.cifar)
                                        else (100, 316, 1000, 3162, 10_000)))  # fmt: skip
    if options.table:
        table(options, budgets)
        return
    compare(dict(victims(options)), budgets)


def victims(
    options: argparse.Namespace, seed: int = 0, sparsities: Sequence[float] = SPARSITIES
) -> Iterator[tuple[float, Target]]:
    """The dense model and its pruned versions, each fine-tuned for one epoch, as targets."""
    from audit.plan import parse
    from audit.subject import data as subject_data
    from audit.subject import models, training
    from pruning import masks
    from pruning.methods import resolve
    from pruning.prune import prune

    source: dict[str, Any] = {"source": "digits", "train_examples": 200}
    build, epochs = "audit.zoo:digits_cnn", 30
    if options.root:
        source = {
            "source": "torchvision:MNIST",
            "root": str(options.root.resolve()),
            "train_examples": 10_000,
        }
        build, epochs = "audit.zoo:lenet5", 5
    if options.cifar:
        source = {"source": f"folder:{options.cifar.resolve()}", "train_examples": 10_000}
        build, epochs = "audit.zoo:lenet5", 12
    table_: dict[str, Any] = {"model": {"build": build}, "train": {"epochs": epochs, "batch_size": 64}}
    table_["data"] = {**source, "audit_examples": 500 if source["source"] == "digits" else 2000}
    plan = parse(table_, Path("benchmark.toml"))
    data = subject_data.load(plan)
    assert data.train is not None
    assert plan.train is not None
    recipe, builder = plan.train, models.builder(plan, data)
    dense = models.fresh(builder, seed)
    training.train(dense, data.train, recipe, epochs=epochs, seed=seed)
    _, method = resolve("global-magnitude")
    for sparsity in sparsities:
        generator = torch.Generator().manual_seed(seed)
        pruned = prune(dense, method, sparsity, example_input=data.test.x[:1], generator=generator)
        hold = partial(masks.hold, model=pruned.model, masks=pruned.masks)
        if sparsity:
            training.train(pruned.model, data.train, recipe, epochs=1, seed=seed + 1, prepare=hold)
        target = Target(
            models.wrap(pruned.model, plan, data), len(data.classes), data.bounds, data.test, pool=data.pool,
            surrogate=lambda seed: models.wrap(models.fresh(builder, seed), plan, data),
        )  # fmt: skip
        yield sparsity, target


def compare(found: dict[float, Target], budgets: tuple[int, ...]) -> None:
    """Ours beside ART's, and their costs; exits with 1 where ours falls short."""
    ours = Settings(queries=budgets, attacks=("knockoff",), level="quick")
    theirs = ours.model_copy(
        update={"attacks": ("art_knockoff",), "epochs": 10, "batch_size": 64, "learning_rate": 2e-3}
    )
    figures: dict[str, dict[tuple[float, int], Measurement]] = {"ART": {}, "ours": {}}
    spent = {"ART": 0.0, "ours": 0.0}
    for side, config in (("ART", theirs), ("ours", ours)):
        run(found[0.0], config.model_copy(update={"queries": (budgets[0],)}), torch.Generator())  # imports
        for sparsity, target in found.items():
            baselines = baseline_seconds(target, config)
            start = time.process_time()
            rows = run(target, config, torch.Generator().manual_seed(0))
            spent[side] += time.process_time() - start - baselines
            for row in rows:
                if row.metric == "extraction_fidelity" and row.at["queries"]:
                    figures[side][sparsity, int(row.at["queries"])] = row
    print("fidelity, % (ART / ours), by queries")
    print("sparsity  " + "".join(f"{b:>16,}" for b in budgets))
    lower = False
    for sparsity in found:
        cells = []
        for budget in budgets:
            art, own = (figures[side][sparsity, budget] for side in ("ART", "ours"))
            cells.append(f"{100 * (art.value or 0):.1f} / {100 * (own.value or 0):.1f}")
        print(f"{sparsity:<10}" + "".join(f"{cell:>16}" for cell in cells))
    hits = {
        s: np.concatenate([f.outcomes["agree"] for f in figures[s].values() if f.outcomes]) for s in figures
    }
    by = {s: np.stack(np.split(hits[s], len(figures[s]))) for s in hits}
    for i, budget in enumerate(budgets):
        mine, art_ = (by[side][i :: len(budgets)] for side in ("ours", "ART"))
        change = gain(mine, art_)
        lower |= change.high < 0
        print(f"{budget:>6,} queries: ours − ART's {100 * change.value:+.1f} points "
              f"({100 * change.low:+.1f} to {100 * change.high:+.1f})")  # fmt: skip
    ratio = spent["ART"] / spent["ours"]
    print(f"ART {spent['ART']:.1f} s of CPU, ours {spent['ours']:.1f} s: ratio {ratio:.1f}")
    if lower or ratio < WANTED:
        sys.exit(1)


def baseline_seconds(target: Target, config: Settings) -> float:
    """CPU time of all but the attack: baselines, which ART's side has not, and the judging of one budget."""
    quick = config.model_copy(update={"attacks": ()})
    seconds = []
    for _ in range(2):  # the second finds the baseline remembered, as the timed run will
        start = time.process_time()
        run(target, quick, torch.Generator().manual_seed(0))
        seconds.append(time.process_time() - start)
    return seconds[-1]


def table(options: argparse.Namespace, budgets: tuple[int, ...]) -> None:
    """Markdown: each figure by sparsity and budget, with the attacker's luck in its interval."""
    config = Settings(queries=budgets, attacks=("knockoff",), adversarial=True, replicates=options.replicates)
    kept = Cells(options.out)
    of = {
        s: {"data": data(options), "sparsity": s, "queries": budgets, "replicates": options.replicates}
        for s in SPARSITIES
    }
    for sparsity, target in victims(options, sparsities=[s for s in SPARSITIES if of[s] not in kept]):
        found = run(target, config, torch.Generator().manual_seed(0))
        accuracy = {"metric": "accuracy", "at": {}, "value": clean(target)}
        kept.add(of[sparsity], [accuracy, *map(plain, found)])
    for metric, attack in FIGURES:
        print(f"\n{metric}, {attack}\n\n| sparsity | " + " | ".join(f"{b:,}" for b in budgets) + " |")
        print("|---" * (len(budgets) + 1) + "|")
        for sparsity in SPARSITIES:
            rows = [
                r for r in kept[of[sparsity]] if r["metric"] == metric and r["at"].get("attack") == attack
            ]
            by = {r["at"].get("queries") or r["at"].get("labelled"): said(r) for r in rows}
            print(f"| {sparsity:.0%} | " + " | ".join(by.get(b, "") for b in budgets) + " |")
    print("\n| sparsity | clean accuracy | queries to 90% |\n|---|---|---|")
    for sparsity in SPARSITIES:
        rows = kept[of[sparsity]]
        reach = next(said(r, "{:,.0f}", 1) for r in rows if r["metric"] == "extraction_queries")
        print(f"| {sparsity:.0%} | {100 * rows[0]['value']:.1f} | {reach} |")


def said(row: dict[str, Any], form: str = "{:.1f}", scale: float = 100.0) -> str:
    """A figure with its interval, in per cent where nothing else is asked for."""
    if row["value"] is None:
        return "not reached" if "not reached" in row["note"] else "–"
    value, low, high = (
        "" if row[end] is None else form.format(scale * row[end]) for end in ("value", "low", "high")
    )
    return f"{value} ({low}–{high})"


def data(options: argparse.Namespace) -> str:
    """What the victims are trained on."""
    return "MNIST" if options.root else "CIFAR-10" if options.cifar else "digits"


def clean(target: Target) -> float:
    """The victim's accuracy on the audit examples."""
    answers = logits_of(target.model, target.test.x, batch_size=256, device=target.device).argmax(dim=1)
    return float((answers == target.test.y).float().mean())


def stacking() -> None:
    """CPU time of an optimiser step of six surrogates: one after the other, and as one stack."""
    from audit import zoo

    sizes = ((zoo.digits_cnn, (1, 8, 8)), (zoo.lenet5, (1, 28, 28)), (zoo.paper_mlp, (1, 28, 28)))
    for build, shape in sizes:
        nets = [build(shape) for _ in range(6)]
        x, y = torch.rand(6, 32, *shape), torch.rand(6, 32, 10).softmax(dim=-1)
        apart = [p for net in nets for p in net.parameters()]
        values, _ = torch.func.stack_module_state(nets)
        stacked = {name: v.detach().clone().requires_grad_(True) for name, v in values.items()}
        optimisers = [torch.optim.Adam(apart, fused=True), torch.optim.Adam(stacked.values(), fused=True)]

        def in_turn(nets: list[nn.Module] = nets, x: Any = x, y: Any = y) -> Any:
            return sum(F.cross_entropy(n(a), b) for n, a, b in zip(nets, x, y, strict=True))

        one = torch.func.vmap(partial(torch.func.functional_call, nets[0]))

        def at_once(one: Any = one, held: Any = stacked, x: Any = x, y: Any = y) -> Any:
            return 6 * F.cross_entropy(one(held, x).flatten(0, 1), y.flatten(0, 1))

        seconds = [step_seconds(*pair) for pair in zip((in_turn, at_once), optimisers, strict=True)]
        print(f"{build.__name__}: {1000 * seconds[0]:.1f} ms in turn, {1000 * seconds[1]:.1f} ms stacked")


def step_seconds(loss: Any, optimiser: torch.optim.Optimizer) -> float:
    """CPU seconds of one step, the median of 15."""
    times = []
    for _ in range(15):
        start = time.process_time()
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        times.append(time.process_time() - start)
    return float(np.median(times))


if __name__ == "__main__":
    main()
