"""Finds what breaks each example on a rising grid of ε, and checks every find afresh.

Each search returns (len(grid), N) bool, the rungs of the grid at which an example is broken. ``known`` is the
same of earlier attacks, rising with ε: what it holds is not attacked again, and counts as broken.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import column, slack
from attacks.evasion._losses import margin
from attacks.evasion._passes import predict
from attacks.evasion._settings import Settings

DRAWS = 32
"""Passes that decide over a candidate where the model's outputs are random."""
ROUNDING = 1e-4
"""Difference of two passes that rounding on parallel hardware explains, relative to the largest logit."""


def draws(model: nn.Module, x: Tensor) -> int:
    """Passes needed to decide over a candidate: 1, or :data:`DRAWS` if two passes of ``x`` (N, …) differ."""
    first, second = predict(model, x), predict(model, x)
    allowed = ROUNDING * first.abs().amax(dim=1).clamp(min=1e-6)
    return DRAWS if bool(((second - first).abs().amax(dim=1) > allowed).any()) else 1


@dataclass(frozen=True, slots=True)
class Checked:
    """What fresh forward passes say of a batch of candidates. All (N,)."""

    broken: Tensor
    """Inside the ball, inside the bounds and misclassified."""
    distance: Tensor
    """From the clean input, less what rounding may have added; float64."""
    margin: Tensor
    """The label's logit minus the best other."""


def check(batch: Batch, candidates: Tensor) -> Checked:
    """Hold candidates against the model, the ball and the bounds; raises NotFiniteError.

    Where outputs are random, a candidate must be misclassified in this pass and in most of ``batch.draws``
    more: of hundreds of candidates an attack tries, some meet a lucky draw.
    """
    logits = predict(batch.model, candidates)
    distance = batch.ball.distance(candidates, batch.x)
    allowed, rounded = slack(batch.x, batch.eps, distance)
    values = candidates.flatten(1)
    inside = (
        (distance <= batch.eps.double() + allowed)
        & (values.amin(dim=1).double() >= batch.bounds[0] - allowed)
        & (values.amax(dim=1).double() <= batch.bounds[1] + allowed)
    )
    wrong = inside & (logits.argmax(dim=1) != batch.y)
    if batch.draws > 1 and bool(wrong.any()):
        again, y = candidates[wrong], batch.y[wrong]
        erred = torch.stack([predict(batch.model, again).argmax(dim=1) != y for _ in range(batch.draws)])
        wrong = wrong.masked_scatter(wrong, 2 * erred.sum(dim=0) > batch.draws)
    return Checked(wrong, distance - rounded, margin(logits, batch.y))


def each(
    attack: EvasionAttack, batch: Batch, grid: Tensor, known: Tensor, settings: Settings, batch_size: int
) -> Tensor:
    """Every ε attacked of its own accord: at a larger one the attack may do worse."""
    broken = known.clone()
    for rung, eps in enumerate(grid):
        for index in _parts(~known[rung], batch_size):
            part = batch.at(index, eps.expand(len(index)))
            broken[rung, index] = check(part, attack.run(part, settings)).broken
    return broken


def smallest(
    attack: EvasionAttack, batch: Batch, grid: Tensor, known: Tensor, settings: Settings, batch_size: int
) -> Tensor:
    """What is broken, by :func:`bracketed`; by :func:`rising` where the settings want every ε attacked."""
    return bracketed(attack, batch, grid, known, settings, batch_size)[0]


def rising(
    attack: EvasionAttack, batch: Batch, grid: Tensor, known: Tensor, settings: Settings, batch_size: int
) -> Tensor:
    """Every ε attacked, from small to large, until an example breaks: broken at an ε is broken at every
    larger one. An example is reported to survive only where it was attacked, in full."""
    broken = known.clone()
    for rung, eps in enumerate(grid):
        for index in _parts(~broken[rung], batch_size):
            part = batch.at(index, eps.expand(len(index)))
            broken[rung:, index] |= check(part, attack.run(part, settings)).broken
    return broken


def bracketed(
    attack: EvasionAttack, batch: Batch, grid: Tensor, known: Tensor, settings: Settings, batch_size: int
) -> tuple[Tensor, Tensor]:
    """What is broken; and what stands by inference, (len(grid), N) bool. Broken at an ε is broken at every
    larger one, and what stands at an ε is taken to stand at every smaller one.

    Each example has a bracket (largest ε at which the whole attack failed, smallest ε known to break it).
    Every round attacks each open bracket at one ε inside it, all in one batch, until no ε is left between.
    A find settles the smallest ε of the grid that its actual distance fits in. So an example is reported
    to survive only up to an ε at which it was attacked directly and in full. At smaller ε that is inferred:
    a smaller ball holds nothing that the larger does not, but an attack may be led astray in the larger.

    Which ε is tried first changes the time taken, not what a bracket means: the largest that earlier
    attacks left standing; without any, it is guessed from the first-order distance to the decision
    boundary. Then one below the last find, or after a failure where the margin, falling on as it has, would
    reach zero. This takes about a fifth less than halving the bracket.
    """
    if settings.every_eps:
        broken = rising(attack, batch, grid, known, settings, batch_size)
        return broken, torch.zeros_like(broken)
    device = batch.x.device
    ladder = torch.arange(len(grid), device=device).unsqueeze(1)
    failed = torch.zeros(len(grid), len(batch), dtype=torch.bool, device=device)
    broke = (~known).sum(dim=0)
    guess = broke - 1 if bool(known.any()) else torch.searchsorted(grid, _first_order(batch))
    while True:
        tried = torch.where(failed & (ladder < broke), ladder, -1).amax(dim=0)
        unsettled = torch.nonzero(broke - tried > 1).squeeze(1)
        if len(unsettled) == 0:
            return ladder >= broke, (ladder < broke) & ~failed
        for index in torch.split(unsettled, batch_size):
            rung = torch.clamp(guess[index], tried[index] + 1, broke[index] - 1)
            part = batch.at(index, grid[rung])
            seen = check(part, attack.run(part, settings))
            fits = torch.minimum(rung, torch.searchsorted(grid, seen.distance))
            broke[index] = torch.where(seen.broken, fits, broke[index])
            failed[rung, index] = ~seen.broken
            guess[index] = torch.where(seen.broken, fits - 1, torch.searchsorted(grid, _secant(part, seen)))


def distances(
    attack: EvasionAttack, batch: Batch, wanted: Tensor, settings: Settings, batch_size: int
) -> Tensor:
    """How far the closest adversarial example that the attack finds lies from each input, (N,) float64; less
    what rounding may have added; infinite where none is found, and where not ``wanted``, bool (N,)."""
    found = torch.full((len(batch),), torch.inf, dtype=torch.float64, device=batch.x.device)
    for index in _parts(wanted, batch_size):
        part = batch.at(index, widest(batch).expand(len(index)))
        seen = check(part, attack.run(part, settings))
        found[index] = torch.where(seen.broken, seen.distance.clamp(min=0), torch.inf)
    return found


def bisected(batch: Batch, finds: Tensor, wanted: Tensor, halvings: int) -> Tensor:
    """Finds (N, …), those ``wanted``, bool (N,), drawn along the straight line towards their inputs by
    bisection: where the line crosses the boundary, if it does so once; misclassified in any case."""
    near, far = batch.x, finds
    for _ in range(halvings):
        middle = (near + far) / 2
        fools = column((predict(batch.model, middle).argmax(dim=1) != batch.y) & wanted, far)
        near, far = torch.where(fools, near, middle), torch.where(fools, middle, far)
    return far


def _parts(wanted: Tensor, batch_size: int) -> list[Tensor]:
    """Where ``wanted`` (bool, (N,)) holds, in batches; none where it holds nowhere."""
    index = torch.nonzero(wanted).squeeze(1)
    return list(torch.split(index, batch_size)) if len(index) else []


def widest(batch: Batch) -> Tensor:
    """The distance of two opposite corners of the bounds, a scalar: no ball needs to be larger."""
    return batch.ball.widest(batch.x, batch.bounds)


def _first_order(batch: Batch) -> Tensor:
    """Where each example would break if the model were linear, (N,) float64."""
    return batch.margin.double() / batch.ball.slope(batch.gradient).clamp(min=1e-30)


def _secant(part: Batch, seen: Checked) -> Tensor:
    """Where the margin would reach zero if it fell on as it has, (N,) float64; infinite if it has not."""
    fallen = (part.margin - seen.margin).double()
    reach = part.eps.double() * part.margin.double() / fallen.clamp(min=1e-30)
    return torch.where(fallen > 0, reach, torch.inf)
