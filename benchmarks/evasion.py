"""Our evasion attacks against those of ART, torchattacks, foolbox and the reference AutoAttack: same nets,
same images, same ε, in one process and in turn.

    python benchmarks/evasion.py --root FOLDER_THAT_HOLDS_MNIST
    python benchmarks/evasion.py --cifar FOLDER_WITH_train_AND_test
    python benchmarks/evasion.py --root … --cifar … --agreement
    python benchmarks/evasion.py --root … --health

The first two print a table of robust accuracies, seconds and ratios, and exit with 1 if a figure of ours is
above a peer's or a ratio below what we promise. ``--agreement`` compares each example's fate with the
reference AutoAttack instead, on dense and 90% pruned nets; ``--health`` measures
what the health checks add to level ``standard``, in processor time. Nets are trained here and kept in
``--models``.

ART comes with the project. The others are not among its requirements; what is missing is skipped aloud:
pip install torchattacks foolbox
pip install git+https://github.com/fra31/auto-attack
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from nets import SPARSITY, Net, cifar, digits, mnist
from peers import PGD, STEPS, art_pgd, autoattack, missing
from torch import Tensor, nn

from attacks._techniques import techniques
from attacks.evasion import CUT
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._passes import laid_out
from attacks.evasion._settings import PACKAGE, Settings
from attacks.evasion.sweep import sweep
from attacks.probe import Examples, Part, Sizes, Target

GRADE = ("pgd", "fmn", "apgd_ce", "apgd_t")
"""Our attacks that stand against the reference AutoAttack's four."""
HEALTH = 0.15
"""What the health checks may add to level ``standard``, at most."""
FLOOR = 0.9
"""The share of PGD's time, at least, that the bare passes of it take."""


@dataclass(frozen=True)
class Row:
    """One comparison. Accuracies are robust accuracies at each ε, best to worst for the defender."""

    work: str
    theirs: list[float]
    ours: list[float]
    their_seconds: float
    our_seconds: float
    ratio: float
    wanted: float
    allowed: float = 0.0
    """How far ours may lie above theirs."""

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        weaker = any(
            mine > their + self.allowed + 1e-9 for mine, their in zip(self.ours, self.theirs, strict=True)
        )
        return not weaker and self.ratio >= self.wanted


def main() -> None:
    """Train or read the nets, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="folder that holds MNIST, as torchvision lays it out")
    parser.add_argument(
        "--cifar", type=Path, help="folder of CIFAR-10 as class folders: train/NAME, test/NAME"
    )
    parser.add_argument("--digits", action="store_true", help="scikit-learn's digits: a smoke run")
    parser.add_argument(
        "--models", type=Path, default=Path("runs/benchmark-nets"), help="where nets are kept"
    )
    parser.add_argument("--images", type=int, help="test images (600; 200 of CIFAR-10)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each comparison; medians count (3)")
    parser.add_argument("--threads", type=int, help="of torch, for every side (its own default)")
    parser.add_argument("--agreement", action="store_true", help="compare each example with AutoAttack")
    parser.add_argument("--health", action="store_true", help="what the health checks cost")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    nets = [net for net in (mnist(options), cifar(options), digits(options)) if net]
    if not nets:
        parser.error("give --root, --cifar or --digits")
    fine = True
    for net in nets:
        if options.health:
            fine &= health(net)
        else:
            fine &= agreement(net) if options.agreement else speed(net, options.repeats)
    sys.exit(0 if fine else 1)


# Our side


def ours(model: nn.Module, images: Examples, eps: Sequence[float], attacks: Sequence[str]) -> Tensor:
    """Which examples stand at each ε in the worst case, (len(eps), n) bool."""
    known = techniques(PACKAGE, EvasionAttack)
    target = Target(model, 10, (0.0, 1.0), images)
    settings = Settings(eps=tuple(eps), attacks=tuple(attacks))
    chosen = {name: known[name] for name in attacks}
    (found,) = sweep(target, settings, chosen, torch.Generator().manual_seed(0))
    return ~found.worst


class Counted(nn.Module):
    """Takes down every pass: how many examples, and whether with a gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.passes: list[tuple[int, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        """As the model."""
        self.passes.append((len(x), torch.is_grad_enabled()))
        out: Tensor = self.model(x)
        return out


def replay(model: nn.Module, x: Tensor, passes: Sequence[tuple[int, bool]]) -> None:
    """The same passes with nothing around them."""
    for count, gradient in passes:
        part = x[torch.arange(count) % len(x)] if count > len(x) else x[:count]
        if gradient:
            part = part.detach().requires_grad_()
            out = model(part)
            torch.autograd.grad(out, part, grad_outputs=torch.ones_like(out))
        else:
            with torch.no_grad():
                model(part)


# The tables


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What it returns, and seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def versus(
    work: str, theirs: Callable[[], Tensor], mine: Callable[[], Tensor], wanted: float, repeats: int,
    allowed: float = 0.0,
) -> Row:  # fmt: skip
    """Both in turn, so often; the median of the ratios of neighbours."""
    rounds = []
    for _ in range(repeats):
        their, their_seconds = timed(theirs)
        our, our_seconds = timed(mine)
        rounds.append((their_seconds, our_seconds, their_seconds / our_seconds))
    a, b, ratio = (statistics.median(column) for column in zip(*rounds, strict=True))
    accuracies = [found.double().mean(dim=-1).reshape(-1).tolist() for found in (their, our)]
    return Row(work, accuracies[0], accuracies[1], a, b, ratio, wanted, allowed)


def quarter(net: Net) -> float:
    """The ε, of twenty up to the largest of the table, at which nearest to a quarter of the images stand."""
    grid = torch.linspace(0.05, 1, 20) * max(net.eps)
    standing = ours(net.dense, net.images, grid.tolist(), ("pgd",)).double().mean(dim=1)
    return float(grid[(standing - 0.25).abs().argmin()])


def floor(net: Net, eps: Sequence[float], attacks: Sequence[str], repeats: int) -> float:
    """Seconds of the bare passes over seconds of the whole sweep that made them; the median of the ratios."""
    ratios = []
    for _ in range(repeats):
        counted = Counted(net.dense).eval()
        _, whole = timed(lambda model=counted: ours(model, net.images, eps, attacks))  # type: ignore[misc]
        start = time.perf_counter()
        replay(net.dense, laid_out(net.images.x), counted.passes)
        ratios.append((time.perf_counter() - start) / whole)
    return statistics.median(ratios)


def comparisons(net: Net, one: float, repeats: int) -> Iterator[Row]:
    """Row by row."""
    model, images, few = net.dense, net.images, net.images[: net.autoattack_images]
    at_one, curve = (
        partial(ours, model, images, [one], ("pgd",)),
        partial(ours, model, images, net.eps, ("pgd",)),
    )
    for name, attack in (("ART", art_pgd), *PGD.items()):
        if name != "ART" and missing(name):
            continue
        attack(model, images[:8], one)  # so that no import is timed
        theirs = partial(attack, model, images, one)
        wanted = 4.0 if name == "ART" else 2.5
        yield versus(f"{name} PGD, {STEPS} steps, ε = {one:.4g}", theirs, at_one, wanted, repeats)
    whole = partial(art_curve, model, images, net.eps)
    yield versus(f"ART PGD, {STEPS} steps, 8 ε", whole, curve, 6.0, repeats)
    if not missing("autoattack"):
        theirs, mine = partial(autoattack, model, few, one), partial(ours, model, few, [one], GRADE)
        work = f"AutoAttack standard, ε = {one:.4g}, {len(few)} images"
        yield versus(work, theirs, mine, 4.0, 1, allowed=0.002)


def art_curve(model: nn.Module, images: Examples, radii: Sequence[float]) -> Tensor:
    """ART's PGD at one ε after the other, (len(radii), n) bool."""
    return torch.stack([art_pgd(model, images, eps) for eps in radii])


def speed(net: Net, repeats: int) -> bool:
    """Print the table of one net; whether every promise is kept."""
    one, fine = quarter(net), True
    print(f"\n### {net.name}: {len(net.images)} images, {torch.get_num_threads()} threads\n")
    print("| against | their robust accuracy, % | ours, % | their s | our s | ratio | wanted |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for row in comparisons(net, one, repeats):
        theirs, mine = (" ".join(f"{100 * v:.1f}" for v in values) for values in (row.theirs, row.ours))
        print(
            f"| {row.work} | {theirs} | {mine} | {row.their_seconds:.1f} | {row.our_seconds:.1f} "
            f"| {row.ratio:.1f}× | ≥ {row.wanted:g}×{'' if row.kept else ' MISSED'} |",
            flush=True,
        )
        fine &= row.kept
    for work, radii in (("one ε", [one]), ("8 ε", list(net.eps))):
        share = floor(net, radii, ("pgd",), repeats)
        print(f"| its own floor, {work}: bare passes over all | | | | | {share:.2f} | "
              f"≥ {FLOOR:g}{'' if share >= FLOOR else ' MISSED'} |", flush=True)  # fmt: skip
        fine &= share >= FLOOR
    return fine


def agreement(net: Net) -> bool:
    """Print how far each example's fate under our attacks is that under the reference AutoAttack."""
    if missing("autoattack"):
        return False
    one, fine = quarter(net), True
    print(f"\n### {net.name}: {len(net.images)} images, ε = {one:.4g}\n")
    print("| net | AutoAttack, % | ours, % | same fate, % | their s | our s |")
    print("|---|---|---|---|---|---|")
    for name, model in (("dense", net.dense), (f"{SPARSITY:.0%} pruned", net.pruned)):
        theirs, their_seconds = timed(partial(autoattack, model, net.images, one))
        mine, our_seconds = timed(partial(ours, model, net.images, [one], GRADE))
        same = float((theirs == mine[0]).double().mean())
        a, b = float(theirs.double().mean()), float(mine.double().mean())
        fine &= same >= 0.99 and b <= a + 0.002 + 1e-9
        print(f"| {name} | {100 * a:.1f} | {100 * b:.1f} | {100 * same:.1f} | {their_seconds:.1f} "
              f"| {our_seconds:.1f} |", flush=True)  # fmt: skip
    return fine


def health(net: Net) -> bool:
    """Print the processor time of the health checks beside that of the attacks at level ``standard``, and the
    passes of both (examples through the model, forward and backward; forward alone counts a third)."""
    fine = True
    print(f"\n### {net.name}: {len(net.images)} images, four ε\n")
    print("| net | attacks, s | health, s | share | attacks, passes | health, passes | share |")
    print("|---|---|---|---|---|---|---|")
    for name, model in (("dense", net.dense), (f"{SPARSITY:.0%} pruned", net.pruned)):
        counted = Counted(model).eval()
        target = Target(counted, 10, (0.0, 1.0), net.images)
        settings, spent = Settings(eps=tuple(net.eps[1::2])), []
        known: Part = {}
        for stage in CUT.stages[:4]:  # what follows is no check
            counted.passes.clear()
            start, examples = time.process_time(), range(stage.examples(Sizes.of(target), settings))
            luck = torch.Generator().manual_seed(0)
            known = {**known, **stage.piece(target, settings, luck, known, examples)}
            passes = sum(count if gradient else count / 3 for count, gradient in counted.passes)
            spent.append((time.process_time() - start, passes))
        *attacks, (b, more) = spent
        a, passes = (sum(column) for column in zip(*attacks, strict=True))
        fine &= b <= HEALTH * a
        missed = "" if b <= HEALTH * a else f" MISSED: ≤ {HEALTH:.0%}"
        print(f"| {name} | {a:.1f} | {b:.1f} | {b / a:.1%}{missed} | {passes:,.0f} | {more:,.0f} "
              f"| {more / passes:.1%} |", flush=True)  # fmt: skip
    return fine


if __name__ == "__main__":
    main()
