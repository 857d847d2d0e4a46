"""The ε curve: robust accuracy over a grid of radii, per attack and for the worst case over all attacks.

In three stages: the attacks of the plan; a trial of what stands by inference; and all that stands at every ε,
where the trial refutes the inference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attacks._isolation import global_seed
from attacks.evasion import _corruptions, _inference, _transfer
from attacks.evasion._attack import EvasionAttack, reason
from attacks.evasion._attacked import attacked, in_order
from attacks.evasion._clean import Start, begin, fit, luck
from attacks.evasion._curves import Sweep, among_all
from attacks.evasion._examples import broken_examples
from attacks.evasion._features import ball_of, in_units
from attacks.evasion._pieces import PICTURES, REST, RIGHT, TRIED, Ground, blocks, key, left
from attacks.evasion._rows import rows
from attacks.evasion._settings import Settings
from attacks.probe import Measurement, Part, Target, merged

CORRUPTIONS = "corruptions"


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
    state = generator.get_state()
    known = tried_out(target, settings, attacks, generator, {}, range(len(target.test)))
    for stage in (inferred, rest, pictures):
        generator.set_state(state)
        ground = Ground.of(target, settings, attacks, generator, known)
        known = {**known, **stage(ground, range(len(target.test)))}
    generator.set_state(state)
    return list(Ground.of(target, settings, attacks, generator, known).sweeps.values())


def tried_out(
    target: Target,
    settings: Settings,
    attacks: Mapping[str, EvasionAttack],
    generator: torch.Generator,
    known: Part,
    examples: range,
) -> Part:
    """What the attacks, other models' perturbations and corruptions do to some of ``target.test``.

    Raises what :func:`sweep` does.
    """
    del known
    given, target = target, in_units(target)
    fit(target)
    seeds, shaken = luck(target, settings, generator)
    with global_seed(int(seeds[0, 0]) % 2**31, target.device):  # the same in every piece
        start = Start.of(target)
    shifts = _shifts(target, settings, examples)
    parts = []
    for block in blocks(examples, target.block):
        local = range(block.start - examples.start, block.stop - examples.start)
        with global_seed(int(seeds[block.start, 0]) % 2**31, target.device):
            found = _block(target, settings, attacks, seeds, start, _some(shifts, local), block)
            if settings.corruptions:
                found = {**found, **_corrupted(given, shaken, block)}
        parts.append(found)
    return merged(parts)


def _shifts(
    target: Target, settings: Settings, examples: range
) -> Mapping[str, Sequence[_transfer.Shifts]] | Exception:
    """What fools other models, for these examples; or why it could not be had."""
    if not settings.transfer or target.others is None:
        return {}
    try:
        return target.others(examples)
    except Exception as error:  # whatever a damaged file raises is a failed row
        return error


def _some(
    shifts: Mapping[str, Sequence[_transfer.Shifts]] | Exception, local: range
) -> Mapping[str, Sequence[_transfer.Shifts]] | Exception:
    """Of those examples."""
    if isinstance(shifts, Exception):
        return shifts
    return {
        name: [{norm: ways[:, local.start : local.stop] for norm, ways in one.items()} for one in models]
        for name, models in shifts.items()
    }


def _block(
    target: Target,
    settings: Settings,
    attacks: Mapping[str, EvasionAttack],
    seeds: Tensor,
    start: Start,
    shifts: Mapping[str, Sequence[_transfer.Shifts]] | Exception,
    block: range,
) -> Part:
    """What is left of one block."""
    right, batch = begin(target, settings, seeds, block, start)
    arrays: Part = {RIGHT: right.cpu().numpy(), **start.left}
    for norm in settings.norms:
        ours = replace(batch, ball=ball_of(norm, target.features))
        found = attacked(norm, ours, right, in_order(attacks), settings, target.batch_size)
        try:
            if isinstance(shifts, Exception):
                raise shifts
            if shifts:
                found = _transfer.replayed(found, ours, shifts, settings, target.batch_size)
        except Exception as error:
            found = replace(found, failed={**found.failed, _transfer.NAME: reason(error)})
        arrays = {**arrays, **left(found)}
    return arrays


def _corrupted(target: Target, seeds: Tensor, block: range) -> Part:
    """Under the corruption's name and severity, what is right, (n,) bool."""
    some = replace(target, test=target.test[block.start : block.stop])
    try:
        hits = _corruptions.hits(some, seeds[block.start : block.stop])
    except Exception as error:
        return {key(CORRUPTIONS, "failed"): np.array([reason(error)])}
    return {key(CORRUPTIONS, name, severity): hit.numpy() for (name, severity), hit in hits.items()}


def corruptions(found: Part) -> tuple[dict[tuple[str, int], Tensor], str]:
    """What is right under each corruption; and why that could not be measured, if so."""
    if (why := found.get(key(CORRUPTIONS, "failed"))) is not None:
        return {}, str(why[0])
    hits = {}
    for name, values in found.items():
        first, *others = name.split("/")
        if first == CORRUPTIONS:
            hits[others[0], int(others[1])] = torch.from_numpy(values)
    return hits, ""


def inferred(ground: Ground, some: range) -> Part:
    """Some of the sample of what stands by inference, tried."""

    def of_norm(norm: str, block: range) -> Part:
        found = ground.sweeps[norm]
        chosen, rungs = _inference.sample(found.inferred[:, found.right])
        ours, attacks = chosen[block.start : block.stop], _inference.inferring(ground.ran(norm))
        if len(ours) == 0 or not attacks:
            return {key(norm, TRIED, "hits"): np.zeros(0, bool)}
        batch = ground.batch(norm, ours)
        part = replace(batch, eps=found.grid[rungs[block.start : block.stop]].to(batch.x))
        hits = _inference.tried(attacks[0], part, ground.settings, ground.target.batch_size)
        return {key(norm, TRIED, "hits"): hits.cpu().numpy()}

    return ground.each(
        blocks(some, ground.target.block), TRIED,
        lambda block: ground.every_norm(lambda norm: of_norm(norm, block), TRIED),
    )  # fmt: skip


def rest(ground: Ground, some: range) -> Part:
    """All that stands of some test examples, attacked at every ε where the inference is refuted."""

    def of_norm(norm: str, block: range) -> Part:
        found = ground.sweeps[norm]
        if found.trial is None or not found.trial.refuted:
            return {}
        here = slice(block.start, block.stop)
        right = found.right[here]
        worst = _inference.everything(
            ground.ran(norm), ground.block(norm, block), found.grid, found.worst[:, here][:, right],
            ground.settings, ground.target.batch_size,
        )  # fmt: skip
        return {key(norm, REST, "worst"): among_all(worst, right, True).cpu().numpy()}

    return ground.each(
        ground.blocks(some), REST, lambda block: ground.every_norm(lambda norm: of_norm(norm, block), REST)
    )


def pictures(ground: Ground, some: range) -> Part:
    """A few of the inputs that broke; ``some`` is not looked at."""
    del some

    def of_norm(norm: str) -> Part:
        found = ground.sweeps[norm]
        usable = {  # on a few examples alone; the user's own attack may not bear so small a batch
            name: attack
            for name, attack in ground.ran(norm).items()
            if not attack.together and attack.sees != "anything"
        }
        shown = broken_examples(
            usable, ground.target.test.x.shape[1:], lambda index: ground.batch(norm, index), found.grid,
            found.worst[:, found.right], found.right, ground.settings,
        )  # fmt: skip
        if shown is None:
            return {}
        arrays = {key(norm, PICTURES, name): values for name, values in shown.arrays.items()}
        return {key(norm, PICTURES, "rung"): np.array([shown.rung]), **arrays}

    return ground.each([range(1)], PICTURES, lambda block: ground.every_norm(of_norm, PICTURES))
