"""PGD of other libraries, and the reference AutoAttack: which examples they leave standing, (n,) bool."""

import importlib.util
import sys

import torch
from torch import Tensor, nn

from attacks.probe import Examples

BATCH = 64
"""The fastest for them of those tried; ART's own is 32."""
STEPS = 40
"""Of every peer's PGD."""


def _parts(images: Examples) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(images.x, BATCH), torch.split(images.y, BATCH), strict=True))


def _standing(model: nn.Module, moved: Tensor, images: Examples) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(part).argmax(dim=1) for part in torch.split(moved, BATCH)]) == images.y


def art_pgd(model: nn.Module, images: Examples, eps: float) -> Tensor:
    """ART's documented call."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    shape = tuple(images.x.shape[1:])
    victim = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), shape, 10, clip_values=(0.0, 1.0), device_type="cpu"
    )
    attack = ProjectedGradientDescent(
        victim, eps=eps, eps_step=2.5 * eps / STEPS, max_iter=STEPS, batch_size=BATCH, verbose=False
    )
    return _standing(model, torch.from_numpy(attack.generate(images.x.numpy(), images.y.numpy())), images)


def torchattacks_pgd(model: nn.Module, images: Examples, eps: float) -> Tensor:
    """torchattacks, from the clean input as all here."""
    import torchattacks

    attack = torchattacks.PGD(model, eps=eps, alpha=2.5 * eps / STEPS, steps=STEPS, random_start=False)
    return _standing(model, torch.cat([attack(*part) for part in _parts(images)]), images)


def foolbox_pgd(model: nn.Module, images: Examples, eps: float) -> Tensor:
    """Foolbox, from the clean input as all here."""
    import foolbox

    attack = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / STEPS, steps=STEPS, random_start=False)
    victim = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    moved = [attack(victim, *part, epsilons=eps)[1] for part in _parts(images)]
    return _standing(model, torch.cat(moved), images)


PGD = {"torchattacks": torchattacks_pgd, "foolbox": foolbox_pgd}


def autoattack(model: nn.Module, images: Examples, eps: float) -> Tensor:
    """The reference AutoAttack, standard, in batches of its own size."""
    from autoattack import AutoAttack

    attack = AutoAttack(model, norm="Linf", eps=eps, version="standard", verbose=False, device="cpu", seed=0)
    return _standing(model, attack.run_standard_evaluation(images.x, images.y, bs=250), images)


def missing(package: str) -> bool:
    """Whether a peer is not installed; says so."""
    absent = importlib.util.find_spec(package) is None
    if absent:
        print(f"skipped: {package} is not installed (see --help)", file=sys.stderr)
    return absent
