"""What must hold on the architectures that people ship: every criterion, for single weights and for units.

By default a few small nets and criteria; ``-m slow`` has all of torchvision's list, and timm's where it is.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from audit.subject import vision
from pruning import prunable, removal
from pruning.criteria import criteria
from pruning.errors import PruningError
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe
from pruning.sample import Sample

pytestmark = pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
CLASSES = 10
ZOO = (
    "resnet18", "resnet50", "vgg11_bn", "densenet121", "mobilenet_v2", "mobilenet_v3_small",
    "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t", "shufflenet_v2_x0_5", "regnet_y_400mf",
    "googlenet", "mnasnet0_5",
)  # fmt: skip
SMALL = ("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5")
GIGABYTES = 4
SECONDS = 120


def net(name: str) -> tuple[nn.Module, Tensor]:
    """One of torchvision's, or of timm's after a colon, with random weights; and two images that it takes."""
    torch.manual_seed(0)
    x = torch.rand(2, 3, 64, 64)
    if name.startswith("timm:"):
        timm = pytest.importorskip("timm")
        model = timm.create_model(name.removeprefix("timm:"), pretrained=False, num_classes=CLASSES)
    elif name.startswith("vit"):
        models = vision.torchvision().models
        model = models.get_model(name, weights=None, num_classes=CLASSES, image_size=64)
        nn.init.normal_(model.heads.head.weight, std=0.02)  # it comes as zeros
    else:
        model = vision.model(name, CLASSES)()
    return model.eval(), x


def run(model: nn.Module, x: Tensor, recipe: Recipe, sparsity: float) -> Pruned:
    """Prune; where single layers cannot be judged, as the error says, without them."""
    sample = Sample(x, torch.arange(len(x)))
    try:
        return prune(
            model, recipe, sparsity, example_input=x[:1], generator=torch.Generator().manual_seed(0),
            sample=sample,
        )  # fmt: skip
    except PruningError as error:
        named = re.search(r"or exclude = (\[.*\])", str(error))
        if named is None or recipe.exclude:
            raise
        left = tuple(re.findall(r"'([^']+)'", named[1]))
        assert set(left) <= set(map(prunable.layer_of, prunable.weights(model)))
        return run(model, x, recipe.model_copy(update={"exclude": left}), sparsity)


def as_far_as(model: nn.Module, x: Tensor, recipe: Recipe, sparsity: float) -> tuple[Pruned, float]:
    """Pruned to a sparsity, or nearly to the most that the error says can be reached."""
    try:
        return run(model, x, recipe, sparsity), sparsity
    except PruningError as error:
        reach = re.search(r"(beyond reach|at most \d+ can go).*, sparsity ([0-9.]+)$", str(error))
        if reach is None:
            raise
        less = float(reach[2]) - 0.01
        return run(model, x, recipe, less), less


def check_weights(name: str, criterion: str) -> None:
    model, x = net(name)
    pruned, sparsity = as_far_as(model, x, Recipe(criterion=criterion), 0.7)
    weights = prunable.weights(pruned.model)
    wanted = round(sparsity * sum(w.numel() for w in weights.values()))
    assert sum(int((~mask).sum()) for mask in pruned.masks.values()) == wanted
    assert sum(int((w == 0).sum()) for w in weights.values()) >= wanted
    assert all(w.any() for w in weights.values())


def check_units(name: str, criterion: str) -> None:
    model, x = net(name)
    try:
        pruned, sparsity = as_far_as(model, x, Recipe(criterion=criterion, granularity="unit"), 0.3)
    except PruningError as error:
        assert re.search(r"no unit of .* is ever exactly zero|nothing is known of what reads", str(error))  # noqa: PT017
        return
    assert pruned.achieved == pytest.approx(sparsity, abs=0.002)
    assert all(0 not in w.shape for w in prunable.weights(pruned.model).values())
    with torch.no_grad():
        found = pruned.model(x)
        expected = removal.masked(model, pruned.history, x)(x)
    scale = float(expected.abs().max())
    assert float((found - expected).abs().max()) <= 1e-5 * max(scale, 1e-30)


CHECKS: dict[str, Callable[[str, str], None]] = {"weight": check_weights, "unit": check_units}


def check(granularity: str, name: str, criterion: str) -> None:
    before = peak(reset=True)
    start = time.process_time()
    CHECKS[granularity](name, criterion)
    assert time.process_time() - start < SECONDS
    assert peak() < GIGABYTES * 1024**2, before


def peak(*, reset: bool = False) -> int:
    """The most memory that this process has held since it was reset, in KiB; 0 where Linux does not say."""
    if not Path("/proc/self/clear_refs").exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1])


def possible(granularity: str, criterion: str) -> bool:
    try:
        Recipe(criterion=criterion, granularity=granularity)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


ALL = [(g, c) for g in CHECKS for c in sorted(criteria()) if possible(g, c)]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("granularity", "criterion"), [("weight", "taylor"), ("unit", "magnitude"), ("unit", "synflow")]
)
def test_small_nets(granularity, criterion, name):
    check(granularity, name, criterion)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize(("granularity", "criterion"), ALL)
def test_every_architecture_by_every_criterion(granularity, criterion, name):
    check(granularity, name, criterion)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["timm:resnet10t", "timm:efficientvit_b0", "timm:mobilenetv4_conv_small", "timm:tf_efficientnet_b0"],
)
@pytest.mark.parametrize("granularity", list(CHECKS))
def test_nets_of_timm(granularity, name):
    check(granularity, name, "magnitude")
