"""Signs in how an attack goes: a plain walk uphill is watched and held against the plan's own attacks."""

import torch

from attacks.evasion._losses import margin
from attacks.evasion._search import check
from attacks.evasion.fgsm import fgsm
from attacks.evasion.health._evidence import Evidence, in_ball, walk_in
from attacks.evasion.health._flag import SHARED, Flag

LOOKED_AT = 40
"""Examples on which the plan's attacks are lengthened, about: they cost more than the walk."""
TARGETS = 2
"""Classes that lengthened attacks aim at, at most: the likeliest."""


def path_not_end(evidence: Evidence) -> Flag:
    """The walk fools the model on its way and not at its end (Pintor et al. 2022: silent success).

    Every iterate is tested here, so nothing is lost by it; but a walk that leaves again what it has found
    does not follow the loss.
    """
    walk = evidence.walk
    hits = (walk.broken & (walk.margins[-1] >= 0)).any(dim=0)
    return Flag("path_not_end", 0.1, hits, "fooled on the way and not at the end.")


def loss_still_falling(evidence: Evidence) -> Flag:
    """As many steps again break more (Pintor et al. 2022: incomplete optimisation; Carlini et al. 2019).

    Tried for the survivors whose margin would reach zero by then if it fell on as in the last quarter.
    """
    walk, batch = evidence.walk, evidence.batch
    last = walk.margins[-1]
    quarter = walk.margins[-1 - max((len(walk.margins) - 1) // 4, 1)]
    near = ~walk.broken & (last - 4 * (quarter - last) <= 0) & (quarter > last)
    hits = torch.zeros_like(batch.y, dtype=torch.bool)
    for ball, wanted in enumerate(near):
        index = torch.nonzero(wanted).squeeze(1)
        if len(index):
            part = batch.at(index, evidence.radii[ball].expand(len(index)))
            hits[index] |= (walk_in(part, evidence.settings, walk.end[ball, index])[0] < 0).any(dim=0)
    return Flag("loss_still_falling", 0.05, hits, f"broken by {evidence.settings.steps} steps more.")


def longer_stronger(evidence: Evidence) -> Flag:
    """The plan's own gradient attacks break more when each takes twice its steps (Carlini et al. 2019).

    On what they left standing of every second or third example of the sample, at the ε at which nearest to
    half of it stands.
    """
    batch, settings = evidence.batch, evidence.settings
    step = max(evidence.size // LOOKED_AT, 1)
    few = torch.arange(-evidence.first % step, len(batch), step, device=batch.x.device)
    hits = torch.zeros(len(few), dtype=torch.bool, device=batch.x.device)
    modest = settings.model_copy(update={"targets": min(settings.targets, TARGETS)})
    stronger = []
    for name, attack in evidence.attacks.items():
        left = torch.nonzero(evidence.standing[evidence.halfway, few] & ~hits).squeeze(1)
        if attack.sees != "gradients" or not attack.steps or len(left) == 0:
            continue
        part = batch.at(few[left], evidence.grid[evidence.halfway].expand(len(left)))
        broken = check(part, attack.run(part, attack.longer(modest, 2))).broken
        hits[left] |= broken
        stronger += [name] * bool(broken.any())
    what = f"broken{{by}} with twice the steps at ε = {float(evidence.grid[evidence.halfway]):g}."
    return Flag("longer_stronger", 0.05, hits, what, by=tuple(stronger))


def walk_stronger(evidence: Evidence) -> Flag:
    """The plain walk breaks what the plan's attacks left standing: they are weaker than twenty plain steps.

    At the ε where that is commonest.
    """
    walk, batch = evidence.walk, evidence.batch
    more = torch.stack(
        [
            check(in_ball(batch, radius), found).broken & standing
            for radius, found, standing in zip(
                evidence.radii, walk.found, evidence.standing[evidence.rungs], strict=True
            )
        ]
    )
    what = f"broken by {len(walk.margins) - 1} plain steps at ε = {{eps}}, not by the attacks."
    return Flag("walk_stronger", 0.03, more, what, balls=tuple(evidence.radii.tolist()))


@torch.no_grad()
def one_step_stronger(evidence: Evidence) -> Flag:
    """One step breaks what many do not (Carlini et al. 2019; Athalye et al. 2018)."""
    batch, hits = evidence.batch, torch.zeros_like(evidence.batch.y, dtype=torch.bool)
    for radius, broken in zip(evidence.radii, evidence.walk.broken, strict=True):
        part = in_ball(batch, radius)
        hits |= (margin(part.model(fgsm(part, evidence.settings)), part.y) < 0) & ~broken
    return Flag("one_step_stronger", 0.03, hits, "one step breaks what many do not.")


def not_monotone(evidence: Evidence) -> Flag:
    """The walk fails in a larger ball than one in which it succeeds (Carlini et al. 2019)."""
    broken = evidence.walk.broken
    hits = ((broken.cumsum(dim=0) > 0) & ~broken).any(dim=0)
    return Flag("not_monotone", 0.05, hits, "broken in a ball, but not in a larger one.")


def unbounded_survivors(evidence: Evidence) -> Flag:
    """The walk without any ball does not fool the model (Carlini et al. 2019; Pintor et al. 2022).

    Where every input is allowed, a classifier can always be fooled: a walk that fails was led astray.
    """
    hits = ~evidence.unbounded
    return Flag("unbounded_survivors", SHARED, hits, "not fooled although any input is allowed.")
