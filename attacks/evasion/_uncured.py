"""What a cure found, and what it could not settle."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attacks.evasion._cure import BLIND, NAME
from attacks.evasion._curves import Curve, Sweep
from attacks.evasion._means import MISLED, Means, found_again
from attacks.evasion._pieces import Ground, key, texts
from attacks.evasion.health import Flag
from attacks.evasion.health._evidence import sample
from attacks.evasion.health._flag import SHARED

UNCURED = "uncured"
"""The flag of what the cure left in doubt."""


def with_cure(ground: Ground, norm: str, raised: list[str]) -> tuple[Sweep, Flag | None]:
    """The sweep with the cure's curve, which counts what broke before it and which the worst case takes in,
    and the flag of what stays in doubt; the sweep as it is and None if no flag is raised."""
    found, known = ground.sweeps[norm], ground.known
    if not raised:
        return found, None
    if crash := texts(known, norm, NAME, "crashed", "failed"):
        hits = torch.ones(len(sample(int(found.right.sum()))), dtype=torch.bool)
        flag = Flag(UNCURED, SHARED, hits, f"not measured soundly: the cure failed: {crash[0]}")
        return replace(found, failed={**found.failed, NAME: crash[0]}), flag
    how = found_again(ground, norm)
    if why := texts(known, norm, NAME, "failed"):
        after = replace(found, failed={**found.failed, NAME: why[0]})
    else:
        note = f"against {', '.join(raised)}: {how.words}; {_note(ground, norm)}"
        curve = Curve(
            _tensor(ground, norm, "broken"),
            tuple(found.curves),
            None,
            note,
            _tensor(ground, norm, "inferred"),
        )
        after = replace(found, curves={**found.curves, NAME: curve}, worst=found.worst | curve.broken)
    return after, _uncured(ground, after, how)


def _tensor(ground: Ground, norm: str, name: str) -> Tensor:
    return torch.from_numpy(ground.known[key(norm, NAME, name)]).to(ground.right.device)


def _count(ground: Ground, norm: str, attack: str, what: str) -> int:
    """Over all blocks."""
    return int(ground.known.get(key(norm, NAME, attack, what), np.zeros(1)).sum())


def _note(ground: Ground, norm: str) -> str:
    """What ran, on how much, and what it broke; what could not be run, and why; what was not reached."""
    names = _names(ground, norm)
    words = [
        f"{name} broke {_count(ground, norm, name, 'broke')} of {count}"
        for name in names
        if (count := _count(ground, norm, name, "ran"))
    ]
    failed = [
        f"{name} failed: {why[0]}"
        for name in names
        if (why := texts(ground.known, norm, NAME, name, "failed"))
    ]
    short = int(_tensor(ground, norm, "short").sum())
    limit = f"{short} examples reached the limit of {ground.settings.cure_passes:,} passes (cure_passes)"
    return "; ".join([", ".join(words) or "nothing was left to attack", *failed, *([limit] if short else [])])


def _names(ground: Ground, norm: str) -> list[str]:
    """The attacks of the cure, in the order in which they ran."""
    begin, end = key(norm, NAME, ""), "/ran"
    names = [name for name in ground.known if name.startswith(begin) and name.endswith(end)]
    return [name.removeprefix(begin).removesuffix(end) for name in names]


def _uncured(ground: Ground, after: Sweep, how: Means) -> Flag:
    """Which of the sample still stand at the smallest ε without that being worth much."""
    norm, right = after.norm, after.right
    chosen = sample(int(right.sum())).to(right.device)
    standing = ~after.worst[0, right][chosen]
    names = [name for name in _names(ground, norm) if name not in BLIND]
    ran = any(_count(ground, norm, name, "ran") for name in names)
    began = any(
        _count(ground, norm, name, "ran") or texts(ground.known, norm, NAME, name, "failed")
        for name in _names(ground, norm)
    )
    everywhere = {
        "the outputs are random": how.random,
        "the gradient is estimated from some directions only": how.sampled,
        "no attack along gradients ran": not ran and began,
        "attacks without gradients broke what gradients left": int(_tensor(ground, norm, "blind").sum())
        > SHARED * int(right.sum()),
    }
    why = [words for words, holds in everywhere.items() if holds]
    hits = standing.clone() if why else torch.zeros_like(standing)
    if not why and how.misled is not None:
        if float(how.misled.double().mean()) > MISLED:
            hits |= how.misled.to(hits.device) & standing
            why.append("the gradient misleads")
        lost = _tensor(ground, norm, "lost")[right][chosen] & standing
        if bool(lost.any()):
            hits |= lost
            why.append("not fooled although any input is allowed")
    short = (_tensor(ground, norm, "short") & ~after.worst.all(dim=0))[right][chosen]
    if bool(short.any()):
        hits |= short
        why.append("standing where the cure reached its limit of passes")
    what = f"not measured soundly: {'; '.join(why)}." if why else "still standing and not measured soundly."
    return Flag(UNCURED, SHARED, hits, what)
