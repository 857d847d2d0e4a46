"""Signs in rivals: an attack that knows less does better than one that knows the gradients."""

from dataclasses import replace

import torch
from torch import Tensor

from attacks.evasion._losses import margin
from attacks.evasion._search import bisected, check
from attacks.evasion.health._evidence import Evidence, in_ball
from attacks.evasion.health._flag import FEWEST, SHARED, Flag
from attacks.evasion.square import square

QUERIES = 100
"""Of the black-box attack on what the walk leaves standing."""
DRAWS = 5
HALVINGS = 8
"""Of the line back to the boundary."""
FOOLED = "fooled by random noise of the size of what the walk found."


def black_box_stronger(evidence: Evidence) -> Flag:
    """An attack that sees scores breaks what the attacks left standing (Athalye et al. 2018; Croce & Hein
    2020). At the ε at which nearest to half stands: there both can win and lose."""
    standing = evidence.standing[evidence.halfway]
    hits = torch.zeros_like(standing)
    index = torch.nonzero(standing).squeeze(1)
    if len(index):
        part = evidence.batch.at(index, evidence.grid[evidence.halfway].expand(len(index)))
        modest = evidence.settings.model_copy(update={"queries": QUERIES})
        hits[index] = check(part, square(part, modest)).broken
    eps = float(evidence.grid[evidence.halfway])
    what = f"broken by {QUERIES} queries of Square at ε = {eps:g}, not by the attacks."
    return Flag("black_box_stronger", 0.03, hits, what)


def stronger(name: str, rival: Tensor, white: Tensor, what: str) -> Flag:
    """``rival`` breaks what no gradient attack breaks, at the ε where that is commonest; both (ε, n) bool."""
    more = rival & ~white
    hits = more[int(more.sum(dim=1).argmax())]
    return Flag(name, SHARED, hits, f"broken by {what}, by no gradient attack.")


@torch.no_grad()
def noise_as_strong(evidence: Evidence) -> Flag:
    """Random noise of the size of the walk's finds fools the model as well (Carlini et al. 2019).

    Of the examples that the walk breaks; each find is first drawn back to the boundary along a straight line.
    """
    name, limit, walk = "noise_as_strong", 0.5, evidence.walk
    index = torch.nonzero(walk.broken.any(dim=0)).squeeze(1)
    few = f"the walk breaks fewer than {FEWEST} examples: nothing to compare with."
    if len(index) == 0:
        return Flag(name, limit, torch.zeros_like(index, dtype=torch.bool), FOOLED, few=few)
    first = walk.broken[:, index].int().argmax(dim=0)
    part = in_ball(evidence.batch, evidence.radii[-1])
    part = part.at(index, part.eps[index])
    everyone = torch.ones_like(part.y, dtype=torch.bool)
    adversarial = bisected(part, walk.found[first, index], everyone, HALVINGS)
    part = replace(part, eps=part.ball.distance(adversarial, part.x).to(part.x))
    hits = torch.zeros_like(part.y, dtype=torch.bool)
    for draw in range(DRAWS):
        noise = part.ball.sample(part.seeds[:, 0] + draw, part.x, part.eps, part.bounds)
        hits |= margin(part.model(noise), part.y) < 0
    return Flag(name, limit, hits, FOOLED, few=few)
