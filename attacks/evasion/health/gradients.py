"""Signs in the gradients: missing, drowned in rounding, or not telling what the loss does."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from attacks.evasion._balls import column
from attacks.evasion._differences import UNTOLD, untold
from attacks.evasion._losses import odds, raw_gradient
from attacks.evasion._scale import bare, factor
from attacks.evasion.health._evidence import Evidence
from attacks.evasion.health._flag import SHARED, Flag
from attacks.evasion.health.outputs import rounding

GAIN = 0.5
"""Share of the steepest ascent that a step along the float32 gradient must gain."""
TWOFOLD = 2.0
"""By what factor the loss may rise more or less than its gradient says."""
NEARBY = 0.1
"""How far the loss is followed, as a share of the smallest ε."""
NOISY_LIMIT = 0.1
WRONG_LIMIT = 0.1


def zero_gradients(evidence: Evidence) -> Flag:
    """The input gradient is zero or not a number: no gradient attack can take a step."""
    gradient = _gradient(evidence.batch.model, evidence.batch.x, evidence.batch.y)
    hits = _dead(gradient)
    return Flag("zero_gradients", SHARED, hits, "the input gradient is zero or not a number.")


def saturated_softmax(evidence: Evidence) -> Flag:
    """Cross-entropy's gradient is exactly zero in float32, since the logits lie too far apart.

    The attacks here climb the log-odds, which do not fade, so their own figure need not suffer; but whatever
    climbs cross-entropy stands still (Carlini & Wagner 2017: defensive distillation).
    """
    batch = evidence.batch
    logits, y = batch.logits.float() / factor(batch.model), batch.y
    slope = logits.softmax(dim=1) - torch.nn.functional.one_hot(y, logits.shape[1])
    hits = (slope == 0).all(dim=1)
    return Flag("saturated_softmax", 0.05, hits, "cross-entropy has no gradient in float32.")


def float32_gradients(evidence: Evidence) -> Flag:
    """A step along the float32 gradient gains less than half of what the float64 gradient promises.

    Not the angle between the two: where a network has a kink, both may be right.
    """
    batch, name, limit = evidence.batch, "float32_gradients", 0.05
    if evidence.double is None:
        return Flag(name, limit, None, "the model does not run in float64, so that nothing can be compared.")
    single = _gradient(batch.model, batch.x, batch.y)
    double = _gradient(evidence.double, batch.x.double(), batch.y)
    step = batch.ball.steepest(single.nan_to_num()).double()
    gain = (double * step).flatten(1).sum(dim=1) / batch.ball.slope(double).clamp(min=1e-300)
    hits = ~_dead(double) & (_dead(single) | (gain < GAIN))
    return Flag(name, limit, hits, "float32 loses the gradient's direction.")


@torch.no_grad()
def noisy_loss(evidence: Evidence) -> Flag:
    """A short step uphill does not raise the loss as its gradient says (Pintor et al. 2022: noisy loss).

    Healthy networks are nearly linear that close by. A gradient that is made up, or that belongs to a
    smoother function than the one that decides, is not what the loss does. In float64 where the model can,
    so that rounding is not mistaken for noise; and of the model's own logits, since magnified ones bend
    where the runner-up changes, which is no noise either.
    """
    batch = evidence.batch
    model = bare(evidence.double or batch.model)
    dtype = torch.float64 if evidence.double is not None else batch.x.dtype
    x, y = batch.x.to(dtype), batch.y
    gradient = _gradient(model, x, y)
    alive = ~_dead(gradient)
    step = batch.ball.steepest(gradient.nan_to_num()) * column(evidence.radii[:1].to(x), x) * NEARBY
    moved = (x + step).clamp(*batch.bounds)
    told = (gradient.nan_to_num() * (moved - x)).flatten(1).sum(dim=1)
    rise = odds(model(moved), y)[0] - odds(model(x), y)[0]
    hits = alive & ((rise < told / TWOFOLD) | (rise > told * TWOFOLD))
    what = f"{NEARBY:g} of the smallest ε uphill, the loss does not rise as its gradient says."
    return Flag("noisy_loss", NOISY_LIMIT, hits, what)


def wrong_gradients(evidence: Evidence) -> Flag:
    """In random directions the loss does what the gradient does not say (see
    :func:`attacks.evasion._differences.untold`).

    A gradient that hides a part of the input is right uphill, where :func:`noisy_loss` looks, and one that is
    right at the data alone is right there: both are wrong here.
    """
    batch, model = evidence.batch, evidence.double or evidence.batch.model
    if evidence.double is not None:
        batch = replace(batch, x=batch.x.double(), eps=batch.eps.double())
    eps = float(evidence.grid[0])
    share = untold(batch, model, eps, NEARBY * eps, rounding(model, batch.logits, 0.0))
    hits = share > UNTOLD
    what = "near the data the loss changes in directions of which the gradient does not tell."
    return Flag("wrong_gradients", WRONG_LIMIT, hits, what)


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The input gradient of the log-odds as autograd gives it; zero where autograd cannot follow."""
    return raw_gradient(model, x, y)[2]


def _dead(gradient: Tensor) -> Tensor:
    flat = gradient.flatten(1)
    return ~flat.isfinite().all(dim=1) | (flat == 0).all(dim=1)
