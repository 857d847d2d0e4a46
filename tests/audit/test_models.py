"""Building and loading the model under audit; hostile and ill-fitting files are refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from attacks import evasion
from attacks.probe import Target
from audit import zoo
from audit.errors import PlanError, RefusedError
from audit.plan import Plan, load
from audit.preflight import preflight
from audit.subject import checkpoints, models
from audit.subject import data as subject_data
from audit.subject.code import adaptive
from pruning import storage

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def trained(tiny: dict[str, Any]) -> dict[str, Any]:
    """The tiny plan for a model that comes with its weights, without training or pruning."""
    tiny["model"]["weights"] = "weights.safetensors"
    del tiny["train"], tiny["pruning"]
    tiny["data"] = {"source": "digits", "audit_examples": 40}
    return tiny


def refused(write_plan: Write, table: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        preflight(load(write_plan(table)))


@pytest.mark.parametrize(
    ("build", "shape", "parameters"),
    [
        (zoo.digits_cnn, (1, 8, 8), 21_546),
        (zoo.lenet5, (1, 28, 28), 61_706),
        (zoo.paper_mlp, (1, 10, 10), 55_510),
        (zoo.small_resnet, (3, 32, 32), 78_042),
    ],
)
def test_zoo_shapes_and_sizes(
    build: Callable[..., nn.Module], shape: tuple[int, ...], parameters: int
) -> None:
    model = build(shape, 10).eval()
    assert model(torch.zeros(2, *shape)).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_normalisation_is_inside(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny["model"]["normalise"] = {"mean": [0.25], "std": [0.5]}
    plan = load(write_plan(tiny))
    data = subject_data.load(plan)
    inner = models.fresh(models.builder(plan, data), 0).eval()
    audited = models.wrap(inner, plan, data)
    x = data.test.x[:4]
    assert torch.equal(audited(x), inner((x - 0.25) / 0.5))
    assert not any(p.requires_grad for p in audited.parameters())
    assert inner.state_dict().keys() == zoo.digits_cnn().state_dict().keys()
    tiny["model"]["normalise"] = {"mean": [0.1, 0.2], "std": [1.0, 1.0]}
    with pytest.raises(PlanError, match="2 means for inputs of 1 channels"):
        preflight(load(write_plan(tiny)))


def test_fresh_models_follow_the_seed_and_leave_the_generator_alone(
    tiny: dict[str, Any], write_plan: Write
) -> None:
    plan = load(write_plan(tiny))
    build = models.builder(plan, subject_data.load(plan))
    before = torch.get_rng_state()
    one, same, other = (models.fresh(build, seed).state_dict()["0.weight"] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_torchvision_architectures_build(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny["model"]["build"] = "torchvision:resnet18"
    plan: Plan = load(write_plan(tiny))
    model = models.fresh(models.builder(plan, subject_data.load(plan)), 0).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    tiny["model"]["build"] = "torchvision:resnet17"
    plan = load(write_plan(tiny))
    with pytest.raises(PlanError, match="no classifier 'resnet17'"):
        models.builder(plan, subject_data.load(plan))


def test_state_dicts_load_from_both_formats(
    trained: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    state = models.fresh(zoo.digits_cnn, 3).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save({"state_dict": state}, tmp_path / "weights.pt")
    for name in ("weights.safetensors", "weights.pt"):
        trained["model"]["weights"] = name
        preflight(load(write_plan(trained)))
        assert all(torch.equal(v, state[k]) for k, v in checkpoints.read(tmp_path / name, "").tensors.items())


class Bomb:
    """What a malicious pickle does."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("open('BOOM', 'w').close()",))


def test_files_that_could_run_code_are_refused_and_run_nothing(
    trained: dict[str, Any], write_plan: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("weights.pkl", "weights.pt", "weights.pth", "weights.safetensors", "weights.pt2", "weights"):
        (tmp_path / name).write_bytes(pickle.dumps({"0.weight": Bomb()}))
        trained["model"]["weights"] = name
        refused(write_plan, trained, "refused")
    torch.save({"0.weight": Bomb()}, tmp_path / "weights.pt")
    trained["model"]["weights"] = "weights.pt"
    refused(write_plan, trained, "refused")
    torch.save(zoo.digits_cnn(), tmp_path / "weights.pt")
    refused(write_plan, trained, "torch.save\\(old.state_dict")
    assert not (tmp_path / "BOOM").exists()


def test_weights_that_do_not_fit_are_refused(
    trained: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    refused(write_plan, trained, "no such file")
    state = zoo.digits_cnn().state_dict()
    save_file({k: v for k, v in state.items() if k != "0.bias"} | {"extra": torch.zeros(1)}, path)
    refused(write_plan, trained, "missing 0.bias; unexpected extra")
    save_file(state | {"0.bias": torch.zeros(3)}, path)
    refused(write_plan, trained, r"0.bias is \(3,\), want \(16,\)")
    save_file(state | {"0.bias": torch.full((16,), float("nan"))}, path)
    refused(write_plan, trained, "NaN or infinity in 0.bias")
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(write_plan, trained, "refused: it holds more than tensors, or is damaged")


def test_models_that_do_not_fit_the_data_are_refused(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def seven(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))\n"
        "def wide(): return nn.Sequential(nn.Flatten(), nn.Linear(100, 10))\n"
        "def number(): return 3\n"
        "class NaN(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.fc = nn.Linear(64, 10)\n"
        "    def forward(self, x): return self.fc(x.flatten(1)) * float('nan')\n",
        encoding="utf-8",
    )
    for function, said in {
        "seven": "the data has 10 classes",
        "wide": "does not take inputs of shape",
        "number": "returned int",
        "NaN": "NaN or infinity",
    }.items():
        tiny["model"]["build"] = f"mine.py:{function}"
        refused(write_plan, tiny, said)
    (tmp_path / "mine.py").write_text("raise ValueError('no')\n", encoding="utf-8")
    refused(write_plan, tiny, "does not load: ValueError: no")
    for build, said in {
        "mine.py": "want FILE.py:FUNCTION",
        "absent_module:f": "No module",
        "audit.zoo:nope": "no function",
    }.items():
        tiny["model"]["build"] = build
        with pytest.raises(PlanError, match=said):
            preflight(load(write_plan(tiny)))


def test_checkpoints_of_the_user_are_checked_too(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    tiny["variant"] = [{"name": "edge", "weights": "edge.safetensors"}]
    refused(write_plan, tiny, r"\[\[variant\]\] 'edge' weights: .*no such file")
    save_file({"a": torch.zeros(1)}, tmp_path / "edge.safetensors")
    refused(write_plan, tiny, r"\[\[variant\]\] 'edge' weights: .*does not fit")


def test_epsilon_beyond_the_bounds_is_a_plan_error(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny["probes"]["evasion"]["eps"] = [0.1, 1.5]
    with pytest.raises(PlanError, match=r"\[probes.evasion\].*1.5"):
        preflight(load(write_plan(tiny)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mine.py:twin", "mine.py: no such file"),
        ("other.py:nothing", "has no function 'nothing'"),
        ("other.py:thirsty", "'budget' is none of those offered: model, x, y, eps"),
        ("other.py:idle", "it must take model"),
    ],
)
def test_an_adaptive_attack_that_cannot_be_run_is_a_plan_error(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path, spec: str, message: str
) -> None:
    (tmp_path / "other.py").write_text("def thirsty(x, budget): pass\ndef idle(eps): pass\n")
    tiny["probes"]["evasion"]["adaptive"] = spec
    with pytest.raises(PlanError, match=r"\[probes.evasion\] adaptive .*" + message):
        preflight(load(write_plan(tiny)))


def test_a_run_has_the_rows_of_the_user_s_own_attack(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def up(x, eps, high):\n    return (x + eps).clamp(max=high)\n")
    tiny["probes"]["evasion"] |= {"adaptive": "mine.py:up", "transfer": False, "attacks": ["fgsm"]}
    plan = load(write_plan(tiny))
    subject = preflight(plan)
    model = models.wrap(models.fresh(models.builder(plan, subject.data), 0), plan, subject.data)
    target = Target(model, 10, subject.data.bounds, subject.data.test, adaptive=adaptive(plan))
    rows = evasion.run(target, plan.settings["evasion"], torch.Generator())
    ours = [row for row in rows if row.at.get("attack") == "adaptive"]
    assert [(row.at["eps"], row.status) for row in ours] == [(0.05, "ok"), (0.2, "ok")]


def test_weights_stored_compressed_are_read_as_any_others(
    trained: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    model = models.fresh(zoo.digits_cnn, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[parameter.abs() < parameter.abs().median()] = 0
    path = tmp_path / "weights.safetensors"
    storage.save(model, path, compressed=True)
    assert path.stat().st_size < 0.7 * 4 * sum(p.numel() for p in model.parameters())
    trained["model"]["weights"] = path.name
    plan = load(write_plan(trained))
    assert plan.model.weights is not None
    restored = models.restore(plan.model.weights, plan, zoo.digits_cnn, preflight(plan).data)
    assert restored.history == ()
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in restored.model.state_dict().items())
    path.write_bytes(path.read_bytes()[:-40])
    refused(write_plan, trained, "or is damaged")
