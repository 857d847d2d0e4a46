"""The broken inputs that evasion keeps to be looked at."""

import numpy as np
import torch
from torch import nn

from attacks import evasion
from attacks.probe import Examples, Measurement, Target


def target(shape: tuple[int, ...], *, batch_size: int = 256) -> Target:
    """A linear model on random pictures, labelled by itself: everything is right unattacked."""
    generator = torch.Generator().manual_seed(3)
    size = int(np.prod(shape))
    linear = nn.Linear(size, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(3, size, generator=generator))
        linear.bias.zero_()
    model = nn.Sequential(nn.Flatten(), linear).eval().requires_grad_(False)
    x = torch.rand(40, *shape, generator=generator)
    return Target(model, 3, (0.0, 1.0), Examples(x, model(x).argmax(dim=1)), batch_size=batch_size)


def run(on: Target) -> list[Measurement]:
    settings = evasion.Settings(eps=(0.01, 0.03, 0.3), norms=("linf",), attacks=("fgsm", "pgd"))
    return list(evasion.run(on, settings, torch.Generator().manual_seed(0)))


def kept(rows: list[Measurement]) -> list[Measurement]:
    return [row for row in rows if row.outcomes and "adversarial" in row.outcomes]


def test_they_break_the_model_inside_the_ball_of_their_row() -> None:
    on = target((1, 4, 4))
    (row,) = kept(run(on))
    assert row.at["attack"] == "worst_case"
    found = row.outcomes
    assert found is not None
    assert len(found["example"]) == 3
    clean, adversarial = (torch.from_numpy(found[name]) for name in ("clean", "adversarial"))
    assert torch.equal(clean, on.test.x[found["example"]])
    assert np.array_equal(found["label"], on.test.y[found["example"]].numpy())
    assert float((adversarial - clean).abs().max()) <= float(row.at["eps"]) + 1e-6
    assert float(adversarial.min()) >= 0
    assert float(adversarial.max()) <= 1
    assert np.array_equal(on.model(adversarial).argmax(dim=1).numpy(), found["answer"])
    assert not np.any(found["answer"] == found["label"])
    assert not found["correct"][found["example"]].any()


def test_they_are_the_same_whatever_the_batch() -> None:
    one, other = (kept(run(target((3, 4, 4), batch_size=size)))[0].outcomes for size in (256, 7))
    assert one is not None
    assert other is not None
    for name in ("example", "clean", "adversarial", "label", "answer"):
        assert np.array_equal(one[name], other[name]), name


def test_tables_and_large_inputs_keep_none() -> None:
    assert not kept(run(target((16,))))
    assert not kept(run(target((3, 80, 80))))
    assert not kept(run(target((2, 4, 4))))
