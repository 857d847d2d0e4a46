"""Evasion in pieces: what attacks do to some of the examples, left as arrays, and put together again.

An example's fate depends on its own seed, and in the last bits of a float on the examples that stand in one
batch with it. So examples are attacked in blocks that are the same wherever they are attacked: pieces are
whole blocks, and any cut into pieces gives the same figures, bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks._isolation import global_seed
from attacks.evasion import _corruptions, _transfer
from attacks.evasion._attack import Batch, EvasionAttack, reason
from attacks.evasion._features import ball_of, in_units
from attacks.evasion._settings import Settings
from attacks.evasion.sweep import Curve, Sweep, attacked, begin, fit, in_order
from attacks.probe import Part, Sizes, Target, merged

RIGHT, WORST, SOURCES, FROM = "right", "worst", "sources", "from"
CORRUPTIONS = "corruptions"
HEALTH = 30_000.0
"""Passes that the checks of one norm take: some hundred of each example of their sample."""


def cuttable(attacks: Mapping[str, EvasionAttack]) -> bool:
    """Whether what is done to one example leaves the others alone. The user's own attack, too, meets all at
    once: it may not bear a batch of few."""
    return not any(attack.whole or attack.sees == "anything" for attack in attacks.values())


def count(sizes: Sizes, attacks: Mapping[str, EvasionAttack]) -> int:
    """Examples that can be attacked apart."""
    return sizes.test if cuttable(attacks) else 0


def passes(settings: Settings, attacks: Mapping[str, EvasionAttack]) -> float:
    """Forward and backward passes of one example, roughly: an eighth of what every attack in full would take,
    since most examples break early. One that nothing breaks takes up to eight times as long."""
    each = sum(attack.cost for attack in attacks.values()) / 8
    radii = [len(settings.radii(norm)) if settings.every_eps else 1 for norm in settings.norms]
    return max(20.0, each * settings.restarts * sum(radii))


def joining(settings: Settings) -> float:
    """Passes, of one example each, that the health of the attacks takes."""
    return HEALTH * len(settings.norms)


def seeds(target: Target, settings: Settings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The luck of every test example: of the attacks, (n, restarts) int64, and of the corruptions, (n,)."""
    n, device = len(target.test), generator.device
    return (
        torch.randint(2**62, (n, settings.restarts), generator=generator, device=device),
        torch.randint(2**62, (n,), generator=generator, device=device),
    )


def piece(
    target: Target,
    settings: Settings,
    attacks: Mapping[str, EvasionAttack],
    generator: torch.Generator,
    examples: range,
) -> Part:
    """What the attacks, other models' perturbations and corruptions do to some of ``target.test``.

    Raises what :func:`attacks.evasion.sweep.sweep` does.
    """
    given, target = target, in_units(target)
    fit(target)
    luck = seeds(target, settings, generator)
    shifts = _shifts(target, settings, examples)
    parts = []
    for block in _blocks(target, attacks, examples):
        local = range(block.start - examples.start, block.stop - examples.start)
        with global_seed(int(luck[0][block.start, 0]) % 2**31, target.device):
            parts.append(_block(given, target, settings, attacks, luck, shifts, block, local))
    return merged(parts)


def put_together(
    target: Target,
    settings: Settings,
    attacks: Mapping[str, EvasionAttack],
    generator: torch.Generator,
    parts: Sequence[Part],
) -> list[Sweep]:
    """The sweeps of all examples, one a norm, as far as the pieces went. ``target``: in units."""
    found, device = merged(parts), target.device
    luck = seeds(target, settings, generator)[0]
    everything = range(len(target.test))
    blocks = _blocks(target, attacks, everything)
    right = torch.from_numpy(found[RIGHT]).to(device)
    _, batch = begin(target, settings, luck, blocks, right)
    return [
        _of_norm(norm, found, replace(batch, ball=ball_of(norm, target.features)), right, settings, attacks)
        for norm in settings.norms
    ]


def corruptions(found: Part) -> tuple[dict[tuple[str, int], Tensor], str]:
    """What is right under each corruption; and why that could not be measured, if so."""
    if (why := found.get(_key(CORRUPTIONS, "failed"))) is not None:
        return {}, str(why[0])
    hits = {}
    for key, values in found.items():
        first, *rest = key.split("/")
        if first == CORRUPTIONS:
            hits[rest[0], int(rest[1])] = torch.from_numpy(values)
    return hits, ""


def _key(*parts: str | int) -> str:
    return "/".join(map(str, parts))


def _blocks(target: Target, attacks: Mapping[str, EvasionAttack], examples: range) -> list[range]:
    size = target.block if cuttable(attacks) else max(len(target.test), 1)
    return [
        range(start, min(start + size, examples.stop)) for start in range(examples.start, examples.stop, size)
    ]


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


def _block(
    given: Target,
    target: Target,
    settings: Settings,
    attacks: Mapping[str, EvasionAttack],
    luck: tuple[Tensor, Tensor],
    shifts: Mapping[str, Sequence[_transfer.Shifts]] | Exception,
    block: range,
    local: range,
) -> Part:
    """What is left of one block. ``local``: where it stands in ``shifts``."""
    right, batch = begin(target, settings, luck[0], [block])
    left: dict[str, NDArray[np.generic]] = {RIGHT: right.cpu().numpy()}
    for norm in settings.norms:
        ours = replace(batch, ball=ball_of(norm, target.features))
        found = attacked(norm, ours, right, in_order(attacks), settings, target.batch_size)
        try:
            if isinstance(shifts, Exception):
                raise shifts
            if sources := {name: [_of(s, local) for s in models] for name, models in shifts.items()}:
                found = _transfer.replayed(found, sources, settings, target.batch_size)
        except Exception as error:
            found = replace(found, failed={**found.failed, _transfer.NAME: reason(error)})
        left |= _left(found)
    if settings.corruptions:
        left |= _corrupted(given, luck[1], block)
    return left


def _of(shifts: _transfer.Shifts, local: range) -> dict[str, Tensor]:
    return {norm: directions[:, local.start : local.stop] for norm, directions in shifts.items()}


def _corrupted(target: Target, luck: Tensor, block: range) -> Part:
    """Under the corruption's name and severity, what is right, (n,) bool."""
    some = replace(target, test=target.test[block.start : block.stop])
    try:
        hits = _corruptions.hits(some, luck[block.start : block.stop])
    except Exception as error:
        return {_key(CORRUPTIONS, "failed"): np.array([reason(error)])}
    return {_key(CORRUPTIONS, name, severity): hit.numpy() for (name, severity), hit in hits.items()}


def _left(found: Sweep) -> Part:
    """A sweep's own figures as arrays over the examples."""
    norm = found.norm
    left: dict[str, NDArray[np.generic]] = {_key(norm, WORST): found.worst.cpu().numpy()}
    for name, curve in found.curves.items():
        left[_key(norm, name, "broken")] = curve.broken.cpu().numpy()
        if curve.inferred is not None:
            left[_key(norm, name, "inferred")] = curve.inferred.cpu().numpy()
        if curve.distance is not None:
            left[_key(norm, name, "distance")] = curve.distance.cpu().numpy()
        if name == _transfer.NAME:
            left[_key(norm, name, "note")] = np.array([curve.note])
    for name, why in found.failed.items():
        left[_key(norm, name, "failed")] = np.array([why])
    for place, broken in enumerate(found.replays.values()):
        left[_key(norm, FROM, place)] = broken.cpu().numpy()
    if found.replays:
        left[_key(norm, SOURCES)] = np.array(list(found.replays))
    return left


def _of_norm(
    norm: str,
    found: Part,
    batch: Batch,
    right: Tensor,
    settings: Settings,
    attacks: Mapping[str, EvasionAttack],
) -> Sweep:
    """The inverse of :func:`_left`. An attack that failed on any block has failed."""

    def tensor(*parts: str | int) -> Tensor | None:
        values = found.get(_key(norm, *parts))
        return None if values is None else torch.from_numpy(values).to(right.device)

    names = [name for name in (*in_order(attacks), _transfer.NAME) if _key(norm, name, "broken") in found]
    failed = {
        name: str(found[key][0])
        for name in (*in_order(attacks), _transfer.NAME)
        if (key := _key(norm, name, "failed")) in found
    }
    curves: dict[str, Curve] = {}
    for name in names:
        if name in failed:
            continue
        alone = name not in attacks or attacks[name].on == "all"
        broken = tensor(name, "broken")
        assert broken is not None
        note = str(found[_key(norm, name, "note")][0]) if name == _transfer.NAME else ""
        after = () if alone else tuple(curves)
        curves[name] = Curve(broken, after, tensor(name, "distance"), note, tensor(name, "inferred"))
    replays = {}
    for place, source in enumerate(found.get(_key(norm, SOURCES), np.array([]))):
        broken = tensor(FROM, place)
        if broken is not None and _transfer.NAME in curves:
            replays[str(source)] = broken
    worst = tensor(WORST)
    assert worst is not None
    grid = torch.tensor(settings.radii(norm), dtype=torch.float64, device=right.device)
    measuring = frozenset(name for name, a in attacks.items() if norm in a.norms and a.search == "distance")
    return Sweep(norm, grid, right, batch, curves, worst, failed, measuring, replays=replays)
