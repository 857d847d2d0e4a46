"""Adversarial training: what it trains on is the worst in the ball, and it makes models robust."""

from pathlib import Path
from typing import Any

import pytest
import torch

from attacks import evasion
from attacks.evasion import Settings, worst
from attacks.evasion.health import METRIC as HEALTH
from attacks.probe import Examples, Target
from audit import zoo
from audit.errors import PlanError
from audit.plan import TrainPlan, parse
from audit.preflight import preflight
from audit.subject import data as subject_data
from audit.subject.models import fresh
from audit.subject.training import train
from audit.unit import identity
from audit.units import units

RECIPE: dict[str, Any] = {"epochs": 30, "batch_size": 32, "learning_rate": 0.002}
TABLE: dict[str, Any] = {
    "model": {"build": "audit.zoo:digits_cnn"},
    "data": {"source": "digits", "audit_examples": 300},
    "train": RECIPE,
}


@pytest.fixture
def examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 10
    x = torch.rand(64, 1, 8, 8, generator=generator) * 0.2
    x[torch.arange(64), 0, y // 8, y % 8] = 1.0  # one bright pixel a class
    return Examples(x, y)


def state(model: torch.nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def attacked(**attack: Any) -> TrainPlan:
    return TrainPlan.model_validate(
        {"batch_size": 16, "learning_rate": 0.003, "adversarial": {"eps": 0.3, **attack}}
    )


def test_adversarial_training_in_parts_meets_the_attacks_of_the_whole(examples: Examples) -> None:
    """Without a state of the optimiser: the parts one after another are the whole, bit for bit."""
    recipe = attacked(steps=2).model_copy(update={"optimiser": "sgd", "momentum": 0.0})
    whole, parts, plain = (fresh(zoo.digits_cnn, 0) for _ in range(3))
    for model, start, stop in ((whole, 0, None), (parts, 0, 5), (parts, 5, None)):
        train(model, examples, recipe, epochs=2, seed=1, start=start, stop=stop, bounds=(0, 1))
    train(plain, examples, recipe.model_copy(update={"adversarial": None}), epochs=2, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(state(whole), state(parts), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(state(whole), state(plain), strict=True))


def test_adversarial_training_without_bounds_is_an_error(examples: Examples) -> None:
    with pytest.raises(ValueError, match="bounds"):
        train(fresh(zoo.digits_cnn, 0), examples, attacked(), epochs=1, seed=0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_is_trained_on_is_in_ball_and_bounds_and_worse(examples: Examples, norm: str) -> None:
    model = fresh(zoo.digits_cnn, 0)
    train(model, examples, TrainPlan(batch_size=16, learning_rate=0.003), epochs=20, seed=0)
    found = worst(model, examples.x, examples.y, norm=norm, eps=0.3, steps=5, bounds=(0, 1), seed=1)
    assert found.min() >= 0
    assert found.max() <= 1
    moved = (found - examples.x).flatten(1)
    size = moved.abs().amax(1) if norm == "linf" else moved.norm(dim=1)
    assert size.max() <= 0.3 + 1e-5
    loss = torch.nn.functional.cross_entropy
    with torch.no_grad():
        assert loss(model(found), examples.y) > 1.5 * loss(model(examples.x), examples.y)


def test_a_linear_model_s_worst_input_has_a_closed_form() -> None:
    """Two classes, logits ±w·x/2: the loss is highest at x − ε·y·sign(w)."""
    torch.manual_seed(0)
    w, x = torch.randn(6), torch.rand(20, 6) * 0.2 + 0.4
    y = torch.arange(20) % 2
    model = torch.nn.Linear(6, 2, bias=False)
    model.weight.data = torch.stack([-w, w]) / 2
    found = worst(model, x, y, norm="linf", eps=0.1, steps=10, bounds=(0, 1), seed=3)
    torch.testing.assert_close(found, x - 0.1 * w.sign() * (2 * y - 1)[:, None], atol=1e-6, rtol=0)
    assert model.weight.grad is None


def test_it_makes_digits_robust_and_the_attacks_stay_healthy() -> None:
    """Positive control: what is trained against withstands; null: a training on the examples as they are does
    not. No flag says that the attacks only failed."""
    data = subject_data.load(parse(TABLE, Path("digits.toml")))
    assert data.train is not None
    stands = {}
    for name, extra in (("none", {}), ("adversarial", {"adversarial": {"eps": 0.1}})):
        model = fresh(zoo.digits_cnn, 0)
        recipe = TrainPlan.model_validate({**RECIPE, **extra})
        train(model, data.train, recipe, epochs=recipe.epochs, seed=0, bounds=(0, 1))
        target = Target(model.requires_grad_(False), 10, (0, 1), data.test)
        settings = Settings(level="quick", eps=(0.1, 0.3))
        rows = evasion.run(target, settings, torch.Generator().manual_seed(0))
        stands[name] = next(
            row.value for row in rows if row.at.get("attack") == "worst_case" and row.at["eps"] == 0.1
        )
        flags = [row for row in rows if row.metric == HEALTH]
        assert flags
        assert not [row for row in flags if row.value], name
    assert stands["adversarial"] > stands["none"] + 0.15, stands


def test_the_recipe_is_part_of_the_subject_and_of_its_cost_only_where_it_is_said() -> None:
    said = {**TABLE, "train": {**RECIPE, "adversarial": {"eps": "1/10", "steps": 4}}}
    plain, against = (parse(table, Path("p.toml")) for table in (TABLE, said))
    data = subject_data.load(plain)
    differs = {
        key
        for key in identity(against, data, "cpu")
        if identity(against, data, "cpu")[key] != identity(plain, data, "cpu").get(key)
    }
    assert differs == {"train.adversarial"}
    assert "train.adversarial" not in identity(plain, data, "cpu")
    cost = [units(plan, data, "cpu")[0].passes for plan in (plain, against)]
    assert cost == [30 * 900, 30 * 900 * 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train": {**RECIPE, "adversarial": {"eps": 2}}},
            r"\[train\] adversarial: eps 2 is larger than the width",
        ),
        ({"train": {**RECIPE, "adversarial": {"eps": 0}}}, r"train.adversarial.eps: .*greater than 0"),
        ({"train": {**RECIPE, "adversarial": {"steps": 3}}}, r"train.adversarial.eps: is missing"),
        (
            {
                "train": {**RECIPE, "adversarial": {"eps": 0.1}},
                "data": {"source": "digits", "features": {"scale": "std"}},
            },
            r"\[train\] adversarial: moves every input value alike",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        preflight(parse({**TABLE, **change}, Path("p.toml")))
