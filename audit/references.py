"""Reference models for membership inference: made as the audited models are, on random halves of the data.

Every two references share no training example. Each is trained dense once, then pruned and fine-tuned as
every variant is, by the code that made the variant; what it says of the judged examples is kept, for all
membership probes of the run.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attacks import membership
from attacks.probe import Examples, References
from audit.plan import Plan
from audit.subject import models
from audit.subject.data import Data

HALVES_SEED = 0
"""Who is trained on which half: the same for every variant, so that references serve all of them."""


FOREIGN = (
    "how this checkpoint was pruned is not known, so that no reference model can be made like it: attacks "
    "that hold such references, which find more, are left out"
)
"""Why a checkpoint of the user's own has no references."""


def settings(plan: Plan) -> membership.Settings | None:
    """The membership settings of a plan that wants reference models; None for any other."""
    found = plan.settings.get("membership")
    wanted = isinstance(found, membership.Settings) and found.wants_references
    return found if wanted and isinstance(found, membership.Settings) else None


def lacking(plan: Plan, data: Data) -> str:
    """Why no reference can be made, and what that leaves out; empty if they can."""
    if data.train is None:
        return "the examples that the model was trained on are not known"
    if plan.train is None:
        return (
            "the plan does not say how the model was trained (no [train]), so that no reference model can be "
            "made like it: attacks that hold references, which find more, are left out"
        )
    return ""


def halved(data: Data, plan: Plan, reference: int) -> Data:
    """The data as that reference is trained on it: a half of members and non-members as training examples."""
    sides = _sides(data)
    everyone = Examples(torch.cat([side.x for side in sides]), torch.cat([side.y for side in sides]))
    return replace(data, train=everyone[torch.from_numpy(np.flatnonzero(_inside(data, plan)[reference]))])


def keep(inner: nn.Module, plan: Plan, data: Data, device: str, path: Path, batch_size: int) -> None:
    """Write down what a bare reference says of the judged examples, whole or not at all."""
    wanted = settings(plan)
    assert wanted is not None
    model = models.wrap(inner, plan, data).to(device)
    logits = membership.answers(model, _sides(data), wanted, batch_size=batch_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.tmp")
    with half.open("wb") as file:
        np.save(file, logits)
    half.replace(path)


def file(out: Path, unit: str) -> Path:
    """Where the answers of a reference are kept."""
    return out / "references" / f"{unit[:16]}.npy"


def model_file(out: Path, unit: str) -> Path:
    """Where a dense reference itself is kept."""
    return out / "references" / f"{unit[:16]}.safetensors"


def gathered(units: Sequence[str], plan: Plan, data: Data, out: Path, missing: str = "") -> References:
    """What the references say; with none and a note where there are none.

    ``missing``: why there are no units. A reference that failed is left out, and told.
    """
    wanted, why = settings(plan), missing or lacking(plan, data)
    if wanted is None or why or not units:
        empty = np.zeros((0, 0), dtype=np.bool_)
        return References(np.zeros((0, 0, 1, len(data.classes)), np.float32), empty, 0, note=why)
    there = [i for i, unit in enumerate(units) if file(out, unit).is_file()]
    logits = [np.load(file(out, units[i]), allow_pickle=False) for i in there]
    sides = _sides(data)
    count = membership.judged_of(len(sides[0]), len(sides[1]), wanted)
    judged = np.concatenate((np.arange(count[0]), len(sides[0]) + np.arange(count[1])))
    inside = _inside(data, plan)
    said = [f"{len(there)} reference models of {int(inside[0].sum())} training examples each"]
    assert data.train is not None
    if int(inside[0].sum()) != len(data.train):
        said.append(f"the model has {len(data.train)}")
    if len(there) < len(units):
        said.append(f"{len(units) - len(there)} more could not be made, see their own errors")
    if plan.model.given:
        said.append("they are trained as [train] says, which the model's weights may not be")
    shape = (0, len(judged), 1, len(data.classes))
    return References(
        np.stack(logits) if logits else np.zeros(shape, np.float32),
        inside[there][:, judged],
        count[0],
        note="; ".join(said),
    )


def _sides(data: Data) -> tuple[Examples, Examples]:
    assert data.train is not None
    return membership.population(data.train, data.heldout)


def _inside(data: Data, plan: Plan) -> NDArray[np.bool_]:
    wanted = settings(plan)
    assert wanted is not None
    return membership.halves(wanted.references, sum(map(len, _sides(data))), HALVES_SEED)
