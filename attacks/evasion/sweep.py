"""The ε curve: robust accuracy over a grid of radii, per attack and for the worst case over all attacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from attacks._model import NotFiniteError, matched
from attacks._rates import rate
from attacks.evasion import _search
from attacks.evasion._attack import Batch, EvasionAttack, reason
from attacks.evasion._examples import Broken, broken_examples
from attacks.evasion._features import ball_of, in_units
from attacks.evasion._inference import Trial, trial
from attacks.evasion._losses import climb
from attacks.evasion._passes import laid_out
from attacks.evasion._scale import magnified
from attacks.evasion._settings import Settings
from attacks.intervals import InsufficientDataError, median
from attacks.probe import Measurement, Target

METRIC = "robust_accuracy"
DISTANCE = "adversarial_distance"
WORST = "worst_case"
EXAMPLES = "examples"
"""What stands for an attack in the failed row of pictures that could not be had."""
ASKED = 8
"""Examples, at least, that are shown to a model twice to see whether its outputs are random."""
MODE_DEPENDENT = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
"""Layers that work otherwise in training mode."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What one attack did in one norm."""

    broken: Tensor
    """(len(grid), n) bool over all test examples; natural errors are broken."""
    after: tuple[str, ...] = ()
    """The attacks before it whose finds count as its own, where it was run on their survivors only."""
    distance: Tensor | None = None
    """To each closest adversarial example found, (n,) float64, infinite where none was; 0 for natural errors.
    None if the attack does not look for it, or only looked at survivors."""
    note: str = ""
    """What else its rows say."""
    inferred: Tensor | None = None
    """(len(grid), n) bool: what stands since the attack failed at a larger ε. None: every ε was attacked."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What all attacks did in one norm. n test examples."""

    norm: str
    grid: Tensor
    """ε, rising, float64."""
    right: Tensor
    """Which examples the model gets right unattacked, (n,) bool."""
    batch: Batch
    """Those."""
    curves: dict[str, Curve]
    """By attack, in the order in which they ran: from cheap to dear."""
    worst: Tensor
    """(len(grid), n) bool: broken by any attack, at this ε or a smaller one."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Attacks that could not be run, and why."""
    measuring: frozenset[str] = frozenset()
    """The attacks of the plan that measure distances, those that failed among them."""
    trial: Trial | None = None
    """What became of a sample of what stood by inference; None where nothing did."""
    untried: str = ""
    """Why that sample could not be tried."""
    examples: Broken | None = None
    """A few of the broken ones, to be looked at."""
    unshown: str = ""
    """Why those could not be had."""
    replays: Mapping[str, Tensor] = field(default_factory=dict)
    """By source, what its perturbations break, (len(grid), n) bool."""


def robust_curves(
    target: Target, settings: Settings, attacks: Mapping[str, EvasionAttack], generator: torch.Generator
) -> list[Measurement]:
    """The rows of :func:`sweep`: robust accuracy at every (norm, ε, attack) and for the ``worst_case``, and
    the median distance of the attacks that measure it."""
    return [row for found in sweep(target, settings, attacks, generator) for row in rows(found)]


def sweep(
    target: Target, settings: Settings, attacks: Mapping[str, EvasionAttack], generator: torch.Generator
) -> list[Sweep]:
    """Attack ``target.test`` in every norm at every ε, from cheap attacks to dear.

    Natural errors count as broken, so only examples that the model gets right are attacked. An example
    counts as broken only after a fresh check (see :func:`attacks.evasion._search.check`). The worst case
    is taken per example, over all attacks and all smaller ε.

    Raises NotFiniteError if the model returns NaN; ValueError if there are no examples, if some lie outside
    the bounds, or if the model is in training mode.
    """
    target = in_units(target)
    fit(target)
    shape = len(target.test), settings.restarts
    seeds = torch.randint(2**62, shape, generator=generator, device=generator.device)
    right, clean = begin(target, settings, seeds, [range(len(target.test))])
    found = []
    for norm in settings.norms:
        batch = replace(clean, ball=ball_of(norm, target.features))
        swept = attacked(norm, batch, right, in_order(attacks), settings, target.batch_size)
        found.append(settled(swept, attacks, settings, target.batch_size))
    return found


def in_order(attacks: Mapping[str, EvasionAttack]) -> dict[str, EvasionAttack]:
    """From cheap to dear, ties by name."""
    return dict(sorted(attacks.items(), key=lambda item: (item[1].cost, item[0])))


def fit(target: Target) -> None:
    """Raises ValueError where the target cannot be attacked soundly."""
    if len(target.test) == 0:
        raise ValueError("there are no test examples to attack")
    if any(module.training and isinstance(module, MODE_DEPENDENT) for module in target.model.modules()):
        raise ValueError(
            "the model is in training mode, in which its outputs depend on chance or on the batch: "
            "call eval() first"
        )
    low, high = float(target.test.x.min()), float(target.test.x.max())
    allowed = 1e-6 * max(map(abs, target.bounds))
    if not (low >= target.bounds[0] - allowed and high <= target.bounds[1] + allowed):
        raise ValueError(
            f"test inputs range from {low:g} to {high:g}, beyond the bounds "
            f"[{target.bounds[0]:g}, {target.bounds[1]:g}]: set [data] bounds to what the inputs may hold"
        )


def attacked(
    norm: str,
    batch: Batch,
    right: Tensor,
    attacks: Mapping[str, EvasionAttack],
    settings: Settings,
    batch_size: int,
) -> Sweep:
    """Run the attacks in their order, on whatever examples. Inside, tensors are over those in ``batch``."""
    grid = torch.tensor(settings.radii(norm), dtype=torch.float64, device=right.device)
    worst = torch.zeros(len(grid), len(batch), dtype=torch.bool, device=right.device)
    nothing = torch.zeros_like(worst)
    inferred = torch.zeros_like(worst)
    curves: dict[str, Curve] = {}
    failed: dict[str, str] = {}
    for name, attack in attacks.items():
        if norm not in attack.norms:
            continue
        alone = attack.on == "all"
        known = nothing if alone else worst
        size = max(len(batch), 1) if attack.whole else batch_size
        try:
            broken, guessed, distance = _curves(attack, batch, grid, known, settings, size)
        except NotFiniteError:
            raise  # the model's own failure: no figure can be taken from it
        except Exception as error:  # whatever an attack raises is its own rows, and the others go on
            failed[name] = reason(error)
            continue
        distance = among_all(distance, right, 0.0) if alone and distance is not None else None
        curves[name] = Curve(
            among_all(broken, right, True),
            () if alone else tuple(curves),
            distance,
            inferred=None if guessed is None else among_all(guessed, right, False),
        )
        inferred |= guessed if guessed is not None else False
        worst = worst | (broken.cumsum(dim=0) > 0)
    measuring = frozenset(name for name, a in attacks.items() if norm in a.norms and a.search == "distance")
    return Sweep(norm, grid, right, batch, curves, among_all(worst, right, True), failed, measuring)


def settled(found: Sweep, attacks: Mapping[str, EvasionAttack], settings: Settings, batch_size: int) -> Sweep:
    """The sweep of all examples with what can only be said of them together: the trial of what stands by
    inference, and pictures of some that broke."""
    attacks, batch, grid, right = in_order(attacks), found.batch, found.grid, found.right
    worst, inferred = found.worst[:, right], torch.zeros_like(found.worst[:, right])
    for curve in found.curves.values():
        inferred |= False if curve.inferred is None else curve.inferred[:, right]
    ran = {name: attack for name, attack in attacks.items() if name in found.curves}
    guessing = [attack for attack in ran.values() if attack.search == "smallest" and not attack.whole]
    try:
        tried, untried = trial(guessing, batch, grid, worst, inferred & ~worst, settings, batch_size), ""
    except Exception as error:  # see above; what stands by inference is in doubt then
        tried, untried = None, reason(error)
    worst = worst if tried is None else tried.worst
    usable = {  # on a few examples alone; the user's own attack may not bear so small a batch
        name: attack for name, attack in ran.items() if not attack.whole and attack.sees != "anything"
    }
    try:
        examples, unshown = broken_examples(usable, batch, grid, worst, right, settings), ""
    except Exception as error:
        examples, unshown = None, reason(error)
    return replace(
        found, worst=among_all(worst, right, True), trial=tried, untried=untried, examples=examples,
        unshown=unshown,
    )  # fmt: skip


def _curves(
    attack: EvasionAttack, batch: Batch, grid: Tensor, known: Tensor, settings: Settings, batch_size: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What is broken, (len(grid), N) bool; what stands by inference, the same, where the attack infers; and
    the distances, (N,), where it measures them."""
    if attack.search == "distance":
        found = _search.distances(attack, batch, ~known.all(dim=0), settings, batch_size)
        return known | (found <= grid.unsqueeze(1)), None, found
    if attack.search == "each":
        return _search.each(attack, batch, grid, known, settings, batch_size), None, None
    return *_search.bracketed(attack, batch, grid, known, settings, batch_size), None


def among_all(values: Tensor, right: Tensor, natural_error: float) -> Tensor:
    """Values of the examples that the model gets right, (…, right), put back among all, (…, n)."""
    whole = torch.full(
        (*values.shape[:-1], len(right)), natural_error, dtype=values.dtype, device=right.device
    )
    whole[..., right] = values
    return whole


def begin(
    target: Target, settings: Settings, seeds: Tensor, blocks: Sequence[range], right: Tensor | None = None
) -> tuple[Tensor, Batch]:
    """Which of the examples in ``blocks``, neighbours, the model gets right, (n,) bool; those as one batch
    with their gradients. ``seeds``: of all examples, (N, restarts); ``right``: where it is known."""
    device, some = target.device, slice(blocks[0].start, blocks[-1].stop)
    x, y = laid_out(target.test.x[some].to(device)), target.test.y[some].to(device)
    parts: list[tuple[Tensor, Tensor]] = []
    for block in blocks:
        ours = slice(block.start - some.start, block.stop - some.start)
        parts += zip(
            torch.split(x[ours], target.batch_size), torch.split(y[ours], target.batch_size), strict=True
        )
    first = laid_out(target.test.x[: max(target.block, ASKED)].to(device))
    logits, gradient = _climbed(target.model, parts)
    model = _fit_to_climb(target, first)
    if model is not target.model:
        logits, gradient = _climbed(model, parts)
    wins = matched(logits, target).argmax(dim=1) == y
    right = wins if right is None else right
    batch = Batch(
        model=model,
        ball=ball_of(settings.norms[0], target.features),
        bounds=target.bounds,
        x=x[right],
        y=y[right],
        logits=logits[right],
        gradient=gradient[right],
        seeds=seeds[some].to(device)[right],
        eps=torch.zeros(int(right.sum()), device=device),
        draws=_search.draws(target.model, first[: target.batch_size]),
    )
    return right, batch


def _fit_to_climb(target: Target, first: Tensor) -> nn.Module:
    """The model, magnified if its logits on the ``first`` examples are small: on these, whatever piece of
    the examples is attacked, so that every piece meets the same model."""
    with torch.no_grad():
        logits = torch.cat([target.model(part) for part in torch.split(first, target.batch_size)])
    y = target.test.y[: len(first)].to(first.device)
    right = matched(logits, target).argmax(dim=1) == y
    return magnified(target.model, logits[right], y[right])


def _climbed(model: nn.Module, parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Logits and gradients of all parts."""
    logits, _, gradient = zip(*(climb(model, *part) for part in parts), strict=True)
    return torch.cat(logits), torch.cat(gradient)


def rows(sweep: Sweep) -> list[Measurement]:
    """One row per (attack, ε), the worst case last; and where an attack measures distances, its own and the
    smallest of all finds."""
    found: list[Measurement] = []
    silent = caveats(sweep.batch)
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


def caveats(batch: Batch) -> str:
    """Says so where the gradient is zero in every entry, so that attacks have nothing to follow; and where
    the outputs are random, how a find is decided."""
    zero = int((batch.gradient == 0).flatten(1).all(dim=1).sum()) if len(batch) else 0
    return _join(
        f"the input gradient is zero for {zero} of {len(batch)} examples" if zero else "",
        f"outputs are random: broken is what errs in most of {batch.draws} draws" if batch.draws > 1 else "",
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
    widest = float(_search.widest(sweep.batch)) if len(sweep.batch) else 0.0
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
