"""What procedures leave is an ordinary module; what a recipe cannot mean is said."""

import copy

import pytest
import torch
from pruning_lab import Lab
from torch import Tensor, nn

from pruning.errors import PruningError
from pruning.methods import methods, resolve
from pruning.recipe import Recipe


class Block(nn.Module):
    """3 tokens of 8 → 4 logits: attention written by hand, LayerNorm, and two layers of one tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.q, self.k, self.v = nn.LayerNorm(8), *(nn.Linear(8, 8) for _ in range(3))
        self.k.weight = self.q.weight
        self.up, self.down, self.head = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        x = x + torch.softmax(self.q(y) @ self.k(y).transpose(1, 2), 2) @ self.v(y)
        return self.head((x + self.down(torch.relu(self.up(x)))).flatten(1))


TIED = [
    "iterative-magnitude",
    "gradual-magnitude",
    "lr-rewind",
    "soft-magnitude",
    "soft-threshold",
    "attenuation",
]


@pytest.mark.parametrize("name", [*TIED, "lottery-ticket"])
def test_tied_weights_stay_tied(name):
    model, x = Block().eval(), torch.rand(8, 3, 8)
    result = Lab(model, x).follow(methods()[name].recipe, 0.6).model
    assert result.q.weight is result.k.weight
    assert result.q.bias is not result.k.bias


@pytest.mark.parametrize("name", ["iterative-filter", "soft-filter", "gradual-soft-filter"])
def test_units_of_tied_weights_are_refused_by_name(name):
    with pytest.raises(PruningError, match=r"q\.weight and k\.weight are one tied parameter"):
        Lab(Block().eval(), torch.rand(8, 3, 8)).follow(methods()[name].recipe, 0.6)


@pytest.mark.parametrize("name", ["gradual-magnitude", "soft-filter"])
def test_results_are_ordinary_modules(case, name):
    """deepcopy, torch.export and torch.compile (traced; no compiler is run) take them."""
    torch.compiler.reset()
    result = Lab(case.model, case.x, steps=2).follow(methods()[name].recipe, 0.5).model
    outputs = result(case.x)
    assert torch.equal(copy.deepcopy(result)(case.x), outputs)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in result.modules())
    exported = torch.export.export(result, (case.x,)).module()
    torch.testing.assert_close(exported(case.x), outputs)
    torch.testing.assert_close(torch.compile(result, backend="aot_eager", fullgraph=True)(case.x), outputs)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"steps": 3}, "steps does nothing here; drop it, or set schedule = 'iterative' or"),
        ({"factor": 0.5}, "factor does nothing here; drop it, or set hardness = 'attenuate'"),
        ({"schedule": "iterative", "initial": 0.5}, "initial does nothing here"),
        ({"rewind_to": 0.5}, "rewind_to does nothing here"),
        ({"hardness": "soft-threshold", "criterion": "random"}, "soft-threshold shrinks |w| itself"),
        ({"hardness": "soft-threshold", "granularity": "unit"}, "soft-threshold shrinks |w| itself"),
        ({"hardness": "soft", "rewind": "weights"}, "rewind trains what was pruned once more"),
        ({"schedule": "polynomial", "rewind": "weights"}, "rewind trains what was pruned once more"),
        ({"schedule": "polynomial", "recovery": "none"}, "schedule 'polynomial' prunes while it trains"),
        ({"rewind": "weights", "recovery": "batch-norm"}, "rewind prunes while it trains"),
        ({"hardness": "soft", "recovery": "magic"}, "recovery: Input should be 'none', 'batch-norm'"),
    ],
)  # fmt: skip
def test_choices_that_do_not_go_together_are_explained(entry, message):
    with pytest.raises(PruningError) as error:
        resolve(entry)
    assert message in str(error.value)


def test_every_choice_shows_in_the_name():
    ways = [
        {}, {"hardness": "soft"}, {"hardness": "attenuate"}, {"hardness": "attenuate", "factor": 0.5},
        {"schedule": "iterative"}, {"schedule": "iterative", "steps": 3}, {"schedule": "polynomial"},
        {"schedule": "polynomial", "initial": 0.5}, {"rewind": "weights"}, {"rewind": "learning-rate"},
        {"rewind": "weights", "rewind_to": 0.1}, {"recovery": "none"}, {"recovery": "batch-norm"},
    ]  # fmt: skip
    assert len({Recipe(**way).name for way in ways}) == len(ways)
    assert Recipe(schedule="polynomial", initial=0.5).name == "magnitude-weight-global-polynomial10-from0.5"
