"""The rows of a sweep: robust accuracy at every ε, distances, and what a reader of them must know."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attacks._rates import rate
from attacks.evasion._curves import Sweep
from attacks.evasion._inference import Trial
from attacks.intervals import InsufficientDataError, median
from attacks.probe import Measurement

METRIC = "robust_accuracy"
DISTANCE = "adversarial_distance"
WORST = "worst_case"
EXAMPLES = "examples"
"""What stands for an attack in the failed row of pictures that could not be had."""


def rows(sweep: Sweep) -> list[Measurement]:
    """One row per (attack, ε), the worst case last; and where an attack measures distances, its own and the
    smallest of all finds."""
    found: list[Measurement] = []
    silent = caveats(sweep)
    for name, curve in sweep.curves.items():
        after = f"attacked: what {', '.join(curve.after)} left standing; what they broke counts"
        note = _join(after if curve.after else "", curve.note or silent)
        found += _curve(curve.broken, sweep, name, note, curve.inferred)
    for name, why in sweep.failed.items():
        for eps in sweep.grid.tolist():
            at: dict[str, str | int | float] = {"norm": sweep.norm, "eps": eps, "attack": name}
            found.append(Measurement(METRIC, at=at, status="failed", note=why))
    found += _distances(sweep, silent)
    if sweep.unshown:
        found.append(_failed(METRIC, sweep, EXAMPLES, sweep.unshown))
    worst = _curve(sweep.worst, sweep, WORST, _join(silent, _tried(sweep.trial)), _inferred(sweep))
    if sweep.examples is not None:
        row = worst[sweep.examples.rung]
        worst[sweep.examples.rung] = replace(row, outcomes={**(row.outcomes or {}), **sweep.examples.arrays})
    return found + worst


def _distances(sweep: Sweep, silent: str) -> list[Measurement]:
    """The median distance of each attack that measures it, and that of the closest of all finds."""
    curves = {name: curve.distance for name, curve in sweep.curves.items() if curve.distance is not None}
    found = [_distance(distance, sweep, name, silent) for name, distance in curves.items()]
    lost = {name: why for name, why in sweep.failed.items() if name in sweep.measuring}
    found += [_failed(DISTANCE, sweep, name, why) for name, why in lost.items()]
    if curves:
        closest = _closest(sweep, list(curves.values()))
        return [*found, _distance(closest, sweep, WORST, silent)]
    return found + [_failed(DISTANCE, sweep, WORST, why) for why in list(lost.values())[:1]]


def _failed(metric: str, sweep: Sweep, attack: str, why: str) -> Measurement:
    return Measurement(metric, at={"norm": sweep.norm, "attack": attack}, status="failed", note=why)


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def caveats(sweep: Sweep) -> str:
    """Says so where the gradient is zero in every entry, so that attacks have nothing to follow; and where
    the outputs are random, how a find is decided."""
    zero, count = int(sweep.dead.sum()), int(sweep.right.sum())
    return _join(
        f"the input gradient is zero for {zero} of {count} examples" if zero else "",
        f"outputs are random: broken is what errs in most of {sweep.draws} draws" if sweep.draws > 1 else "",
    )


def _curve(
    broken: Tensor, sweep: Sweep, attack: str, note: str, inferred: Tensor | None = None
) -> list[Measurement]:
    counts = [0] * len(broken) if inferred is None else (inferred & ~broken).sum(dim=1).tolist()
    return [
        rate(METRIC, ~at_eps, "correct", {"norm": sweep.norm, "eps": eps, "attack": attack},
             _join(note, f"{count} stand by inference: attacked at a larger ε only" if count else ""))
        for eps, at_eps, count in zip(sweep.grid.tolist(), broken, counts, strict=True)
    ]  # fmt: skip


def _inferred(sweep: Sweep) -> Tensor | None:
    """What some attack leaves standing by inference alone; None once every ε has been attacked."""
    guessed = [curve.inferred for curve in sweep.curves.values() if curve.inferred is not None]
    refuted = sweep.trial is not None and sweep.trial.refuted
    return None if refuted or not guessed else torch.stack(guessed).any(dim=0)


def _tried(tried: Trial | None) -> str:
    if tried is None or not tried.hits.any():
        return ""
    then = "; so every ε was attacked" if tried.refuted else ""
    return f"{int(tried.hits.sum())} of {len(tried.hits)} broke where they were inferred to stand{then}"


def _closest(sweep: Sweep, measured: Sequence[Tensor]) -> Tensor:
    """To the closest of all finds, (n,): a measured one, or the smallest ε of the grid that breaks."""
    on_grid = torch.where(sweep.worst, sweep.grid.unsqueeze(1), torch.inf).amin(dim=0)
    on_grid = torch.where(sweep.right, on_grid, 0.0)
    return torch.stack([*measured, on_grid]).amin(dim=0)


def _distance(distance: Tensor, sweep: Sweep, attack: str, silent: str) -> Measurement:
    """The median over all examples; where nothing was found, the widest distance that the bounds allow."""
    missing = int(distance.isinf().sum())
    widest = sweep.widest if bool(sweep.right.any()) else 0.0
    values = distance.clamp(max=widest).cpu().numpy()
    at: dict[str, str | int | float] = {"norm": sweep.norm, "attack": attack}
    try:
        centre = median(values)
    except InsufficientDataError as error:
        return Measurement(DISTANCE, at=at, status="refused", note=str(error))
    lost = f"for {missing} of {len(values)} examples none was found; they count as {widest:g}"
    note = _join(lost if missing else "", silent)
    return Measurement(
        DISTANCE, centre.value, centre.low, centre.high, centre.n, at, note=note,
        outcomes={"distance": values.astype("float32")},
    )  # fmt: skip
