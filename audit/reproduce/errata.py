"""What is wrong in the paper as printed, shown by running it: one function a mistake.

Each computes what the printed formula, matrix or program gives and what the corrected one does. Beside them
stands what the paper prints as its result, where it prints one.
"""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attacks.registry import probes
from audit.plan import TrainPlan
from audit.subject import vision
from audit.subject.training import steps
from audit.zoo import paper_mlp
from pruning.errors import PruningError
from pruning.measure import size
from pruning.prune import prune
from pruning.recipe import Recipe
from pruning.schedule import polynomial, sparsities
from reports.claims import Erratum

MNIST = 60_000
"""Training images of MNIST."""
BATCH, STEPS_PRINTED = 32, 100
"""The batch of §5.2's program, and the steps an epoch that its log shows."""

Array = NDArray[np.float64]


def errata() -> tuple[Erratum, ...]:
    """All of them, in the order of their numbers."""
    return (
        mask(), worked_example(), structural_example(), inputs(),
        schedule(), nothing_measured(), efficientnet(), images(),
    )  # fmt: skip


def keep_below(w: Array, alpha: float) -> Array:
    """§4.2 as printed: p = 1 where w < α, else 0; what is left is w · p."""
    return np.where(w < alpha, w, 0.0)


def keep_above(w: Array, alpha: float) -> Array:
    """§4.1 as printed: w where w > α, else 0."""
    return np.where(w > alpha, w, 0.0)


def keep_large(w: Array, alpha: float) -> Array:
    """The magnitude rule, by this project's own pruning: w where |w| > α, else 0."""
    layer = nn.Linear(w.shape[1], w.shape[0], bias=False)
    layer.weight.data = torch.tensor(w, dtype=torch.float32)
    cut = prune(
        nn.Sequential(layer), Recipe(threshold=alpha), None,
        example_input=torch.ones(1, w.shape[1]), generator=torch.Generator(),
    )  # fmt: skip
    return cut.model.get_parameter("0.weight").detach().double().numpy()


def mask() -> Erratum:
    """§4.2 keeps the small weights; both formulas lose large negative ones."""
    w, alpha = np.array([[-9.0, -1.0, 2.0, 8.0]]), 4.0
    return Erratum(
        number=1,
        where="§4.2, §4.1",
        title="The mask is upside down",
        printed="§4.2: w·p with p = 1 where w < α, else 0. §4.1: w where w > α, else 0",
        gives=f"W = {shown(w)}, α = {alpha:g}\n§4.2: {shown(keep_below(w, alpha))}\n"
        f"§4.1: {shown(keep_above(w, alpha))}",
        paper_says="",
        corrected=f"|w| > α: {shown(keep_large(w, alpha))}",
        remark="They contradict each other: §4.2 keeps the small weights, a slip. Both lose −9, the largest "
        "of all in magnitude.",
    )


def worked_example() -> Erratum:
    """§4.3's 3×3 example follows neither formula."""
    w, alpha = np.arange(1.0, 10.0).reshape(3, 3), 4.0
    printed = (5, 6, 9)
    return Erratum(
        number=2,
        where="§4.3",
        title="The worked example follows neither formula",
        printed=f"W = {shown(w)}, α = {alpha:g}",
        gives=f"§4.2: {shown(keep_below(w, alpha))}\n§4.1: {shown(keep_above(w, alpha))}",
        paper_says=f"{listed(printed)} are zero, {listed(w[w < alpha])} stay",
        corrected=shown(keep_large(w, alpha)),
        remark="§4.2 would drop 7 and 8 too, and §4.1 would keep all three that the example drops.",
    )


def structural_example() -> Erratum:
    """§4.3's 5×5 example zeroes single entries of a kernel."""
    kernel, alpha = np.arange(1.0, 26.0).reshape(5, 5), 15.0
    printed = np.where(np.isin(kernel, (15, 25)), 0.0, kernel)
    scales, example = (0.2, 2.0, 0.5, 1.0), torch.ones(1, 1, 5, 5)
    layer = nn.Conv2d(1, len(scales), 5, bias=False)
    layer.weight.data = torch.tensor(kernel, dtype=torch.float32) * torch.tensor(scales).view(-1, 1, 1, 1)
    net = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(len(scales), 2))
    recipe = Recipe(granularity="unit", allocation="uniform")
    smaller = prune(net, recipe, 0.5, example_input=example, generator=torch.Generator()).model
    left = smaller.get_parameter("0.weight").detach()[:, 0, 0, 0].double().numpy()
    return Erratum(
        number=3,
        where="§4.3",
        title="The structural example is not structured",
        printed=f"a 5×5 kernel of 1 … 25, α = {alpha:g}",
        gives=f"by units, as §4.2 has it: its importance, {kernel.sum():g}, is above α: all of it stays\n"
        f"by weights, as §4.1 has it: {int((kernel <= alpha).sum())} of {kernel.size} entries go",
        paper_says=f"{listed(kernel[printed == 0])} are zero, within a kernel that keeps its shape",
        corrected=f"of four such kernels, times {listed(scales)}, the two of smallest norm go whole: those "
        f"times {listed(left)} are left, and {size(smaller, example).parameters} of "
        f"{size(net, example).parameters} parameters",
        remark="Single zeros within a kernel are weight pruning, and neither rule chooses those two. No "
        "kernel is gone, and nothing is smaller or faster.",
    )


def inputs() -> Erratum:
    """§5.2's net takes 100 inputs, MNIST's images have 784."""
    net, images = paper_mlp((1, 10, 10)), torch.zeros(BATCH, 1, 28, 28)
    try:
        net(images)
        failed = "no error"
    except RuntimeError as error:
        failed = f"RuntimeError: {error}"
    resized = F.interpolate(images, (10, 10), mode="bilinear", antialias=True)
    return Erratum(
        number=4,
        where="§5.2",
        title="The program as printed does not run",
        printed=f"a net of 100 inputs, shown MNIST's images of {images[0].numel()} pixels",
        gives=failed,
        paper_says="a log of ten epochs",
        corrected=f"resized to 10×10: outputs of shape {shape(net(resized))}; with 784 inputs: "
        f"{shape(paper_mlp((1, 28, 28))(images))}",
        remark="100 inputs are 10×10 pixels, which the digits can be resized to. Both readings are run here.",
    )


def schedule() -> Erratum:
    """§5.2's sparsity falls from 0.5 to 0 while the net is trained."""
    times, last = (0, 250, 500, 750, 1000), 1000
    falls, rises = polynomial(0.5, 0.0, last), polynomial(0.0, 0.5, last)
    try:
        sparsities(Recipe(schedule="polynomial", initial=0.5, steps=last), 0.1, 1)
        ours = "no error"
    except PruningError as error:
        ours = f"this project refuses it: {error}"
    return Erratum(
        number=5,
        where="§5.2",
        title="The schedule removes sparsity as training goes on",
        printed="a polynomial from sparsity 0.5 to 0.0 over 1 000 steps, given as a Keras learning-rate "
        "schedule to a wrapper from tf.keras.layers",
        gives=f"sparsity at steps {listed(times)}: {listed(falls[t] for t in times)}\n{ours}",
        paper_says="a pruned net",
        corrected=f"sparsity at steps {listed(times)}: {listed(rises[t] for t in times)}",
        remark="A net trained so ends with every weight free. (Wrapper and schedule belong to TensorFlow's "
        "model optimisation toolkit, not to Keras; that part is read, not run.)",
    )


def nothing_measured() -> Erratum:
    """§5.3 speaks of security before and after; nothing in §5 attacks anything."""
    known = probes()
    return Erratum(
        number=6,
        where="§5.3",
        title="Security is spoken of, and never measured",
        printed="security is to be evaluated before and after pruning",
        gives="the printed program computes a loss and an accuracy: 0 attacks",
        paper_says="",
        corrected="measured here: "
        + "; ".join(f"{name} ({', '.join(probe.card.metrics)})" for name, probe in known.items()),
        remark="Every safety claim of the paper is unmeasured in it. The ledger above measures them.",
    )


def efficientnet() -> Erratum:
    """§7.3 calls a scaling method a pruning method."""
    with torch.device("meta"):  # shapes alone: there is nothing to initialise
        small, large = (
            sum(p.numel() for p in vision.model(f"efficientnet_b{step}", 1000)().parameters())
            for step in (0, 1)
        )
    return Erratum(
        number=7,
        where="§7.3",
        title="EfficientNet prunes nothing",
        printed="EfficientNet is listed as a method of pruning",
        gives=f"B0: {small:,} parameters; one step up, B1: {large:,}, {large / small:.2f} times as many",
        paper_says="",
        corrected="a family of networks and a rule to scale them up (Tan & Le 2019, arXiv:1905.11946)",
        remark="Its rule makes networks larger. It can be pruned like any other.",
    )


def images() -> Erratum:
    """The printed log's steps do not go through MNIST."""
    wanted = steps(MNIST, TrainPlan(batch_size=BATCH), 1)
    return Erratum(
        number=8,
        where="§5.2",
        title="The printed log is not of the printed program",
        printed=f"MNIST's {MNIST:,} images in batches of {BATCH}",
        gives=f"{wanted:,} steps an epoch",
        paper_says=f"{STEPS_PRINTED} steps an epoch",
        corrected=f"{STEPS_PRINTED} steps go through {STEPS_PRINTED * BATCH:,} images, "
        f"{STEPS_PRINTED * BATCH / MNIST:.1%} of them",
        remark="Ten such epochs are the 1 000 steps of the schedule. Both lengths are run here.",
    )


def shown(matrix: Array) -> str:
    """``[1 2 3 / 4 5 6]``, with true minus signs."""
    rows = (" ".join(f"{value:g}" for value in row + 0.0) for row in matrix)
    return "[" + " / ".join(rows).replace("-", "−") + "]"


def listed(values: Iterable[float]) -> str:
    """``1, 2, 3``."""
    return ", ".join(f"{value:.3g}" if value % 1 else f"{value:g}" for value in values).replace("-", "−")


def shape(tensor: Tensor) -> str:
    """``32×10``."""
    return "×".join(map(str, tensor.shape))
