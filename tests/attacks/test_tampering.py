"""Weight tampering: what must be found, what must not, and sums that others have done."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from attacks.probe import Examples, Measurement, Target, Triggered
from attacks.tampering import Settings, run
from attacks.tampering._ascent import Change
from attacks.tampering._attack import Scene
from attacks.tampering._judge import Goal, Judge, first
from attacks.tampering._search import Search
from attacks.tampering._storage import FORMATS, Storage, decode, encode, scale_of
from attacks.tampering._weights import Flip, Stored, UnfitError
from attacks.tampering.bit_flip import drawn
from attacks.tampering.index_flip import Indices
from attacks.tampering.progressive import untargeted
from pruning.compressed import Form, pack, unpack
from pruning.errors import PruningError

storages = pytest.mark.parametrize("storage", list(FORMATS))


def tamper(victim: Target, *attacks: str, **settings: object) -> list[Measurement]:
    given = {"attacks": attacks, "draws": 4, "replicates": 1, **settings}
    return list(run(victim, Settings(**given), torch.Generator().manual_seed(0)))


def one(rows: Sequence[Measurement], metric: str, **at: object) -> Measurement:
    (found,) = [r for r in rows if r.metric == metric and all(r.at.get(k) == v for k, v in at.items())]
    return found


def weights(model: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


@pytest.fixture
def masked(trained: nn.Module, fresh: Callable[[int], nn.Module]) -> nn.Module:
    """The trained model with half of every weight tensor gone."""
    model = fresh(0)
    model.load_state_dict(trained.state_dict())
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data[parameter.abs() < parameter.abs().median()] = 0.0
    return model.eval().requires_grad_(False)


# --- storage


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False), min_size=1, max_size=40))
def test_a_stored_weight_comes_back_as_near_as_its_format_says(values: list[float]):
    w = torch.tensor(values)
    assert torch.equal(decode(encode(w, "float32", 1.0), "float32", 1.0), w)
    assert torch.equal(decode(encode(w, "bfloat16", 1.0), "bfloat16", 1.0), w.bfloat16().float())
    scale = scale_of(w, "int8")
    back = decode(encode(w, "int8", scale), "int8", scale)
    assert bool(((back - w).abs() <= scale / 2 * (1 + 1e-5) + 1e-30).all())


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # deprecated, and a twin all the same
def test_int8_is_what_torch_quantises_to():
    w = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    scale = scale_of(w, "int8")
    theirs = torch.quantize_per_tensor(w, scale, 0, torch.qint8)
    ours = encode(w, "int8", scale)
    ties = ((w / scale).frac().abs() - 0.5).abs() < 1e-4  # where w / scale and w × (1 / scale) may part
    assert int(ties.sum()) < 10
    assert torch.equal(ours[~ties], theirs.int_repr()[~ties])
    torch.testing.assert_close(decode(ours, "int8", scale)[~ties], theirs.dequantize()[~ties])


@pytest.mark.parametrize(
    ("storage", "value", "bit", "becomes"),
    [
        ("float32", 1.0, 31, -1.0),
        ("float32", 1.0, 30, math.inf),
        ("float32", 1.0, 22, 1.5),
        ("bfloat16", 1.0, 15, -1.0),
        ("bfloat16", 1.0, 14, math.inf),
        ("bfloat16", 2.0, 6, 3.0),
        ("int8", 1.0, 7, 1.0 - 128 / 127),
        ("int8", 1.0, 0, 126 / 127),
    ],
)
def test_a_bit_is_worth_what_the_format_says(storage: Storage, value: float, bit: int, becomes: float):
    model = nn.Linear(1, 1, bias=False).requires_grad_(False)
    model.weight.fill_(value)
    stored = Stored(model, storage)
    stored.flip(Flip(0, 0, bit))
    assert float(model.weight) == pytest.approx(becomes, rel=1e-6)


@storages
def test_zero_flips_change_nothing_and_two_restore(storage: Storage, masked: nn.Module):
    stored = Stored(masked, storage)
    as_stored = weights(masked)
    stored.scatter(np.zeros(0, np.int64))
    assert weights(masked) == as_stored
    bits = drawn(np.random.default_rng(0), len(stored) * stored.bits, 300)
    stored.scatter(bits)
    assert weights(masked) != as_stored
    stored.scatter(bits)
    assert weights(masked) == as_stored
    stored.scatter(bits)
    stored.restore()
    assert weights(masked) == as_stored


@storages
def test_bits_by_number_are_bits_one_by_one_and_zeros_stay(storage: Storage, masked: nn.Module):
    stored = Stored(masked, storage)
    before = {n: p.clone() for n, p in masked.named_parameters()}
    bits = drawn(np.random.default_rng(1), len(stored) * stored.bits, 50)
    stored.scatter(bits)
    together = weights(masked)
    stored.restore()
    sizes = np.cumsum([0, *(len(layer.codes) for layer in stored.layers)])
    for number in bits:
        index, bit = divmod(int(number), stored.bits)
        layer = int(np.searchsorted(sizes, index, side="right")) - 1
        stored.flip(Flip(layer, index - int(sizes[layer]), bit))
    assert weights(masked) == together
    for name, parameter in masked.named_parameters():
        if parameter.dim() > 1:
            assert not bool(parameter[before[name] == 0].any())
        else:
            assert torch.equal(parameter, before[name])


def test_float32_as_stored_is_the_model_itself(target: Target):
    row = one(tamper(target, "bit_flip", storage=["float32"]), "tampering_accuracy", rate=0.0)
    right = Judge(target, 1000).right
    assert row.value == right.mean()
    assert np.array_equal(row.outcomes["correct"], right)


def test_the_number_of_random_flips_is_binomial(target: Target):
    row = one(
        tamper(target, "bit_flip", storage=["int8"], rates=[0.01], draws=100), "tampering_accuracy", rate=0.01
    )
    low, high = (int(part) for part in row.note.split(" of ")[0].split("–"))
    mean, spread = 0.01 * 30272, math.sqrt(0.01 * 0.99 * 30272)
    assert mean - 5 * spread < low < mean < high < mean + 5 * spread


# --- controls


class Idle(nn.Module):
    """A model with a layer that nothing hangs on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.idle = nn.Linear(10, 2000)
        self.given = [model]  # a list, so that its weights are not this model's

    def forward(self, x: Tensor) -> Tensor:
        logits = self.given[0](x)
        return logits + 0.0 * self.idle(logits).sum(dim=1, keepdim=True)


def test_flips_in_weights_that_do_not_matter_cost_nothing(target: Target):
    idle = replace(target, model=Idle(target.model).eval().requires_grad_(False))
    rows = tamper(idle, "bit_flip", "progressive", "weight_change", storage=["int8"], flips=10)
    accuracy = [r for r in rows if r.metric == "tampering_accuracy"]
    assert len({r.value for r in accuracy}) == 1
    for r in rows:
        if r.metric != "tampering_accuracy":
            assert r.status == ("not_applicable" if r.at.get("where") == "anywhere" else "refused")
            assert r.status == "not_applicable" or r.note.startswith("not reached")


def test_gradient_search_needs_at_most_a_tenth_of_random_flips(target: Target):
    rows = tamper(target, "progressive", "random_search", flips=50)
    for goal in ("10 points", "50 points", "chance"):
        searched, random = (
            one(rows, "tampering_flips", attack=a, goal=goal) for a in ("progressive", "random_search")
        )
        assert searched.value is not None
        at_random = random.value if random.value is not None else 50 * 200
        assert searched.value <= at_random / 10


def test_flips_by_million_are_flips_over_survivors(make_target: Callable[..., Target], masked: nn.Module):
    rows = tamper(make_target(masked), "progressive", flips=40)
    left = sum(int((p != 0).sum()) for p in masked.parameters() if p.dim() > 1)
    flips = one(rows, "tampering_flips", goal="50 points")
    per = one(rows, "tampering_flips_per_million", goal="50 points")
    assert per.value == pytest.approx(1e6 * flips.value / left)


# --- the search, held against trying everything


@pytest.fixture
def tiny() -> tuple[nn.Module, Examples]:
    luck = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=luck)
    x = torch.randn(40, 4, generator=luck)
    model.requires_grad_(False)
    return model, Examples(x, model(x).argmax(dim=1))


def every(stored: Stored, loss: Callable[[], float]) -> dict[Flip, float]:
    """The loss after each single flip."""
    found = {}
    for number, layer in enumerate(stored.layers):
        for place in range(len(layer.codes)):
            for bit in range(8):
                flip = Flip(number, place, bit)
                stored.flip(flip)
                found[flip] = loss()
                stored.flip(flip)
    return found


def test_the_gradients_ranking_is_that_of_every_single_flip(tiny: tuple[nn.Module, Examples]):
    model, batch = tiny
    stored = Stored(model, "int8")
    search = Search(stored, batch, untargeted(batch), tries=5)
    slopes = search.slopes()
    rises: dict[Flip, float] = {}
    for number, layer in enumerate(stored.layers):
        for place in range(len(layer.codes)):
            for bit in range(8):
                code = int(layer.codes[place])
                flipped = int(np.uint8(code & 255 ^ (1 << bit)).view(np.int8))
                step = (flipped - code) * layer.scale
                rises[Flip(number, place, bit)] = float(slopes[number][place]) * step
    assert {f.layer for _, f in search.candidates()[:2]} == {0, 1}
    for value, flip in search.candidates()[:2]:
        best = max(v for f, v in rises.items() if f.layer == flip.layer)
        assert value == pytest.approx(best, rel=1e-5)
        assert rises[flip] == pytest.approx(best, rel=1e-5)

    def loss() -> float:
        return float(F.cross_entropy(model(batch.x), batch.y))

    before, after = loss(), every(stored, loss)
    small = [f for f in after if f.bit < 3]  # to first order small steps are what the gradient says
    said = np.array([rises[f] for f in small])
    real = np.array([after[f] - before for f in small])
    assert np.corrcoef(said, real)[0, 1] > 0.99
    search = Search(stored, batch, untargeted(batch), tries=1000)
    likeliest = {}  # of every weight
    for flip in sorted(rises, key=lambda f: rises[f]):
        likeliest[flip.layer, flip.place] = flip
    assert search.step() == pytest.approx(max(after[flip] for flip in likeliest.values()), rel=1e-6)
    assert search.flips[0] == max(likeliest.values(), key=lambda f: after[f])
    assert max(after[flip] for flip in likeliest.values()) == max(after.values())


def test_a_search_flips_each_weight_once_and_says_where(tiny: tuple[nn.Module, Examples]):
    model, batch = tiny
    search = Search(stored := Stored(model, "int8"), batch, untargeted(batch), tries=2)
    for _ in range(12):
        search.step()
    assert len({(f.layer, f.place) for f in search.flips}) == 12
    differ = sum(
        int((layer.codes != original).sum())
        for layer, original in zip(stored.layers, stored._original, strict=True)
    )
    assert differ == 12


def test_attackers_search_by_data_that_do_not_judge(target: Target):
    scene = Scene(target, Settings(), Judge(target, 1000), 0)
    assert scene.own is target.pool
    assert not torch.isin(scene.batch(0).x.flatten(1).sum(1), target.test.x.flatten(1).sum(1)).all()
    assert Scene(replace(target, pool=None), Settings(), scene.judge, 0).own is target.members
    with pytest.raises(UnfitError, match="no data of the attacker's own"):
        _ = Scene(replace(target, pool=None, members=None), Settings(), scene.judge, 0).own


# --- targeted and small changes


def test_targeted_flips_turn_one_class_and_leave_the_rest(target: Target):
    rows = tamper(target, "targeted", "progressive", flips=40, replicates=2)
    success = one(rows, "tampering_success", attack="targeted")
    rest = one(rows, "tampering_accuracy", attack="targeted", on="rest")
    ruined = one(rows, "tampering_accuracy", attack="progressive", flips=40)
    assert success.value > 0.8
    assert rest.value > ruined.value + 0.4


@pytest.mark.parametrize(("norm", "least"), [("l2", 1 / math.sqrt(2 * 3)), ("linf", 1 / 6)])
def test_the_least_change_is_that_of_the_closed_form(norm: str, least: float):
    """Two classes, inputs ±(1, 1, 1): both margins fall by 2 ‖δ‖∞ ‖x‖₁ or √2 ‖δ‖₂ ‖x‖₂ at most."""
    model = nn.Sequential(nn.Linear(3, 2, bias=False)).eval().requires_grad_(False)
    model[0].weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    y = torch.arange(60) % 2
    same = Examples((1.0 - 2.0 * y)[:, None].expand(60, 3).clone(), y)
    target = Target(model, 2, (-1.0, 1.0), same, pool=same)
    found = {}
    for where in ("mask", "anywhere"):
        rows = tamper(target, "weight_change", where=[where], steps=20)
        found[where] = one(rows, "tampering_change", norm=norm, goal="50 points")
    assert least * 0.999 <= found["anywhere"].value <= least * 1.2  # a radius is 1.19 times the last
    assert found["mask"].status == "refused" or found["mask"].value >= 1.0  # one weight alone bears it all


def test_a_change_within_the_mask_fills_nothing_and_one_outside_it_shows(
    make_target: Callable[..., Target], masked: nn.Module
):
    rows = tamper(make_target(masked), "stealth")
    assert one(rows, "tampering_filled", where="mask").value == 0
    assert one(rows, "tampering_filled", where="anywhere").value > 0.5
    for where in ("mask", "anywhere"):
        assert one(rows, "tampering_success", where=where).value > 0.5
        assert one(rows, "tampering_accuracy", where=where, on="rest").value > 0.9


def test_what_hides_is_within_a_point_on_the_attackers_own_data(target: Target):
    change = Change(Scene(target, Settings(), Judge(target, 9), 0).copy(), "mask")
    assert change.relative("l2") == 0
    change.delta = [torch.ones_like(d) for d in change.delta]
    change.put(0.5)
    assert change.relative("linf") == pytest.approx(0.5 / change.length("linf"), rel=1e-5)
    change.put(0.0)
    assert all(
        torch.equal(a, b) for a, b in zip(change.model.parameters(), target.model.parameters(), strict=True)
    )


# --- indices of the compressed format


@pytest.mark.parametrize(("share", "form"), [(0.3, "mask"), (0.01, "positions")])
def test_indices_are_those_of_the_compressed_format(share: float, form: str):
    luck = torch.Generator().manual_seed(0)
    w = torch.randn(80, 50, generator=luck) * (torch.rand(80, 50, generator=luck) < share)
    parameter = nn.Parameter(w.clone())
    indices = Indices(parameter)
    packed, forms = pack({"w": w})
    where = packed["w#where"]
    assert (indices.form, indices.bits >= 8 * where.numel() * where.element_size() - 7) == (form, True)
    indices.read(np.zeros(0, np.int64))
    assert torch.equal(parameter, w)
    assert forms["w"].where == form
    read, refused = 0, 0
    for bit in range(0, indices.bits, 7):
        indices.read(np.array([bit]))
        flipped = where.clone().numpy()
        if form == "mask":  # which has the highest bit first
            flipped[bit // 8] ^= 128 >> (bit % 8)
        else:
            flipped.view(np.uint32)[bit // 32] ^= np.uint32(1 << (bit % 32))
        try:
            theirs = unpack(
                {**packed, "w#where": torch.from_numpy(flipped)}, {"w": Form(**forms["w"].model_dump())}
            )
        except PruningError:
            refused += 1
        else:
            read += 1
            assert torch.equal(theirs["w"], parameter)
    assert refused > 0
    assert form == "mask" or read > 0  # a mask with another number of bits never passes


def test_dense_models_have_no_indices_and_pruned_ones_suffer(
    target: Target, make_target: Callable[..., Target], masked: nn.Module
):
    (row,) = tamper(target, "index_flip")
    assert (row.status, row.at) == ("not_applicable", {"attack": "index_flip"})
    rows = tamper(make_target(masked), "index_flip", "bit_flip", storage=["int8"], rates=[0.001])
    flipped = one(rows, "tampering_accuracy", attack="index_flip", rate=0.001)
    assert flipped.value < one(rows, "tampering_accuracy", attack="bit_flip", rate=0.0).value - 0.1


# --- odd models and damage that has no meaning


class Fragile(nn.Module):
    """Answers with what overflows as soon as a weight does."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(2, 2, bias=False)
        self.out.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


def test_a_model_that_returns_nan_is_broken_and_told():
    some = Examples(torch.eye(2).repeat(20, 1), torch.arange(2).repeat(20))
    model = Fragile().eval().requires_grad_(False)
    target = Target(model, 2, (0.0, 1.0), some, pool=some)
    rows = tamper(target, "bit_flip", storage=["float32"], rates=[0.5], draws=20)
    row = one(rows, "tampering_accuracy", rate=0.5)
    judge = Judge(target, 100)
    stored = Stored(Fragile().requires_grad_(False), "float32")
    stored.flip(Flip(0, 0, 30))  # infinite: 0 × ∞ is NaN in the other input's logit
    assert not judge.hits(stored.model).any()
    assert judge.told() == "1 model returned NaN or infinity for some examples, which count as wrong"
    assert judge.told() == ""
    assert row.status == "ok"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_are_refused_in_rows(kind: torch.dtype, target: Target):
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.given = [target.model]
            self.extra = nn.Linear(2, 2).to(kind).requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.given[0](x)

    rows = tamper(replace(target, model=Odd().eval()), "bit_flip", "progressive", "stealth")
    assert {r.status for r in rows} == {"refused"}
    assert all(f"extra.weight is {kind}" in r.note for r in rows)


def test_a_quantised_layer_is_refused_in_rows(target: Target):
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.given = [target.model]
            self.fast = torch.ao.nn.quantized.ReLU6()
            self.fast.__class__.__module__ = "torch.ao.nn.quantized.modules"

        def forward(self, x: Tensor) -> Tensor:
            return self.given[0](x)

    (row,) = tamper(replace(target, model=Odd().eval()), "index_flip")
    assert row.status == "refused"
    assert "fast is a quantised layer" in row.note


def test_a_model_without_weights_left_has_rows_that_say_so(
    make_target: Callable[..., Target], masked: nn.Module
):
    for parameter in masked.parameters():
        parameter.data.zero_()
    rows = tamper(make_target(masked), "bit_flip", "progressive", "weight_change", "index_flip")
    assert {r.status for r in rows} == {"not_applicable"}
    assert any("all weights are zero" in r.note for r in rows)


def test_a_model_at_chance_has_nothing_to_lose(
    make_target: Callable[..., Target], fresh: Callable[[int], nn.Module]
):
    rows = tamper(make_target(fresh(0).eval().requires_grad_(False)), "progressive", flips=3)
    for r in rows:
        if r.metric == "tampering_flips":
            assert r.status == "refused"
            assert r.value is None


def test_what_is_not_reached_is_refused_with_what_is_left(target: Target):
    rows = tamper(target, "progressive", flips=1)
    row = one(rows, "tampering_flips", goal="chance")
    assert row.status == "refused"
    assert row.note == "not reached: the largest number of flips tried (1) is not enough"


def test_classes_that_are_not_there_are_said(target: Target):
    rows = tamper(target, "targeted", "stealth", source=0, target=99)
    assert {r.status for r in rows} == {"not_applicable"}
    assert all("the model has 10 classes" in r.note for r in rows)
    none = replace(target, pool=target.pool[target.pool.y != 0])
    rows = tamper(none, "targeted", "stealth")
    assert all("no example of class 0" in r.note for r in rows)


def test_source_and_target_must_differ():
    with pytest.raises(ValueError, match="source and target are the same class"):
        Settings(source=3, target=3)


# --- counts


@pytest.mark.parametrize("reached", [1, 2, 5, 6, 13, 40])
def test_the_first_step_is_found_between_those_of_the_grid(reached: int):
    asked: list[int] = []

    def at(step: int) -> bool:
        asked.append(step)
        return step >= reached

    assert first(at, (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)) == reached
    assert len(set(asked)) < 16
    assert first(lambda step: False, (1, 2, 3)) is None


def test_goals_read_the_whole_interval():
    before, after = np.ones((1, 200), bool), np.ones((1, 200), bool)
    after[0, :36] = False  # 18 points, of which 10 are certain and 20 are not
    assert Goal("10 points", 0.11).reached(before, after) == (True, True, True)
    assert Goal("20 points", 0.11).reached(before, after) == (False, True, False)
    assert Goal("chance", 0.11).reached(before, ~after)[0] is False
    assert "and not 50 points to lose" in Goal("50 points", 0.11).beyond(~after)


# --- a trigger


def stamped(x: Tensor) -> Tensor:
    x = x.clone()
    x[..., -2:, -2:] = 1.0
    return x


def test_a_trigger_is_judged_with_and_without(target: Target):
    class Backdoored(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = target.model(x)
            logits[:, 7] += 1e3 * (x[..., -2:, -2:] == 1.0).all(dim=-1).all(dim=-1).float()[:, 0]
            return logits

    some = target.test[target.test.y != 7]
    made = Triggered(stamped(some.x), torch.full_like(some.y, 7), some.x)
    bad = replace(target, model=Backdoored().eval(), trigger=lambda: made)
    rows = tamper(bad, "trigger")
    assert one(rows, "tampering_success", on="triggered").value == 1.0
    assert one(rows, "tampering_success", on="clean").value < 0.05
    rows = tamper(replace(target, trigger=lambda: made), "trigger")
    assert rows[0].value < 0.3
    (row,) = tamper(target, "trigger")
    assert row.status == "not_applicable"
    assert "was not looked for" in row.note
