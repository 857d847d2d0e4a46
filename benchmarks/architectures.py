"""What units can be removed of the architectures that people ship, exactly, and what that saves.

    python benchmarks/architectures.py [--doc docs/pruning.md]

Torchvision's nets with random weights and ten classes, at 64 × 64, one thread: of each the share of its
parameters that can be pruned at all, the most that can go by whole units, and, with half of the prunable
weights gone by ``filter-l2`` (or as many as can go, less one in a hundred), parameters, multiply-adds and
latency beside dense, and the largest difference between removing and zeroing the same units, as a share of
the largest logit. Prints a Markdown table, or writes it between the marks in a document. Exits with 1 where
a difference is above 1e-5.
"""

import argparse
import re
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from audit.subject import vision
from pruning import coupling, measure, prunable, removal, units
from pruning.methods import resolve
from pruning.modes import one_thread
from pruning.prune import prune

NETS = (
    "resnet18", "resnet50", "vgg11_bn", "densenet121", "mobilenet_v2", "mobilenet_v3_small",
    "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t", "shufflenet_v2_x0_5", "regnet_y_400mf",
    "googlenet", "mnasnet0_5",
)  # fmt: skip
MARK = "<!-- benchmarks/architectures.py -->"
HEAD = (
    "| architecture | prunable | units reach | sparsity | parameters | multiply-adds | latency | seconds |\n"
    "|---|---|---|---|---|---|---|---|\n"
)
SIDE = 64


def main() -> None:
    """Measure each net and print or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--doc", type=Path, help="write the table between the marks in this document")
    parser.add_argument("--rounds", type=int, default=20, help="timed passes of each model (20)")
    parser.add_argument("nets", nargs="*", default=NETS, help="which nets (all)")
    options = parser.parse_args()
    rows, worst = [], 0.0
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torchvision's own, of GoogLeNet
        for name in options.nets:
            row, difference = measured(name, options.rounds)
            rows.append(row)
            worst = max(worst, difference)
            print(row, file=sys.stderr, flush=True)
    table = HEAD + "\n".join(rows) + "\n"
    if options.doc is None:
        print(table)
    else:
        text = options.doc.read_text()
        pattern = re.compile(f"{re.escape(MARK)}\n.*?{re.escape(MARK)}\n", re.DOTALL)
        options.doc.write_text(pattern.sub(f"{MARK}\n{table}{MARK}\n", text))
    print(f"largest difference between removed and zeroed: {worst:.1e} of the largest logit")
    sys.exit(int(worst > 1e-5))


def net(name: str) -> tuple[nn.Module, Tensor]:
    """A net with random weights, and one image."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, SIDE, SIDE)
    if name.startswith("vit"):
        models = vision.torchvision().models
        model: nn.Module = models.get_model(name, weights=None, num_classes=10, image_size=SIDE)
        nn.init.normal_(model.get_parameter("heads.head.weight"), std=0.02)  # it comes as zeros
    else:
        model = vision.model(name, 10)()
    return model.eval(), image


def measured(name: str, rounds: int) -> tuple[str, float]:
    """A row of the table, and how far removed is from zeroed."""
    model, image = net(name)
    dense = measure.size(model, image)
    groups, note = units.sound(model, coupling.find(model, image), image)
    reach = units.reach(model, groups)
    wanted = min(0.5, reach - 0.01)
    start = time.process_time()
    pruned = prune(model, resolve("filter-l2")[1], wanted, example_input=image, generator=torch.Generator())
    seconds = time.process_time() - start
    masked = removal.masked(model, pruned.history, image)
    with torch.no_grad():
        found, expected = pruned.model(image), masked(image)
    difference = float((found - expected).abs().max() / expected.abs().max())
    size = measure.size(pruned.model, image)
    times = measure.latency({"dense": model, "pruned": pruned.model}, image, rounds=rounds, warm_up=3)
    gain = times["dense"].median_ms / times["pruned"].median_ms
    share = dense.prunable / sum(p.numel() for p in model.parameters())
    told = [*prunable.told(model), note]
    remark = "*" if any(told) else ""
    return (
        f"| {name}{remark} | {share:.1%} | {reach:.1%} | {pruned.achieved:.3f} "
        f"| {size.parameters / dense.parameters:.2f}× | {size.macs / dense.macs:.2f}× "
        f"| {gain:.2f}× as fast | {seconds:.1f} |"
    ), difference


if __name__ == "__main__":
    main()
