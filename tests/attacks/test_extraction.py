import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from attacks.extraction import CARD, Settings, run
from attacks.extraction._art import Whole
from attacks.extraction._attack import Theft
from attacks.extraction._gate import Gate
from attacks.extraction.art_knockoff import art_knockoff
from attacks.extraction.knockoff import ATTACK as KNOCKOFF
from attacks.probe import Examples, Measurement, Target

METRICS = ("extraction_fidelity", "surrogate_accuracy")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pick(rows: list[Measurement], metric: str, attack: str, queries: int = 0, **more: int) -> Measurement:
    at = {"attack": attack, "queries": queries, **more}
    (row,) = [r for r in rows if r.metric == metric and r.at == at]
    return row


@pytest.fixture(scope="module")
def large_pool(target: Target, digits: Examples) -> Target:
    return replace(target, pool=digits[600:1500])


@pytest.fixture(scope="module")
def rows(large_pool: Target) -> list[Measurement]:
    return list(run(large_pool, Settings(queries=(900, 100), level="quick"), generator()))


def test_a_good_victim_is_copied(rows: list[Measurement]):
    """Trained on logits as if they were probabilities, copies of digits classifiers stay at chance."""
    stolen = pick(rows, "extraction_fidelity", "knockoff", 900)
    nothing = pick(rows, "extraction_fidelity", "untrained")
    assert stolen.low > 0.9
    assert nothing.high < 0.4
    assert pick(rows, "surrogate_accuracy", "knockoff", 900).low > 0.85


def test_more_queries_copy_better(rows: list[Measurement]):
    few, many = (pick(rows, "extraction_fidelity", "knockoff", q).value for q in (100, 900))
    assert few < many


def test_each_budget_is_held_against_as_many_labels_of_the_attacker_s_own(rows: list[Measurement]):
    """Against the largest budget's baseline, a hundred queries seemed to buy less than nothing."""
    few, many = (pick(rows, "extraction_fidelity", "same_data", labelled=n).value for n in (100, 900))
    assert few < many


def test_rows_come_with_their_conditions_and_outcomes(large_pool: Target, rows: list[Measurement]):
    where = [tuple(r.at.values()) for r in rows if r.metric == METRICS[0]]
    baselines = [("untrained", 0), ("same_data", 0, 100), ("same_data", 0, 900)]
    assert where == [*baselines, ("knockoff", 100), ("knockoff", 900)]
    for row in (r for r in rows if r.metric in METRICS):
        outcome = row.outcomes["agree" if row.metric == METRICS[0] else "correct"]
        assert row.n == len(outcome) == len(large_pool.test)
        assert row.value == outcome.mean()


def test_null_control_a_victim_without_knowledge_gives_none(make_target: Callable[..., Target]):
    """The victim answers the same to everything: a copy agrees with it fully and classifies at chance."""

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([0.0, 0, 0, 4, 0, 0, 0, 0, 0, 0]).expand(len(x), 10)

    rows = list(run(make_target(Constant()), Settings(queries=(400,), level="quick"), generator()))
    assert pick(rows, "extraction_fidelity", "knockoff", 400).value > 0.95
    stolen = pick(rows, "surrogate_accuracy", "knockoff", 400)
    assert stolen.low <= 0.1 <= stolen.high
    assert (
        pick(rows, "surrogate_accuracy", "same_data", labelled=400).value > 0.8
    )  # that much the data alone would give


def test_null_control_answers_unrelated_to_the_input_cannot_be_copied(make_target: Callable[..., Target]):
    """The victim's answer is a hash of the input, so nothing learnt on some inputs carries to others."""

    class Hash(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            code = (x.flatten(1).double() * 16 * torch.arange(1, 65).double() ** 2).sum(1).round().long()
            return 8.0 * torch.nn.functional.one_hot((code * 2654435761 >> 7) % 10, 10).float()

    rows = list(run(make_target(Hash()), Settings(queries=(400,), level="quick"), generator()))
    stolen = pick(rows, "extraction_fidelity", "knockoff", 400)
    assert stolen.low <= 0.1 <= stolen.high


def theft_of(victim: nn.Module, target: Target, budgets: tuple[int, ...] = (64,), **config: object) -> Theft:
    """A theft of the target's pool through an open gate."""
    assert target.pool is not None
    assert target.surrogate is not None
    gate = Gate(replace(target, model=victim), Settings(**config), soft=False)
    gate.open(budgets[-1])
    return Theft(gate.ask, target.pool.x, None, budgets, lambda: target.surrogate(0), 10, (0.0, 1.0), 1)


def test_labels_reach_art_s_loss_as_probabilities(
    large_pool: Target, trained: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    """What ART's training hands to the loss: the victim's probabilities, against the copy's logits."""
    labels, outputs = [], []
    forward = nn.CrossEntropyLoss.forward

    def spy(self: nn.CrossEntropyLoss, output: Tensor, label: Tensor) -> Tensor:
        labels.append(label.detach().clone())
        outputs.append(output.detach().clone())
        return forward(self, output, label)

    monkeypatch.setattr(nn.CrossEntropyLoss, "forward", spy)
    list(art_knockoff(theft_of(trained, large_pool), Settings(epochs=1, min_steps=0, batch_size=64)))
    (label,), (output,) = labels, outputs
    expected = trained(large_pool.pool.x[:64]).softmax(1)
    assert label.shape == (64, 10)
    assert torch.allclose(label.sum(1), torch.ones(64), atol=1e-5)
    assert ((label > 0.01) & (label < 0.99)).any()
    assert torch.allclose(label.sort(0).values, expected.sort(0).values, atol=1e-6)
    assert not torch.allclose(output.sum(1), torch.ones(64), atol=0.1)


def test_queries_are_counted_and_nested(large_pool: Target, monkeypatch: pytest.MonkeyPatch):
    sent: list[Tensor] = []

    def spy(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
        for start, stop in itertools.pairwise((0, *theft.budgets)):
            theft.ask(theft.pool[start:stop])
            sent.append(theft.pool[:stop])
            yield theft.fresh()

    monkeypatch.setattr("attacks.extraction.knockoff.ATTACK", replace(KNOCKOFF, run=spy))
    for seed in (0, 1):
        run(large_pool, Settings(queries=(200, 50), attacks=("knockoff",)), generator(seed))
    assert [len(x) for x in sent] == [50, 200, 50, 200]
    assert torch.equal(sent[0], sent[1][:50])
    assert torch.equal(sent[1], sent[3])  # the same for every variant, whatever its seed


def test_one_query_beyond_the_budget_is_not_answered(large_pool: Target, monkeypatch: pytest.MonkeyPatch):
    """It becomes failed rows, of that attack alone."""
    seen = 0

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal seen
            seen += len(x)
            return large_pool.model(x)

    def greedy(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
        theft.ask(theft.pool[:50])
        yield theft.fresh()
        theft.ask(theft.pool[50:101])
        yield theft.fresh()

    monkeypatch.setattr("attacks.extraction.copycat.ATTACK", replace(KNOCKOFF, run=greedy))
    target = replace(large_pool, model=Counting())
    config = Settings(queries=(50, 100), level="quick", attacks=("copycat", "knockoff"))
    rows = list(run(target, config, generator()))
    failed = [r for r in rows if r.status == "failed"]
    assert {r.at["attack"] for r in failed} == {"copycat"}
    assert {r.note for r in failed} == {"OverBudgetError: asked for 101 queries where the budget is 100"}
    assert pick(rows, "extraction_fidelity", "knockoff", 100).status == "ok"
    assert seen == len(target.test) + 50 + 100


def test_a_budget_beyond_the_pool_is_refused(target: Target):
    rows = list(run(target, Settings(queries=(100, 401), epochs=1, min_steps=1, level="quick"), generator()))
    for metric in METRICS:
        refused = pick(rows, metric, "knockoff", 401)
        assert (refused.status, refused.value) == ("refused", None)
        assert "401 queries" in refused.note
        assert "holds 400" in refused.note
        assert pick(rows, metric, "knockoff", 100).status == "ok"
        assert pick(rows, metric, "same_data", labelled=100).status == "ok"
        assert not [r for r in rows if r.at.get("labelled") == 401]


@pytest.mark.parametrize(("lacking", "word"), [("pool", "pool"), ("surrogate", "surrogate")])
def test_without_means_extraction_is_not_applicable(target: Target, lacking: str, word: str):
    rows = run(replace(target, **{lacking: None}), Settings(), generator())
    assert [(r.metric, r.status) for r in rows] == [(m, "not_applicable") for m in CARD.metrics]
    assert all(word in r.note for r in rows)


def test_a_surrogate_that_is_a_sequential_with_a_forward_of_its_own(target: Target):
    """ART walks the children of a Sequential by itself; wrapped, the surrogate is called as it is."""

    class Doubled(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    module = Doubled(nn.Flatten(), nn.Linear(64, 10))
    x = target.test.x[:5]
    assert torch.equal(Whole(module)(x), module(x))
    assert not isinstance(Whole(module), nn.Sequential)
    doubled = replace(target, surrogate=lambda _: Doubled(nn.Flatten(), nn.Linear(64, 10)))
    rows = list(run(doubled, Settings(queries=(200,), level="quick"), generator()))
    assert pick(rows, "extraction_fidelity", "knockoff", 200).low > 0.5


def test_two_classes(target: Target):
    class Parity(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = target.model(x).softmax(1)
            return torch.stack((logits[:, ::2].sum(1), logits[:, 1::2].sum(1)), 1).log()

    def halves(data: Examples) -> Examples:
        return Examples(data.x, data.y % 2)

    victim = replace(
        target,
        model=Parity(),
        num_classes=2,
        test=halves(target.test),
        pool=halves(target.pool),
        surrogate=lambda _: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)),
    )
    rows = list(run(victim, Settings(queries=(400,), epochs=40, level="quick"), generator()))
    assert pick(rows, "extraction_fidelity", "knockoff", 400).low > 0.75
    assert pick(rows, "surrogate_accuracy", "same_data", labelled=400).low > 0.75


def test_small_budgets_are_trained_long_enough():
    config = Settings(epochs=10, min_steps=150, batch_size=64)
    assert config.passes(100) == 75
    assert config.passes(10_000) == 10
    assert [config.steps(100, 0), config.steps(300, 150), config.steps(10_000, 200)] == [150, 50, 1363]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"queries": (0,)}, "greater than or equal to 1"),
        ({"queries": ()}, "at least 1 item"),
        ({"queries": (5, 5)}, "given twice"),
        ({"attacks": ("theft",)}, "no such attack: theft; there are: art_copycat, art_knockoff, "),
        ({"budget": 5}, "Extra inputs"),
    ],
)
def test_bad_settings_say_why(given: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        Settings(**given)  # type: ignore[arg-type]
