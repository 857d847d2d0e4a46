"""Fast minimum norm: looks for each input's closest adversarial example (Pintor et al. 2021).

Three things are ours and not the paper's: the first step goes to the nearest boundary of all likely classes,
by the first-order distance; the log-odds are climbed before the margin; and at the end the line from the
input to the find is bisected.
"""

import torch
from torch import Tensor

from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import column, half_cosine
from attacks.evasion._effort import Effort
from attacks.evasion._losses import climb, gap, lead, margin, odds
from attacks.evasion._search import bisected

OVERSHOOT = 0.005
"""How far beyond where the boundary is expected, as a share of the way."""
SHRINK = 0.05
"""The first share by which a radius changes; it falls to nothing."""
EARLY = 0.5
"""The share of steps that climb the log-odds, which lead to nearer boundaries than the margin, whose nearest
rival changes; the rest climb the margin, whose slope is that of the boundary itself."""
HALVINGS = 12
"""Of the line from the input to what was found."""


def fmn(batch: Batch, effort: Effort) -> Tensor:
    """The closest adversarial example found, or the input where none was.

    Every example walks on a ball of its own radius, uphill. The radius shrinks below the closest
    find while the iterate fools the model and grows while it does not; until the first find it is the
    first-order distance to the boundary, counted from the iterate. The first step goes to the class whose
    boundary is nearest by that measure: on a linear model, the answer. Steps are a share of the radius
    that falls along half a cosine, as does the rate at which radii change. At last the line from the input
    to the find is bisected, which makes the distance exact where that line crosses the boundary once.
    """
    ball, x, y, bounds = batch.ball, batch.x, batch.y, batch.bounds
    best, nearest = x.clone(), torch.full_like(batch.eps, torch.inf)
    point, radius = _first_step(batch, effort.targets)
    for step in range(effort.fmn_steps):
        fade = half_cosine(step, effort.fmn_steps)
        loss = odds if step < EARLY * effort.fmn_steps else gap
        logits, _, gradient = climb(batch.model, point, y, loss)
        away = ball.distance(point, x).to(radius)
        fools = logits.argmax(dim=1) != y
        closer = fools & (away < nearest)
        nearest = torch.where(closer, away, nearest)
        best = torch.where(column(closer, x), point, best)
        needed = (margin(logits, y).double() / ball.slope(gradient).clamp(min=1e-30)).to(radius)
        outward = torch.where(nearest.isinf(), away + needed * (1 + OVERSHOOT), radius * (1 + SHRINK * fade))
        radius = torch.where(fools, torch.minimum(nearest, radius) * (1 - SHRINK * fade), outward)
        radius = torch.minimum(torch.minimum(radius, nearest), batch.eps)
        point = ball.step(point, gradient, radius * fade, x, radius, bounds)
    return bisected(batch, best, nearest.isfinite(), HALVINGS)


def _first_step(batch: Batch, classes: int) -> tuple[Tensor, Tensor]:
    """Points (N, …) and radii (N,): the linear model's answer, of the likeliest wrong ``classes``."""
    others = batch.logits.scatter(1, batch.y.unsqueeze(1), -torch.inf).argsort(dim=1, descending=True)
    radius, uphill = torch.full_like(batch.eps, torch.inf), torch.zeros_like(batch.x)
    for rank in range(min(classes, others.shape[1] - 1)):
        targets = torch.stack((batch.y, others[:, rank]), dim=1)
        _, behind, gradient = climb(batch.model, batch.x, targets, lead)
        slope = batch.ball.slope(gradient).clamp(min=1e-30)
        there = (-behind.double() / slope * (1 + OVERSHOOT)).to(radius)
        nearer = there < radius
        radius = torch.where(nearer, there, radius)
        uphill = torch.where(column(nearer, batch.x), gradient, uphill)
    radius = torch.minimum(radius, batch.eps)
    return batch.ball.step(batch.x, uphill, radius, batch.x, radius, batch.bounds), radius


ATTACK = EvasionAttack(
    fmn,
    search="distance",
    level="standard",
    cost=60,
    steps="fmn_steps",
    paper="Pintor et al. 2021, Fast minimum-norm adversarial attacks through adaptive norm constraints, "
    "arXiv:2102.12827",
)
