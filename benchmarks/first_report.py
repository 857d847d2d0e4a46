"""From an empty folder to a first report, for what people have: seconds of each step, as they run it.

    python benchmarks/first_report.py                 # every kind, each run within --budget 3m
    python benchmarks/first_report.py --only timm     # one
    python benchmarks/first_report.py --preflight     # preflight of ResNet-18 with 1 000 images of 224×224

Each folder holds data and a checkpoint as the library leaves it, from a short training on scikit-learn's
digits in three colours at 32×32; making it is not timed. A kind that takes longer than --limit is stopped,
and its row says so. Exits with 1 if a first report takes more than ten minutes, or preflight more than 15
seconds.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

from audit.subject import vision

LIMIT, PREFLIGHT = 600.0, 15.0
PLAN = """
accept = ["constant", "chance"]  # its weights are those of no training
[model]
build = "torchvision:resnet18"
weights = "resnet18.pth"
[data]
source = "npz:data.npz"
audit_examples = 500
[pruning]
methods = ["global-magnitude"]
sparsities = [0.5, 0.9]
seeds = [0]
finetune_epochs = 0
"""
Made = tuple[list[str], str]
"""What ``init`` is told beside the data, and what is added to the plan."""


def digits(folder: Path, count: int) -> tuple[Tensor, Tensor]:
    """``data.npz``: uint8 images 3×32×32; returns the training pair, in [0, 1]."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[: 2 * count]
    grey = np.kron(x[order].reshape(-1, 1, 8, 8) / 16, np.ones((1, 3, 4, 4)))
    images = (255 * grey).astype(np.uint8)
    half = len(order) // 2
    np.savez(
        folder / "data.npz", x_train=images[:half], y_train=y[order[:half]], x_test=images[half:],
        y_test=y[order[half:]],
    )  # fmt: skip
    return torch.from_numpy(images[:half]).float() / 255, torch.from_numpy(y[order[:half]])


def trained(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> nn.Module:
    """By Adam, on random batches of 64."""
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    model.train()
    for _ in range(steps):
        batch = torch.randint(len(x), (64,))
        out = model(x[batch])
        loss = F.cross_entropy(getattr(out, "logits", out), y[batch])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval()


def _resnet(x: Tensor, y: Tensor, steps: int) -> nn.Module:
    return trained(vision.torchvision().models.resnet18(num_classes=10), x, y, steps)


def torchvision(folder: Path, x: Tensor, y: Tensor, steps: int) -> Made:
    """A state dict of torchvision's ResNet-18."""
    torch.save(_resnet(x, y, steps).state_dict(), folder / "resnet18.pth")
    return ["--model", "torchvision:resnet18", "--weights", "resnet18.pth"], ""


def timm(folder: Path, x: Tensor, y: Tensor, steps: int) -> Made:
    """What timm's training script leaves."""
    vision.torchvision()
    import timm as package

    model = trained(package.create_model("test_resnet", num_classes=10), x, y, steps)
    torch.save({"epoch": 1, "arch": "test_resnet", "state_dict": model.state_dict()}, folder / "last.pth.tar")
    return ["--model", "timm:test_resnet", "--weights", "last.pth.tar"], ""


def hugging_face(folder: Path, x: Tensor, y: Tensor, steps: int) -> Made:
    """A folder of ``save_pretrained``."""
    vision.torchvision()
    transformers: Any = importlib.import_module("transformers")
    config = transformers.ViTConfig(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, image_size=32,
        patch_size=8, num_labels=10,
    )  # fmt: skip
    model: nn.Module = transformers.ViTForImageClassification(config)
    save: Any = trained(model, x, y, 2 * steps)
    save.save_pretrained(folder / "vit")
    prepare = {"do_normalize": False, "do_rescale": True, "rescale_factor": 1 / 255}
    (folder / "vit/preprocessor_config.json").write_text(json.dumps(prepare), encoding="utf-8")
    return ["--model", "hf:vit"], ""


def lightning(folder: Path, x: Tensor, y: Tensor, steps: int) -> Made:
    """A checkpoint with the keys and prefixes that Lightning's Trainer writes."""
    state = {f"model.{name}": value for name, value in _resnet(x, y, steps).state_dict().items()}
    content = {"epoch": 1, "global_step": steps, "pytorch-lightning_version": "2.6.0", "state_dict": state}
    torch.save(content, folder / "epoch=1.ckpt")
    return ["--model", "torchvision:resnet18", "--weights", "epoch=1.ckpt"], ""


def torch_pruned(folder: Path, x: Tensor, y: Tensor, steps: int) -> Made:
    """A dense model, and itself with the masks of ``torch.nn.utils.prune`` left in."""
    model = _resnet(x, y, steps)
    save_file(model.state_dict(), folder / "dense.safetensors")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            prune.l1_unstructured(layer, "weight", 0.5)  # type: ignore[no-untyped-call]
    torch.save(model.state_dict(), folder / "pruned.pt")
    variant = '\n[[variant]]\nname = "half"\nweights = "pruned.pt"\n'
    return ["--model", "torchvision:resnet18", "--weights", "dense.safetensors"], variant


KINDS: dict[str, Callable[[Path, Tensor, Tensor, int], Made]] = {
    "torchvision": torchvision,
    "timm": timm,
    "hugging-face": hugging_face,
    "lightning": lightning,
    "torch-pruned": torch_pruned,
}


def command(folder: Path, *words: str, limit: float | None = None) -> float:
    """Seconds of one command in the folder; its words where it fails. Raises subprocess.TimeoutExpired."""
    start = time.perf_counter()
    line = [sys.executable, "-m", "audit", *words]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=limit)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def first_report(kind: str, count: int, steps: int, budget: str, limit: float) -> float:
    """Print one row: seconds of init, preflight, run and all three; returns the last, infinity where they
    take more than ``limit`` seconds together and are stopped."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        told, more = KINDS[kind](folder, *digits(folder, count), steps)

        def timed(*words: str) -> None:
            seconds.append(command(folder, *words, limit=limit - sum(seconds)))

        try:
            timed("init", ".", *told, "--data", "data.npz")
            _amend(folder / "plan.toml", more)
            timed("preflight", "plan.toml")
            timed("run", "plan.toml", "--out", "run", "--budget", budget)
        except subprocess.TimeoutExpired as late:
            done = " | ".join(f"{one:.1f}" for one in seconds)
            print(
                f"| {kind} | {done} | stopped in {late.cmd[3]}: more than {limit:.0f} s together |",
                flush=True,
            )
            return float("inf")
        if not (folder / "run/report.html").is_file():
            raise SystemExit(f"{kind}: no report was written")
    total = sum(seconds)
    print(f"| {kind} | {' | '.join(f'{one:.1f}' for one in (*seconds, total))} |", flush=True)
    return total


def _amend(plan: Path, more: str) -> None:
    """What the proposal cannot know: the checkpoint was trained on plain pixels; and what is added."""
    lines = plan.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("normalise")]
    plan.write_text("\n".join(kept) + more, encoding="utf-8")


def preflight() -> float:
    """Print and return the seconds of preflight on ResNet-18 with 1 000 images of 224×224."""
    with tempfile.TemporaryDirectory() as name:
        folder, random = Path(name), np.random.default_rng(0)
        images = random.integers(0, 256, (1000, 3, 224, 224), dtype=np.uint8)
        labels = np.arange(1000) % 10
        np.savez(folder / "data.npz", x_test=images, y_test=labels)
        torch.manual_seed(0)
        model = vision.torchvision().models.resnet18(num_classes=10)
        torch.save(model.state_dict(), folder / "resnet18.pth")
        (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
        seconds = command(folder, "preflight", "plan.toml")
    print(f"preflight of ResNet-18, 1 000 images of 224×224: {seconds:.1f} s (at most {PREFLIGHT:.0f})")
    return seconds


def main() -> int:
    """Run what is asked; 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=KINDS, action="append", help="one kind; may be repeated")
    parser.add_argument("--images", type=int, default=300, help="training images, and as many held out")
    parser.add_argument("--steps", type=int, default=100, help="of the trainings that make the checkpoints")
    parser.add_argument("--budget", default="3m", help="of prune-audit run")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds after which a kind is stopped")
    parser.add_argument("--preflight", action="store_true", help="time preflight alone")
    asked = parser.parse_args()
    if asked.preflight:
        return int(preflight() > PREFLIGHT)
    print("| what one has | init (s) | preflight (s) | run (s) | together (s) |\n|---|---|---|---|---|")
    kinds = asked.only or list(KINDS)
    return int(
        max(first_report(kind, asked.images, asked.steps, asked.budget, asked.limit) for kind in kinds)
        > LIMIT
    )


if __name__ == "__main__":
    sys.exit(main())
