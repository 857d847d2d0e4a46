"""A training of the user's own: as ours where it does the same, held to the same zeros, refused in words."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attacks.probe import Examples
from audit import audit, means, runner
from audit.errors import PlanError, RefusedError
from audit.plan import Plan, load
from audit.preflight import preflight
from audit.subject import fitting, models
from audit.subject.data import Data
from audit.unit import identity
from pruning import masks, procedure
from pruning.errors import PruningError
from pruning.prune import Pruned
from pruning.recipe import Recipe
from reports.data.results import read

Write = Callable[[dict[str, Any]], Path]
Execute = Callable[..., runner.Outcome]

SKIPPED = ["evasion", "extraction", "tampering"]
PLAIN = """
import torch
from torch.nn import functional as F

def fit(model, x, y, epochs):
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            loss = F.cross_entropy(model(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
"""


@pytest.fixture
def own(tiny: dict[str, Any], write_plan: Write) -> Callable[..., tuple[Plan, Data]]:
    """The tiny plan, trained by a function whose source is given."""

    def make(source: str = PLAIN, **pruning: Any) -> tuple[Plan, Data]:
        tiny["train"] = {"epochs": 3, "fit": "training.py:fit"}
        tiny["pruning"] |= pruning
        path = write_plan(tiny)
        (path.parent / "training.py").write_text(source)
        subject = preflight(load(path))
        return subject.plan, subject.data

    return make


def test_a_plain_loop_is_as_the_recipe_that_it_repeats(
    tiny: dict[str, Any], write_plan: Write, own: Callable[..., tuple[Plan, Data]]
) -> None:
    plan = load(write_plan(tiny))
    data = preflight(plan).data
    plans = {"ours": plan, "theirs": own()[0]}
    found = {}
    for name, plan in plans.items():
        training = means.trained(plan, data, "cpu", seed=5, epochs=2, further=False)
        assert training is not None
        model = models.fresh(models.builder(plan, data), 5)
        training.run(model, 0, training.steps, lambda optimiser: None)
        found[name] = model.state_dict()
        assert not model.training
    assert all(torch.equal(found["theirs"][name], value) for name, value in found["ours"].items())


def test_the_function_in_the_documents_trains_as_printed(own: Callable[..., tuple[Plan, Data]]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    printed = next(
        b for b in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if b.startswith("def fit(")
    )
    plan, data = own(f"import torch\nfrom torch.nn import functional as F\n\n{printed}")
    training = means.trained(plan, data, "cpu", seed=5, epochs=8, further=False)
    assert training is not None
    assert data.train is not None
    model = models.fresh(models.builder(plan, data), 5)
    before = float((model.eval()(data.train.x).argmax(1) == data.train.y).float().mean())
    training.run(model, 0, training.steps, lambda optimiser: None)
    assert float((model(data.train.x).argmax(1) == data.train.y).float().mean()) > before + 0.2


def test_zeros_stay_zero_in_every_schedule_and_the_optimiser_is_met_once(
    own: Callable[..., tuple[Plan, Data]],
) -> None:
    plan, data = own()
    dense = models.fresh(models.builder(plan, data), 0)
    weight = next(name for name, p in dense.named_parameters() if p.dim() > 1)
    kept = {weight: torch.rand(dense.get_parameter(weight).shape) > 0.5}
    training = means.trained(plan, data, "cpu", seed=5, epochs=2, further=True)
    assert training is not None
    met: list[torch.optim.Optimizer] = []

    def prepare(optimiser: torch.optim.Optimizer) -> None:
        met.append(optimiser)
        masks.hold(optimiser, dense, kept)

    masks.apply(dense, kept)
    training.run(dense, 0, 2, prepare)
    assert len(met) == 1
    assert masks.revived(dense, kept) == 0
    assert (dense.get_parameter(weight)[kept[weight]] != 0).all()
    training.run(dense, 0, 2, lambda optimiser: None)  # the check can fail: nobody held them
    assert masks.revived(dense, kept) > 0


UNHELD = PLAIN.replace("optimiser.step()", "[p.data.sub_(0.01 * p.grad) for p in model.parameters()]")


def test_zeros_that_a_training_revives_are_refused(own: Callable[..., tuple[Plan, Data]]) -> None:
    plan, data = own(UNHELD)
    dense = models.fresh(models.builder(plan, data), 0)
    weight = next(name for name, p in dense.named_parameters() if p.dim() > 1)

    def prune(model: nn.Module, sparsity: float | None, kept: masks.Masks | None = None) -> Pruned:
        chosen = {weight: torch.rand(model.get_parameter(weight).shape) > 0.5}
        masks.apply(model, chosen)
        return Pruned(model, chosen, (), 0.5)

    with_these = means.means(plan, data, "cpu", prune, Recipe(), seed=1, origin=0)
    with pytest.raises(PruningError, match="pruned weights are no longer zero .* torch optimiser"):
        procedure.follow(dense, Recipe(), 0.5, with_these, data.test.x[:1])


MISTAKES = {
    "raises": ("def fit(model): raise OSError('no disk')", "raises OSError: no disk"),
    "another": (
        "import copy\ndef fit(model, x):\n  other = copy.deepcopy(model); return other",
        "returns .* it must train the model that it is handed, in place",
    ),
    "a copy": (
        "import copy\ndef fit(model):\n  for p in copy.deepcopy(model).parameters(): p.data.add_(1)",
        "leaves every weight as it was",
    ),
    "masks": (
        "import torch.nn.utils.prune as p\nfrom torch import nn\ndef fit(model):\n"
        "  for m in model.modules():\n    if isinstance(m, nn.Linear): p.identity(m, 'weight')",
        "leaves other parameters than it was handed",
    ),
    "nan": (
        "def fit(model):\n  for p in model.parameters(): p.data.fill_(float('nan'))",
        "NaN or infinity in the weights",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_of_a_training_is_said_in_words(
    name: str, own: Callable[..., tuple[Plan, Data]]
) -> None:
    source, words = MISTAKES[name]
    plan, data = own(source)
    training = means.trained(plan, data, "cpu", seed=5, epochs=1, further=False)
    assert training is not None
    model = models.fresh(models.builder(plan, data), 5)
    with pytest.raises((RefusedError, ArithmeticError), match=words):
        training.run(model, 0, 1, lambda optimiser: None)


@pytest.mark.parametrize(
    ("fit", "more", "words"),
    [
        ("training.py:fit", {"learning_rate": 0.1}, "would not hear of learning_rate"),
        ("training.py:nothing", {}, "has no function 'nothing'"),
        ("absent.py:fit", {}, "no such file"),
        ("training.py:hungry", {}, "asks for loader; write a function that takes model, x and y"),
        ("training.py:blind", {}, "asks for no model"),
    ],
)
def test_preflight_refuses_what_cannot_be_called(
    fit: str, more: dict[str, Any], words: str, tiny: dict[str, Any], write_plan: Write
) -> None:
    tiny["train"] = {"epochs": 1, "fit": fit, **more}
    path = write_plan(tiny)
    (path.parent / "training.py").write_text(PLAIN + "\ndef hungry(model, loader): 0\ndef blind(x): 0\n")
    with pytest.raises(PlanError, match=words):
        preflight(load(path))


def test_recipes_that_enter_a_training_are_refused_beside_it(own: Callable[..., tuple[Plan, Data]]) -> None:
    for method in ("private-magnitude", "late-ticket"):
        with pytest.raises(PlanError, match=r"\[train\] fit is a whole that cannot be entered"):
            own(methods=[method])


def test_the_source_of_a_training_is_part_of_the_subject(own: Callable[..., tuple[Plan, Data]]) -> None:
    plan, data = own()
    before = identity(plan, data, "cpu")
    (plan.folder / "training.py").write_text(PLAIN.replace("2e-3", "1e-3"))
    after = identity(plan, data, "cpu")
    assert {key for key in before if before[key] != after[key]} == {"sources.training.py"}


def test_the_global_generators_and_the_data_are_as_they_were(own: Callable[..., tuple[Plan, Data]]) -> None:
    plan, data = own(PLAIN + "\n    x.zero_()\n    torch.rand(3)\n")
    assert data.train is not None
    x, state, other = data.train.x.clone(), torch.get_rng_state(), np.random.get_state()[1]
    model = models.fresh(models.builder(plan, data), 0).requires_grad_(True)
    function = fitting.fit_of(plan)
    assert function is not None
    fitting.fit(function, model, Examples(data.train.x, data.train.y), epochs=1, seed=3)
    assert torch.equal(x, data.train.x)
    assert torch.equal(state, torch.get_rng_state())
    assert (np.random.get_state()[1] == other).all()


def test_a_run_of_it_has_every_model_and_reference(
    own: Callable[..., tuple[Plan, Data]], tiny: dict[str, Any], execute: Execute, tmp_path: Path
) -> None:
    tiny["probes"] = {"membership": {"level": "quick", "references": 2}, "skip": SKIPPED}
    source = PLAIN + "\n    with open('calls.txt', 'a') as f: f.write(f'{len(x)} {epochs}\\n')\n"
    plan, data = own(source, methods=["global-magnitude", "gradual-magnitude"])
    assert execute(plan.folder / "plan.toml", tmp_path / "run").failed == 0
    results = read(tmp_path / "run")
    calls = (plan.folder / "calls.txt").read_text().splitlines()
    dense, control, references = 1, 1, 2
    assert len(data.train or ()) == 100, "as many as a reference is trained on: half of members and others"
    assert calls.count("100 3") == dense + references
    # both methods fine-tune for an epoch: once for the run's own model, once for each reference
    assert calls.count("100 1") == (control + 2) * (1 + references)
    notes = list(results.variants.query("method != 'dense'")["note"])
    assert len(notes) == 3
    assert all("by [train] fit" in note for note in notes), notes
    assert results.select("membership_auc", {"attack": "lira"}, variant="dense")["value"].notna().all()


def test_from_python_a_training_is_handed_over_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    x = (rng.normal(0.5, 0.1, (200, 4)) + 0.2 * (y[:, None] - 0.5)).clip(0, 1).astype(np.float32)
    seen: list[tuple[int, bool]] = []

    def fit(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, further: bool) -> None:
        seen.append((epochs, further))
        optimiser = torch.optim.SGD(model.parameters(), 0.5)
        for _ in range(20 * epochs):
            loss = nn.functional.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    run = audit(
        lambda: nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)),
        train=(x[:100], y[:100]), test=(x[100:], y[100:]), fit=fit, recipe={"epochs": 4}, sparsities=[0.5],
        probes={"skip": [*SKIPPED, "membership"]}, out=tmp_path / "run",
        quiet=True,
    )  # fmt: skip
    assert sorted(seen) == [(1, True), (1, True), (4, False)]
    assert run.table[run.table.metric == "accuracy"]["value"].min() > 0.7
