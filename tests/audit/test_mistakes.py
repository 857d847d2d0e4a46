"""Preflight's reading of clean figures: each planted fault is named, and ten healthy subjects are not."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.datasets import load_breast_cancer, load_digits, make_blobs, make_moons
from torch import Tensor, nn
from torch.nn import functional as F

from audit.errors import RefusedError
from audit.plan import Mistake, load
from audit.preflight import Examination, examine, preflight

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A user's folder: arrays, a model trained on them, and what the plan says."""

    x: Array
    y: Array
    model: Callable[[], nn.Module]
    mean: float = 0.0
    std: float = 1.0
    """What training inputs were normalised by, before the model."""
    steps: int = 300
    prune: float = 0.0
    seen: Callable[[Tensor], Tensor] = lambda x: x
    """What else was done to the inputs of the training."""


class Net(nn.Module):
    """A net whose output is changed by ``end``."""

    def __init__(self, *layers: nn.Module, end: Callable[[Tensor], Any] = lambda x: x) -> None:
        super().__init__()
        self.layers, self.end = nn.Sequential(*layers), end

    def forward(self, x: Tensor) -> Any:
        return self.end(self.layers(x))


def cnn(channels: int = 1, *, norm: bool = False) -> nn.Module:
    middle: list[nn.Module] = [nn.BatchNorm2d(16), nn.Dropout(0.2)] if norm else []
    return Net(
        nn.Conv2d(channels, 16, 3, padding=1), *middle, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 10),
    )  # fmt: skip


def mlp(inputs: int, classes: int, end: Callable[[Tensor], Any] = lambda x: x) -> nn.Module:
    return Net(nn.Flatten(), nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, classes), end=end)


class Cosine(nn.Module):
    """An activation that minds where its inputs are, as deep nets do."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cos(x)


def waves() -> nn.Module:
    return Net(nn.Flatten(), nn.Linear(192, 64), Cosine(), nn.Linear(64, 10))


def digits() -> tuple[Array, Array]:
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    return (found.images[order, None] / 16).astype(np.float32), found.target[order].astype(np.int64)


def coloured() -> tuple[Array, Array]:
    """Five digits in red and in blue: ten classes."""
    x, y = digits()
    hue = np.random.default_rng(1).integers(0, 2, len(y))
    colours = np.array([[1, 0.3, 0.1], [0.1, 0.3, 1]], dtype=np.float32)
    return x * colours[hue][:, :, None, None], y % 5 + 5 * hue


def cancer() -> tuple[Array, Array]:
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x - x.mean(0)) / x.std(0)
    return x[order].astype(np.float32), y[order].astype(np.int64)


def moons(share: float = 0.5) -> tuple[Array, Array]:
    n = int(1000 * share)
    x, y = make_moons((n, 1000 - n), noise=0.15, random_state=0)
    return x.astype(np.float32), y.astype(np.int64)


def blobs() -> tuple[Array, Array]:
    x, y = make_blobs(2000, 8, centers=20, cluster_std=2.0, random_state=0)
    return x.astype(np.float32), y.astype(np.int64)


def _cases() -> dict[str, Case]:
    grey, colour = digits(), coloured()
    return {
        "digits": Case(*grey, cnn),
        "normalised": Case(*grey, cnn, mean=0.9, std=0.9),
        "batch norm and dropout": Case(*grey, lambda: cnn(norm=True)),
        "table": Case(*cancer(), lambda: mlp(30, 2)),
        "one logit": Case(*moons(), lambda: mlp(2, 1)),
        "weak": Case(*grey, lambda: mlp(64, 10), steps=25),
        "pruned": Case(*grey, cnn, prune=0.8),
        "colour": Case(*colour, waves, mean=0.5, std=0.5),
        "imbalanced": Case(*moons(0.93), lambda: mlp(2, 2)),
        "twenty classes in a mapping": Case(*blobs(), lambda: mlp(8, 20, lambda z: {"logits": z})),
        "normalised images": Case((grey[0] - 0.5) / 0.5, grey[1], cnn),
    }


CASES = _cases()
SOFTMAX = (
    "from torch import nn\n"
    "def build():\n"
    "    body = nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)\n"
    "    return nn.Sequential(*body, nn.Softmax(1))\n"
)
"""A user's file: a model that ends with a softmax."""


def fit(case: Case, x: Tensor, y: Tensor) -> nn.Module:
    """Train the case's model as its maker would."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = case.model()
        optimiser = torch.optim.Adam(model.parameters(), 5e-3)
        x = case.seen((x - case.mean) / case.std)
        for _ in range(case.steps):
            batch = torch.randint(len(x), (128,))
            out = model(x[batch])
            out = out["logits"] if isinstance(out, dict) else out
            out = torch.cat([torch.zeros_like(out), out], 1) if out.shape[1] == 1 else out
            loss = F.cross_entropy(out, y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


@pytest.fixture(scope="module")
def states() -> dict[Any, dict[str, Tensor]]:
    """Weights by case, trained once."""
    return {}


class Folder:
    """A folder as a user has it, in which each test plants one fault."""

    def __init__(self, path: Path, case: Case, states: dict[Any, dict[str, Tensor]]) -> None:
        self.path, self.case = path, case
        half = len(case.x) // 2
        x, y = case.x.copy(), case.y.copy()
        self.arrays = {"x_train": x[:half], "y_train": y[:half], "x_test": x[half:], "y_test": y[half:]}
        key = id(case)
        if key not in states:
            model = fit(case, torch.from_numpy(x[:half]), torch.from_numpy(y[:half]))
            if case.prune:
                for parameter in model.parameters():
                    level = parameter.detach().abs().quantile(case.prune)
                    parameter.data[parameter.detach().abs() < level] = 0
            states[key] = model.state_dict()
        self.state = dict(states[key])
        self.plan = "accept = []\n"
        self.model = ""
        bounds = [float(np.floor(case.x.min())), float(np.ceil(case.x.max()))]
        self.data = f'source = "npz:data.npz"\nbounds = {bounds}\naudit_examples = 600\n'
        self.build: Callable[[], nn.Module] = case.model
        if (case.mean, case.std) != (0.0, 1.0):
            self.model = f"normalise = {{ mean = [{case.mean}], std = [{case.std}] }}\n"

    def examine(self, monkeypatch: pytest.MonkeyPatch) -> Examination:
        np.savez(self.path / "data.npz", **self.arrays)
        save_file({k: v.contiguous() for k, v in self.state.items()}, self.path / "w.safetensors")
        monkeypatch.setattr(sys.modules["tests_case"], "build", lambda: self.build(), raising=False)
        (self.path / "plan.toml").write_text(
            f'{self.plan}[model]\nbuild = "tests_case:build"\nweights = "w.safetensors"\n{self.model}'
            f"[data]\n{self.data}",
            encoding="utf-8",
        )
        return examine(preflight(load(self.path / "plan.toml")))

    def names(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        return [finding.mistake.name for finding in self.examine(monkeypatch).findings]


@pytest.fixture
def folder(
    tmp_path: Path, states: dict[Any, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Folder]:
    """A user's folder by the case's name; the module that builds its model can be imported."""
    monkeypatch.setitem(sys.modules, "tests_case", ModuleType("tests_case"))
    return lambda name: Folder(tmp_path, CASES[name], states)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_said_of_a_healthy_subject(
    name: str, folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = folder(name).examine(monkeypatch)
    assert [str(finding) for finding in found.findings] == []
    assert "test examples" in found.figures[0][1]
    found.refuse()


def never(f: Folder) -> None:
    f.model = ""


def twice(f: Folder) -> None:
    """The data is normalised, and so is the model inside."""
    for split in ("x_train", "x_test"):
        f.arrays[split] = (f.arrays[split] - np.float32(f.case.mean)) / np.float32(f.case.std)
    f.data = f.data.replace("[0.0, 1.0]", "[-5, 5]")


def inside(f: Folder) -> None:
    """The data is normalised, and so is the model inside, of which the plan says nothing."""
    twice(f)
    build, (mean, std) = f.build, (f.case.mean, f.case.std)
    f.build = lambda: Normalising(*_layers(build()), mean=mean, std=std)
    f.model = ""


class Normalising(Net):
    """It normalises by itself."""

    def __init__(self, *layers: nn.Module, mean: float, std: float) -> None:
        super().__init__(*layers)
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Any:
        return super().forward((x - self.mean) / self.std)


def otherwise(f: Folder) -> None:
    f.model = "normalise = { mean = [0.1], std = [3.0] }\n"


def shift(f: Folder) -> None:
    for split in ("y_train", "y_test"):
        f.arrays[split] = (f.arrays[split] + 1) % 10


def permute(f: Folder) -> None:
    order = np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    for split in ("y_train", "y_test"):
        f.arrays[split] = order[f.arrays[split]]


def softmax(f: Folder) -> None:
    build = f.build

    def made() -> nn.Module:
        model = build()
        assert isinstance(model, Net)
        model.end = lambda z: F.softmax(z, 1)
        return model

    f.build = made


def dropout(f: Folder) -> None:
    build = f.build

    def made() -> nn.Module:
        model = build()
        assert isinstance(model, Net)
        model.end = lambda z: F.dropout(z, 0.2)
        return model

    f.build = made


class Stuck(Net):
    """Its train() ignores its argument."""

    def train(self, mode: bool = True) -> "Stuck":
        del mode
        return super().train(True)  # type: ignore[return-value]


def stuck(f: Folder) -> None:
    f.build = lambda: Stuck(*_layers(f.case.model()))


def batched(f: Folder) -> None:
    """Batch norm with the statistics of the batch."""

    def made() -> nn.Module:
        layers = _layers(f.case.model())
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d):
                layer.track_running_stats = False
                layer.running_mean = layer.running_var = layer.num_batches_tracked = None
        return Net(*layers)

    f.build = made
    f.state = {k: v for k, v in f.state.items() if "running" not in k and "tracked" not in k}


def _layers(model: nn.Module) -> list[nn.Module]:
    assert isinstance(model, Net)
    return list(model.layers)


def same(f: Folder) -> None:
    f.arrays |= {"x_test": f.arrays["x_train"], "y_test": f.arrays["y_train"]}


def fifth(f: Folder) -> None:
    n = len(f.arrays["x_test"]) // 5
    for axis in "xy":
        f.arrays[f"{axis}_test"] = np.concatenate(
            [f.arrays[f"{axis}_test"][n:], f.arrays[f"{axis}_train"][:n]]
        )


def few(f: Folder) -> None:
    for axis in "xy":
        f.arrays[f"{axis}_test"][:20] = f.arrays[f"{axis}_train"][:20]


def dead(f: Folder) -> None:
    f.state = {k: torch.zeros_like(v) for k, v in f.state.items()}


def one_class(f: Folder) -> None:
    name = "layers.4.bias" if "layers.4.bias" in f.state else "layers.3.bias"
    f.state[name] = f.state[name] + 1e4 * F.one_hot(torch.tensor(3), 10)


class Dividing(Net):
    """Its outputs are NaN on white images."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) / (x.flatten(1).amin(1, keepdim=True) < 1)


def poisoned(f: Folder) -> None:
    f.build = lambda: Dividing(*_layers(f.case.model()))
    f.arrays["x_test"][-5:] = 1
    f.data = f.data.replace("600", "899")


def untrained(f: Folder) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        f.state = f.case.model().state_dict()


def foreign(f: Folder) -> None:
    """The train pair is noise with labels at random."""
    rng = np.random.default_rng(0)
    f.arrays["x_train"] = rng.random(f.arrays["x_train"].shape, dtype=np.float32)


def backwards(f: Folder) -> None:
    for split in ("x_train", "x_test"):
        f.arrays[split] = np.ascontiguousarray(f.arrays[split][:, ::-1])


@pytest.mark.parametrize(
    ("fault", "name", "said", "also"),
    [
        (never, "normalised", "not-normalised", "normalise = { mean = ["),
        (twice, "normalised", "normalised-twice", "remove [model] normalise"),
        (inside, "colour", "normalised-twice", "mean = [-1], std = [2]"),
        (otherwise, "normalised", "normalised-otherwise", "another normalisation"),
        (shift, "digits", "labels-off-by-one", "labels count from 1 in the"),
        (permute, "digits", "labels-permuted", '["3", "1", "4", "0", "5", "9", "2", "6", "8", "7"]'),
        (softmax, "digits", "probabilities", "add up to 1"),
        (dropout, "digits", "train-mode", "the second time"),
        (stuck, "batch norm and dropout", "train-mode", "still in train mode"),
        (batched, "batch norm and dropout", "train-mode", "alone than in a batch"),
        (same, "digits", "test-in-train", "(100.0%)"),
        (fifth, "digits", "test-in-train", "(19.9%)"),
        (few, "digits", "test-in-train", "20 of 899"),
        (dead, "digits", "constant", "the same for every example"),
        (one_class, "digits", "constant", "taken for class '3'"),
        (poisoned, "digits", "not-finite", "on 5 of 899 test"),
        (untrained, "digits", "chance", "commonest class"),
        (foreign, "digits", "train-not-members", "was trained on"),
        (backwards, "colour", "channels-reversed", "BGR"),
    ],
)
def test_each_planted_fault_is_named(
    fault: Callable[[Folder], None],
    name: str,
    said: str,
    also: str,
    folder: Callable[[str], Folder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted = folder(name)
    fault(planted)
    found = planted.examine(monkeypatch)
    assert said in [finding.mistake.name for finding in found.findings], found
    assert also in " ".join(map(str, found.findings))
    if said in ("chance", "train-not-members") or fault is few:
        found.refuse()
        assert found.warnings
        return
    with pytest.raises(RefusedError, match=r"accept = \["):
        found.refuse()
    planted.plan = f'accept = ["{said}"]\n'
    assert said not in [finding.mistake.name for finding in planted.examine(monkeypatch).refused]


@pytest.mark.parametrize(("expected", "refused"), [(0.97, False), (0.75, True), (1.0, True)])
def test_the_expected_accuracy_is_checked(
    expected: float, refused: bool, folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = folder("table" if expected == 1.0 else "digits")
    if expected == 1.0:
        planted.arrays["y_test"] = np.where(np.arange(285) % 8 == 0, 0, planted.arrays["y_test"])
    planted.model += f"expected_accuracy = {expected}\n"
    assert ("unexpected-accuracy" in planted.names(monkeypatch)) is refused


def test_the_users_own_checkpoints_are_looked_at_too(
    folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = folder("digits")
    save_file({k: torch.zeros_like(v) for k, v in planted.state.items()}, planted.path / "edge.safetensors")
    planted.data += '[[variant]]\nname = "edge"\nweights = "edge.safetensors"\n'
    found = planted.examine(monkeypatch)
    assert [f.model for f in found.findings] == ["edge"]
    assert "edge: constant" in str(found.findings[0])
    named = [name for name, _ in found.figures if name != "torchvision"]  # told once it had to be mended
    assert named == ["accuracy", "accuracy, edge", "ε"]


def test_a_model_not_yet_trained_is_judged_by_its_making_alone(
    tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    assert examine(preflight(load(write_plan(tiny)))).findings == ()
    (tmp_path / "mine.py").write_text(SOFTMAX)
    tiny["model"]["build"] = "mine.py:build"
    found = examine(preflight(load(write_plan(tiny))))
    assert [f.mistake.name for f in found.refused] == ["probabilities"]


def test_the_terminal_says_what_is_wrong_and_what_to_do(
    tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(SOFTMAX)
    tiny["model"]["build"] = "mine.py:build"
    for command in (["preflight", "plan.toml"], ["run", "plan.toml", "--out", "out"]):
        write_plan(tiny)
        result = subprocess.run(
            [sys.executable, "-m", "audit", *command], capture_output=True, text=True, cwd=tmp_path,
            check=False,
        )  # fmt: skip
        assert result.returncode == 5, result.stderr
        assert "plan.toml: probabilities: all outputs are between 0 and 1" in result.stderr
        assert "Cure: return what goes into it" in result.stderr
        assert 'accept = ["probabilities"]' in result.stderr
        assert ("accuracy" in result.stdout) is (command[0] == "preflight")
    assert not (tmp_path / "out").exists()


def test_the_order_of_classes_is_told_as_the_plan_wants_it_and_cures(
    folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders named by words are sorted by the alphabet; the model was trained in another order."""
    planted = folder("digits")
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    place = np.array([sorted(words).index(word) for word in words])
    held = {k: place[v] if k.startswith("y") else v for k, v in planted.arrays.items()}
    monkeypatch.setattr(
        sys.modules["tests_case"], "data", lambda: held | {"classes": sorted(words)}, raising=False
    )
    planted.data = planted.data.replace("npz:data.npz", "tests_case:data")
    found = planted.examine(monkeypatch).findings
    assert [f.mistake.name for f in found] == ["class-order"]
    cure = found[0].mistake.cure.partition("[data]: ")[2]
    assert cure == f"class_order = {words}".replace("'", '"')
    planted.data += cure + "\n"
    assert planted.names(monkeypatch) == []


def test_inputs_that_are_normalised_already_are_told(
    folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = folder("digits")
    for split in ("x_train", "x_test"):
        planted.arrays[split] = (planted.arrays[split] - np.float32(0.1307)) / np.float32(0.3081)
    planted.data = planted.data.replace("[0.0, 1.0]", "[-1, 3]")
    found = planted.examine(monkeypatch)
    assert "inputs-normalised" in [f.mistake.name for f in found.warnings]


class Small(Net):
    """It normalises by itself, by statistics that it keeps."""

    def __init__(self, *layers: nn.Module, mean: float, std: float) -> None:
        super().__init__(*layers)
        self.register_buffer("pixel_mean", torch.full((1, 1, 1, 1), mean), persistent=False)
        self.std = (std,)

    def forward(self, x: Tensor) -> Any:
        return super().forward((x - self.pixel_mean) / self.std[0])


def test_a_second_normalisation_that_costs_no_accuracy_is_told(
    folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics near 0 and 1 change next to nothing: accuracy cannot show that they are used twice."""
    planted = folder("digits")
    planted.model = "normalise = { mean = [0.001], std = [0.999] }\n"
    assert planted.names(monkeypatch) == []
    planted.build = lambda: Small(*_layers(planted.case.model()), mean=0.001, std=0.999)
    found = planted.examine(monkeypatch)
    assert [f.mistake.name for f in found.warnings] == ["normalised-twice"]
    assert "pixel_mean and std" in str(found.warnings[0])
    found.refuse()


def test_inputs_normalised_before_a_plan_that_normalises_are_told_once(
    folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = folder("normalised")
    for split in ("x_train", "x_test"):
        planted.arrays[split] = (planted.arrays[split] - np.float32(0.3)) / np.float32(0.37)
    planted.data = planted.data.replace("[0.0, 1.0]", "[-1, 3]")
    planted.plan = 'accept = ["normalised-otherwise", "normalised-twice"]\n'
    assert planted.names(monkeypatch).count("normalised-twice") == 1


def test_a_normalisation_that_is_taken_back_is_none_too_many(
    folder: Callable[[str], Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = folder("digits")
    for split in ("x_train", "x_test"):
        planted.arrays[split] = (planted.arrays[split] - np.float32(0.3)) / np.float32(0.37)
    planted.data = planted.data.replace("[0.0, 1.0]", "[-1, 3]")
    planted.model = f"normalise = {{ mean = [{-0.3 / 0.37}], std = [{1 / 0.37}] }}\n"
    assert planted.names(monkeypatch) == ["inputs-normalised"]


def test_every_mistake_that_a_plan_may_accept_is_planted_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in get_args(Mistake) if f'"{name}"' not in text] == []
